"""What networks share: activations, first weights, and checks of their options."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from torch import nn

Activation = Literal["silu", "relu", "leaky-relu", "tanh", "softplus", "prelu"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "silu": nn.SiLU,
    "relu": nn.ReLU,
    "leaky-relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "prelu": nn.PReLU,
}


def activate(name: str) -> nn.Module:
    """A new activation module; ValueError for an unknown name."""
    if name not in ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}; choose from {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()


def check_counts(**counts: int) -> None:
    """ValueError unless every one of ``counts`` is at least 1."""
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1, not {count}")


def check_positive(**values: float) -> None:
    """ValueError unless every one of ``values`` is finite and positive."""
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive, not {value}")


def draw_normal(net: nn.Module, init_std: float) -> None:
    """Draw every parameter of ``net`` from N(0, init_std^2); 0 leaves them as they are."""
    if not 0 <= init_std < math.inf:
        raise ValueError(
            f"init_std must be 0 (each layer's own first weights) or positive, not {init_std}"
        )
    if init_std > 0:
        for parameter in net.parameters():
            nn.init.normal_(parameter, std=init_std)
