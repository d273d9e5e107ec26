"""What everything else stands on: types, base measures, protocols, numerics, files and paths.

Imports nothing of the other packages, and PyTorch only where a name that needs it is asked for: reports
are made without.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gibbsian.core.names import did_you_mean as did_you_mean, nearest as nearest
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

OF_NAMES = ("did_you_mean", "nearest")
OF_TYPES = ("Energy", "Gradients", "Side", "Standing", "check_energy", "standard_normal")


def __getattr__(name: str) -> Any:
    if name in OF_NAMES:
        return getattr(importlib.import_module("gibbsian.core.names"), name)
    if name in OF_TYPES or name in __all__:
        return getattr(importlib.import_module("gibbsian.core.types"), name)
    raise AttributeError(f"module 'gibbsian.core' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__]
