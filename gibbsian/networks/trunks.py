"""Trunks: from an observation ``[B, *event]`` to features ``[B, features]`` that an energy reads.

No batch normalisation unless a network asks for it by name, as auto-encoders may: an energy is a
function of one point, and it is differentiated by x.
A trunk made with ``time`` also takes noise levels t ``[B]`` in [0, 1], 0 the cleanest: a linear map of
their features is added where the first layer has summed its inputs. No t means t = 0.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from gibbsian.core import DataSpace
from gibbsian.core.signatures import RARE
from gibbsian.networks.options import Activation, activate, check_counts, check_positive

SMALLEST = 4


Layer = nn.Linear | nn.Conv2d | nn.ConvTranspose2d


def layers_of(module: nn.Module) -> list[Layer]:
    """The dense and convolutional layers of ``module``."""
    return [layer for layer in module.modules() if isinstance(layer, Layer)]


def glorot(module: nn.Module) -> None:
    """Glorot-uniform weights and zero biases in every layer of ``module`` (Glorot, Bengio 2010)."""
    for layer in layers_of(module):
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def he(module: nn.Module) -> None:
    """Weights of variance 2 / fan-in and zero biases in every layer of ``module`` (He et al. 2015).

    Signals keep their size through stacks of rectifiers, where PyTorch's and Glorot's weights let
    them fade. The fan-in is the number of products in one output; a transposed convolution spreads
    its kernel over stride^2 of them.
    """
    for layer in layers_of(module):
        fan_in: float = layer.weight[0].numel()
        if isinstance(layer, nn.ConvTranspose2d):
            taps = math.prod(layer.kernel_size) / math.prod(layer.stride)
            fan_in = layer.in_channels * taps
        bound = math.sqrt(6.0 / fan_in)
        nn.init.uniform_(layer.weight, -bound, bound)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def halvings(size: int) -> list[int]:
    """``size``, its half rounded up, and so on down to ``SMALLEST`` or less: 28, 14, 7, 4."""
    sizes = [size]
    while sizes[-1] > SMALLEST:
        sizes.append((sizes[-1] + 1) // 2)
    return sizes


class Fourier(nn.Module):
    """x with cos(W x) and sin(W x) appended, W drawn once from N(0, scale^2) (Tancik et al. 2020)."""

    def __init__(self, dim: int, count: int, scale: float):
        super().__init__()
        self.register_buffer("W", scale * torch.randn(count, dim))
        self.W: Tensor
        self.features = dim + 2 * count

    def forward(self, x: Tensor) -> Tensor:
        """``[B, dim] -> [B, dim + 2 count]``."""
        phase = x @ self.W.T
        return torch.cat([x, phase.cos(), phase.sin()], dim=1)


def append_fourier(layers: list[nn.Module], dim: int, fourier_features: int, scale: float) -> int:
    """Append ``fourier_features`` random frequencies of vectors ``[B, dim]`` to ``layers``; the new width."""
    if fourier_features < 0:
        raise ValueError(f"fourier_features must be 0 (none) or a count, not {fourier_features}")
    check_positive(fourier_scale=scale)
    if fourier_features == 0:
        return dim
    features = Fourier(dim, fourier_features, scale)
    layers.append(features)
    return features.features


class Time(nn.Module):
    """(t, sin(pi f t), cos(pi f t)), f = 1/2, mapped linearly to ``width`` numbers.

    Slow in t on purpose: an energy that could change fast between noise levels would be free to
    dig holes at the cleanest one, in places that only noisier samples reach.
    """

    frequencies: ClassVar[tuple[float, ...]] = (0.5,)

    def __init__(self, width: int):
        super().__init__()
        self.linear = nn.Linear(1 + 2 * len(self.frequencies), width)

    def forward(self, t: Tensor) -> Tensor:
        """``[B] -> [B, width]``."""
        phase = torch.cat([math.pi * t[:, None] * f for f in self.frequencies], dim=1)
        mapped: Tensor = self.linear(torch.cat([t[:, None], phase.sin(), phase.cos()], dim=1))
        return mapped


def apply_at(
    layers: nn.Sequential, first: int, time: Time | None, x: Tensor, t: Tensor | None
) -> Tensor:
    """``layers(x)`` with ``time(t)``, one number per channel, added to what layer ``first`` returns.

    Raises ValueError for a ``t`` that no network takes or that is not one number per row.
    """
    if time is None:
        if t is not None:
            raise ValueError("this energy takes no noise level t; build it with the option time")
        return layers(x)
    if t is None:
        t = x.new_zeros(len(x))
    elif t.shape != (len(x),):
        raise ValueError(f"t must hold one noise level per row, [{len(x)}], not {list(t.shape)}")
    for index, layer in enumerate(layers):
        x = layer(x)
        if index == first:
            x = x + time(t).view(len(x), -1, *[1] * (x.dim() - 2))
    return x


class DenseTrunk(nn.Module):
    """Flatten, optional Fourier features, ``depth`` dense layers of ``width`` units.

    Weights and biases start as PyTorch has them, uniform in +-1/sqrt(fan-in): with zero biases
    every kink of the first layer would sit at the origin. ``batch_norm`` normalises every layer
    but the first; ``time`` takes noise levels too.

    Args:
        width: units of each hidden layer.
        depth: number of hidden layers.
        activation: non-linearity; smooth ones suit Langevin sampling and Jacobians.
        fourier_features: number of random frequencies appended as sines and cosines; 0 for none.
        fourier_scale: standard deviation of these frequencies, in radians per unit of the input.
        dropout: share of the hidden units that each training step leaves out.
    """

    def __init__(
        self,
        space: DataSpace,
        batch_norm: bool = False,
        time: bool = False,
        *,
        width: int = 128,
        depth: int = 2,
        activation: Activation = "silu",
        fourier_features: int = 0,
        fourier_scale: Annotated[float, RARE] = 2.0,
        dropout: Annotated[float, RARE] = 0.0,
    ):
        super().__init__()
        check_counts(width=width, depth=depth)
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is a share and must lie in [0, 1), not {dropout}")
        layers: list[nn.Module] = [nn.Flatten()]
        dim = append_fourier(layers, math.prod(space.shape), fourier_features, fourier_scale)
        self.first = len(layers)
        for index, (before, after) in enumerate(pairwise([dim] + [width] * depth)):
            layers.append(nn.Linear(before, after))
            if batch_norm and index > 0:
                layers.append(nn.BatchNorm1d(after))
            layers.append(activate(activation))
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
        self.layers = nn.Sequential(*layers)
        self.time = Time(width) if time else None
        self.features = width

    def forward(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """``[B, *event]``, ``[B] -> [B, width]``."""
        return apply_at(self.layers, self.first, self.time, x, t)


class ConvTrunk(nn.Module):
    """A 3x3 convolution, then stride-2 ones that halve the image to 4 pixels or less, and a dense layer.

    Channels double at each halving, up to four times the first. Any size; made for 8 to 64 pixels.

    Args:
        channels: channels of the first convolution.
        width: units of the dense layer.
        activation: non-linearity; smooth ones suit Langevin sampling and Jacobians.
    """

    def __init__(
        self,
        space: DataSpace,
        time: bool = False,
        *,
        channels: int = 32,
        width: int = 128,
        activation: Activation = "silu",
    ):
        super().__init__()
        check_counts(channels=channels, width=width)
        planes, high, wide = image_shape(space)
        steps = max(len(halvings(high)), len(halvings(wide))) - 1
        counts = [channels * min(4, 2**i) for i in range(steps + 1)]
        layers: list[nn.Module] = [nn.Conv2d(planes, counts[0], 3, padding=1), activate(activation)]
        for before, after in pairwise(counts):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), activate(activation)]
            high, wide = (high + 1) // 2, (wide + 1) // 2
        dense = nn.Linear(counts[-1] * high * wide, width)
        self.layers = nn.Sequential(*layers, nn.Flatten(), dense, activate(activation))
        self.time = Time(counts[0]) if time else None
        self.features = width
        he(self.layers)

    def forward(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """``[B, C, H, W]``, ``[B] -> [B, width]``."""
        return apply_at(self.layers, 0, self.time, x, t)


def image_shape(space: DataSpace) -> tuple[int, int, int]:
    """(C, H, W) of an image space; ValueError for anything else."""
    if len(space.shape) != 3:
        raise ValueError(
            f"a convolutional network needs images of shape (C, H, W), not {space.shape}; use mlp"
        )
    channels, height, width = space.shape
    return channels, height, width


def timed_dense(
    space: DataSpace,
    batch_norm: bool = False,
    *,
    time: Annotated[bool, RARE] = False,
    **trunk: Annotated[Any, DenseTrunk],
) -> DenseTrunk:
    """Dense layers of an energy.

    Args:
        time: take a noise level as a second input, as the diffusion bound and noise-levels need.
    """
    return DenseTrunk(space, batch_norm, time, **trunk)


def timed_conv(
    space: DataSpace, *, time: Annotated[bool, RARE] = False, **trunk: Annotated[Any, ConvTrunk]
) -> ConvTrunk:
    """Convolutions of an energy.

    Args:
        time: take a noise level as a second input, as the diffusion bound and noise-levels need.
    """
    return ConvTrunk(space, time, **trunk)
