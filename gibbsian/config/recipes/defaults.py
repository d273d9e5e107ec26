"""The settings each method starts from, on densities in the plane, on images and elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any, Literal

from gibbsian.config.config import Config, method_class, plain, replace
from gibbsian.core import DataSpace
from gibbsian.data.densities import is_density
from gibbsian.data.named import holds_bits, holds_pictures, image_side as side_of_images

Scale = Literal["cpu", "paper"]

PLANE = {
    "width": 128,
    "depth": 2,
    "fourier_features": 64,
    "fourier_scale": 3.0,
    "confinement_std": 2.0,
}
"""Energies and critics on the densities: without Fourier features an MLP learns ring8 as a ring."""


def default_config(
    method: str, data: str, space: DataSpace | None = None, image_side: int = 0
) -> Config:
    """The settings ``gibbsian train METHOD --data DATA`` starts from.

    ``space``: that of the data, where more is known of them than their name; otherwise ``image_side``, in
    pixels, to which their images are brought, 0 for that of the images themselves.
    """
    pictures = holds_pictures(data) if space is None else space.kind == "image"
    config = suggested(plain(method, data, pictures), method_class(method).settings)
    if method in DEFAULTS:
        config = suggested(config, DEFAULTS[method](is_density(data)))
    if method in ON_PICTURES and pictures:
        config = suggested(config, ON_PICTURES[method])
    if method in ON_LARGE_PICTURES and pictures:
        side = max(space.shape[1:]) if space else image_side or side_of_images(data)
        if side > SMALL:
            config = suggested(config, ON_LARGE_PICTURES[method])
    if method in ON_TABLES and not (pictures or is_density(data) or holds_bits(data)):
        config = suggested(config, ON_TABLES[method])
    return config


IN_ROUNDS = ("warmup_rounds", "gan_warmup_rounds", "margin_decay_rounds")
"""Options that count rounds: where one phase of training ends."""


def in_proportion(config: Config, base: Config, given: Container[str] = ()) -> Config:
    """``config``, changed from ``base``, with phases as long beside its rounds as they were there.

    But for options ``given`` by name. Fewer rounds would else drop the last phase without a word.
    """
    ratio = config.training.rounds / base.training.rounds
    kept = [name for name in IN_ROUNDS if name in base.options and name not in given]
    return replace(config, **{name: round(ratio * base.options[name]) for name in kept})


def suggested(config: Config, settings: Mapping[str, Any]) -> Config:
    """``config`` with ``settings``; a network that is not named takes of its own the options that it has."""
    fitting = {
        name: {k: v for k, v in value.items() if k in config.networks[name].options}
        if name in config.networks and "name" not in value
        else value
        for name, value in settings.items()
    }
    return replace(config, **fitting)


def gan(plane: bool) -> dict[str, Any]:
    """GAN baselines: Adam with little memory and a small penalty on the critic at the data."""
    return _game("critic", plane) | {"r1_penalty_weight": 0.1}


def vgan(plane: bool) -> dict[str, Any]:
    """VGAN (Zhai et al. 2016) with the generator as the slow player, but for images (``ON_PICTURES``).

    A fast one leaves modes out in the plane, as where the energy follows slowly nothing calls it back. The
    box of a table is as wide as its farthest row, and a generator as fast as the energy is in its corners
    within 50 rounds, where the experts are saturated.
    """
    settings = _game("energy", plane)
    settings["generator_optimizer"] = settings["generator_optimizer"] | {"lr": 3e-4}
    return settings | ({"energy": PLANE | {"num_experts": 64}} if plane else {})


def lbt(plane: bool) -> dict[str, Any]:
    """LBT-GAN (Du et al. 2020) with a student that learns ten times faster than in a million rounds.

    In the plane a mixture of Gaussians, whose likelihood is exact and cheap, teaches better than the
    paper's VAE, which loses what it has taught in later rounds; the game weighs as much as the student.
    """
    settings = _game("critic", plane)
    settings["generator_optimizer"] = settings["generator_optimizer"] | {"clip_grad_norm": 5.0}
    settings |= {"unrolled_student_lr": 1e-3, "r1_penalty_weight": 0.1}
    if plane:
        settings |= {"student": {"name": "mixture", "components": 64}, "gan_loss_weight": 1.0}
    return settings


def _game(opponent: str, plane: bool) -> dict[str, Any]:
    adam = {"lr": 1e-3, "betas": (0.5, 0.9), "lr_schedule": "cosine"}
    settings: dict[str, Any] = {
        "training": {"rounds": 3_000, "ema": 0.999},
        "generator_optimizer": adam,
        f"{opponent}_optimizer": adam,
        "generator": {"depth": 3},
    }
    return settings | ({opponent: PLANE, "latent_dim": 2} if plane else {})


def ebgan(plane: bool) -> dict[str, Any]:
    """EBGAN-PT (Zhao et al. 2017): Adam at 0.001 and margin 10; in the plane, a margin of its size."""
    settings = _game("energy", plane) | {"pull_away": 0.1}
    if plane:
        return settings | {"margin": 1.0}
    return settings | {"energy": {"activation": "relu"}}


def transition_vgan(plane: bool) -> dict[str, Any]:
    """VGAN's transition form (Zhai et al. 2016): as for VGAN, a slower energy."""
    adam = {"betas": (0.5, 0.9), "lr_schedule": "cosine"}
    settings: dict[str, Any] = {
        "training": {"rounds": 3_000, "ema": 0.999},
        "transition_optimizer": adam | {"lr": 1e-3},
        "energy_optimizer": adam | {"lr": 1e-4},
    }
    if plane:
        settings |= {"energy": PLANE | {"num_experts": 64}}
        settings |= {"autoencoder": {"depth": 3, "fourier_features": 16, "code_dim": 2}}
    return settings


