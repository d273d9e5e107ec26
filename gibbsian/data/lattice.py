"""Find out whether recorded values lie on a regular grid, as integers and rounded decimals do."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MOST_LEVELS = 65_536
"""Finer grids than this many steps across the data are treated as continuous."""


class Lattice(NamedTuple):
    """Values ``origin + step * {0, ..., levels - 1}``."""

    origin: float
    step: float
    levels: int


def lattice(values: np.ndarray) -> Lattice | None:
    """The coarsest grid that holds all ``values [N]``, or None where they are continuous.

    The rule has no unit: values times 10 lie on a grid of ten times the step. The step is the greatest
    common divisor of the gaps between distinct values, by Euclid's algorithm; what is left of a
    division counts as zero below a fraction of the finest step allowed. Then every value must lie on
    the grid to the precision of its own number format.
    """
    # Again in double precision, which integers above 2^53 may share.
    distinct = np.unique(np.unique(values).astype(np.float64))
    if len(distinct) < 2:
        return None
    precision = np.finfo(values.dtype if values.dtype.kind == "f" else np.float64).eps
    span = float(distinct[-1] - distinct[0])
    finest = span / MOST_LEVELS
    gaps = np.unique(np.diff(distinct))
    step = float(gaps[0])
    for gap in gaps:
        step = _common_divisor(float(gap), step, finest / 4)
        if step < 0.9 * finest:
            return None
    step = span / round(span / step)  # divides out the rounding errors of the remainders
    level = (distinct - distinct[0]) / step
    rounding = 16 * float(precision) * float(np.abs(distinct).max()) / step
    if rounding > 0.01 or np.abs(level - np.round(level)).max() > 1e-9 + rounding:
        return None
    return Lattice(float(distinct[0]), step, round(span / step) + 1)


def _common_divisor(a: float, b: float, zero: float) -> float:
    while b > zero:
        a, b = b, abs(a - round(a / b) * b)
    return a
