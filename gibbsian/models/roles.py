"""What the network of each role is built by, what it sees and what it returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple, cast

from torch import nn

from gibbsian.config.config import Config
from gibbsian.core import Space
from gibbsian.methods import METHODS
from gibbsian.methods.completion import check_picture
from gibbsian.networks import statistics_space

Shape = tuple[int, ...]


class Role(NamedTuple):
    """How a network with a latent space is built, its shapes per row from (space, latent), its output."""

    shapes: Callable[[Space, int], tuple[Shape, Shape]]
    output: str


def generator_shapes(space: Space, latent: int) -> tuple[Shape, Shape]:
    """What a generator takes and returns."""
    return (latent,), space.shape


def encoder_shapes(space: Space, latent: int) -> tuple[Shape, Shape]:
    """What an encoder takes and returns: means, then log-variances."""
    return space.shape, (2 * latent,)


def decoder_shapes(space: Space, latent: int) -> tuple[Shape, Shape]:
    """What a decoder takes and returns: logits of bits, otherwise means and log-variances."""
    return (latent,), space.shape if space.kind == "binary" else (2, *space.shape)


LATENT_ROLES: Mapping[str, Role] = {
    "generator": Role(generator_shapes, "one observation is"),
    "encoder": Role(encoder_shapes, "means and log-variances are"),
    "decoder": Role(decoder_shapes, "the parameters of an observation's law are"),
}
"""Every other role gives one number per observation."""
ERRORS_OF_MODULES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
)
"""What a module's constructor or forward pass raises when it does not fit; ValueErrors speak already."""


@contextmanager
def blaming(network: str) -> Iterator[None]:
    """Make a ValueError of what goes wrong in a network: it may be the user's own."""
    try:
        yield
    except ERRORS_OF_MODULES as error:
        what = str(error).partition("\n")[0]
        raise ValueError(
            f"{network} fails with {type(error).__name__}: {what} (GIBBSIAN_DEBUG=1 shows where)"
        ) from error


def packed(config: Config, role: str, space: Space) -> Space:
    """What the network of ``role`` sees: one observation, or several joined along their first axis."""
    packs = METHODS[config.method].packs
    count = config.options[packs[role]] if role in packs else 1
    return dataclasses.replace(space, shape=(count * space.shape[0], *space.shape[1:]))


def input_space(config: Config, role: str, space: Space, parts: Mapping[str, object]) -> Space:
    """What the network of ``role`` sees: observations, small pictures, or the statistics' maps."""
    if role == "point":
        factor: int = config.options["factor"]
        check_picture(space.shape, factor)
        channels, height, width = space.shape
        return dataclasses.replace(space, shape=(channels, height // factor, width // factor))
    if role == "predictor":
        with blaming("the statistics network"):
            return statistics_space(cast("nn.Module", parts["statistics"]), space)
    return packed(config, role, space)
