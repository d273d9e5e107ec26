"""Networks by name: energies (critics too) and generators, and a user's own.

Weights are drawn from PyTorch's global generator, as its layers do: seed it around a build.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping

from torch import nn

from gibbsian.core import Space
from gibbsian.networks.energies import (
    BoundedEnergy,
    ConfinedEnergy,
    LinearEnergy,
    SigmoidEnergy,
    bernoulli_entropy,
)
from gibbsian.networks.generators import ConvGenerator, DenseGenerator
from gibbsian.networks.options import ACTIVATIONS, NetworkOptions
from gibbsian.networks.trunks import ConvTrunk, DenseTrunk
from gibbsian.networks.user import load_user

__all__ = [
    "ACTIVATIONS",
    "ENERGIES",
    "GENERATORS",
    "BoundedEnergy",
    "ConfinedEnergy",
    "ConvGenerator",
    "ConvTrunk",
    "DenseGenerator",
    "DenseTrunk",
    "LinearEnergy",
    "NetworkOptions",
    "SigmoidEnergy",
    "bernoulli_entropy",
    "build_energy",
    "build_generator",
    "load_user",
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


ENERGIES: Mapping[str, Callable[[Space, NetworkOptions], nn.Module]] = {
    "mlp": mlp,
    "confined": confined,
    "bounded": bounded,
    "sigmoid": sigmoid,
    "conv": conv,
    "conv-bounded": conv_bounded,
}

GENERATORS: Mapping[str, Callable[[Space, int, NetworkOptions], nn.Module]] = {
    "mlp": DenseGenerator,
    "conv": ConvGenerator,
}


def build_energy(name: str, space: Space, options: NetworkOptions) -> nn.Module:
    """The energy (or critic) ``name`` for observations of ``space``.

    ``package.module:Class`` is a user's own. ValueError for an unknown name or an unfit space.
    """
    if ":" in name:
        return load_user(name, space=space, options=options)
    _check_name("energy", name, ENERGIES)
    return ENERGIES[name](space, options)


def build_generator(name: str, space: Space, latent: int, options: NetworkOptions) -> nn.Module:
    """The generator ``name`` from ``[B, latent]`` to ``space``; names as for ``build_energy``."""
    if latent < 1:
        raise ValueError(f"a generator needs a latent dimension of at least 1, not {latent}")
    if ":" in name:
        return load_user(name, space=space, latent=latent, options=options)
    _check_name("generator", name, GENERATORS)
    return GENERATORS[name](space, latent, options)


def _check_name(role: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        nearest = difflib.get_close_matches(name, known, 3, 0.3) or list(known)
        raise ValueError(f"unknown {role} network {name!r}; did you mean {', '.join(nearest)}?")