def gebm(plane: bool) -> dict[str, Any]:
    """GEBM (Arbel et al. 2021): the authors' floor; in the plane a faster, sharper energy than theirs.

    Without a floor a penalty as small as the plane's lets base and energy run away from each other.
    """
    adam = {"lr": 1e-3 if plane else 1e-4, "betas": (0.5, 0.9), "lr_schedule": "cosine"}
    settings: dict[str, Any] = {
        "training": {"rounds": 2_000, "ema": 0.999},
        "energy_optimizer": adam,
        "base_optimizer": adam,
        "generator": {"depth": 3},
        "energy_floor": 10.0,
    }
    if plane:
        settings |= {"energy": PLANE, "latent_dim": 2, "gradient_penalty_weight": 1e-3}
    return settings


def cd(plane: bool) -> dict[str, Any]:
    """Persistent contrastive divergence with adjusted Langevin steps, a decayed rate, averaged weights.

    On images the steps are not adjusted (``ON_PICTURES``).

    In the plane one wide Metropolis step a round lets the chains cross between modes: with it the
    rate may be five times larger, and the weights of the modes come out right.
    """
    settings: dict[str, Any] = {
        "training": {"rounds": 4_000, "ema": 0.999},
        "energy_optimizer": {"lr": 1e-3, "lr_schedule": "cosine"},
        "chains": 512,
        "sampler": {"steps": 5, "metropolis_step_std": 1.0 if plane else 0.0},
    }
    if plane:
        settings["training"]["batch"] = 512
        settings |= {"energy": PLANE}
    return settings


def score_matching(plane: bool) -> dict[str, Any]:
    """Denoising score matching (Vincent 2011): little noise in the plane, and jumps in its samples."""
    return _regressed(plane) | ({"denoising_noise_std": 0.05} if plane else {})


def nce(plane: bool) -> dict[str, Any]:
    """NCE (Gutmann, Hyvarinen 2012): noise a little wider than the data, two draws per row.

    The energy tilts that noise, which falls as it should: the network's own envelope stays out of the way.
    """
    settings = _regressed(plane) | {"noise_ratio": 2, "nce_noise_std_scale": 1.2}
    settings["energy"] = settings.get("energy", {}) | {"confinement_std": 10.0}
    return settings


def energy_discrepancy(plane: bool) -> dict[str, Any]:
    """Energy discrepancy (Schroder et al. 2023); columns of tables hang together, and take less noise."""
    settings = _regressed(plane)
    return settings if plane else settings | {"perturbation_std": 0.3}


def energy_matching(plane: bool) -> dict[str, Any]:
    """Energy matching (Balcerak et al. 2025): in the plane warmer, with wide Metropolis steps.

    There the velocity, which points out of the data, is as long as they are wide: only a contrast that
    outweighs it makes a density. Images take a dense potential (``ON_PICTURES``).
    """
    settings = _regressed(plane)
    if plane:
        settings["training"] |= {"rounds": 2_000, "batch": 256}
        settings["sampler"] |= {"steps": 5, "step_size": 0.01, "steps_per_sample": 200}
        settings |= {"warmup_rounds": 500, "temperature": 1.0, "contrastive_weight": 100.0}
        settings |= {"noise_start_time": 0.5, "flow_steps": 10}
    return settings


