"""What everything else stands on: types, base measures, protocols, numerics, files and paths.

Imports nothing of the other packages.
"""

from gibbsian.core.types import (
    Batch,
    DataSpace,
    Energy as Energy,
    Estimate,
    Gradients as Gradients,
    Interval,
    Loss,
    NonFiniteError,
    NotDefined,
    PlayerUpdate,
    Side as Side,
    Standing as Standing,
    TrainingMethod,
    check_energy as check_energy,
    did_you_mean as did_you_mean,
    nearest as nearest,
    standard_normal as standard_normal,
)

__all__ = [
    "Batch",
    "DataSpace",
    "Estimate",
    "Interval",
    "Loss",
    "NonFiniteError",
    "NotDefined",
    "PlayerUpdate",
    "TrainingMethod",
]
