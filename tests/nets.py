"""Built-in networks of test sizes: each takes of one mapping the options that it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from gibbsian.config.config import Config
from gibbsian.core import DataSpace
from gibbsian.core.roles import Builder
from gibbsian.core.signatures import options_of
from gibbsian.methods import SuperResolution
from gibbsian.networks import NETWORKS, build_from, build_network, network_builder


def fitting(role: str, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The ``options`` that the network ``name`` of ``role`` has."""
    known = options_of(network_builder(group(role), role, name))
    return {option: value for option, value in options.items() if option in known}


def group(role: str) -> Mapping[str, Builder]:
    return NETWORKS[role] if role in NETWORKS else SuperResolution.roles[role].networks


def build_named(role: str, name: str, space: DataSpace, options: Mapping[str, Any]) -> nn.Module:
    return build_from(group(role), role, name, fitting(role, name, options), space=space)


def build_energy(name: str, space: DataSpace, options: Mapping[str, Any]) -> nn.Module:
    return build_named("energy", name, space, options)


def build_critic(name: str, space: DataSpace, options: Mapping[str, Any]) -> nn.Module:
    return build_named("critic", name, space, options)


def build_student(name: str, space: DataSpace, options: Mapping[str, Any]) -> nn.Module:
    return build_named("student", name, space, options)


def build_autoencoder(name: str, space: DataSpace, options: Mapping[str, Any]) -> nn.Module:
    return build_named("autoencoder", name, space, options)


def build_belief_network(name: str, space: DataSpace, options: Mapping[str, Any]) -> nn.Module:
    return build_named("belief_network", name, space, options)


def latent_network(
    role: str, name: str, space: DataSpace, latent_dim: int, options: Mapping[str, Any]
) -> nn.Module:
    return build_network(
        role, name, fitting(role, name, options), space=space, latent_dim=latent_dim
    )


def build_generator(
    name: str, space: DataSpace, latent_dim: int, options: Mapping[str, Any]
) -> nn.Module:
    return latent_network("generator", name, space, latent_dim, options)


def build_encoder(
    name: str, space: DataSpace, latent_dim: int, options: Mapping[str, Any]
) -> nn.Module:
    return latent_network("encoder", name, space, latent_dim, options)


def build_decoder(
    name: str, space: DataSpace, latent_dim: int, options: Mapping[str, Any]
) -> nn.Module:
    return latent_network("decoder", name, space, latent_dim, options)


def sized(config: Config, sizes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Changes of ``config`` that give each of its networks the ``sizes`` that it has."""
    return {
        role: {option: size for option, size in sizes.items() if option in network.options}
        for role, network in config.networks.items()
    }
