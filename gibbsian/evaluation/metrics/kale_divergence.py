"""KALE as a discrepancy between two samples: over a reproducing kernel's space, and over a network.

KALE(P || B) = sup over E and A of -E_P[E + A] - E_B[exp(-(E + A))] + 1 is at most KL(P || B), and equal
to it where -log dP/dB is in the class; it is finite, and falls to zero with the distance between
them, where P and B live on different sets (Arbel, Zhou, Gretton 2021). It is not symmetric.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from gibbsian.bounds.kale import effective_share, kale
from gibbsian.core import Estimate, NonFiniteError, check_energy
from gibbsian.core.numerics import log_mean_exp, zero_centred_penalty

SEEN = 1_000
"""Rows from which the median distance is taken."""
NEWTON_STEPS = 200
TOLERANCE = 1e-12


def kale_with_kernel(
    x: Tensor,
    y: Tensor,
    rng: Generator,
    *,
    ridge: float = 1e-3,
    bandwidth: float | None = None,
    landmarks: int = 500,
    features: Callable[[Tensor], Tensor] | None = None,
) -> Estimate:
    """KALE(P || B) over a reproducing kernel's space, from ``x [N, *event]`` of P and ``y [M, *event]`` of B.

    sup over h of mean h(x) - mean exp(h(y)) + 1 - ridge |h|^2 / 2: large ridges make it the squared
    maximum mean discrepancy over 2 ridge, small ones the KL divergence (Glaser, Arbel, Gretton 2021).
    The kernel is 1 + a Gaussian of ``bandwidth`` (the median distance by default), restricted to
    the span of ``landmarks`` of the points; with as many landmarks as points nothing is lost.
    ``features``, ``[n, *event] -> [n, p]``, puts a space of your own in its place, with |h| the norm of
    the coefficients: constants must be in it. The supremum is found by Newton's method; diagnostics
    hold the ``duality_gap``. A plug-in value, above the truth on average where ridge is small:
    an estimate and no bound. Raises ValueError for ridge <= 0, unlike events or too few rows.
    """
    check_samples(x, y)
    if not ridge > 0:
        raise ValueError(f"ridge must be positive, not {ridge}")
    if features is not None:
        phi_x, phi_y, kernel = features(x).double(), features(y).double(), "given features"
    else:
        a, b = x.flatten(1).double(), y.flatten(1).double()
        width = median_distance(a, b) if bandwidth is None else bandwidth
        if not width > 0:
            raise ValueError(f"the kernel's bandwidth must be positive, not {width}")
        phi_x, phi_y = gaussian_features(a, b, width, landmarks, rng)
        kernel = f"1 + a Gaussian kernel of bandwidth {width:.3g}"
    best = newton(phi_x, phi_y, ridge)
    h_x, h_y = phi_x @ best.w, phi_y @ best.w
    return Estimate(
        value=best.value,
        stderr=math.hypot(mean_error(h_x), mean_error(h_y.exp())),
        side="both",
        standing="estimate",
        how=f"KALE over {kernel}, ridge {ridge:g}",
        diagnostics={
            "norm": float(best.w.norm()),
            "duality_gap": best.gap,
            "newton_steps": best.steps,
            "effective_share": float(effective_share(-h_y)),
        },
    )


class Optimum(NamedTuple):
    """The coefficients of the best h, the value there, the dual's minus it, and the steps taken."""

    w: Tensor
    value: float
    gap: float
    steps: int


def newton(phi_x: Tensor, phi_y: Tensor, ridge: float) -> Optimum:
    """Maximise c.w - mean exp(phi_y w) + 1 - ridge |w|^2 / 2, c the mean of ``phi_x``; both ``[n, p]``."""
    c, n = phi_x.mean(0), len(phi_y)
    w = torch.zeros_like(c)
    identity = torch.eye(len(c), dtype=c.dtype, device=c.device)

    def objective(w: Tensor) -> Tensor:
        return c @ w - (phi_y @ w).exp().mean() + 1.0 - 0.5 * ridge * w @ w

    for step in range(NEWTON_STEPS):
        a = (phi_y @ w).exp() / n
        gradient = c - phi_y.T @ a - ridge * w
        hessian = (phi_y.T * a) @ phi_y + ridge * identity
        direction = torch.linalg.solve(hessian, gradient)
        decrement = gradient @ direction
        if decrement < TOLERANCE:
            dual = (torch.xlogy(a, n * a) - a).sum() + 1.0
            dual = dual + (c - phi_y.T @ a).square().sum() / (2.0 * ridge)
            value = objective(w)
            return Optimum(w, float(value), float(dual - value), step)
        length, before = 1.0, objective(w)
        while not objective(w + length * direction) >= before + 0.25 * length * decrement:
            length /= 2.0
        w = w + length * direction
    raise ValueError(f"no maximum found in {NEWTON_STEPS} Newton steps; take a larger ridge")


