"""Named runs of generalized energy-based models (Arbel et al. 2021)."""

from __future__ import annotations

from gibbsian.config.config import Config, replace
from gibbsian.config.recipes.defaults import Scale, default_config


def line_gebm(scale: Scale) -> Config:
    """A curve whose mass varies along it, from a one-dimensional latent space."""
    return replace(default_config("gebm", "line"), latent_dim=1, training={"rounds": 3_000})


def red_wine_gebm(scale: Scale) -> Config:
    """Red wines by maximum likelihood through an invertible base (Arbel et al. 2021, section 5.2)."""
    return replace(
        default_config("gebm", "wine-quality-red"),
        training={"rounds": 1_000 if scale == "cpu" else 20_000, "batch": 100},
        base_distribution="proposal",
        energy={"name": "confined", "confinement_std": 3.0},
        energy_optimizer={"lr": 1e-3},
        generator={"name": "flow", "width": 64, "depth": 1},
        latent_dim=11,
        base_samples_per_data_row=5,
        energy_floor=0.0,
    )


def gebm_images(data: str, scale: Scale) -> Config:
    """Images at the authors' settings, or what two cores do of them in about ten minutes."""
    small = scale == "cpu"
    network = {"channels": 8 if small else 64, "activation": "leaky-relu"}
    return replace(
        default_config("gebm", data),
        training={"rounds": 1_500 if small else 150_000, "batch": 64 if small else 128},
        energy=network,
        generator=network | {"activation": "relu", "batch_norm": True},
        energy_optimizer={"lr": 1e-4, "lr_schedule": "cosine" if small else "linear"},
        base_optimizer={"lr": 1e-4},
        energy_steps=5,
        energy_burst_steps=100,
        log_z_init_batches=100,
        latent_dim=32 if small else 100,
        gradient_penalty_weight=1.0,
    )
