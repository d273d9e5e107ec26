"""Named runs of directed models: variational auto-encoders and Helmholtz machines."""

from __future__ import annotations

from gibbsian.config.config import Config, plain, replace
from gibbsian.config.recipes.defaults import Scale, default_config


def image_vae(data: str, scale: Scale) -> Config:
    """Grey images by a convolutional VAE with a Gaussian decoder: densities of dequantised values."""
    small = scale == "cpu"
    network = {"channels": 16 if small else 64}
    return replace(
        default_config("vae", data),
        training={"rounds": 3_000 if small else 100_000, "batch": 100},
        latent_dim=16 if small else 64,
        decoder=network,
        encoder=network,
    )


def binary_vae(data: str, scale: Scale) -> Config:
    """Bits by one tanh layer on each side, the networks of the paper's appendix C, with Adam."""
    network = {"width": 200 if scale == "cpu" else 500, "depth": 1, "activation": "tanh"}
    return replace(
        default_config("vae", data),
        training={"rounds": 5_000 if scale == "cpu" else 1_000_000, "batch": 100},
        latent_dim=20,
        decoder=network,
        encoder=network,
    )


def published_vae(data: str, scale: Scale) -> Config:
    """The paper's setting: Adagrad, batches of 100, one sample, 500 tanh units (200 on Frey faces).

    Weights start from N(0, 0.01), read as a variance. The prior on the weights, a decay of
    1/N per observation, is left at 0 here: N is the data's.
    """
    faces = data.startswith("frey")
    width = 200 if faces else 500
    network = {"name": "mlp", "width": width, "depth": 1, "activation": "tanh", "init_std": 0.1}
    return replace(
        plain("vae", data),
        training={"rounds": 30_000 if scale == "cpu" else 1_000_000, "batch": 100},
        latent_dim=10 if faces else 20,
        decoder=network,
        encoder=network,
        model_optimizer={"name": "adagrad", "lr": 0.02},
    )


DEEP = "300,200,100,75,50,35,30,25,20,15,10,10"
"""The paper's twelve layers for binarised MNIST."""


def binary_bihm(data: str, layers: str, scale: Scale) -> Config:
    """A bidirectional Helmholtz machine of bits, K = 10, L1 of 1e-3 per batch of 100.

    At scale paper the twelve layers of Bornschein et al. (2016) on MNIST's digits, to be finished with
    --latent-samples 100.
    """
    if scale == "paper" and "mnist" in data:
        layers = DEEP
    return replace(
        default_config("bihm", data),
        training={"rounds": 10_000 if scale == "cpu" else 500_000, "batch": 100},
        belief_network={"layer_sizes": layers},
        latent_samples=10,
        parameter_l1=1e-3,
    )
