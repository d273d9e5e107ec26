"""What everything else stands on: types, base measures, protocols, numerics, files and paths.

Imports nothing of the other packages.
"""

from gibbsian.core.types import (
    Batch,
    Energy,
    Estimate,
    Gradients,
    Interval,
    Loss,
    Method,
    Move,
    NonFiniteError,
    NotDefined,
    Side,
    Space,
    Standing,
    check_energy,
    did_you_mean,
    nearest,
    standard_normal,
)

__all__ = [
    "Batch",
    "Energy",
    "Estimate",
    "Gradients",
    "Interval",
    "Loss",
    "Method",
    "Move",
    "NonFiniteError",
    "NotDefined",
    "Side",
    "Space",
    "Standing",
    "check_energy",
    "did_you_mean",
    "nearest",
    "standard_normal",
]
