"""Named runs of directed models: variational auto-encoders (Kingma, Welling 2014)."""

from __future__ import annotations

from gibbsian.config import Config, config_type, replace
from gibbsian.recipes.defaults import Scale, default


def image_vae(data: str, scale: Scale) -> Config:
    """Grey pictures by a convolutional VAE with a Gaussian decoder: densities of dequantised values."""
    small = scale == "cpu"
    network = {"channels": 16 if small else 64}
    return replace(
        default("vae", data),
        training={"rounds": 3_000 if small else 100_000, "batch": 100},
        latent=16 if small else 64,
        decoder_net=network,
        encoder_net=network,
    )


def binary_vae(data: str, scale: Scale) -> Config:
    """Bits by one tanh layer on each side, the networks of the paper's appendix C, with Adam."""
    network = {"width": 200 if scale == "cpu" else 500, "depth": 1, "activation": "tanh"}
    return replace(
        default("vae", data),
        training={"rounds": 5_000 if scale == "cpu" else 1_000_000, "batch": 100},
        latent=20,
        decoder_net=network,
        encoder_net=network,
    )


def published_vae(data: str, scale: Scale) -> Config:
    """The paper's setting: Adagrad, batches of 100, one sample, 500 tanh units (200 on Frey faces).

    The prior on the weights, a decay of 1/N per observation, is left at 0 here: N is the data's.
    """
    faces = data.startswith("frey")
    network = {"width": 200 if faces else 500, "depth": 1, "activation": "tanh"}
    return replace(
        config_type("vae")(data=data),
        training={"rounds": 30_000 if scale == "cpu" else 1_000_000, "batch": 100},
        latent=10 if faces else 20,
        decoder="mlp",
        encoder="mlp",
        decoder_net=network,
        encoder_net=network,
        model_optimiser={"name": "adagrad", "rate": 0.02},
    )