def noise_levels(plane: bool) -> dict[str, Any]:
    """Energies of noise levels: the network sees the data at unit scale, in a wide envelope.

    It is multiplied by the inverse of the noise, and an envelope as narrow as elsewhere would be, too.
    """
    settings = _regressed(plane)
    settings["energy"] = (PLANE if plane else {}) | {"confinement_std": 10.0}
    if plane:
        settings["training"] |= {"rounds": 2_000}
        settings["energy_optimizer"] |= {"lr": 3e-3}
        settings |= {"noise_std_min": 0.02}
    return settings


def _regressed(plane: bool) -> dict[str, Any]:
    """What methods share that train an energy by a regression, without chains."""
    settings: dict[str, Any] = {
        "training": {"rounds": 3_000, "ema": 0.999},
        "energy_optimizer": {"lr": 1e-3, "lr_schedule": "cosine"},
    }
    if plane:
        settings["training"]["batch"] = 512
        settings |= {"energy": PLANE, "sampler": {"metropolis_step_std": 1.0}}
    return settings


def bidirectional(plane: bool) -> dict[str, Any]:
    """The pairing that the study found best: encoder below, diffusion of the data above.

    In the plane a weight of 50 lets the upper bound outweigh the contrast with a generator that
    cannot follow; on images the bound's own weight of 1 gave the better energies in trials.
    """
    settings = _game("energy", plane) | {
        "entropy_estimator": "encoder",
        "output_noise_std": 0.05,
        "upper_bound_penalty": "diffusion",
        "points_to_diffuse": "data",
        "upper_bound_penalty_weight": 50.0 if plane else 1.0,
        "encoder": {"depth": 3},
    }
    if not plane:
        return settings | {"score_matching_noise_min": 0.2}
    curves = {"depth": 3, "fourier_features": 32, "fourier_scale": 2.0}
    return settings | {"latent_dim": 4, "generator": curves}


def vae(plane: bool) -> dict[str, Any]:
    """VAEs (Kingma, Welling 2014) with Adam; in the plane deeper networks, curved enough for a density."""
    settings: dict[str, Any] = {
        "training": {"rounds": 5_000, "ema": 0.999},
        "model_optimizer": {"lr": 1e-3, "lr_schedule": "cosine"},
    }
    if plane:
        network = {"width": 128, "depth": 3}
        settings |= {"latent_dim": 2, "decoder": network, "encoder": network}
    return settings


def flow(plane: bool) -> dict[str, Any]:
    """A flow (Durkan et al. 2019) with averaged weights, the best of those that validation has seen."""
    return {
        "training": {"rounds": 3_000, "ema": 0.999, "validate_every": 100},
        "flow_optimizer": {"lr": 2e-3, "lr_schedule": "cosine"},
        "flow": {"width": 64},
    }


def tilted_flow(plane: bool) -> dict[str, Any]:
    """A flow as above, stopped on validation, and a tilt of it for the rest of the rounds."""
    settings = flow(plane)
    return settings | {
        "training": settings["training"] | {"rounds": 5_000},
        "energy_optimizer": {"lr": 1e-3, "lr_schedule": "cosine"},
        "energy": {"width": 128, "depth": 2},
    }


def bihm(plane: bool) -> dict[str, Any]:
    """BiHM (Bornschein et al. 2016): Adam at 1e-3 and batches of 100, as in the authors' code.

    In the plane fewer bits, and a tanh layer between them: two numbers tell a layer of linear units little.
    Steep logits there let q tell points from each other that are close; more draws of q on fewer rows cost
    the same, and weigh the modes better.
    """
    settings: dict[str, Any] = {
        "training": {"rounds": 10_000, "batch": 100},
        "model_optimizer": {"lr": 1e-3},
    }
    if plane:
        settings |= {
            "training": {"rounds": 15_000, "batch": 30, "ema": 0.999},
            "latent_samples": 30,
            "model_optimizer": {"lr": 3e-3, "lr_schedule": "cosine"},
            "belief_network": {
                "layer_sizes": "50,20",
                "deterministic_layers": 1,
                "logit_init_scale": 20.0,
            },
        }
    return settings


def super_resolution(plane: bool) -> dict[str, Any]:
    """Super-resolution (Bruna et al. 2016): all regressions with Adam, the fine-tuning ten times slower."""
    adam = {"lr": 1e-3, "lr_schedule": "cosine"}
    return {
        "training": {"rounds": 3_000, "batch": 16, "ema": 0.999},
        "upsampler_optimizer": adam,
        "sufficient_statistics_predictor_optimizer": adam,
        "sufficient_statistics_optimizer": adam | {"lr": 1e-4},
        "upsampler": {"channels": 64},
        "sufficient_statistics_predictor": {"depth": 1, "channels": 64},
    }


