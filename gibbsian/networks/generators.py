"""Generators G: ``[B, latent_dim] -> [B, *event]``, squashed into the space's box where it has one."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor, nn

from gibbsian.core import DataSpace
from gibbsian.core.signatures import RARE
from gibbsian.networks.options import Activation, activate, check_counts
from gibbsian.networks.trunks import append_fourier, glorot, halvings, he, image_shape


def squash(a: Tensor, box: tuple[float, float] | None) -> Tensor:
    """low + (high - low)(1 + tanh a) / 2, or ``a`` itself without a box."""
    if box is None:
        return a
    low, high = box
    return low + (high - low) * 0.5 * (1.0 + torch.tanh(a))


class DenseGenerator(nn.Module):
    """``depth`` dense layers of ``width`` units and a linear head, reshaped to the event.

    Fourier features of z let it change steeply: a smooth map from a ball can share samples out
    among separated modes only by steep transitions, and leaves those on the way between them.

    Args:
        width: units of each hidden layer.
        depth: number of hidden layers.
        activation: non-linearity; smooth ones suit Jacobians and latent sampling.
        fourier_features: number of random frequencies of z appended as sines and cosines; 0 for none.
        fourier_scale: standard deviation of these frequencies, in radians per unit of z.
        batch_norm: normalise the hidden layers by batch.
    """

    def __init__(
        self,
        space: DataSpace,
        latent_dim: int,
        *,
        width: int = 128,
        depth: int = 2,
        activation: Activation = "silu",
        fourier_features: int = 0,
        fourier_scale: Annotated[float, RARE] = 2.0,
        batch_norm: bool = False,
    ):
        super().__init__()
        check_counts(width=width, depth=depth)
        self.shape, self.box = space.shape, space.box
        layers: list[nn.Module] = []
        latent_dim = append_fourier(layers, latent_dim, fourier_features, fourier_scale)
        for before, after in pairwise([latent_dim] + [width] * depth):
            layers.append(nn.Linear(before, after, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm1d(after))
            layers.append(activate(activation))
        self.layers = nn.Sequential(*layers, nn.Linear(width, math.prod(space.shape)))

    def forward(self, z: Tensor) -> Tensor:
        """``[B, latent_dim] -> [B, *event]``."""
        return squash(self.layers(z).view(-1, *self.shape), self.box)


class ConvGenerator(nn.Module):
    """A dense layer to at most 4x4 pixels, then transposed convolutions that double to the size.

    The mirror of ``ConvTrunk``: 28 pixels grow 4, 7, 14, 28, a doubled image being cropped where
    the size is odd.

    Args:
        channels: channels of the largest images; smaller ones have up to four times as many.
        activation: non-linearity; smooth ones suit Jacobians and latent sampling.
        batch_norm: normalise the hidden layers by batch.
    """

    def __init__(
        self,
        space: DataSpace,
        latent_dim: int,
        *,
        channels: int = 32,
        activation: Activation = "silu",
        batch_norm: bool = False,
    ):
        super().__init__()
        check_counts(channels=channels)
        planes, height, width = image_shape(space)
        steps = max(len(halvings(height)), len(halvings(width))) - 1
        self.sizes = [(-(-height // 2**i), -(-width // 2**i)) for i in range(steps, -1, -1)]
        counts = [channels * min(4, 2**i) for i in range(steps, -1, -1)]
        self.box = space.box
        self.start = (counts[0], *self.sizes[0])
        self.dense = nn.Sequential(
            nn.Linear(latent_dim, math.prod(self.start)), activate(activation)
        )
        self.doublings = nn.ModuleList()
        for before, after in pairwise(counts):
            block: list[nn.Module] = [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)]
            if batch_norm:
                block.append(nn.BatchNorm2d(after))
            self.doublings.append(nn.Sequential(*block, activate(activation)))
        self.head = nn.Conv2d(counts[-1], planes, 3, padding=1)
        he(self)
        glorot(self.head)

    def forward(self, z: Tensor) -> Tensor:
        """``[B, latent_dim] -> [B, C, H, W]``."""
        x = self.dense(z).view(-1, *self.start)
        for doubling, (height, width) in zip(self.doublings, self.sizes[1:], strict=True):
            x = doubling(x)[..., :height, :width]
        return squash(self.head(x), self.box)
