"""Plain networks of the study of bidirectional bounds: two layers of 128 units, no Fourier features.

Kept apart from the study, which runs and reports them, so that it can be read in one sitting.
"""

from __future__ import annotations

from typing import Any

from gibbsian.config.config import Config, plain, replace

ROWS: dict[str, dict[str, Any]] = {
    "log-det x gradient penalty": {"upper_bound_penalty_weight": 0.05},
    "VGAN (the lower bound alone)": {"upper_bound_penalty": "none"},
    "zero-centred penalty": {
        "upper_bound_penalty": "zero-centred",
        "upper_bound_penalty_weight": 0.1,
    },
    "Wasserstein GAN": {
        "loss": "wasserstein",
        "gradient_penalty_weight": 0.1,
        "r1_penalty_weight": 0.0,
        "critic_steps": 3,
    },
}


CAREFUL: dict[str, Any] = {"warmup": 300, "clip_grad_norm": 1.0}
"""A generator that starts with small steps and takes no large one is not thrown into folds."""


def plain_networks(
    row: str,
    data: str,
    lr: float,
    batch: int = 256,
    warmup: int = 0,
    clip_grad_norm: float = 0.0,
    **options: Any,
) -> Config:
    """``row`` on the data set ``data``: both players at the rate ``lr``, which falls linearly to 0.

    ``clip_grad_norm``: of the generator.
    """
    network = {"width": 128, "depth": 2}
    adam = {"lr": lr, "betas": (0.0, 0.9), "lr_schedule": "linear", "warmup": warmup}
    method = "gan" if row == "Wasserstein GAN" else "bidirectional"
    opponent = "critic" if method == "gan" else "energy"
    settings: dict[str, Any] = {
        opponent: network,
        f"{opponent}_optimizer": adam,
        "generator": network,
        "generator_optimizer": adam | {"clip_grad_norm": clip_grad_norm},
        "latent_dim": 2,
        "training": {"ema": 0.999, "batch": batch, "compile": True},
    }
    if method == "bidirectional":
        settings |= {"entropy_estimator": "log-det", "output_noise_std": 0.0}
    return replace(plain(method, data), **(settings | ROWS[row] | options))


OURS = "log-det x gradient penalty"
CHOSEN: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {
    (OURS, "moons"): (8_000, {"lr": 2e-3, **CAREFUL}),
    (OURS, "ring8"): (8_000, {"lr": 1e-3, **CAREFUL}),
}
"""(row, data) -> rounds and options, chosen on seed 100."""
FOURIER: dict[str, Any] = {"width": 128, "depth": 2, "fourier_features": 64, "fourier_scale": 1.0}
FAST: dict[str, Any] = {"lr": 4e-3, "betas": (0.0, 0.9), "lr_schedule": "linear", "warmup": 300}
TRIALS: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {
    ("rate 1e-3", "moons"): (1_500, {"lr": 1e-3}),
    ("rate 2e-3", "moons"): (1_500, {"lr": 2e-3}),
    ("rate 2e-3, longer", "moons"): (3_000, {"lr": 2e-3}),
    ("rate 2e-3, batch 128", "moons"): (3_000, {"lr": 2e-3, "batch": 128}),
    ("rate 2e-3, careful, M = 0.01", "moons"): (
        3_000,
        {"lr": 2e-3, **CAREFUL, "upper_bound_penalty_weight": 0.01},
    ),
    ("rate 1e-3", "ring8"): (1_500, {"lr": 1e-3}),
    ("rate 1e-3, Fourier features in E", "ring8"): (1_500, {"lr": 1e-3, "energy": FOURIER}),
    ("rate 2e-3", "ring8"): (3_000, {"lr": 2e-3}),
    ("rate 1e-3, careful", "ring8"): (3_000, {"lr": 1e-3, **CAREFUL}),
    ("rate 1e-3, careful, M = 0.01", "ring8"): (
        3_000,
        {"lr": 1e-3, **CAREFUL, "upper_bound_penalty_weight": 0.01},
    ),
    ("rate 1e-3, careful, Fourier features in E", "ring8"): (
        3_000,
        {"lr": 1e-3, **CAREFUL, "energy": FOURIER},
    ),
    ("rate 1e-3, careful, 4e-3 of E", "ring8"): (
        3_000,
        {"lr": 1e-3, **CAREFUL, "energy_optimizer": FAST},
    ),
}
"""(label, data) -> rounds and options of our row, each on seed 100."""