ON_PICTURES: Mapping[str, Mapping[str, Any]] = {
    "score-matching": {"denoising_noise_std": 0.25, "sampler": {"steps_per_sample": 100}},
    "nce": {"sampler": {"steps_per_sample": 100}},
    "energy-discrepancy": {"perturbation_std": 0.25, "sampler": {"steps_per_sample": 100}},
    "cd": {
        "sampler": {"kernel": "ula", "steps": 10, "step_size": 2e-3},
        "chains": 256,
        "reinit_prob": 0.005,
        "energy_l2": 1e-3,
    },
    "vgan": {"energy_optimizer": {"lr": 1e-4}, "generator_optimizer": {"lr": 1e-3}},
    "gebm": {
        "energy_optimizer": {"lr": 1e-3},
        "base_optimizer": {"lr": 1e-3},
        "energy_steps": 1,
        "energy_burst_steps": 10,
        "log_z_init_batches": 10,
    },
    "energy-matching": {
        "training": {"rounds": 7_000, "batch": 128},
        "energy": {"width": 256, "depth": 3},
        "energy_optimizer": {"lr": 2e-3},
        "warmup_rounds": 6_000,
        "contrastive_weight": 0.05,
        "flow_time": 1.2,
        "noise_start_time": 1.2,
        "flow_steps": 10,
        "sampler": {"kernel": "ula", "steps": 10, "step_size": 1e-4, "steps_per_sample": 10},
    },
    "noise-levels": {
        "training": {"rounds": 7_000, "batch": 128},
        "energy": {"width": 256, "depth": 3},
        "energy_optimizer": {"lr": 1e-2},
        "data_std": 0.7,
        "noise_std_max": 3.0,
        "noise_levels": 32,
        "levels_told_apart": 2,
        "level_classification_weight": 0.1,
        "flow_steps": 40,
        "sampling_churn": 16.0,
        "sampler": {"kernel": "ula", "steps": 5, "step_size": 1e-4, "steps_per_sample": 5},
    },
}
"""What differs on images. There the steps of adjusted chains are soon all rejected: the energy of the
data falls, that of chains that stand still rises, and training runs away. VGAN's energy is the slow one."""

SMALL = 8
"""Pixels on a side up to which a dense network draws images as well as one with convolutions."""
ON_LARGE_PICTURES: Mapping[str, Mapping[str, Any]] = {
    "energy-matching": {
        "training": {"rounds": 8_060, "batch": 64},
        "energy": {"name": "resnet"},
        "warmup_rounds": 8_000,
    },
}
"""What differs on larger images (docs/methods/energy-matching.md), besides what differs on all."""

ON_TABLES: Mapping[str, dict[str, Any]] = {
    "cd": {"energy_optimizer": {"lr": 5e-4}, "sampler": {"step_size": 5e-3}},
    "vgan": {"energy": {"num_experts": 32}},
    "transition-vgan": {"energy_optimizer": {"lr": 3e-4}},
    "lbt": {"student": {"name": "mixture", "components": 64}, "unrolled_student_steps": 1},
    "gebm": {
        "energy_optimizer": {"lr": 1e-3},
        "base_optimizer": {"lr": 1e-3},
        "energy_steps": 5,
        "energy_burst_steps": 10,
        "log_z_init_batches": 10,
        "gradient_penalty_weight": 1.0,
    },
}
"""What differs on tables of real numbers, as tuned on protein (docs/results/tuning.md). That of cd is the
largest of the pairs tried by hand with which its chains moved for 10 000 rounds there (seeds 100, 101)."""

DEFAULTS: Mapping[str, Callable[[bool], dict[str, Any]]] = {
    "gan": gan,
    "vgan": vgan,
    "cd": cd,
    "bidirectional": bidirectional,
    "lbt": lbt,
    "gebm": gebm,
    "ebgan": ebgan,
    "transition-vgan": transition_vgan,
    "flow": flow,
    "tilted-flow": tilted_flow,
    "vae": vae,
    "bihm": bihm,
    "score-matching": score_matching,
    "nce": nce,
    "energy-discrepancy": energy_discrepancy,
    "energy-matching": energy_matching,
    "noise-levels": noise_levels,
    "super-resolution": super_resolution,
}
