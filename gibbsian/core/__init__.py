"""What everything else stands on: types, base measures, protocols, numerics, files and paths.

Imports nothing of the other packages.
"""

from gibbsian.core.types import (
    Batch,
    Energy as Energy,
    Estimate,
    Gradients as Gradients,
    Interval,
    Loss,
    Method,
    Move,
    NonFiniteError,
    NotDefined,
    Side as Side,
    Space,
    Standing as Standing,
    check_energy as check_energy,
    did_you_mean as did_you_mean,
    nearest as nearest,
    standard_normal as standard_normal,
)

__all__ = [
    "Batch",
    "Estimate",
    "Interval",
    "Loss",
    "Method",
    "Move",
    "NonFiniteError",
    "NotDefined",
    "Space",
]
