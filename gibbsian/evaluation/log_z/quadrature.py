"""log Z and KL(p_data || p_theta) by quadrature in one to three dimensions.

The composite midpoint rule over a box: on the measure's own box where it has one, otherwise on a
box that grows, face by face, until its outer shell holds less than 1e-3 of the mass. The grid is
refined until three grids agree; where that never happens the answer is ``NotDefined`` with the reason.
Binary vectors are enumerated instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gibbsian.core import Energy, Estimate, Interval, NotDefined, check_energy
from gibbsian.core.measures import Box, Counting, Measure, RealSpace, Undefined
from gibbsian.evaluation.log_z.grids import (
    CHUNK,
    MAX_POINTS,
    Grid,
    LogDensity,
    UnresolvedError,
    box_words,
    find_box,
    refine,
)
from gibbsian.evaluation.log_z.mode_search import Modes, find_modes

MAX_STATES = 2**22
WIDTHS = 6.0
"""Widths of a mode on either side of it that the first box holds."""
NARROWEST = 0.7
"""Least width of a mode, in cells: the midpoint rule's error on a normal density is then 1e-4."""


def log_partition_quadrature(
    energy: Energy,
    measure: Measure | Undefined,
    *,
    near: Tensor | None = None,
    tolerance: float = 1e-3,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Interval | NotDefined:
    """log Z = log of the integral of exp(-E(x)) b(x), in nats.

    ``measure`` is the base measure b, of one to three dimensions (Counting: up to 22 binary
    variables, enumerated). ``near [N, *event]`` are points that show where to look on R^d: the box
    starts as theirs instead of [-4, 4]^d. ``tolerance`` bounds both the differences of three
    grids (nats) and the share of mass in the outer shell. ``dtype`` and
    ``device`` are what the energy is called with.

    Modes are looked for first, by descents from the given points, a lattice on [-4, 4]^d (or the box)
    and shells out to 1e4 (`find_modes`); the box holds those that hold mass, and its cells are no
    wider than they. "Exact" is exact as far as that search has seen: a narrower mode between the
    starts and the cells is not found.

    Both sides of the Interval are one "exact" Estimate whose diagnostics hold ``error`` (largest difference
    of three grids plus the mass in the shell, nats), ``points`` per axis, ``box``,
    ``outer_shell`` and ``modes``. NotDefined where the measure is, where the energy does not confine
    on R^d, or where no affordable grid resolves it. Raises ValueError for more than three dimensions or NaN.
    """
    if isinstance(measure, Undefined):
        return NotDefined(measure.why)
    if isinstance(measure, Counting):
        return _enumerate(energy, measure, dtype, device)
    log_density = _model(energy, measure, device)

    def integral(grid: Grid) -> tuple[float]:
        return (grid.log_integral(log_density),)

    try:
        modes = _heavy_modes(log_density, measure, near, tolerance, dtype)
        corners = [modes.x + side * WIDTHS * modes.std for side in (-1, 1)]
        look = torch.cat([*corners, *([] if near is None else [near.flatten(1).cpu().to(modes.x)])])
        lows, highs, shell = find_box(
            [log_density], measure, look if len(look) else None, tolerance, dtype
        )
        least = _points_for(modes, lows, highs)
        value, change, points = refine(integral, lows, highs, measure, tolerance, dtype, least)
        _check_widths(modes, lows, highs, points)
    except UnresolvedError as problem:
        return NotDefined(str(problem))
    estimate = Estimate(
        value=value,
        stderr=0.0,
        side="both",
        standing="exact",
        how=f"quadrature, {' x '.join([str(points)] * len(lows))} midpoints",
        diagnostics={
            "error": change + shell,
            "points": points,
            "box": list(zip(lows, highs, strict=True)),
            "outer_shell": shell,
            "modes": modes.x.tolist(),
        },
    )
    return Interval(estimate, estimate)


def _heavy_modes(
    log_density: LogDensity,
    measure: Measure,
    near: Tensor | None,
    tolerance: float,
    dtype: torch.dtype,
) -> Modes:
    """The minima, of known width, that hold more than ``tolerance`` of the mass found."""

    def energy(x: Tensor) -> Tensor:
        return -log_density(x).to(x)

    rng = torch.Generator().manual_seed(0)
    found = find_modes(energy, measure, [] if near is None else [near.cpu()], rng, dtype)
    found = found.heavy(tolerance)
    known = ~found.std.isnan().any(1)
    return Modes(found.x[known], found.energy[known], found.std[known])


def _points_for(modes: Modes, lows: Sequence[float], highs: Sequence[float]) -> float:
    """Points per axis whose cells are no wider than the modes inside the box; 0 where too many are needed."""
    low, high = torch.tensor(lows).to(modes.x), torch.tensor(highs).to(modes.x)
    inside = ((modes.x >= low) & (modes.x <= high)).all(1)
    if not bool(inside.any()):
        return 0.0
    least = float((NARROWEST * (high - low) / modes.std[inside]).max())
    return least if (1.5 * least) ** len(lows) < MAX_POINTS else 0.0


def _check_widths(modes: Modes, lows: Sequence[float], highs: Sequence[float], points: int) -> None:
    """Raise UnresolvedError where a mode is narrower than the grid's cells, or lies beyond it."""
    low, high = torch.tensor(lows).to(modes.x), torch.tensor(highs).to(modes.x)
    cell = (high - low) / points
    unseen = (modes.std < NARROWEST * cell) | (modes.x < low) | (modes.x > high)
    if bool(unseen.any()):
        row = int(unseen.any(1).int().argmax())
        where = [round(float(v), 4) for v in modes.x[row]]
        raise UnresolvedError(
            f"the mode at x = {where} is {float(modes.std[row].min()):.2g} wide, narrower than the cells of "
            f"{points} points an axis on {box_words(lows, highs)}"
        )


def kl_to_model(
    log_p: LogDensity,
    energy: Energy,
    measure: Measure | Undefined,
    *,
    near: Tensor | None = None,
    tolerance: float = 1e-3,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Estimate | NotDefined:
    """KL(p_data || p_theta) in nats, by quadrature of both densities on one grid.

    ``log_p``: the data's exact log-density (normalised) in the units the energy sees, called with
    points on the CPU; ``device`` is the energy's. On R^d the
    box grows until both densities keep less than ``tolerance`` of their mass in its shell, and the grid is
    refined until neither the divergence nor the data's mass changes by as much. On a Box
    the data's density is restricted to it; where more than ``tolerance`` of the data's mass lies
    outside the divergence is infinite, which is said through ``NotDefined``.

    The Estimate's diagnostics hold ``log_partition``, ``data_mass`` (what the grid makes of the
    integral of p_data, a check), ``error`` and the grid as in `log_partition_quadrature`.
    """
    if isinstance(measure, Undefined):
        return NotDefined(measure.why)
    if isinstance(measure, Counting):
        return NotDefined(
            "quadrature compares densities; on binary vectors enumerate both distributions"
        )
    log_model = _model(energy, measure, device)

    def divergence(grid: Grid) -> tuple[float, float]:
        """And the data's mass: it shows modes that both densities hide between the points."""
        log_q, log_data = grid.evaluate(log_model), grid.evaluate(log_p)
        mass["data"] = math.exp(grid.log_sum(log_data))
        mass["log_partition"] = grid.log_sum(log_q)
        share = torch.softmax(log_data, 0)
        ratio = log_data - grid.log_sum(log_data) - log_q + mass["log_partition"]
        return float(torch.where(share > 0, share * ratio, 0.0).sum()), mass["data"]

    mass: dict[str, float] = {}
    try:
        lows, highs, shell = find_box([log_model, log_p], measure, near, tolerance, dtype)
        value, change, points = refine(divergence, lows, highs, measure, tolerance, dtype)
    except UnresolvedError as problem:
        return NotDefined(str(problem))
    if abs(mass["data"] - 1) > 10 * tolerance:
        return NotDefined(
            f"the data's density integrates to {mass['data']:.4f} over the model's support "
            f"{box_words(lows, highs)}: the divergence is infinite if mass lies outside it"
        )
    return Estimate(
        value=value,
        stderr=0.0,
        side="both",
        standing="exact",
        how="KL(p_data || p_theta) by quadrature",
        diagnostics={
            "log_partition": mass["log_partition"],
            "data_mass": mass["data"],
            "error": change + shell,
            "points": points,
            "box": list(zip(lows, highs, strict=True)),
            "outer_shell": shell,
        },
    )


def _model(energy: Energy, measure: Measure, device: torch.device | str) -> LogDensity:
    """The unnormalised log-density -E(x) + log b(x)."""
    flat = isinstance(measure, Box | RealSpace)

    def log_density(x: Tensor) -> Tensor:
        value = -check_energy(energy(x.to(device)), len(x)).cpu()
        return value if flat else value + measure.log_density(x)

    return log_density


def _enumerate(
    energy: Energy, measure: Counting, dtype: torch.dtype, device: torch.device | str
) -> Interval | NotDefined:
    """log Z over all 2^d binary vectors."""
    dim = math.prod(measure.shape)
    if 2**dim > MAX_STATES:
        return NotDefined(f"2^{dim} states are too many to enumerate; use AIS or SMC instead")
    bits = torch.arange(dim)
    total = torch.tensor(-math.inf, dtype=torch.float64)
    with torch.no_grad():
        for start in range(0, 2**dim, CHUNK):
            state = torch.arange(start, min(start + CHUNK, 2**dim))
            x = (state[:, None] >> bits & 1).to(dtype).reshape(-1, *measure.shape)
            value = check_energy(energy(x.to(device)), len(x)).cpu().double()
            total = torch.logaddexp(total, torch.logsumexp(-value, 0))
    how = f"enumeration of 2^{dim} states"
    estimate = Estimate(float(total), 0.0, "both", "exact", how, {"error": 0.0})
    return Interval(estimate, estimate)
