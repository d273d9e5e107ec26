"""Networks by name: energies and critics, generators, encoders, decoders, students, and a user's own.

Weights are drawn from PyTorch's global generator, as its layers do: seed it around a build.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from gibbsian.core import Space, nearest
from gibbsian.networks.autoencoders import (
    AutoEncoder,
    AutoEncoderEnergy,
    conv_autoencoder,
    conv_energy,
    dense_autoencoder,
    dense_energy,
)
from gibbsian.networks.beliefs import SigmoidBeliefs
from gibbsian.networks.decoders import ConvDecoder, DenseDecoder
from gibbsian.networks.encoders import ConvEncoder, DenseEncoder
from gibbsian.networks.energies import (
    BoundedEnergy,
    ConfinedEnergy,
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


def mlp(space: Space, options: NetworkOptions) -> LinearEnergy:
    """Dense layers and a linear head; no normaliser on R^d."""
    return LinearEnergy(DenseTrunk(space, options))


def confined(space: Space, options: NetworkOptions) -> ConfinedEnergy:
    """Dense layers and a quadratic envelope; has a normaliser on R^d."""
    return ConfinedEnergy(DenseTrunk(space, options), options.envelope)


def bounded(space: Space, options: NetworkOptions) -> BoundedEnergy:
    """VGAN's Bernoulli-entropy experts on dense layers."""
    return BoundedEnergy(DenseTrunk(space, options), options.experts)


def sigmoid(space: Space, options: NetworkOptions) -> SigmoidEnergy:
    """-log of one sigmoid on dense layers."""
    return SigmoidEnergy(DenseTrunk(space, options))


def conv(space: Space, options: NetworkOptions) -> LinearEnergy:
    """Convolutions and a linear head, for images."""
    return LinearEnergy(ConvTrunk(space, options))


def conv_bounded(space: Space, options: NetworkOptions) -> BoundedEnergy:
    """VGAN's Bernoulli-entropy experts on convolutions, for images."""
    return BoundedEnergy(ConvTrunk(space, options), options.experts)


def dense_critic(space: Space, options: NetworkOptions) -> LinearEnergy:
    """As ``mlp``, with ``batch_norm`` where it is asked for: a game's critic need not be one function."""
    return LinearEnergy(DenseTrunk(space, options, options.batch_norm))


def minibatch(space: Space, options: NetworkOptions) -> MinibatchCritic:
    """A critic on dense layers that compares the observations of a batch."""
    return MinibatchCritic(DenseTrunk(space, options), options.kernels)


def conv_minibatch(space: Space, options: NetworkOptions) -> MinibatchCritic:
    """A critic on convolutions that compares the images of a batch."""
    return MinibatchCritic(ConvTrunk(space, options), options.kernels)


def flow_student(space: Space, options: NetworkOptions) -> FlowStudent:
    """A normalising flow with its exact log-density."""
    return FlowStudent(FlowGenerator(space, math.prod(space.shape), options))


ENERGIES: Mapping[str, Callable[[Space, NetworkOptions], nn.Module]] = {
    "mlp": mlp,
    "confined": confined,
    "bounded": bounded,
    "sigmoid": sigmoid,
    "conv": conv,
    "conv-bounded": conv_bounded,
    "autoencoder": dense_energy,
    "conv-autoencoder": conv_energy,
}

CRITICS: Mapping[str, Callable[[Space, NetworkOptions], nn.Module]] = {
    **ENERGIES,
    "mlp": dense_critic,
    "minibatch": minibatch,
    "conv-minibatch": conv_minibatch,
}
"""Every energy, and what is no function of one point while it is trained."""

GENERATORS: Mapping[str, Callable[[Space, int, NetworkOptions], nn.Module]] = {
    "mlp": DenseGenerator,
    "conv": ConvGenerator,
    "flow": FlowGenerator,
}

ENCODERS: Mapping[str, Callable[[Space, int, NetworkOptions], nn.Module]] = {
    "mlp": DenseEncoder,
    "conv": ConvEncoder,
}

DECODERS: Mapping[str, Callable[[Space, int, NetworkOptions], nn.Module]] = {
    "mlp": DenseDecoder,
    "conv": ConvDecoder,
}

AUTOENCODERS: Mapping[str, Callable[[Space, NetworkOptions], nn.Module]] = {
    "mlp": dense_autoencoder,
    "conv": conv_autoencoder,
}

BELIEFS: Mapping[str, Callable[[Space, NetworkOptions], nn.Module]] = {"sigmoid": SigmoidBeliefs}

POINTS: Mapping[str, Callable[[Space, NetworkOptions], nn.Module]] = {
    "subpixel": SubPixel,
    "srcnn": SRCNN,
}

STATISTICS: Mapping[str, Callable[[Space, NetworkOptions], nn.Module]] = {
    "scattering": Scattering,
    "squeezenet": SqueezeNet,
    "identity": Identity,
}

PREDICTORS: Mapping[str, Callable[[Space, NetworkOptions], nn.Module]] = {
    "residual": ResidualPredictor
}

STUDENTS: Mapping[str, Callable[[Space, NetworkOptions], nn.Module]] = {
    "vae": VAEStudent,
    "mixture": MixtureStudent,
    "flow": flow_student,
}

NETWORKS: Mapping[str, Mapping[str, Callable[..., nn.Module]]] = {
    "energy": {**ENERGIES, "ladder": Ladder},  # while it trains, no function of one point
    "generator": GENERATORS,
    "encoder": ENCODERS,
    "decoder": DECODERS,
    "beliefs": BELIEFS,
    "critic": CRITICS,
    "autoencoder": AUTOENCODERS,
    "student": STUDENTS,
    "point": POINTS,
    "statistics": STATISTICS,
    "predictor": PREDICTORS,
}
"""Built-in networks by role; a role that is not listed is an energy."""


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
