"""Settings that are known to work: the defaults of each method, and named runs.

Each is a typed function that returns a configuration; print it with ``--print-config``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

from gibbsian.config import Config, config_type, replace
from gibbsian.core import nearest
from gibbsian.data.densities import is_density

Scale = Literal["cpu", "paper"]

PLANE = {"width": 128, "depth": 2, "fourier": 64, "fourier_scale": 3.0, "envelope": 2.0}
"""Energies and critics on the densities: without Fourier features an MLP learns ring8 as a ring."""


def default(method: str, data: str) -> Config:
    """The settings ``gibbsian train METHOD --data DATA`` starts from."""
    config = config_type(method)(data=data)
    if method not in DEFAULTS:
        return config
    return replace(config, **DEFAULTS[method](is_density(data)))


def gan(plane: bool) -> dict[str, Any]:
    """GAN baselines: Adam with little memory and a small penalty on the critic at the data."""
    return _game("critic", plane) | {"r1": 0.1}


def vgan(plane: bool) -> dict[str, Any]:
    """VGAN (Zhai et al. 2016): the energy ten times slower than the generator that must follow it."""
    settings = _game("energy", plane)
    settings["energy_optimiser"] = settings["energy_optimiser"] | {"rate": 1e-4}
    return settings | ({"energy_net": PLANE | {"experts": 64}} if plane else {})


def lbt(plane: bool) -> dict[str, Any]:
    """LBT-GAN (Du et al. 2020) with a student that learns ten times faster than in a million rounds."""
    settings = _game("critic", plane)
    settings["generator_optimiser"] = settings["generator_optimiser"] | {"clip": 5.0}
    settings |= {"student_rate": 1e-3, "r1": 0.1}
    return settings | ({"student_net": {"activation": "tanh"}} if plane else {})


def _game(opponent: str, plane: bool) -> dict[str, Any]:
    adam = {"rate": 1e-3, "betas": (0.5, 0.9), "schedule": "cosine"}
    settings: dict[str, Any] = {
        "training": {"rounds": 3_000, "ema": 0.999},
        "generator_optimiser": adam,
        f"{opponent}_optimiser": adam,
        "generator_net": {"depth": 3},
    }
    return settings | ({f"{opponent}_net": PLANE, "latent": 2} if plane else {})


def gebm(plane: bool) -> dict[str, Any]:
    """GEBM (Arbel et al. 2021): the authors' floor; in the plane a faster, sharper energy than theirs.

    Without a floor a penalty as small as the plane's lets base and energy run away from each other.
    """
    adam = {"rate": 1e-3 if plane else 1e-4, "betas": (0.5, 0.9), "schedule": "cosine"}
    settings: dict[str, Any] = {
        "training": {"rounds": 2_000, "ema": 0.999},
        "energy_optimiser": adam,
        "base_optimiser": adam,
        "generator_net": {"depth": 3},
        "floor": 10.0,
    }
    if plane:
        settings |= {"energy_net": PLANE, "latent": 2, "gradient_penalty": 1e-3}
    return settings


def cd(plane: bool) -> dict[str, Any]:
    """Persistent contrastive divergence with adjusted Langevin steps, a decayed rate, averaged weights.

    In the plane one wide Metropolis step a round lets the chains cross between modes: with it the
    rate may be five times larger, and the weights of the modes come out right.
    """
    settings: dict[str, Any] = {
        "training": {"rounds": 4_000, "ema": 0.999},
        "energy_optimiser": {"rate": 1e-3, "schedule": "cosine"},
        "kernel": "mala",
        "chains": 512,
        "steps": 5,
    }
    if plane:
        settings["training"]["batch"] = 512
        settings |= {"energy_net": PLANE, "jump": 1.0}
    return settings


DEFAULTS: Mapping[str, Callable[[bool], dict[str, Any]]] = {
    "gan": gan,
    "vgan": vgan,
    "cd": cd,
    "lbt": lbt,
    "gebm": gebm,
}


def moons_cd(scale: Scale) -> Config:
    """Two moons by persistent contrastive divergence, half as long as the default."""
    return replace(default("cd", "moons"), training={"rounds": 2_000})


def digits_cd(scale: Scale) -> Config:
    """8x8 handwritten digits by persistent contrastive divergence."""
    return replace(
        default("cd", "digits"),
        training={"rounds": 2_000, "batch": 128},
        energy="conv",
        energy_net={"channels": 8, "width": 64},
        kernel="ula",
        chains=256,
        steps=10,
        step_size=2e-3,
        restart=0.005,
        magnitude=1e-3,
    )


def line_gebm(scale: Scale) -> Config:
    """A curve whose mass varies along it, from a one-dimensional latent space."""
    return replace(default("gebm", "line"), latent=1, training={"rounds": 3_000})


def red_wine_gebm(scale: Scale) -> Config:
    """Red wines by maximum likelihood through an invertible base (Arbel et al. 2021, section 5.2)."""
    return replace(
        default("gebm", "wine-quality-red"),
        training={"rounds": 1_000 if scale == "cpu" else 20_000, "batch": 100},
        base="proposal",
        energy="confined",
        energy_net={"envelope": 3.0},
        energy_optimiser={"rate": 1e-3},
        generator="flow",
        generator_net={"width": 64, "depth": 1},
        latent=11,
        base_samples=5,
        floor=0.0,
    )


def gebm_images(data: str, scale: Scale) -> Config:
    """Images at the authors' settings, or what two cores do of them in about half an hour."""
    small = scale == "cpu"
    network = {"channels": 16 if small else 64, "activation": "leaky-relu"}
    return replace(
        default("gebm", data),
        training={"rounds": 1_500 if small else 150_000, "batch": 64 if small else 128},
        energy_net=network,
        generator_net=network | {"activation": "relu", "batch_norm": True},
        energy_optimiser={"schedule": "cosine" if small else "linear"},
        latent=32 if small else 100,
        gradient_penalty=1.0,
    )


