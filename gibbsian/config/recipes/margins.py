"""Named runs of EBGAN (Zhao, Mathieu, LeCun 2017)."""

from __future__ import annotations

from gibbsian.config.config import Config, replace
from gibbsian.config.recipes.defaults import Scale, default_config

MARGINS = {64: 20.0, 128: 40.0, 256: 80.0}
"""The paper's, by size: faces at 64 pixels (bedrooms had 80), ImageNet at 128, its dogs at 256."""


def digits_ebgan(data: str, scale: Scale) -> Config:
    """EBGAN-PT, fully connected: the paper's best setting of its grid on MNIST, margin 10.

    At scale paper 5 layers of 800 units against one hidden layer of 1024, on 28x28 instead of the
    paper's images padded to 32x32; at scale cpu a quarter of the units on 14x14, with the margin
    brought to that size.
    """
    small = scale == "cpu"
    relu = {"activation": "relu", "batch_norm": True}
    return replace(
        default_config("ebgan", f"{data}-14" if small else data),
        training={"rounds": 4_000 if small else 50_000, "batch": 64 if small else 128},
        latent_dim=32 if small else 100,
        margin=5.0 if small else 10.0,
        generator=relu | {"name": "mlp", "depth": 4, "width": 200 if small else 800},
        energy=relu | {"name": "autoencoder", "depth": 1, "width": 256 if small else 1024},
    )


def ladder_ebgan(num_labelled_rows: int, scale: Scale) -> Config:
    """EBGAN whose energy is a ladder network told a few classes of MNIST, the margin falling to 0.

    At scale paper the sizes of Zhao, Mathieu and LeCun (2017, section 4.2): a margin of 16 that falls to
    0 over 60 000 rounds, then 120 000 of the energy alone; their cost has weight 1 on the classes and
    1000 over the number of pixels on the squared error, here their ratio. The rates fall along a cosine
    from the start. At scale cpu a quarter of the units on 14x14 and a sixtieth of the rounds.
    """
    small = scale == "cpu"
    game = 1_000 if small else 60_000
    adam = {"betas": (0.5, 0.999)}
    relu = {"activation": "relu", "batch_norm": True}
    return replace(
        default_config("ebgan", "mnist-14" if small else "mnist"),
        training={"rounds": 3 * game, "batch": 100, "ema": 0.0},
        latent_dim=32 if small else 100,
        margin=4.0 if small else 16.0,
        margin_decay_rounds=game,
        pull_away=0.0,
        num_labelled_rows=num_labelled_rows,
        class_loss_weight=0.196 if small else 0.784,
        generator=relu | {"name": "mlp", "depth": 3, "width": 128 if small else 512},
        energy={
            "name": "ladder",
            "layer_sizes": "250,125,60,60,60" if small else "1000,500,250,250,250",
        },
        energy_optimizer=adam | {"lr": 2e-3 if small else 5e-4},
        generator_optimizer=adam | {"lr": 1e-3 if small else 2.5e-4},
    )


def picture_ebgan(size: int, scale: Scale) -> Config:
    """EBGAN-PT on a folder of square images (--data FOLDER), with the paper's auto-encoder and margin.

    At scale paper an encoder (64)4c2s-(128)4c2s-(256)4c2s at 64 pixels, one halving more at 128 and
    256, its mirror back, and this project's generator of 128 channels at full size; at scale cpu a
    sixteenth of the channels.
    """
    small = scale == "cpu"
    convolutions = {"batch_norm": True, "activation": "leaky-relu"}
    return replace(
        default_config("ebgan", f"pictures-{size}"),
        training={"rounds": 500 if small else 100_000, "batch": 16 if small else 128},
        latent_dim=100,
        margin=MARGINS[size],
        generator={
            "name": "conv",
            "channels": 8 if small else 128,
            "batch_norm": True,
            "activation": "relu",
        },
        energy=convolutions
        | {
            "name": "conv-autoencoder",
            "channels": 4 if small else 64,
            "depth": 3 if size == 64 else 4,
        },
    )