def gaussian_features(
    a: Tensor, b: Tensor, width: float, landmarks: int, rng: Generator
) -> tuple[Tensor, Tensor]:
    """Features ``[n, p]`` of ``a`` and ``b`` whose products are 1 + the Gaussian kernel (Nystroem)."""
    pool = torch.cat([a, b])
    pick = torch.randperm(len(pool), generator=rng, device=rng.device)[:landmarks]
    centres = pool[pick.to(pool.device)]
    values, vectors = torch.linalg.eigh(gaussian_kernel(centres, centres, width))
    kept = values > 1e-12 * values[-1]
    root = vectors[:, kept] / values[kept].sqrt()

    def features(x: Tensor) -> Tensor:
        phi = gaussian_kernel(x, centres, width) @ root
        return torch.cat([torch.ones_like(phi[:, :1]), phi], 1)

    return features(a), features(b)


def gaussian_kernel(a: Tensor, b: Tensor, width: float) -> Tensor:
    """exp(-|a_i - b_j|^2 / (2 width^2)), ``[n, d], [m, d] -> [n, m]``."""
    return torch.exp(-torch.cdist(a, b).square() / (2.0 * width**2))


def median_distance(a: Tensor, b: Tensor) -> float:
    """Median distance between the rows of both samples (the first thousand of each)."""
    return float(torch.pdist(torch.cat([a[:SEEN], b[:SEEN]])).median())


def kale_with_network(
    x: Tensor,
    y: Tensor,
    energy: nn.Module,
    rng: Generator,
    *,
    steps: int = 2_000,
    batch: int = 256,
    rate: float = 1e-3,
    gradient_penalty_weight: float = 0.0,
) -> Estimate:
    """KALE(P || B) over ``energy`` (``[n, *event] -> [n]``), from ``x [N, *event]`` and ``y [M, *event]``.

    A copy of the network, and A beside it, are trained on one half of each sample by Adam with
    mini-batches; the weights are averaged over the second half of the steps. A is then computed, and F
    measured on the other half: a lower bound of KL(P || B) in expectation, however well the training
    went. ``gradient_penalty_weight`` weighs mean |grad E|^2 between the samples, in training only. Raises
    ValueError for unlike events or too few rows, NonFiniteError if the training diverges.
    """
    check_samples(x, y)
    x, y = (part[torch.randperm(len(part), generator=rng, device=rng.device)] for part in (x, y))
    x_train, x_test = x.tensor_split(2)
    y_train, y_test = y.tensor_split(2)
    critic = copy.deepcopy(energy)
    average = torch.optim.swa_utils.AveragedModel(critic)
    with torch.no_grad():
        A = log_mean_exp(-check_energy(critic(y_train), len(y_train))).requires_grad_()
    optimizer = torch.optim.Adam([*critic.parameters(), A], rate)
    for step in range(steps):
        p, b = draw(x_train, batch, rng), draw(y_train, batch, rng)
        loss = -kale(critic(p), critic(b), A)
        if gradient_penalty_weight > 0:
            mix = torch.rand(batch, generator=rng, device=rng.device)
            mix = mix.view(-1, *[1] * (x.dim() - 1))
            slopes = zero_centred_penalty(critic, mix * p + (1.0 - mix) * b)
            loss = loss + gradient_penalty_weight * slopes
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if 2 * step >= steps:
            average.update_parameters(critic)
    with torch.no_grad():
        A = log_mean_exp(-average(y_train))
        E_x, E_y = average(x_test), average(y_test)
    value = float(kale(E_x, E_y, A))
    if not math.isfinite(value):
        raise NonFiniteError(
            "the energy that measures KALE is not finite; try a smaller rate or a gradient_penalty_weight"
        )
    return Estimate(
        value=value,
        stderr=math.hypot(mean_error(E_x), mean_error(torch.exp(-(E_y + A)))),
        side="lower",
        standing="bound in expectation",
        how=f"KALE of an energy trained on {len(x_train)} rows, measured on {len(x_test)} others",
        diagnostics={"A": float(A), "effective_share": float(effective_share(E_y))},
    )


def draw(x: Tensor, n: int, rng: Generator) -> Tensor:
    """``[n, *event]`` rows of ``x`` with replacement."""
    return x[torch.randint(len(x), (n,), generator=rng, device=rng.device)]


def mean_error(values: Tensor) -> float:
    """Standard error of the mean of ``values [n]``."""
    return float(values.std() / math.sqrt(len(values)))


def check_samples(x: Tensor, y: Tensor) -> None:
    """ValueError unless both hold at least four rows of one shape."""
    if x.shape[1:] != y.shape[1:]:
        raise ValueError(
            f"the two samples must have one event shape; these have {list(x.shape[1:])} and "
            f"{list(y.shape[1:])}"
        )
    if min(len(x), len(y)) < 4:
        raise ValueError(f"KALE needs at least 4 rows of each; got {len(x)} and {len(y)}")
