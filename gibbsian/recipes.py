"""Settings that are known to work: the defaults of each method, and named runs.

Each is a typed function that returns a configuration; print it with ``--print-config``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from gibbsian.config import Config, config_type, nearest, replace

Scale = Literal["cpu", "paper"]


def default(method: str, data: str) -> Config:
    """The settings ``gibbsian train METHOD --data DATA`` starts from."""
    config = config_type(method)(data=data)
    return replace(config, **DEFAULTS[method]()) if method in DEFAULTS else config


def _adversarial() -> dict[str, Any]:
    """Two players in alternation: Adam with little memory, as usual for games."""
    adam = {"rate": 1e-3, "betas": (0.5, 0.9), "schedule": "linear"}
    return {"training": {"rounds": 10_000, "ema": 0.999}, "generator_optimiser": adam}


def gan() -> dict[str, Any]:
    """GAN baselines on vectors and small images."""
    settings = _adversarial()
    return settings | {"critic_optimiser": settings["generator_optimiser"]}


def vgan() -> dict[str, Any]:
    """VGAN (Zhai et al. 2016) with a bounded energy on a box."""
    settings = _adversarial()
    return settings | {"energy_optimiser": settings["generator_optimiser"]}


def cd() -> dict[str, Any]:
    """Persistent contrastive divergence: a decayed rate and averaged weights."""
    adam = {"rate": 1e-3, "betas": (0.9, 0.999), "schedule": "linear"}
    return {"training": {"rounds": 8_000, "ema": 0.999}, "energy_optimiser": adam}


DEFAULTS: Mapping[str, Callable[[], dict[str, Any]]] = {"gan": gan, "vgan": vgan, "cd": cd}
RECIPES: Mapping[str, Callable[[Scale], Config]] = {}


def recipe(name: str, scale: Scale = "cpu") -> Config:
    """The named run; ValueError naming the nearest names if there is none."""
    if name not in RECIPES:
        raise nearest("recipe", name, RECIPES)
    return RECIPES[name](scale)
