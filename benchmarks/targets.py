"""The energies that samplers are compared on, in every form a contestant needs, and their moments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import torch
from torch import Tensor, nn
from torchebm.core import BaseModel

WIDTH = 128


class DoubleWell(nn.Module):
    """E(x) = 2 sum_i (x_i^2 - 1)^2; in two dimensions log Z = 0.68848 and E[x_i^2] = 0.85214."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * (x.square() - 1).square().sum(-1)


class AnalyticDoubleWell(DoubleWell):
    """The same with its gradient written down."""

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        well = x.square() - 1
        return 2 * well.square().sum(-1), 8 * x * well


class MLPEnergy(nn.Module):
    """A random multilayer perceptron (2-128-128-1, SiLU) in a quadratic envelope."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Linear(2, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, 1)
        )
        self.requires_grad_(False)  # samplers differentiate by x alone

    def forward(self, x: Tensor) -> Tensor:
        return 10 * self.layers(x).squeeze(-1) + x.square().sum(-1) / 2


class ForTorchEBM(BaseModel):
    """An energy as torchebm takes it."""

    def __init__(self, energy: nn.Module) -> None:
        super().__init__()
        self.energy = energy

    def forward(self, x: Tensor) -> Tensor:
        return self.energy(x)


def double_well_jax(x: jax.Array) -> jax.Array:
    return 2 * ((x**2 - 1) ** 2).sum()


def mlp_jax(energy: MLPEnergy) -> Callable[[jax.Array], jax.Array]:
    """The same network, one point at a time."""
    linear = [layer for layer in energy.layers if isinstance(layer, nn.Linear)]
    weights = [(jnp.asarray(f.weight.numpy()), jnp.asarray(f.bias.numpy())) for f in linear]

    def value(x: jax.Array) -> jax.Array:
        y = x
        for i, (weight, bias) in enumerate(weights):
            y = weight @ y + bias
            y = jax.nn.silu(y) if i < len(weights) - 1 else y
        return 10 * y[0] + (x**2).sum() / 2

    return value


@dataclass(frozen=True)
class Target:
    """One energy: for torch, with an analytic gradient if there is one, for torchebm, for JAX."""

    name: str
    energy: nn.Module
    analytic: Any
    torchebm: BaseModel
    jax: Callable[[jax.Array], jax.Array]

    def second_moment(self) -> float:
        """E[(x_1^2 + x_2^2) / 2] by quadrature."""
        axis = torch.linspace(-6, 6, 1001, dtype=torch.float64)
        x = torch.cartesian_prod(axis, axis)
        with torch.no_grad():
            energies = torch.cat([self.energy.double()(part) for part in x.split(50_000)])
        self.energy.float()
        weights = (-energies).softmax(0)
        return float((weights * x.square().mean(1)).sum())


def targets() -> tuple[Target, ...]:
    well, mlp = DoubleWell(), MLPEnergy()
    return (
        Target("double well", well, AnalyticDoubleWell(), ForTorchEBM(well), double_well_jax),
        Target("mlp", mlp, None, ForTorchEBM(mlp), mlp_jax(mlp)),
    )
