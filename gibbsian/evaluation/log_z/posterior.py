"""log p(x) of a directed model with few latent dimensions, by importance sampling from a fitted posterior.

Chains that start at the prior do not reach a narrow posterior: their estimates of log p(x) are wrong by
hundreds of nats where the observation noise is small. Here the posterior's modes are found first, by
gradient ascent from the best of many prior draws; a mixture of Student t distributions at the modes, with
the curvature there (Laplace) and a share of the prior, is the proposal. Its weights have a Pareto k-hat per
row, so that an estimate that must not be trusted says so (Vehtari, Simpson, Gelman, Yao, Gabry 2024).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from gibbsian.core.measures import Gaussian
from gibbsian.core.numerics import log_mean_exp
from gibbsian.evaluation.log_z.estimators import bridge
from gibbsian.evaluation.log_z.student_mixture import log_student
from gibbsian.samplers import adapt_step_size, hmc
from gibbsian.samplers.draws import RELIABLE_K, importance_ess, pareto_k

LogLikelihood = Callable[[Tensor, Tensor], Tensor]
"""``(x [B, *event], z [B, latent_dim])`` to log p(x|z), ``[B]``."""

MODES, CANDIDATES, ASCENT = 16, 512, 200
"""Starts of the ascent per row, prior draws that half of them are the best of, and its steps."""
KERNELS = 48
"""Components at draws of the first proposal resampled by weight, where the posterior is no sum of modes."""
FREEDOM, DEFENSIVE, INFLATION = 5, 0.1, 1.2
"""Degrees of freedom of a component, the prior's share of the proposal, and a width over Laplace's."""
AT_ONCE = 20_000
"""Latent points decoded, and so rows held in memory, at a time."""


@dataclass(frozen=True)
class PosteriorLikelihood:
    """log p(x) per row ``[B]``: ``lower`` in expectation; ``upper``, a bridge, an estimate.

    ``k_hat`` and ``ess``: the Pareto shape and the effective number of the ``draws`` weights of a row.
    """

    lower: Tensor
    upper: Tensor
    k_hat: Tensor
    ess: Tensor
    draws: int

    @property
    def stderr(self) -> Tensor:
        """``[B]``, of ``lower``: the relative error of the mean weight."""
        return (1 / self.ess - 1 / self.draws).clamp_min(0.0).sqrt()

    @property
    def reliable(self) -> Tensor:
        """``[B]``: enough weights count, with light tails or a bridge within 0.1 nats."""
        light = (self.k_hat <= RELIABLE_K) | ((self.upper - self.lower).abs() <= 0.1)
        return light & (self.ess >= 100)


@dataclass(frozen=True)
class Joint:
    """log p(x, z) as a function of z alone, for ``[B, n, latent]`` points of the rows ``x [B, *event]``."""

    log_likelihood: LogLikelihood
    prior: Gaussian
    x: Tensor

    def __call__(self, z: Tensor) -> Tensor:
        """``[B, n, latent] -> [B, n]``, decoded in parts."""
        step = max(1, AT_ONCE // len(z))
        return torch.cat([self._part(part) for part in z.split(step, 1)], 1)

    def _part(self, z: Tensor) -> Tensor:
        flat = z.flatten(0, 1)
        copies = self.x.repeat_interleave(z.shape[1], 0)
        return (self.prior.log_density(flat) + self.log_likelihood(copies, flat)).view(z.shape[:2])

    def energy(self, z: Tensor) -> Tensor:
        """-log p(x, z), ``[B * n, latent] -> [B * n]``, row by row."""
        return -self._part(z.unflatten(0, (len(self.x), -1))).flatten()

    def base(self, z: Tensor) -> Tensor:
        """-log p(z), ``[B * n, latent] -> [B * n]``."""
        return -self.prior.log_density(z)

    def draw(self, n: int, rng: Generator) -> Tensor:
        """Exact draws of the prior, ``n`` for every row, row by row, ``[B * n, latent]``."""
        return self.prior.sample(len(self.x) * n, rng).to(self.x)


@dataclass(frozen=True)
class Proposal:
    """A mixture per row: t distributions at ``mean [B, C, d]``, ``factor [B, C, d, d]``, and the prior."""

    mean: Tensor
    factor: Tensor
    log_share: Tensor  # [B, C], of the components among themselves
    prior: Gaussian

    def sample(self, n: int, rng: Generator) -> Tensor:
        """``[B, n, d]``."""
        rows, _, d = self.mean.shape
        pick = torch.multinomial(self.log_share.exp(), n, replacement=True, generator=rng)
        at = torch.arange(rows, device=pick.device)[:, None]
        noise = torch.randn(rows, n, d, generator=rng, device=rng.device)
        chi2 = torch.randn(rows, n, FREEDOM, generator=rng, device=rng.device).square().sum(-1)
        noise = noise * (FREEDOM / chi2).sqrt()[..., None]
        z = self.mean[at, pick] + (self.factor[at, pick] @ noise[..., None])[..., 0]
        wide = self.prior.sample(rows * n, rng).view(rows, n, d)
        take = torch.rand(rows, n, 1, generator=rng, device=rng.device) < DEFENSIVE
        return torch.where(take, wide, z)

    def log_density(self, z: Tensor) -> Tensor:
        """``[B, n, d] -> [B, n]``."""
        deviation = (z[:, None] - self.mean[:, :, None]).mT
        solved = torch.linalg.solve_triangular(self.factor, deviation, upper=False)
        squares = solved.square().sum(2).mT
        log_t = log_student(squares, self.factor[:, None], z.new_tensor(FREEDOM))
        narrow = (log_t + self.log_share[:, None]).logsumexp(2) + math.log1p(-DEFENSIVE)
        wide = self.prior.log_density(z.flatten(0, 1)).view(z.shape[:2]) + math.log(DEFENSIVE)
        return torch.logaddexp(narrow, wide)


def fitted_proposal(joint: Joint, rng: Generator) -> Proposal:
    """The mixture at the modes of p(z|x) that ascent from prior draws finds, one per row."""
    rows, d = len(joint.x), joint.prior.shape[0]
    candidates = joint.draw(CANDIDATES, rng).view(rows, CANDIDATES, d)
    with torch.no_grad():
        best = joint(candidates).topk(MODES // 2, 1).indices
    others = candidates[:, : MODES - best.shape[1]]  # as they were drawn: for modes the best miss
    z = torch.cat([candidates.gather(1, best[..., None].expand(-1, -1, d)), others], 1)
    z = ascended(joint, z)
    precision = -hessian(joint, z).double()
    values, vectors = torch.linalg.eigh(0.5 * (precision + precision.mT))
    # The prior's precision is 1; a flat or rising direction is no narrower than the prior.
    scale = INFLATION * values.clamp_min(1.0).rsqrt()
    covariance = (vectors * scale.square()[..., None, :]) @ vectors.mT
    factor = torch.linalg.cholesky(covariance).to(z)
    with torch.no_grad():
        mass = (joint(z).double() + scale.log().sum(-1)).softmax(1)
    share = 0.8 * mass + 0.2 / MODES
    return Proposal(z, factor, share.log().to(z), joint.prior)


def refined_proposal(joint: Joint, q: Proposal, draws: int, rng: Generator) -> Proposal:
    """``q`` with half of its mass moved to ``KERNELS`` points resampled from its weighted draws.

    Their common covariance is that of the weighted draws, shrunk as a kernel density estimate's is
    (Silverman's rule for ``KERNELS`` points): it follows bent and broad posteriors that Laplace's does not.
    """
    with torch.no_grad():
        z = q.sample(draws, rng)
        w = (joint(z) - q.log_density(z)).double().softmax(1)
    rows, _, d = z.shape
    pick = torch.multinomial(w, KERNELS, replacement=True, generator=rng)
    at = z.gather(1, pick[..., None].expand(-1, -1, d))
    centred = z.double() - (w[..., None] * z).sum(1, keepdim=True)
    covariance = (w[..., None] * centred).mT @ centred
    width = (4 / (KERNELS * (d + 2))) ** (2 / (d + 4))
    jitter = 1e-8 * covariance.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-12)[:, None, None]
    factor = torch.linalg.cholesky(
        width * covariance + jitter * torch.eye(d, dtype=torch.float64, device=z.device)
    )
    factors = factor.to(z)[:, None].expand(rows, KERNELS, d, d)
    flat = at.new_full((rows, KERNELS), 0.5 / KERNELS).log()
    return Proposal(
        torch.cat([q.mean, at], 1),
        torch.cat([q.factor, factors], 1),
        torch.cat([q.log_share + math.log(0.5), flat], 1),
        q.prior,
    )


def ascended(joint: Joint, z: Tensor) -> Tensor:
    """``z [B, n, d]`` after ``ASCENT`` steps of Adam up log p(x, z), the rate falling to 0."""
    z = z.detach().clone().requires_grad_(True)
    adam = torch.optim.Adam([z], lr=0.1)
    for step in range(ASCENT):
        adam.param_groups[0]["lr"] = 0.05 * (1 + math.cos(math.pi * step / ASCENT))
        (z.grad,) = torch.autograd.grad(-joint(z).sum(), z)
        adam.step()
    return z.detach()


def hessian(joint: Joint, z: Tensor) -> Tensor:
    """The second derivatives of log p(x, z) in z, ``[B, n, d] -> [B, n, d, d]``."""
    z = z.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(joint(z).sum(), z, create_graph=True)
    columns = [
        torch.autograd.grad(gradient[..., i].sum(), z, retain_graph=True)[0]
        for i in range(z.shape[-1])
    ]
    return torch.stack(columns, -1)


def posterior_likelihood(
    log_likelihood: LogLikelihood,
    prior: Gaussian,
    x: Tensor,
    rng: Generator,
    *,
    draws: int = 2_000,
    chains: int = 10,
    warm_up: int = 30,
) -> PosteriorLikelihood:
    """log p(x) of every row of ``x [B, *event]`` in nats, by importance sampling and by a bridge.

    ``draws`` of the proposal per row give the lower side; for the upper one, ``chains`` draws of the
    posterior (resampled by weight, then moved by ``warm_up`` steps of adapted HMC) are bridged with them.
    Made for up to four or five latent dimensions; ``k_hat`` tells where it fails.
    """
    joint = Joint(log_likelihood, prior, x)
    q = refined_proposal(joint, fitted_proposal(joint, rng), draws // 2, rng)
    with torch.no_grad():
        z = q.sample(draws, rng)
        log_w = (joint(z) - q.log_density(z)).double()
    weights = (log_w - log_w.amax(1, keepdim=True)).exp()
    drawn = torch.multinomial(weights, chains, replacement=True, generator=rng)
    start = z.gather(1, drawn[..., None].expand(-1, -1, z.shape[2])).flatten(0, 1)
    kernel = hmc(joint.energy, 0.1, 4, jitter=0.2)
    state = adapt_step_size(kernel, start, warm_up, rng, groups=len(x))
    kept = []
    for _ in range(5):
        for _ in range(3):
            state, _ = kernel.step(state, rng)
        kept.append(state.x.view(len(x), chains, -1))
    moved = torch.cat(kept, 1)
    with torch.no_grad():
        reverse = (joint(moved) - q.log_density(moved)).double()
    upper = bridge(log_w, reverse).value
    return PosteriorLikelihood(
        log_mean_exp(log_w, 1).cpu(),
        upper.cpu(),
        pareto_k(log_w).cpu(),
        importance_ess(log_w).cpu(),
        draws,
    )
