"""Where an energy has its minima: descents from many starts, as far and as fine as the starts lie.

What no descent reaches is not found: a mode narrower than the distance at which its slope is felt,
away from every given point.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from gibbsian.core import Energy
from gibbsian.core.measures import Box, Gaussian, Measure
from gibbsian.samplers.potential import value_and_grad

REACH = 1e4
"""Distance of the outermost starts, in units of the measure's or the points' scale."""
STEPS = 100
DIRECTIONS = 16
LATTICE = 256
SCATTERED, FURTHEST, MOST_DIMENSIONS = 1_024, 32.0, 16
"""More starts, to so many scales, in more dimensions than the lattice has and up to so many: a mode
half as wide as another has a basin that few directions hit."""
GIVEN = 100
"""Of the given points, so many start a descent."""
MOST = 64
"""Minima kept at most, those of lowest energy first."""


@dataclass(frozen=True)
class Modes:
    """Minima ``x [k, d]`` with their energies ``[k]`` and widths ``std [k, d]``.

    A width is the distance along an axis that costs 1/2 nat both ways; NaN where none within 1e4 does.
    """

    x: Tensor
    energy: Tensor
    std: Tensor

    @property
    def log_mass(self) -> Tensor:
        """Laplace's approximation of log of the integral of exp(-E) around each, up to correlation."""
        d = self.x.shape[1]
        return -self.energy + self.std.log().sum(1) + 0.5 * d * math.log(2 * math.pi)

    def draw(self, n: int, rng: Generator) -> Tensor:
        """About ``n`` points ``[m, d]`` of the normal distributions at minima of known width, alike many."""
        known = ~self.std.isnan().any(1)
        x, std = self.x[known], self.std[known]
        each = -(-n // max(1, len(x)))
        noise = torch.randn(
            len(x), each, x.shape[1], dtype=x.dtype, generator=rng, device=rng.device
        )
        return (x[:, None] + std[:, None] * noise).reshape(-1, x.shape[1])

    def heavy(self, share: float) -> Modes:
        """Those with more than ``share`` of all mass, and those of unknown width."""
        total = torch.logsumexp(self.log_mass.nan_to_num(nan=-math.inf), 0)
        kept = ~(self.log_mass < total + math.log(share))
        return Modes(self.x[kept], self.energy[kept], self.std[kept])


def starts(measure: Measure, given: Sequence[Tensor], rng: Generator, dtype: torch.dtype) -> Tensor:
    """Points ``[n, d]`` from which to descend: the given ones, a lattice, and shells out to ``REACH``."""
    d = math.prod(measure.shape)
    options = {"dtype": torch.float64, "device": rng.device}
    side = round(LATTICE ** (1 / d)) if d <= 3 else 0
    if isinstance(measure, Box):
        centre, half = 0.5 * (measure.low + measure.high), 0.5 * (measure.high - measure.low)
        radii = torch.zeros(0, **options)  # type: ignore[call-overload]
    else:
        centre, half = 0.0, 4.0 * (measure.scale if isinstance(measure, Gaussian) else 1.0)
        radii = torch.logspace(-2, math.log10(REACH), 9, **options)  # type: ignore[call-overload]
    line = torch.linspace(-half, half, side + 2, **options)[1:-1]  # type: ignore[call-overload]
    lattice = torch.cartesian_prod(*[line] * d).reshape(-1, d) if side else line.new_zeros(0, d)
    lattice = lattice + centre
    noise = torch.randn(len(radii), DIRECTIONS, d, generator=rng, **options)  # type: ignore[call-overload]
    shells = centre + radii[:, None, None] * noise / noise.norm(dim=2, keepdim=True)
    points = [lattice, shells.reshape(-1, d)]
    if not side and len(radii) and d <= MOST_DIMENSIONS:
        points.append(centre + half / 4 * _scattered(d).to(radii.device))
    for some in given:
        flat = some.flatten(1).to(lattice)
        points += [flat[:: max(1, len(flat) // GIVEN)], flat.mean(0, keepdim=True)]
    return torch.cat(points).to(dtype)


def _scattered(d: int) -> Tensor:
    """``SCATTERED`` points ``[n, d]`` of a Sobol sequence: all directions, logarithms of radii uniform."""
    u = torch.quasirandom.SobolEngine(d + 1).draw(1 + SCATTERED, dtype=torch.float64)[1:]
    z = torch.special.ndtri(u[:, 1:])
    # The middle of the cube has no direction; the first axis stands for it.
    z = torch.where(z.norm(dim=1, keepdim=True) > 1e-9, z, torch.eye(d, dtype=z.dtype)[0])
    return FURTHEST ** u[:, :1] * z / z.norm(dim=1, keepdim=True)


def descend(energy: Energy, x: Tensor, measure: Measure) -> tuple[Tensor, Tensor]:
    """Ends ``[n, d]`` of descents from ``x [n, d]`` and their energies ``[n]``.

    Resilient propagation (Riedmiller and Braun, 1993): only the signs of the gradient count, so that
    one rule serves slopes and widths of every size.
    """
    best, best_energy = x, torch.full_like(x[:, 0], math.inf)
    step = 0.05 * x.abs().amax(1, keepdim=True).clamp_min(1e-3).expand_as(x)
    before = torch.zeros_like(x)
    for _ in range(STEPS):
        u, grad = value_and_grad(energy, x.reshape(-1, *measure.shape))
        grad = grad.flatten(1).nan_to_num(nan=0.0)
        u = torch.where(u.isnan(), math.inf, u)
        better = u < best_energy
        best = torch.where(better[:, None], x, best)
        best_energy = torch.where(better, u, best_energy)
        turn = grad.sign() * before
        step = torch.where(turn > 0, 1.3 * step, torch.where(turn < 0, 0.4 * step, step))
        before = torch.where(turn < 0, 0.0, grad.sign())
        x = x - step * before
        if isinstance(measure, Box):
            x = x.clamp(measure.low, measure.high)
    return best, best_energy


def find_modes(
    energy: Energy, measure: Measure, given: Sequence[Tensor], rng: Generator, dtype: torch.dtype
) -> Modes:
    """The distinct minima that descents find. ``given``: points ``[n, *event]`` that start some of them.

    ``energy``: minus the log density relative to Lebesgue measure, E - log b.
    """
    x, u = descend(energy, starts(measure, given, rng, dtype), measure)
    near = (x.abs() < 10 * REACH).all(1)  # the others have run away: the energy falls without end
    near &= u.isfinite()
    x, u = x[near], u[near]
    if not len(x):
        return Modes(x.double(), u.double(), x.double())
    low = u < u.min() + 60.0
    x, u = x[low], u[low]
    order = u.argsort()
    x, u = x[order].double(), u[order].double()
    chosen: list[int] = []
    std: list[Tensor] = []
    for i in range(len(x)):
        known = torch.stack(std) if std else x.new_zeros(0, x.shape[1])
        reach = known.nan_to_num(nan=0.0).clamp_min(1e-6 * (1.0 + x[chosen].abs()))
        if bool((((x[chosen] - x[i]).abs() < 0.5 * reach).all(1)).any()):
            continue
        chosen.append(i)
        std.append(_width(energy, x[i], measure, dtype))
        if len(chosen) == MOST:
            break
    return Modes(x[chosen], u[chosen], torch.stack(std))


def _width(energy: Energy, x: Tensor, measure: Measure, dtype: torch.dtype) -> Tensor:
    """Widths ``[d]`` of a minimum: the distance along each axis that costs 1/2 nat both ways."""
    d = len(x)
    size = torch.logspace(-7, 4, 111, dtype=torch.float64, device=x.device)
    steps = size[:, None, None] * torch.eye(d, dtype=torch.float64, device=x.device)
    points = torch.cat([x + steps, x - steps, x.expand(1, d, d)])
    if isinstance(measure, Box):
        points = points.clamp(measure.low, measure.high)
    with torch.no_grad():
        value = energy(points.reshape(-1, *measure.shape).to(dtype)).double().reshape(-1, d)
    rise = (
        torch.minimum(value[:111], value[111:222]) - value[222:]
    )  # a jump on one side is no width
    reached = rise > 0.5
    first = reached.int().argmax(0)
    width = size[first]
    return torch.where(reached.any(0), width, math.nan)
