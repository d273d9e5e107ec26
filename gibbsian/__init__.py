"""Gibbsian: train, sample, score and compare energy-based and adversarial generative models."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gibbsian.config.config import Config
    from gibbsian.evaluation.log_z.plain import log_z
    from gibbsian.models.model import Model, load_model
    from gibbsian.models.train import resume, train

__version__ = "0.2.0.dev0"

PUBLIC = {
    "Config": "gibbsian.config.config",
    "Model": "gibbsian.models.model",
    "load_model": "gibbsian.models.model",
    "log_z": "gibbsian.evaluation.log_z.plain",
    "resume": "gibbsian.models.train",
    "train": "gibbsian.models.train",
}
"""Public name -> the module it lives in; imported on first use, so that `import gibbsian` is light."""

__all__ = ["Config", "Model", "__version__", "load_model", "log_z", "resume", "train"]


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'gibbsian' has no attribute {name!r}")
    return getattr(importlib.import_module(PUBLIC[name]), name)


def __dir__() -> list[str]:
    return [*__all__]
