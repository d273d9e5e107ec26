"""Midpoint grids over boxes in one to three dimensions: where to look, and how finely.

`find_box` grows a box until its outer shell is empty; `refine` refines a grid until two agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from gibbsian.core import check_energy
from gibbsian.core.measures import Box, Gaussian, Measure

LogDensity = Callable[[Tensor], Tensor]
"""``[B, *event] -> [B]``: an unnormalised log-density relative to Lebesgue measure."""

GRIDS = {1: 512, 2: 96, 3: 32}
"""Points per axis of the first grid, by dimension; each further grid has 1.5 times as many and one.

The one matters: cells of one grid that fill whole cells of another see a jump of the density at the same
place, and then agree on a wrong integral.
"""

MAX_POINTS = 5_000_000
GROWTH = 1.5
MAX_GROWTHS = 22  # a half-width of 4 becomes 3e4
REACH = 1e4
"""Half-width of the widest coarse grid on which mass is looked for."""
CHUNK = 1 << 15


class UnresolvedError(ArithmeticError):
    """No affordable grid gives the number; the message says why."""


class Grid:
    """Midpoints of ``n`` equal cells per axis of a box, visited in chunks."""

    def __init__(
        self,
        lows: Sequence[float],
        highs: Sequence[float],
        n: int,
        shape: tuple[int, ...],
        dtype: torch.dtype,
    ):
        self.n, self.dim, self.shape, self.dtype = n, len(lows), shape, dtype
        widths = [(high - low) / n for low, high in zip(lows, highs, strict=True)]
        centres = torch.arange(n, dtype=torch.float64) + 0.5
        self.axes = [low + width * centres for low, width in zip(lows, widths, strict=True)]
        self.log_cell = sum(math.log(width) for width in widths)

    def evaluate(self, log_density: LogDensity) -> Tensor:
        """``[n ** dim]`` values in float64, the last axis running fastest."""
        total = self.n**self.dim
        values = []
        with torch.no_grad():
            for start in range(0, total, CHUNK):
                index = torch.arange(start, min(start + CHUNK, total))
                columns = []
                for axis in range(self.dim):
                    digit = index // self.n ** (self.dim - 1 - axis) % self.n
                    columns.append(self.axes[axis][digit])
                x = torch.stack(columns, 1).to(self.dtype).reshape(-1, *self.shape)
                values.append(check_energy(log_density(x), len(x)).double())
        flat = torch.cat(values)
        if flat.isnan().any() or (flat == math.inf).any():
            row = int(torch.argmax((flat.isnan() | (flat == math.inf)).int()))
            where = [
                float(self.axes[a][row // self.n ** (self.dim - 1 - a) % self.n])
                for a in range(self.dim)
            ]
            raise ValueError(
                f"the energy is NaN or minus infinity at x = {[round(v, 4) for v in where]}; "
                "a density must be finite everywhere"
            )
        return flat

    def log_sum(self, values: Tensor) -> float:
        """Log of the integral whose log-integrand has these ``values`` at the midpoints."""
        return float(torch.logsumexp(values, 0)) + self.log_cell

    def log_integral(self, log_density: LogDensity) -> float:
        """Log of the integral of ``exp(log_density)`` over the box."""
        return self.log_sum(self.evaluate(log_density))


def find_box(
    log_densities: Sequence[LogDensity],
    measure: Measure,
    near: Tensor | None,
    tolerance: float,
    dtype: torch.dtype,
) -> tuple[list[float], list[float], float]:
    """Lows, highs and the largest share of any density's mass in the box's outer shell.

    The shell is the outer sixth of the width at each face. A face grows while its slab holds more
    than its part of ``tolerance``; at the end boxes of 2, 4, 16 ... times the width are looked at, so
    that mass beyond an empty shell is found too.
    """
    dim = math.prod(measure.shape)
    if not 1 <= dim <= 3:
        raise ValueError(
            f"quadrature works in one to three dimensions, not in {dim}; "
            "use importance sampling, AIS or SMC instead"
        )
    if isinstance(measure, Box):
        return [measure.low] * dim, [measure.high] * dim, 0.0
    if near is not None:
        points = near.flatten(1).cpu().double()
        margin = 0.5 * (points.amax(0) - points.amin(0)).clamp_min(1e-3)
        lows, highs = (points.amin(0) - margin).tolist(), (points.amax(0) + margin).tolist()
    else:
        half = 6.0 * measure.scale if isinstance(measure, Gaussian) else 4.0
        lows, highs = [-half] * dim, [half] * dim
    for _ in range(MAX_GROWTHS):
        slabs = _slab_shares(log_densities, lows, highs, measure, dtype)
        if max(slabs) * 2 * dim < tolerance:
            wide = [(3 * low - high) / 2 for low, high in zip(lows, highs, strict=True)]
            wide_highs = [(3 * high - low) / 2 for low, high in zip(lows, highs, strict=True)]
            beyond = _slab_shares(log_densities, wide, wide_highs, measure, dtype, share=0.25)
            if max(beyond) * 2 * dim < tolerance:
                further = _beyond(log_densities, lows, highs, measure, tolerance, dtype)
                if further is None:
                    return lows, highs, sum(slabs)
                lows, highs = further
                continue
            slabs = beyond
        grown_lows, grown_highs = list(lows), list(highs)
        for axis in range(dim):
            step = (GROWTH - 1) * (highs[axis] - lows[axis])
            if slabs[2 * axis] * 2 * dim >= tolerance:
                grown_lows[axis] -= step
            if slabs[2 * axis + 1] * 2 * dim >= tolerance:
                grown_highs[axis] += step
        lows, highs = grown_lows, grown_highs
    raise UnresolvedError(
        f"the energy does not confine on R^{dim}: {min(1.0, sum(slabs)):.0%} of the mass lies in the outer "
        f"shell of {box_words(lows, highs)} and the box keeps growing; declare a Box or a Gaussian "
        "base, or give the energy a quadratic envelope"
    )


def _beyond(
    log_densities: Sequence[LogDensity],
    lows: Sequence[float],
    highs: Sequence[float],
    measure: Measure,
    tolerance: float,
    dtype: torch.dtype,
) -> tuple[list[float], list[float]] | None:
    """Lows and highs that hold what coarse grids see outside the box, at any scale up to ``REACH``.

    None where that is less than ``tolerance`` of all mass.
    """
    dim = len(lows)
    box = torch.tensor([list(lows), list(highs)], dtype=torch.float64)
    centre, half = box.mean(0), 0.5 * (box[1] - box[0])
    inner = Grid(lows, highs, GRIDS[dim], measure.shape, dtype)
    inside = [inner.log_integral(log_density) for log_density in log_densities]
    scale = 4.0
    while scale * float(half.min()) < REACH:
        low, high = centre - scale * half, centre + scale * half
        grid = Grid(low.tolist(), high.tolist(), GRIDS[dim] // 2, measure.shape, dtype)
        points = torch.cartesian_prod(*grid.axes).reshape(-1, dim)
        outside = ((points < box[0]) | (points > box[1])).any(1)
        for log_density, known in zip(log_densities, inside, strict=True):
            mass = (grid.evaluate(log_density) + grid.log_cell)[outside]
            if float(torch.logsumexp(mass, 0)) > known + math.log(tolerance):
                far = points[outside][mass > mass.max() - 7.0]  # cells of a thousandth of the most
                margin = 2 * (high - low) / grid.n
                low = torch.minimum(box[0], far.amin(0) - margin)
                high = torch.maximum(box[1], far.amax(0) + margin)
                return low.tolist(), high.tolist()
        scale *= 4.0
    return None


def coarse_draws(
    log_density: LogDensity,
    centre: Tensor,
    n: int,
    measure: Measure,
    rng: Generator,
    dtype: torch.dtype,
) -> Tensor:
    """``n`` points by mass among the cells of coarse grids of all scales around ``centre [d]``."""
    dim, points, mass = len(centre), [], []
    half = 4.0 * 4.0**-7
    while half < REACH:
        low, high = centre.cpu().double() - half, centre.cpu().double() + half
        if isinstance(measure, Box):
            low, high = low.clamp_min(measure.low), high.clamp_max(measure.high)
        grid = Grid(low.tolist(), high.tolist(), GRIDS[dim] // 2, measure.shape, dtype)
        u = torch.rand(grid.n**dim, dim, generator=rng, device=rng.device).cpu().double() - 0.5
        points.append(torch.cartesian_prod(*grid.axes).reshape(-1, dim) + u * (high - low) / grid.n)
        mass.append(grid.evaluate(log_density) + grid.log_cell)
        half *= 4.0
    share = torch.softmax(torch.cat(mass), 0).to(rng.device)
    chosen = torch.multinomial(share, n, replacement=True, generator=rng).cpu()
    return torch.cat(points)[chosen]


def _slab_shares(
    log_densities: Sequence[LogDensity],
    lows: Sequence[float],
    highs: Sequence[float],
    measure: Measure,
    dtype: torch.dtype,
    share: float = 1 / 6,
) -> list[float]:
    """For every face (low, high of axis 0, ...) the largest share of a density's mass near it.

    A slab's depth is ``share`` of the box's width.
    """
    dim = len(lows)
    grid = Grid(lows, highs, GRIDS[dim], measure.shape, dtype)
    depth = round(share * grid.n)
    shares = [0.0] * (2 * dim)
    for log_density in log_densities:
        values = grid.evaluate(log_density)
        if not torch.isfinite(values).any():
            return [1.0] * (2 * dim)  # nothing seen here: look wider
        mass = torch.softmax(values, 0).reshape([grid.n] * dim)
        for axis in range(dim):
            profile = mass.movedim(axis, 0).reshape(grid.n, -1).sum(1)
            shares[2 * axis] = max(shares[2 * axis], float(profile[:depth].sum()))
            shares[2 * axis + 1] = max(shares[2 * axis + 1], float(profile[-depth:].sum()))
    return shares


def refine(
    integrals: Callable[[Grid], tuple[float, ...]],
    lows: Sequence[float],
    highs: Sequence[float],
    measure: Measure,
    tolerance: float,
    dtype: torch.dtype,
    least: float = 0.0,
) -> tuple[float, float, int]:
    """The first value on the finest grid, how far the other two are from it, and its points per axis.

    Grids get finer and finer until two agree in all values, the finer of ``least`` points per axis or more.

    A third grid, of four fifths of the points, must agree too: two that agree on a density with jumps
    do so by chance in a case of ten, three in one of two hundred.
    """
    n = GRIDS[len(lows)]
    found: list[tuple[float, ...]] = []
    change = math.inf

    def on(n: int) -> tuple[float, ...]:
        return integrals(Grid(lows, highs, n, measure.shape, dtype))

    def farthest(these: tuple[float, ...], those: tuple[float, ...]) -> float:
        return max(abs(a - b) for a, b in zip(these, those, strict=True))

    while n ** len(lows) <= MAX_POINTS:
        found.append(on(n))
        if len(found) > 1:
            change = farthest(*found[-2:])
        if change < tolerance and n >= least:
            third = on(n - n // 5)
            change = farthest(found[-1], third)
            if change < tolerance:
                value = found[-1][0]
                return value, max(abs(value - found[-2][0]), abs(value - third[0])), n
        n = math.ceil(1.5 * n) + 1
    raise UnresolvedError(
        f"no grid of up to {MAX_POINTS:,} points resolves the density on {box_words(lows, highs)}: "
        f"between the last two an integral changed by {change:.2g}"
    )


def box_words(lows: Sequence[float], highs: Sequence[float]) -> str:
    """``[-4, 4] x [-3, 5]``, for messages."""
    return " x ".join(f"[{low:.3g}, {high:.3g}]" for low, high in zip(lows, highs, strict=True))
