"""Roles: what builds each network that a method is handed, what it sees, and what it must return."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from torch import Tensor, nn

from gibbsian.core.types import DataSpace

Shape = tuple[int, ...]
Builder = Callable[..., nn.Module]


@dataclass(frozen=True)
class Setting:
    """What a role depends on: the data, the latent dimension, the options, networks built before."""

    space: DataSpace
    latent: int
    options: Mapping[str, Any]
    networks: Mapping[str, nn.Module]


def observation(setting: Setting) -> DataSpace:
    """One observation of the data."""
    return setting.space


def takes_what_it_sees(network: nn.Module, seen: DataSpace, setting: Setting) -> tuple[Shape, ...]:
    """The observation alone."""
    return (seen.shape,)


def takes_latents(network: nn.Module, seen: DataSpace, setting: Setting) -> tuple[Shape, ...]:
    """A point of the latent space."""
    return ((setting.latent,),)


def takes_as_many_numbers(
    network: nn.Module, seen: DataSpace, setting: Setting
) -> tuple[Shape, ...]:
    """A vector of as many numbers as an observation has."""
    return ((math.prod(seen.shape),),)


def takes_noise_too(network: nn.Module, seen: DataSpace, setting: Setting) -> tuple[Shape, ...]:
    """The observation, and as many normal numbers as the network's ``noise`` says."""
    return (seen.shape, (cast("int", network.noise),))


def takes_layers_too(network: nn.Module, seen: DataSpace, setting: Setting) -> tuple[Shape, ...]:
    """The observation, and the layers above it, whose sizes the network's ``sizes`` hold."""
    return (seen.shape, *((n,) for n in cast("tuple[int, ...]", network.sizes)[1:]))


def one_number(seen: DataSpace, setting: Setting) -> Shape:
    """One number per row."""
    return ()


def what_it_sees(seen: DataSpace, setting: Setting) -> Shape:
    """The shape of what it sees."""
    return seen.shape


def an_observation(seen: DataSpace, setting: Setting) -> Shape:
    """The shape of an observation."""
    return setting.space.shape


def moments_of_latents(seen: DataSpace, setting: Setting) -> Shape:
    """Means, then log-variances, in the latent space."""
    return (2 * setting.latent,)


def parameters_of_an_observation(seen: DataSpace, setting: Setting) -> Shape:
    """Logits of bits, otherwise means and log-variances."""
    return seen.shape if seen.kind == "binary" else (2, *seen.shape)


def no_demands(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Any network will do."""
    return {}


@dataclass(frozen=True)
class Role:
    """A network that a method is handed.

    ``default``: the network's name, on images ``images`` ("": the same). ``networks``: builders by
    name, or the name of a group of ``gibbsian.networks.NETWORKS``; a builder takes ``space``, with
    ``latent_dim`` the dimension of the latent space too, and keyword-only options. ``sees``: the space it is
    built for. ``inputs``: shapes per row of what it is called with. ``returns``: the shape per row
    of its output, None where ``sees`` of another role looks at it; ``output`` says it in words.
    ``demands``: options that the method's own options ask of the network. ``trained``: refuse one
    without parameters.
    """

    default: str
    networks: str | Mapping[str, Builder]
    images: str = ""
    latent: bool = False
    sees: Callable[[Setting], DataSpace] = observation
    inputs: Callable[[nn.Module, DataSpace, Setting], tuple[Shape, ...]] = takes_what_it_sees
    returns: Callable[[DataSpace, Setting], Shape] | None = one_number
    output: str = "one observation is"
    demands: Callable[[Mapping[str, Any]], Mapping[str, Any]] = no_demands
    trained: bool = True

    def name(self, images: bool) -> str:
        """The default network's name on images or elsewhere."""
        return self.images if images and self.images else self.default

    def but(self, **changes: Any) -> Role:
        """A copy with other entries."""
        return replace(self, **changes)


ENERGY = Role("confined", "energy", images="conv")
"""E(x), one number per row."""
BOUNDED = Role("bounded", "energy", images="conv-bounded")
"""An energy of VGAN's kind."""
CRITIC = Role("mlp", "critic", images="conv")
"""f(x), one number per row."""
GENERATOR = Role(
    "mlp",
    "generator",
    images="conv",
    latent=True,
    inputs=takes_latents,
    returns=an_observation,
    trained=False,  # whether it must move, its method says
)
"""G(z), an observation."""
FLOW = Role("spline", "flow", inputs=takes_as_many_numbers, returns=an_observation)
"""G(z), an observation, z a vector of as many numbers; an ``Invertible``."""
ENCODER = Role(
    "mlp",
    "encoder",
    images="conv",
    latent=True,
    returns=moments_of_latents,
    output="means and log-variances are",
)
"""q(z|x), means and log-variances."""
DECODER = Role(
    "mlp",
    "decoder",
    images="conv",
    latent=True,
    inputs=takes_latents,
    returns=parameters_of_an_observation,
    output="the parameters of an observation's distribution are",
)
"""p(x|z), logits of bits, otherwise means and log-variances."""
AUTOENCODER = Role("mlp", "autoencoder", images="conv", returns=what_it_sees)
"""From an observation to an observation through a code."""
STUDENT = Role("vae", "student", inputs=takes_noise_too)
"""log p(x) or a bound from below, one number per row."""
BELIEF_NETWORK = Role("sigmoid", "belief_network", inputs=takes_layers_too)
"""log p(x, h) + log q(h|x), one number per row."""


def check_output(role: str, value: Tensor, expected: Shape, output: str) -> None:
    """ValueError naming both shapes if ``value`` for two rows has not the ``expected`` one."""
    if value.shape != (2, *expected):
        raise ValueError(
            f"the {role} returns {list(value.shape[1:])} per row, but {output} {list(expected)}"
        )
