"""Networks by name: energies and critics, generators, encoders, decoders, students, and a user's own.

Imports core only.

Weights are drawn from PyTorch's global generator, as its layers do: seed it around a build.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from gibbsian.core import Space, nearest
from gibbsian.networks.autoencoders import (
    AutoEncoder,
    AutoEncoderEnergy,
)
from gibbsian.networks.beliefs import SigmoidBeliefs
from gibbsian.networks.decoders import ConvDecoder, DenseDecoder
from gibbsian.networks.encoders import ConvEncoder, DenseEncoder
from gibbsian.networks.energies import (
    BoundedEnergy,
    ConfinedEnergy,
    JointEnergy,
    LinearEnergy,
    SigmoidEnergy,
    bernoulli_entropy,
)
from gibbsian.networks.flows import FlowGenerator
from gibbsian.networks.generators import ConvGenerator, DenseGenerator
from gibbsian.networks.ladder import Ladder
from gibbsian.networks.minibatch import MinibatchCritic
from gibbsian.networks.options import ACTIVATIONS, NetworkOptions
from gibbsian.networks.pretrained import MobileNet, SqueezeNet
from gibbsian.networks.registry import (
    AUTOENCODERS,
    BELIEFS,
    CRITICS,
    DECODERS,
    ENCODERS,
    ENERGIES,
    GENERATORS,
    NETWORKS,
    POINTS,
    PREDICTORS,
    STATISTICS,
    STUDENTS,
)
from gibbsian.networks.scattering import Identity, Scattering
from gibbsian.networks.students import FlowStudent, MixtureStudent, VAEStudent
from gibbsian.networks.super_resolution import (
    SRCNN,
    ResidualPredictor,
    SubPixel,
    statistics_space,
)
from gibbsian.networks.trunks import ConvTrunk, DenseTrunk
from gibbsian.networks.user import load_user

__all__ = [
    "ACTIVATIONS",
    "AUTOENCODERS",
    "BELIEFS",
    "CRITICS",
    "DECODERS",
    "ENCODERS",
    "ENERGIES",
    "GENERATORS",
    "NETWORKS",
    "POINTS",
    "PREDICTORS",
    "SRCNN",
    "STATISTICS",
    "STUDENTS",
    "AutoEncoder",
    "AutoEncoderEnergy",
    "BoundedEnergy",
    "ConfinedEnergy",
    "ConvDecoder",
    "ConvEncoder",
    "ConvGenerator",
    "ConvTrunk",
    "DenseDecoder",
    "DenseEncoder",
    "DenseGenerator",
    "DenseTrunk",
    "FlowGenerator",
    "FlowStudent",
    "Identity",
    "JointEnergy",
    "Ladder",
    "LinearEnergy",
    "MinibatchCritic",
    "MixtureStudent",
    "MobileNet",
    "NetworkOptions",
    "ResidualPredictor",
    "Scattering",
    "SigmoidBeliefs",
    "SigmoidEnergy",
    "SqueezeNet",
    "SubPixel",
    "VAEStudent",
    "bernoulli_entropy",
    "build_autoencoder",
    "build_beliefs",
    "build_critic",
    "build_decoder",
    "build_encoder",
    "build_energy",
    "build_generator",
    "build_named",
    "build_student",
    "load_user",
    "statistics_space",
]


def build_energy(name: str, space: Space, options: NetworkOptions) -> nn.Module:
    """The energy (or critic) ``name`` for observations of ``space``.

    ``package.module:Class`` is a user's own. ValueError for an unknown name or an unfit space.
    """
    return _build("energy", name, space=space, options=options)


def build_critic(name: str, space: Space, options: NetworkOptions) -> nn.Module:
    """The critic ``name`` for observations of ``space``; names as for ``build_energy``."""
    return _build("critic", name, space=space, options=options)


def build_student(name: str, space: Space, options: NetworkOptions) -> nn.Module:
    """The student ``name``, a log-density on ``space``; names as for ``build_energy``."""
    return _build("student", name, space=space, options=options)


def build_autoencoder(name: str, space: Space, options: NetworkOptions) -> nn.Module:
    """The auto-encoder ``name`` of ``space`` with a code in [-1, 1]; names as for ``build_energy``."""
    return _build("autoencoder", name, space=space, options=options)


def build_generator(name: str, space: Space, latent: int, options: NetworkOptions) -> nn.Module:
    """The generator ``name`` from ``[B, latent]`` to ``space``; names as for ``build_energy``."""
    _check_latent("a generator", latent)
    return _build("generator", name, space=space, latent=latent, options=options)


def build_encoder(name: str, space: Space, latent: int, options: NetworkOptions) -> nn.Module:
    """The encoder ``name`` from ``space`` to ``[B, 2 latent]``; names as for ``build_energy``."""
    _check_latent("an encoder", latent)
    return _build("encoder", name, space=space, latent=latent, options=options)


def build_beliefs(name: str, space: Space, options: NetworkOptions) -> nn.Module:
    """The layers of beliefs ``name`` above ``space``; names as for ``build_energy``."""
    return _build("beliefs", name, space=space, options=options)


def build_decoder(name: str, space: Space, latent: int, options: NetworkOptions) -> nn.Module:
    """The decoder ``name`` from ``[B, latent]`` to a law on ``space``; names as for ``build_energy``."""
    _check_latent("a decoder", latent)
    return _build("decoder", name, space=space, latent=latent, options=options)


def build_named(role: str, name: str, space: Space, options: NetworkOptions) -> nn.Module:
    """The network ``name`` of a ``role`` that sees ``space`` alone; names as for ``build_energy``."""
    return _build(role, name, space=space, options=options)


def _build(role: str, name: str, **known: Any) -> nn.Module:
    if ":" in name:
        return load_user(name, **known)
    if name not in NETWORKS[role]:
        raise nearest(f"{role} network", name, NETWORKS[role])
    return NETWORKS[role][name](**known)


def _check_latent(what: str, latent: int) -> None:
    if latent < 1:
        raise ValueError(f"{what} needs a latent dimension of at least 1, not {latent}")
