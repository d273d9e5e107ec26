"""Named runs of LBT-GAN and of the GANs it is compared with (Du et al. 2020)."""

from __future__ import annotations

from gibbsian.config.config import Config, replace
from gibbsian.config.recipes.defaults import Scale, default_config


def plane_lbt(data: str, scale: Scale) -> Config:
    """LBT-GAN on Gaussians in the plane; at scale paper the settings of Du et al. (2020)."""
    config = default_config("lbt", data)
    fine = data == "grid100"  # modes finer than the vae's decoder
    if scale == "cpu":
        mixture = {"student": {"name": "mixture", "components": 200}, "unrolled_student_lr": 1e-2}
        options = mixture | {"gan_loss_weight": 0.1} if fine else {}
        return replace(config, training={"rounds": 4_000}, **options)
    tanh = {"width": 128, "depth": 2, "activation": "tanh"}
    adam = {"betas": (0.5, 0.999), "lr_schedule": "constant"}
    return replace(
        config,
        training={"rounds": 2_000_000 if fine else 1_000_000, "batch": 2048 if fine else 512},
        latent_dim=256,
        student={"name": "vae", "activation": "tanh"},
        student_steps_per_unroll_step=3 if fine else 2,
        generator=tanh,
        critic=tanh | {"fourier_features": 0},
        generator_optimizer=adam | {"lr": 1e-3},
        critic_optimizer=adam | {"lr": 1e-4},
        unrolled_student_lr=1e-4,
        r1_penalty_weight=0.0,
        gan_loss_weight=0.1,
    )


def image_lbt(data: str, scale: Scale) -> Config:
    """LBT-GAN on grey or stacked digits, with a critic a quarter of the generator's size.

    At scale paper Du et al.'s rates, batch and warm-up, with this project's convolutions and a
    student of equal layers, 28x28; at scale cpu 14x14, with a single student step ahead: four more would
    cost more rounds than they are worth there.
    """
    small = scale == "cpu"
    channels = 16 if small else 64
    return replace(
        image_gan(data, scale, "lbt"),
        training={"rounds": 1_500 if small else 300_000},
        critic={"channels": channels // 4},
        student={
            "width": 256 if small else 1_000,
            "depth": 1 if small else 2,
            "code_dim": 64 if small else 256,
            "activation": "relu",
            "likelihood": "bernoulli",
        },
        unrolled_student_lr=3e-3 if small else 1e-4,
        unrolled_student_steps=1 if small else 5,
        student_steps_per_unroll_step=1 if small else 3,
        gan_loss_weight=1.0,
        gan_warmup_rounds=0 if small else 3_000,
        generator_optimizer={"clip_grad_norm": 0.0},
    )


def image_gan(data: str, scale: Scale, method: str = "gan") -> Config:
    """The GAN that ``image_lbt`` is compared with: the same generator and critic."""
    small = scale == "cpu"
    channels = 16 if small else 64
    adam = {"lr": 1e-3 if small else 1e-4, "betas": (0.5, 0.999)}
    return replace(
        default_config(method, f"{data}-14" if small else data),
        training={"rounds": 5_000 if small else 300_000, "batch": 128 if small else 512},
        latent_dim=64 if small else 256,
        r1_penalty_weight=0.0,
        generator={
            "name": "conv",
            "channels": channels,
            "activation": "relu",
            "batch_norm": True,
        },
        generator_optimizer=adam,
        critic={"name": "conv", "channels": channels // 4, "activation": "leaky-relu"},
        critic_optimizer=adam,
    )
