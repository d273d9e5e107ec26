"""Named runs of persistent contrastive divergence."""

from __future__ import annotations

from gibbsian.config.config import Config, replace
from gibbsian.config.recipes.defaults import Scale, default_config


def moons_cd(scale: Scale) -> Config:
    """Two moons by persistent contrastive divergence, half as long as the default."""
    return replace(default_config("cd", "moons"), training={"rounds": 2_000})


def digits_cd(scale: Scale) -> Config:
    """8x8 handwritten digits by persistent contrastive divergence."""
    return replace(
        default_config("cd", "digits"),
        training={"rounds": 2_000, "batch": 128},
        energy={"name": "conv", "channels": 8, "width": 64},
    )
