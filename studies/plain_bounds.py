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
    beta_2: float = 0.9,
    compile: bool = True,
    **options: Any,
) -> Config:
    """``row`` on the data set ``data``: both players at the rate ``lr``, which falls linearly to 0.

    ``clip_grad_norm``: of the generator. ``compile``: the rounds.
    """
    network = {"width": 128, "depth": 2}
    adam = {"lr": lr, "betas": (0.0, beta_2), "lr_schedule": "linear", "warmup": warmup}
    method = "gan" if row == "Wasserstein GAN" else "bidirectional"
    opponent = "critic" if method == "gan" else "energy"
    settings: dict[str, Any] = {
        opponent: network,
        f"{opponent}_optimizer": adam,
        "generator": network,
        "generator_optimizer": adam | {"clip_grad_norm": clip_grad_norm},
        "latent_dim": 2,
        "training": {"ema": 0.999, "batch": batch, "compile": compile},
    }
    if method == "bidirectional":
        settings |= {"entropy_estimator": "log-det", "output_noise_std": 0.0}
    return replace(plain(method, data), **(settings | ROWS[row] | options))


OURS = "log-det x gradient penalty"
CHOSEN: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {
    (OURS, "moons"): (6_000, {"lr": 2e-3, **CAREFUL, "beta_2": 0.99}),
}
"""(row, data) -> rounds and options, chosen on seed 100; run on seed 1."""
FOURIER: dict[str, Any] = {"width": 128, "depth": 2, "fourier_features": 64, "fourier_scale": 1.0}
FAST: dict[str, Any] = {"lr": 4e-3, "betas": (0.0, 0.9), "lr_schedule": "linear", "warmup": 300}
TRIALS: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {
    ("rate 5e-4", "moons"): (12_000, {"lr": 5e-4}),
    ("rate 1e-3", "moons"): (1_500, {"lr": 1e-3}),
    ("rate 2e-3", "moons"): (1_500, {"lr": 2e-3}),
    ("rate 2e-3, longer", "moons"): (3_000, {"lr": 2e-3}),
    ("rate 2e-3, batch 128", "moons"): (3_000, {"lr": 2e-3, "batch": 128}),
    ("rate 2e-3, careful, M = 0.01", "moons"): (
        3_000,
        {"lr": 2e-3, **CAREFUL, "upper_bound_penalty_weight": 0.01},
    ),
    ("rate 2e-3, careful, slow second moment", "moons"): (
        4_000,
        {"lr": 2e-3, **CAREFUL, "beta_2": 0.99},
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
PLAIN = (
    "## Plain networks",
    "",
    "Energy and generator of two layers of 128 units without Fourier features, latent 2, no "
    "output noise, M = 0.05, batch 256, averaged weights, a rate that falls linearly; compiled, "
    "which the seconds count. Chosen on seed 100, below. The fresh seed folded, and the setting was "
    "given up for generators that cannot.",
)
TUNING = (
    "## Tuning of the plain networks",
    "",
    "One run each on seed 100; rates 1e-3 without another word, and 2e-3 on moons: 1 500 rounds; "
    "5e-4: 12 000; *slow second moment*: 4 000; the others 3 000. *Careful*: the generator's "
    "gradient is clipped at 1, and the rates rise over 300 rounds. *Slow second moment*: Adam's "
    "second decay is 0.99 in place of 0.9. The five runs at 5e-4, 1e-3 without another word, 1e-3 "
    "with Fourier features, and 2e-3 of 1 500 rounds came before losses were compiled. A run "
    "whose lower value lies above log Z has folded the plane, and its KL then stays where it is "
    "or rises. The row of 8 000 rounds is on seed 0: it was the first choice, KL 0.10 after 4 000 "
    "rounds, and folded before 6 000, for which the second moment was slowed and the seeds above "
    "begin with 1.",
)
