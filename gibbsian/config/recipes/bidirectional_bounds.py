"""Named runs of bidirectional bounds (Geng et al. 2021, 2025)."""

from __future__ import annotations

from gibbsian.config.config import Config, plain, replace
from gibbsian.config.recipes.defaults import Scale, default_config


def plane_bounds(data: str, scale: Scale) -> Config:
    """A density in the plane with this project's networks and its best pairing."""
    smallest = 0.04 if data.startswith("grid") else 0.07
    rounds = 5_000 if scale == "cpu" else 35_000
    return replace(
        default_config("bidirectional", data),
        training={"rounds": rounds},
        score_matching_noise_min=smallest,
    )


def published_bounds(data: str, scale: Scale) -> Config:
    """The toy networks and settings of the authors' released code, exact log-determinant.

    Two layers of 100 PReLU units each, batch normalisation in the generator; M = 1e-3, margin 1.
    The generator is piecewise linear, so that its log volume has no gradient: a warning says so.
    """
    adam = {"lr": 2e-4, "betas": (0.0, 0.9), "eps": 1e-6}
    network = {"width": 100, "depth": 2, "activation": "prelu"}
    return replace(
        plain("bidirectional", data),
        training={"rounds": 5_000 if scale == "cpu" else 150_001, "batch": 200},
        latent_dim=2,
        output_noise_std=0.0,
        upper_bound_penalty_weight=1e-3,
        upper_bound_penalty_threshold=1.0,
        energy=network,
        generator=network | {"batch_norm": True},
        energy_optimizer=adam,
        generator_optimizer=adam,
    )


def image_bounds(data: str, scale: Scale) -> Config:
    """Images by d log s_1 and the gradient penalty, as released, or the quick pairing on two cores.

    At scale paper: latent 128, two LOBPCG steps, M = 1e-3, Adam 5e-5, 260 epochs of 50 000 images;
    --data FOLDER takes colour images of another size.
    """
    if scale == "cpu":
        return replace(
            default_config("bidirectional", data),
            training={"rounds": 1_500, "batch": 64},
            latent_dim=16,
            energy={"channels": 8},
            generator={"channels": 8},
            encoder={"channels": 8},
        )
    adam = {"lr": 5e-5, "betas": (0.0, 0.999), "eps": 1e-6}
    return replace(
        plain("bidirectional", data),
        training={"rounds": 203_000, "batch": 64, "ema": 0.999},
        entropy_estimator="singular",
        latent_dim=128,
        output_noise_std=0.0,
        upper_bound_penalty_weight=1e-3,
        energy={"channels": 64, "activation": "silu"},
        generator={"channels": 64, "activation": "silu", "batch_norm": True},
        energy_optimizer=adam,
        generator_optimizer=adam,
    )
