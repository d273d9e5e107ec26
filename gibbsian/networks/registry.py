"""The built-in networks by role and name, each a function of the space it sees and its options."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from torch import nn

from gibbsian.core import Space
from gibbsian.networks.autoencoders import (
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
    JointEnergy,
    LinearEnergy,
    SigmoidEnergy,
)
from gibbsian.networks.flows import FlowGenerator
from gibbsian.networks.generators import ConvGenerator, DenseGenerator
from gibbsian.networks.ladder import Ladder
from gibbsian.networks.minibatch import MinibatchCritic
from gibbsian.networks.options import NetworkOptions
from gibbsian.networks.pretrained import SqueezeNet
from gibbsian.networks.scattering import Identity, Scattering
from gibbsian.networks.students import FlowStudent, MixtureStudent, VAEStudent
from gibbsian.networks.super_resolution import (
    SRCNN,
    ResidualPredictor,
    SubPixel,
)
from gibbsian.networks.trunks import ConvTrunk, DenseTrunk


def mlp(space: Space, options: NetworkOptions) -> LinearEnergy:
    """Dense layers and a linear head; no normaliser on R^d."""
    return LinearEnergy(DenseTrunk(space, options))


def confined(space: Space, options: NetworkOptions) -> ConfinedEnergy:
    """Dense layers and a quadratic envelope; has a normaliser on R^d."""
    return ConfinedEnergy(DenseTrunk(space, options), options.confinement_std)


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


def joint(space: Space, options: NetworkOptions) -> JointEnergy:
    """Logits of ``classes`` on dense layers as an energy, with a quadratic envelope."""
    return JointEnergy(DenseTrunk(space, options), options.classes, options.confinement_std)


def conv_joint(space: Space, options: NetworkOptions) -> JointEnergy:
    """Logits of ``classes`` on convolutions as an energy, with a quadratic envelope, for images."""
    return JointEnergy(ConvTrunk(space, options), options.classes, options.confinement_std)


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
    "joint": joint,
    "conv-joint": conv_joint,
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
