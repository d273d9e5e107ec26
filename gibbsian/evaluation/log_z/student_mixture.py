"""A mixture of multivariate Student t distributions: the reference that covers given points.

Fitted by expectation-maximisation (Peel and McLachlan, 2000) and grown greedily: new components start
where the target's density most exceeds the mixture's. How many there are, other points decide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

FREEDOMS = (1.5, 3.0, 8.0, 30.0)
"""Degrees of freedom among which every component has its own."""
SIZES = (1, 2, 3, 4, 6, 8, 12, 18, 24)
"""Numbers of components that are tried in turn."""
ITERATIONS = 5
DEFENSIVE_WEIGHT = 0.05
FLOOR = 1e-3
"""Least standard deviation of a component in any direction, in units of the pooled one."""


@dataclass(frozen=True)
class StudentMixture:
    """Density sum_k weights_k t(y; means_k, factors_k factors_k^T, freedoms_k) on R^d.

    ``weights [K]``, ``means [K, d]``, ``factors [K, d, d]`` lower triangular, ``freedoms [K]``.
    """

    weights: Tensor
    means: Tensor
    factors: Tensor
    freedoms: Tensor

    def sample(self, n: int, rng: Generator) -> Tensor:
        """``[n, d]`` independent draws."""
        count, d = self.means.shape
        which = torch.multinomial(self.weights.to(rng.device), n, replacement=True, generator=rng)
        kind = self.means.dtype
        noise = torch.randn(n, d, dtype=kind, generator=rng, device=rng.device)
        # chi^2 / nu with nu not whole: a gamma variable, which torch draws from a generator only so
        chi = torch._standard_gamma(0.5 * self.freedoms[which], generator=rng) * 2
        noise = noise * (self.freedoms[which] / chi).sqrt()[:, None]
        moved = torch.empty_like(noise)
        for k in range(count):
            rows = which == k
            moved[rows] = noise[rows] @ self.factors[k].T + self.means[k]
        return moved

    def squares(self, y: Tensor) -> Tensor:
        """Squared Mahalanobis distances to every component, ``[n, d] -> [n, K]``."""
        count, d = self.means.shape
        eye = torch.eye(d, dtype=y.dtype, device=y.device).expand(count, d, d)
        inverse = torch.linalg.solve_triangular(self.factors, eye, upper=False)
        shift = (inverse @ self.means[:, :, None]).reshape(1, count * d)
        standard = (y @ inverse.reshape(count * d, d).T - shift).reshape(len(y), count, d)
        return standard.square().sum(2)

    def component_log_density(self, squares: Tensor) -> Tensor:
        """log t of every component, from `squares`, ``[n, K]``."""
        return log_student(squares, self.factors, self.freedoms)

    def log_density(self, y: Tensor) -> Tensor:
        """``[n, d] -> [n]``."""
        joint = self.component_log_density(self.squares(y)) + self.weights.log()
        return torch.logsumexp(joint, 1)


def log_student(squares: Tensor, factors: Tensor, freedoms: Tensor) -> Tensor:
    """log t from squared distances ``[*, n, K]``, with ``factors [*, K, d, d]`` and ``freedoms [K]``.

    The leading dimensions of ``factors`` broadcast against those of the distances; ``freedoms`` may be one
    number for all, 0-d.
    """
    d = factors.shape[-1]
    half = 0.5 * freedoms
    constant = (
        torch.lgamma(half + 0.5 * d)
        - torch.lgamma(half)
        - 0.5 * d * (freedoms * math.pi).log()
        - factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    )
    return constant - (half + 0.5 * d) * torch.log1p(squares / freedoms)


def defended(
    mixture: StudentMixture, mean: Tensor, factor: Tensor, freedom: float
) -> StudentMixture:
    """The mixture with 5 % of a wide t distribution, which bounds the weights far out.

    ``mean [d]``, ``factor [d, d]`` and ``freedom`` are those of the wide one (Hesterberg, 1995).
    """
    return StudentMixture(
        torch.cat([(1 - DEFENSIVE_WEIGHT) * mixture.weights, mean.new_tensor([DEFENSIVE_WEIGHT])]),
        torch.cat([mixture.means, mean[None]]),
        torch.cat([mixture.factors, factor[None]]),
        torch.cat([mixture.freedoms, mean.new_tensor([freedom])]),
    )


def single(y: Tensor, worth: Tensor, freedom: float = 5.0) -> StudentMixture:
    """One t distribution around the points ``y [n, d]``, with weights that outliers do not bend.

    ``worth [n]``: how many independent draws each point stands for.
    """
    mean = y.median(0).values
    spread = (y - mean).abs().median(0).values.clamp_min(1e-12 + 1e-6 * (y - mean).abs().amax())
    one = StudentMixture(
        y.new_ones(1), mean[None], torch.diag_embed(1.5 * spread)[None], y.new_tensor([freedom])
    )
    floor = (FLOOR * spread).square()
    for _ in range(12):
        one = updated(one, y, worth, floor, keep_freedom=True)
    return one


def updated(
    mixture: StudentMixture,
    y: Tensor,
    worth: Tensor,
    floor: Tensor,
    keep_freedom: bool = False,
) -> StudentMixture:
    """One step of expectation-maximisation on ``y [n, d]``.

    The off-diagonal covariance of a component that m independent points carry is shrunk by
    m / (m + d); ``floor [d]`` is added to the variances.
    """
    d = y.shape[1]
    squares = mixture.squares(y)
    joint = mixture.component_log_density(squares) + mixture.weights.log()
    share = torch.softmax(joint, 1) * worth[:, None]
    freedoms = mixture.freedoms if keep_freedom else _freedoms(mixture, squares, share)
    weight = share * (freedoms + d) / (freedoms + squares)
    total, mass = weight.sum(0).clamp_min(1e-300), share.sum(0).clamp_min(1e-300)
    means = (weight.T @ y) / total[:, None]
    deviation = y[None] - means[:, None]
    covariance = deviation.mT @ (deviation * weight.T[:, :, None]) / mass[:, None, None]
    variance = covariance.diagonal(dim1=-2, dim2=-1)
    m = mass[:, None, None]
    covariance = (m * covariance + d * torch.diag_embed(variance)) / (m + d)
    factors, failed = torch.linalg.cholesky_ex(covariance + torch.diag_embed(floor))
    kept = (failed == 0) & (mass > 1.0)
    if not bool(kept.any()):
        return mixture
    weights = mass[kept] / mass[kept].sum()
    return StudentMixture(weights, means[kept], factors[kept], freedoms[kept])


def _freedoms(mixture: StudentMixture, squares: Tensor, share: Tensor) -> Tensor:
    """For every component the degrees of freedom under which its points are likeliest."""
    likelihoods = torch.stack(
        [
            (
                share * log_student(squares, mixture.factors, torch.full_like(mixture.freedoms, f))
            ).sum(0)
            for f in FREEDOMS
        ]
    )
    return squares.new_tensor(FREEDOMS)[likelihoods.argmax(0)]


def fitted(
    y: Tensor, log_target: Tensor, worth: Tensor, held_out: Tensor, most: int = 24
) -> StudentMixture:
    """A mixture of up to ``most`` components for the points ``y [n, d]``.

    ``log_target [n]``: the target's log density there, up to a constant. ``held_out [m, d]``:
    points of the same kind whose likelihood decides how many components there are.
    """
    best = mixture = single(y, worth)
    floor = (FLOOR * best.factors[0].square().sum(1).sqrt()).square()
    best_score, worse = -math.inf, 0
    for size in (s for s in SIZES if s <= most):
        if size > 1:
            mixture = _grown(mixture, y, log_target, size - len(mixture.weights))
        for step in range(ITERATIONS):
            mixture = updated(mixture, y, worth, floor, keep_freedom=step < ITERATIONS - 2)
        score = float(mixture.log_density(held_out).mean())
        worse = 0 if score > best_score else worse + 1
        if score > best_score:
            best, best_score = mixture, score
        if worse == 2:
            break
    return best


def _grown(mixture: StudentMixture, y: Tensor, log_target: Tensor, more: int) -> StudentMixture:
    """``mixture`` with ``more`` components where target and mixture differ most.

    The log-ratio is averaged over each point's neighbours, so that no single point decides.
    """
    n, d = y.shape
    pick = torch.arange(0, n, max(1, n // 600), device=y.device)
    some, size = y[pick], max(8, len(pick) // 30)
    excess = log_target[pick] - mixture.log_density(some)
    distance = torch.cdist(some, some)
    near = distance.topk(size, largest=False).indices
    smooth = excess[near].mean(1)
    seeds: list[int] = []
    for _ in range(more):
        seed = int(smooth.argmax())
        seeds.append(seed)
        smooth = smooth.index_fill(0, near[seed], -math.inf)
        if not bool(smooth.isfinite().any()):
            break
    around = some[near[seeds]]
    means = around.mean(1)
    deviation = around - means[:, None]
    variance = deviation.square().mean(1).clamp_min(1e-8)
    covariance = deviation.mT @ deviation / size
    covariance = (size * covariance + 2 * d * torch.diag_embed(variance)) / (size + 2 * d)
    factors, failed = torch.linalg.cholesky_ex(
        covariance + torch.diag_embed(1e-6 * variance + 1e-8)
    )
    factors = torch.where((failed == 0)[:, None, None], factors, torch.diag_embed(variance.sqrt()))
    new = torch.full((len(seeds),), size / len(pick), dtype=y.dtype, device=y.device)
    weights = torch.cat([mixture.weights, new])
    return StudentMixture(
        weights / weights.sum(),
        torch.cat([mixture.means, means]),
        torch.cat([mixture.factors, factors]),
        torch.cat([mixture.freedoms, torch.full_like(new, 8.0)]),
    )
