"""log Z of anybody's energy: a function and the shape of its points are enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Generator, Tensor

from gibbsian.core import Energy, Interval, NotDefined, check_energy
from gibbsian.core.measures import Box, RealSpace
from gibbsian.evaluation.log_z.coordinates import brought_to_cpu
from gibbsian.evaluation.log_z.effort import Amount, LogZEffort
from gibbsian.evaluation.log_z.mixture_bridge import LEAST, WHERE
from gibbsian.evaluation.log_z.mode_search import MOST, find_modes
from gibbsian.evaluation.log_z.partition import log_partition

SEARCHED = 500
"""Points around the minima that are found where none are given."""


def log_z(
    energy: Energy,
    shape: int | Sequence[int],
    *,
    samples: Tensor | ArrayLike | None = None,
    box: tuple[float, float] | None = None,
    effort: LogZEffort | Amount = "normal",
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Interval | NotDefined:
    """log of the integral of exp(-E(x)) dx over R^d, or over a ``box`` (low, high), in nats.

    ``energy``: maps points ``[n, *shape]`` to numbers ``[n]``; torch must be able to differentiate it for
    good accuracy. ``samples [n, *shape]``: points where the mass is, as a sampler of your own gives: a
    tensor, whose precision is kept, or an array, which becomes one of single precision;
    modes that they do not show are not found in more than three dimensions. Without them minima are
    looked for from around the origin, and the answer warns of it; up to three dimensions that is where a grid
    is put, and a mode narrower than its cells, away from the minima, is not seen. ``effort``: quick, normal
    or high.

    Raises ValueError for an empty shape, an energy that does not take such points, returns another
    shape or NaN, and samples that do not fit.

    >>> import gibbsian
    >>> def energy(x):
    ...     return 0.5 * x.square().sum(1)
    >>> print(gibbsian.log_z(energy, 2))  # log(2 pi) = 1.8379
    log Z = 1.838 (exact); warning: no samples were given: exact but for modes narrower than ...
    """
    event = (shape,) if isinstance(shape, int) else tuple(shape)
    if not event or min(event) < 1:
        raise ValueError(f"a density needs at least one dimension; got the shape {list(event)}")
    if samples is not None and not isinstance(samples, Tensor):
        samples = torch.tensor(np.asarray(samples, np.float32))
    if samples is not None and tuple(samples.shape[1:]) != event:
        raise ValueError(
            f"samples of shape {list(samples.shape)} do not fit points of shape {list(event)}; give one "
            "point a row"
        )
    if box is not None and not box[0] < box[1]:
        raise ValueError(f"box must be (low, high) with low < high; got {box}")
    measure = RealSpace(event) if box is None else Box(event, *box)
    rng = Generator(device).manual_seed(seed)
    if samples is not None and not samples.is_floating_point():
        samples = samples.float()
    check_callable(energy, measure, rng.device)
    if samples is not None and samples.dtype != torch.float32:
        check_callable(energy, measure, rng.device, samples.dtype)
    points, minima = samples, 0
    if samples is None and math.prod(event) > 3:
        if isinstance(measure, RealSpace):
            near, local = brought_to_cpu(energy, rng)
            points, minima = _searched(near, local, measure)
            refuse_nan(near, points)
        else:
            drawn = measure.sample(SEARCHED, Generator(device).manual_seed(seed))
            refuse_nan(energy, drawn)
            _refuse_infinite(energy, drawn)
    found = log_partition(energy, measure, rng=rng, reference_points=points, effort=effort)
    if isinstance(found, NotDefined):
        over_box = box is None and "does not confine" in found.why
        hint = "; or ask for the integral over a box (box=, --domain-half-width)" * over_box
        return NotDefined(found.why + hint)
    if samples is None and (minima or found.lower.standing == "exact"):
        return replace(found, warnings=(*found.warnings, _unseen(found, minima)))
    return found


def _unseen(found: Interval, minima: int) -> str:
    """What a search without samples, which led to so many ``minima``, cannot know of, in words."""
    figures = found.lower.diagnostics
    if "box" not in figures:
        count = f"{minima} or more" if minima >= MOST else str(minima)
        return (
            "no samples were given: mass that no descent from around the origin leads to is not in this "
            f"number (they led to {count} {'minimum' if minima == 1 else 'minima'}); samples "
            "(--samples-from, samples=) show it, a high effort searches longer"
        )
    cell = max(high - low for low, high in figures["box"]) / figures["points"]
    return (
        f"no samples were given: exact but for modes narrower than the grid's cells, {cell:.2g}, that lie "
        "away from all minima that descents found"
    )


def called(dtype: torch.dtype) -> str:
    """``float64`` for ``torch.float64``."""
    return str(dtype).removeprefix("torch.")


def check_callable(
    energy: Energy,
    measure: RealSpace | Box,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Raise ValueError, in a sentence, for an energy that does not take points of the measure's shape."""
    middle = 0.0 if isinstance(measure, RealSpace) else 0.5 * (measure.low + measure.high)
    x = torch.full((3, *measure.shape), middle, device=device, dtype=dtype)
    check_energy(_first_value(energy, x), len(x))
    # Not at the middle alone: noise that multiplies an energy of 0 would not show.
    points = (
        measure.sample(8, Generator(device).manual_seed(0)) if isinstance(measure, Box) else None
    )
    if points is None:
        points = torch.randn(
            8, *measure.shape, device=device, generator=Generator(device).manual_seed(0)
        )
    points = points.to(dtype)
    first, again = (_first_value(energy, points) for _ in range(2))
    _refuse_random(first, again)


