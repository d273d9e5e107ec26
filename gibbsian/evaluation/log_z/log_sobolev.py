"""An upper bound on log Z in a generator's latent space, by the Gaussian log-Sobolev inequality.

With h(z) = -E(G(z)) + log b(G(z)) - log p0(z) + log |det J|, E_{p0} h is Gibbs' lower side for q the
distribution of G(z). On all of R^d the oscillation of h is infinite, since -log p0 = |z|^2 / 2 + ...; the
statement is therefore made for the prior truncated to the ball |z| <= R, p_R = p0 / P_R there:

    log Z_R = log P_R + log E_{p_R} e^h <= log P_R + E_{p_R} h + 1/2 F(osc h) E_{p_R} |grad h|^2,

Z_R the integral of exp(-E) b over the image of the ball, osc h the highest minus the lowest value on
it, F(o) = (e^o - 1) / o <= e^o. Proof: with psi(t) = (1/t) log E e^{t (h - E h)}, the inequality for
the tilted distribution (constant 1 on a convex set: Bakry and Emery 1985) gives
psi'(t) <= 1/2 E_tilt |grad h|^2 <= 1/2 e^{t osc h} E |grad h|^2; integrate over 0 < t < 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from gibbsian.core import Energy, Estimate, check_energy
from gibbsian.core.measures import Measure
from gibbsian.core.numerics import as_double, input_gradient
from gibbsian.evaluation.log_z.variational import mean_estimate

LogWeight = Callable[[Tensor], Tensor]
VACUOUS = 1e3
"""exp(osc h) beyond which the bound says nothing in practice."""
LEAST_SHARE = 1e-3
"""Smallest share of the prior in the ball for which it is sampled by rejection."""
STARTS, CLIMB = 16, 40
"""Points from which the extremes of h are climbed to, and steps."""


def latent_log_importance_weight(
    energy: Energy, measure: Measure, draw: Callable[[Tensor], tuple[Tensor, Tensor]]
) -> LogWeight:
    """h(z) = -E(x) + log b(x) + entropy term, ``[B, d] -> [B]``.

    ``draw`` maps z to x ``[B, *event]`` and -log p0(z) + log |det J| ``[B]``, exactly: a term that only
    bounds it from below (d log s_1) would turn the upper bound around.
    """

    def h(z: Tensor) -> Tensor:
        x, entropy = draw(z)
        return measure.log_density(x) - check_energy(energy(x), len(x)) + entropy

    return h


def log_z_upper_log_sobolev(
    h: LogWeight,
    radius: float,
    dim: int,
    rng: Generator,
    *,
    draws: int = 4096,
    outside: float | None = None,
    dtype: torch.dtype = torch.float32,
) -> Estimate:
    """The bound above on log Z_R by ``draws`` of the standard normal prior truncated to |z| <= R.

    ``outside``: an upper bound on the log of the integral of exp(-E) b over what the generator does
    not reach from the ball. With it the value is that of log(Z_R + outside), a bound in expectation
    on log Z; without it the bound is on log Z_R, and of log Z itself an estimate.

    osc h is sought on a grid in one and two dimensions and from random points beyond, and polished
    by projected gradient steps. Beyond two dimensions a search may miss the extremes, and the
    standing is "estimate". Diagnostics: ``oscillation``, ``exp_oscillation``, ``squared_gradient``
    (E |grad h|^2), ``gap`` (what is added to E h), ``radius``, ``log_share`` (log P_R). Where exp(osc h)
    exceeds 1e3 the bound is vacuous in practice; ``how`` and the concerns say so.

    Raises ValueError for a ball that holds less than 1e-3 of the prior, or a h that is not finite.
    """
    share = float(torch.special.gammainc(*(torch.tensor([dim, radius**2]).double() / 2)))
    if not share >= LEAST_SHARE:
        raise ValueError(
            f"|z| <= {radius:g} holds {share:.2g} of the prior in {dim} dimensions; take a radius of "
            f"about {math.sqrt(dim) + 2:.2g}"
        )
    z = ball(draws, radius, dim, rng, dtype)
    with torch.no_grad():
        values = as_double(h(z)) + math.log(share)
    squared = as_double(input_gradient(h, z).detach().square().sum(1))
    osc = oscillation(h, z, radius)
    if not (math.isfinite(osc) and squared.isfinite().all()):
        raise ValueError("h or its slope is not finite on the ball; take a smaller radius")
    exponent = torch.tensor(osc, dtype=torch.float64)
    large = float(exponent.exp())
    factor = 0.5 * (float(exponent.expm1()) / osc if osc > 0 else 1.0)
    sought = "on a grid" if dim <= 2 else "by search"
    vacuous = large > VACUOUS
    how = f"log-Sobolev bound over |z| <= {radius:g}, exp(osc h) = {large:.3g} {sought}"
    known = dim <= 2 and outside is not None
    figures = {
        "oscillation": osc,
        "exp_oscillation": large,
        "squared_gradient": float(squared.mean()),
        "gap": factor * float(squared.mean()),
        "radius": radius,
        "log_share": math.log(share),
        "concerns": (f"vacuous: exp(osc h) is above {VACUOUS:g}",) if vacuous else (),
    }
    values = values + factor * squared
    if outside is None:
        how += ", of its image only"
    else:  # log of a sum is convex in each logarithm: a bound in expectation stays one
        mean = values.mean()
        total = torch.logaddexp(mean, torch.full_like(mean, outside))
        values = total + (mean - total).exp() * (values - mean)
    return mean_estimate(
        values,
        "upper",
        "bound in expectation" if known else "estimate",
        f"{how} (vacuous)" if vacuous else how,
        figures,
    )


def ball(n: int, radius: float, dim: int, rng: Generator, dtype: torch.dtype) -> Tensor:
    """``[n, dim]`` standard normal draws, those with |z| <= radius (by rejection)."""
    kept: list[Tensor] = []
    while sum(map(len, kept)) < n:
        z = torch.randn(max(n, 256), dim, generator=rng, device=rng.device, dtype=dtype)
        kept.append(z[torch.linalg.vector_norm(z, dim=1) <= radius])
    return torch.cat(kept)[:n]


def oscillation(h: LogWeight, z: Tensor, radius: float) -> float:
    """Highest minus lowest value of h on the ball; ``z [n, d]`` are points of it, to search from.

    In one and two dimensions a grid replaces them, the boundary included.
    """
    d = z.shape[1]
    if d == 1:
        z = torch.linspace(-radius, radius, 1001, dtype=z.dtype, device=z.device)[:, None]
    elif d == 2:
        r = torch.linspace(0.0, radius, 101, dtype=z.dtype, device=z.device)
        angle = torch.linspace(0.0, 2 * math.pi, 257, dtype=z.dtype, device=z.device)[1:]
        z = torch.stack([torch.outer(r, angle.cos()), torch.outer(r, angle.sin())], 2).view(-1, 2)
    else:
        z = torch.cat([z, radius * torch.nn.functional.normalize(z)])
    with torch.no_grad():
        values = h(z)
    count = min(STARTS, len(z))
    highest = climb(h, z[values.topk(count).indices], radius, 1.0)
    lowest = climb(h, z[values.topk(count, largest=False).indices], radius, -1.0)
    return highest - lowest


def climb(h: LogWeight, z: Tensor, radius: float, sign: float) -> float:
    """The highest (``sign`` 1) or lowest (-1) value that projected gradient steps from ``z`` reach.

    Each row has its own step: half as long after a step that does not improve, else a little longer.
    """

    def total(z: Tensor) -> tuple[Tensor, Tensor]:
        values = sign * h(z)
        return values.sum(), values.detach()

    slope_and_values = torch.func.grad_and_value(total, has_aux=True)
    slope, (_, values) = slope_and_values(z)
    step = z.new_full((len(z), 1), radius / 4)
    for _ in range(CLIMB):
        moved = z + step * torch.nn.functional.normalize(slope)
        size = torch.linalg.vector_norm(moved, dim=1, keepdim=True)
        moved = moved * (radius / size).clamp_max(1.0)
        moved_slope, (_, moved_values) = slope_and_values(moved)
        better = moved_values > values
        z, slope = (
            torch.where(better[:, None], a, b) for a, b in ((moved, z), (moved_slope, slope))
        )
        values = torch.where(better, moved_values, values)
        step = torch.where(better[:, None], 1.2 * step, 0.5 * step)
    return sign * float(values.max())
