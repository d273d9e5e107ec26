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
        DivergenceError,
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
    "DivergenceError",
    "Estimate",
    "Interval",
    "Loss",
    "NonFiniteError",
    "NotDefined",
    "PlayerUpdate",
    "TrainingMethod",
]

HOMES = {name: "names" for name in ("did_you_mean", "nearest")} | {
    name: "types"
    for name in (
        *__all__,
        "Energy",
        "Gradients",
        "Side",
        "Standing",
        "check_energy",
        "standard_normal",
    )
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'gibbsian.core' has no attribute {name!r}")
    return getattr(importlib.import_module(f"gibbsian.core.{HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__]
