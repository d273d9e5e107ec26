"""Networks by name: energies and critics, generators, encoders, decoders, students, and a user's own.

Imports core only.

Weights are drawn from PyTorch's global generator, as its layers do: seed it around a build.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch import nn

from gibbsian.core import DataSpace, nearest
from gibbsian.core.roles import Builder
from gibbsian.core.signatures import check_options
from gibbsian.networks.autoencoders import (
    AutoEncoder,
    AutoEncoderEnergy,
)
from gibbsian.networks.beliefs import SigmoidBeliefNetwork
from gibbsian.networks.decoders import ConvDecoder, DenseDecoder
from gibbsian.networks.discrete import IsingEnergy, PottsEnergy, RBMEnergy
from gibbsian.networks.encoders import ConvEncoder, DenseEncoder
from gibbsian.networks.energies import (
    BoundedRangeEnergy,
    ConfinedEnergy,
    JointClassEnergy,
    SigmoidOutputEnergy,
    UnconfinedEnergy,
)
from gibbsian.networks.flows import FlowGenerator
from gibbsian.networks.generators import ConvGenerator, DenseGenerator
from gibbsian.networks.ladder import LadderNetwork
from gibbsian.networks.minibatch import MinibatchDiscriminationCritic
from gibbsian.networks.options import ACTIVATIONS
from gibbsian.networks.pretrained import MobileNet, SqueezeNet
from gibbsian.networks.registry import (
    AUTOENCODERS,
    BELIEF_NETWORKS,
    CRITICS,
    DECODERS,
    ENCODERS,
    ENERGIES,
    GENERATORS,
    NETWORKS,
    STUDENTS,
)
from gibbsian.networks.residual import (
    ResidualDecoder,
    ResidualEncoder,
    ResidualGenerator,
    ResidualTrunk,
)
from gibbsian.networks.students import FlowStudent, MixtureStudent, VAEStudent
from gibbsian.networks.trunks import ConvTrunk, DenseTrunk
from gibbsian.networks.user import build_user, load_user

__all__ = [
    "ACTIVATIONS",
    "AUTOENCODERS",
    "BELIEF_NETWORKS",
    "CRITICS",
    "DECODERS",
    "ENCODERS",
    "ENERGIES",
    "GENERATORS",
    "NETWORKS",
    "STUDENTS",
    "AutoEncoder",
    "AutoEncoderEnergy",
    "BoundedRangeEnergy",
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
    "IsingEnergy",
    "JointClassEnergy",
    "LadderNetwork",
    "MinibatchDiscriminationCritic",
    "MixtureStudent",
    "MobileNet",
    "PottsEnergy",
    "RBMEnergy",
    "ResidualDecoder",
    "ResidualEncoder",
    "ResidualGenerator",
    "ResidualTrunk",
    "SigmoidBeliefNetwork",
    "SigmoidOutputEnergy",
    "SqueezeNet",
    "UnconfinedEnergy",
    "VAEStudent",
    "build_autoencoder",
    "build_belief_network",
    "build_critic",
    "build_decoder",
    "build_encoder",
    "build_energy",
    "build_generator",
    "build_network",
    "build_student",
]


def build_energy(name: str, space: DataSpace, **options: Any) -> nn.Module:
    """The energy (or critic) ``name`` for observations of ``space``, with options of its own.

    ``package.module:Class`` is a user's own. ValueError for an unknown name or option, or an unfit space.
    """
    return build_network("energy", name, options, space=space)


def build_critic(name: str, space: DataSpace, **options: Any) -> nn.Module:
    """The critic ``name`` for observations of ``space``; names as for ``build_energy``."""
    return build_network("critic", name, options, space=space)


def build_student(name: str, space: DataSpace, **options: Any) -> nn.Module:
    """The student ``name``, a log-density on ``space``; names as for ``build_energy``."""
    return build_network("student", name, options, space=space)


def build_autoencoder(name: str, space: DataSpace, **options: Any) -> nn.Module:
    """The auto-encoder ``name`` of ``space`` with a code in [-1, 1]; names as for ``build_energy``."""
    return build_network("autoencoder", name, options, space=space)


def build_generator(name: str, space: DataSpace, latent_dim: int, **options: Any) -> nn.Module:
    """The generator ``name`` from ``[B, latent_dim]`` to ``space``; names as for ``build_energy``."""
    return build_network("generator", name, options, space=space, latent_dim=latent_dim)


def build_encoder(name: str, space: DataSpace, latent_dim: int, **options: Any) -> nn.Module:
    """The encoder ``name`` from ``space`` to ``[B, 2 latent_dim]``; names as for ``build_energy``."""
    return build_network("encoder", name, options, space=space, latent_dim=latent_dim)


def build_decoder(name: str, space: DataSpace, latent_dim: int, **options: Any) -> nn.Module:
    """The decoder ``name`` from ``[B, latent_dim]`` to p(x|z) on ``space``; names as for ``build_energy``."""
    return build_network("decoder", name, options, space=space, latent_dim=latent_dim)


def build_belief_network(name: str, space: DataSpace, **options: Any) -> nn.Module:
    """The belief network ``name`` above ``space``; names as for ``build_energy``."""
    return build_network("belief_network", name, options, space=space)


def build_network(role: str, name: str, options: Mapping[str, Any], **known: Any) -> nn.Module:
    """The network ``name`` of the group ``role``, given the ``known`` space and latent dimension.

    ValueError for an unknown name, and naming the options that it has for one that it has not.
    """
    return build_from(NETWORKS[role], role, name, options, **known)


def build_from(
    networks: Mapping[str, Builder], role: str, name: str, options: Mapping[str, Any], **known: Any
) -> nn.Module:
    """As ``build_network``, from builders by name."""
    if "latent_dim" in known and known["latent_dim"] < 1:
        article = "an" if role[0] in "aeiou" else "a"
        raise ValueError(
            f"{article} {role} needs a latent dimension of at least 1, not {known['latent_dim']}"
        )
    builder = network_builder(networks, role, name)
    check_options(f"the {role} network {name}", builder, options)
    if ":" in name:
        return build_user(name, cast("type[nn.Module]", builder), options, **known)
    return builder(**known, **options)


def network_builder(networks: Mapping[str, Builder], role: str, name: str) -> Builder:
    """The class or function ``name`` of a ``role``; ValueError for an unknown name."""
    if ":" in name:
        return load_user(name)
    if name not in networks:
        raise nearest(f"{role} network", name, ["package.module:Class", *networks])
    return networks[name]