def plane_lbt(data: str, scale: Scale) -> Config:
    """LBT-GAN on Gaussians in the plane; at scale paper the settings of Du et al. (2020)."""
    config = default("lbt", data)
    fine = data == "grid100"  # modes finer than the vae's decoder
    if scale == "cpu":
        mixture = {"student": "mixture", "student_net": {"components": 200}, "student_rate": 1e-2}
        return replace(config, training={"rounds": 4_000}, **(mixture if fine else {}))
    tanh = {"width": 128, "depth": 2, "activation": "tanh"}
    adam = {"betas": (0.5, 0.999), "schedule": "constant"}
    return replace(
        config,
        training={"rounds": 2_000_000 if fine else 1_000_000, "batch": 2048 if fine else 512},
        latent=256,
        n_est=3 if fine else 2,
        generator_net=tanh,
        critic_net=tanh | {"fourier": 0},
        generator_optimiser=adam | {"rate": 1e-3},
        critic_optimiser=adam | {"rate": 1e-4},
        student_rate=1e-4,
        r1=0.0,
        gan_weight=0.1,
    )


def image_lbt(data: str, scale: Scale) -> Config:
    """LBT-GAN on grey or stacked digits, with a critic a quarter of the generator's size.

    At scale paper Du et al.'s rates, batch and warm-up, with this project's convolutions and a
    student of equal layers, 28x28; at scale cpu 14x14.
    """
    small = scale == "cpu"
    channels = 16 if small else 64
    return replace(
        image_gan(data, scale, "lbt"),
        training={"rounds": 1_500 if small else 300_000},
        critic_net={"channels": channels // 4},
        student_net={
            "width": 256 if small else 1_000,
            "depth": 1 if small else 2,
            "code": 64 if small else 256,
            "activation": "relu",
            "likelihood": "bernoulli",
        },
        student_rate=1e-3 if small else 1e-4,
        n_est=1 if small else 3,
        gan_weight=1.0,
        warmup=200 if small else 3_000,
        generator_optimiser={"clip": 0.0},
    )


def image_gan(data: str, scale: Scale, method: str = "gan") -> Config:
    """The GAN that ``image_lbt`` is compared with: the same generator and critic."""
    small = scale == "cpu"
    channels = 16 if small else 64
    adam = {"rate": 1e-3 if small else 1e-4, "betas": (0.5, 0.999)}
    return replace(
        default(method, f"{data}-14" if small else data),
        training={"rounds": 5_000 if small else 300_000, "batch": 128 if small else 512},
        latent=64 if small else 256,
        r1=0.0,
        generator="conv",
        generator_net={"channels": channels, "activation": "relu", "batch_norm": True},
        generator_optimiser=adam,
        critic="conv",
        critic_net={"channels": channels // 4, "activation": "leaky-relu"},
        critic_optimiser=adam,
    )


RECIPES: Mapping[str, Callable[[Scale], Config]] = {
    "moons-cd": moons_cd,
    "digits-cd": digits_cd,
    "ring8-lbt": partial(plane_lbt, "ring8"),
    "grid25-lbt": partial(plane_lbt, "grid25"),
    "grid100-lbt": partial(plane_lbt, "grid100"),
    "stacked-mnist-lbt": partial(image_lbt, "stacked-mnist"),
    "stacked-mnist-gan": partial(image_gan, "stacked-mnist"),
    "mnist-lbt": partial(image_lbt, "mnist"),
    "fashion-mnist-lbt": partial(image_lbt, "fashion-mnist"),
    "line-gebm": line_gebm,
    "red-wine-gebm": red_wine_gebm,
    "mnist-gebm": partial(gebm_images, "mnist"),
    "fashion-mnist-gebm": partial(gebm_images, "fashion-mnist"),
    "cifar10-jpeg75-gebm": partial(gebm_images, "cifar10-jpeg75"),
}


def recipe(name: str, scale: Scale = "cpu") -> Config:
    """The named run; ValueError naming the nearest names if there is none."""
    if name not in RECIPES:
        raise nearest("recipe", name, RECIPES)
    return RECIPES[name](scale)