def _first_value(energy: Energy, x: Tensor) -> Tensor:
    """The energy at ``x``, which it must leave as it is. ValueError, in a sentence, for one that fails."""
    given = x.clone()
    changes = (
        "the energy changes its argument in place; write x = x * 2 and the like instead of x *= 2, which "
        "changes the caller's points"
    )
    try:
        with torch.no_grad():
            value = energy(given)
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        raise ValueError(
            f"the energy cannot be evaluated at points of shape {list(x.shape)} in {called(x.dtype)}: "
            f"{error} (it is called with a PyTorch tensor of many points, a row each, and returns a number "
            "for each)"
        ) from error
    # The count of changes tells of 0 *= 2 too; the values tell of what NumPy did to the same memory.
    if given._version or not torch.equal(given, x):
        raise ValueError(changes)
    if not isinstance(value, Tensor):
        raise ValueError(
            f"an energy must return a tensor; this one returned {type(value).__name__} (compute it "
            "with torch, not NumPy)"
        )
    if hasattr(energy, "value_and_grad"):
        return value
    leaf = x.clone().requires_grad_()
    try:
        energy(leaf)
    except RuntimeError as error:
        if "in-place" in str(error):
            raise ValueError(changes) from error
        raise ValueError(
            f"the energy cannot be evaluated at points that require a gradient: {error} (its gradient is "
            "taken; compute it with torch alone)"
        ) from error
    return value


def _refuse_random(first: Tensor, again: Tensor) -> None:
    """Raise ValueError where two calls at the same points gave different energies, beyond rounding."""
    # Sums on a GPU may come in another order, which changes the last digits.
    apart = ~torch.isclose(first, again, rtol=1e-4, atol=1e-5, equal_nan=True)
    if bool(apart.any()):
        row = int(apart.int().argmax())
        raise ValueError(
            f"the energy is random: at the same point it is {float(first[row]):.6g} and then "
            f"{float(again[row]):.6g}; log Z is of a function of the points alone (a network with dropout "
            "needs eval())"
        )


def refuse_nan(energy: Energy, x: Tensor) -> None:
    """Raise ValueError naming the first of ``x [n, *event]`` where the energy is NaN."""
    with torch.no_grad():
        bad = check_energy(energy(x), len(x)).isnan()
    if bool(bad.any()):
        where = ", ".join(f"{float(v):.4g}" for v in x[bad][0].flatten()[:6])
        raise ValueError(
            f"the energy is NaN at x = [{where}{', ...' if x[0].numel() > 6 else ''}]; a density must be a "
            "number everywhere"
        )


def _refuse_infinite(energy: Energy, x: Tensor) -> None:
    """Raise ValueError where part of a box, of which ``x [n, *event]`` are draws, has no density.

    Chains start everywhere in the box, and cannot where the energy is infinite.
    """
    with torch.no_grad():
        lost = int((check_energy(energy(x), len(x)) == math.inf).sum())
    if lost:
        raise ValueError(
            f"the energy is infinite at {lost} of {len(x)} random points of the box, and chains start "
            f"everywhere in it: {WHERE}"
        )


def _searched(energy: Energy, rng: Generator, measure: RealSpace) -> tuple[Tensor, int]:
    """Points of normal distributions at the minima that descents find, ``[n, *event]``, and their number.

    Where there is no minimum, points around the origin, and 1.
    """
    modes = find_modes(energy, measure, [], rng, torch.float32).heavy(1e-6)
    points, minima = modes.draw(SEARCHED, rng), max(1, len(modes.x))
    if len(points) < LEAST:
        points = torch.randn(SEARCHED, math.prod(measure.shape), generator=rng, device=rng.device)
    return points.reshape(-1, *measure.shape).float(), minima
