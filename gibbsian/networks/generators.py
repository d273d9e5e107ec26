"""Generators G: ``[B, latent] -> [B, *event]``, squashed into the space's box where it has one."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from gibbsian.core import Space
from gibbsian.networks.options import NetworkOptions
from gibbsian.networks.trunks import Fourier, glorot, halvings, he, image_shape


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
    """

    def __init__(self, space: Space, latent: int, options: NetworkOptions):
        super().__init__()
        self.shape, self.box = space.shape, space.box
        layers: list[nn.Module] = []
        if options.fourier:
            fourier = Fourier(latent, options.fourier, options.fourier_scale)
            layers.append(fourier)
            latent = fourier.features
        for before, after in pairwise([latent] + [options.width] * options.depth):
            layers.append(nn.Linear(before, after, bias=not options.batch_norm))
            if options.batch_norm:
                layers.append(nn.BatchNorm1d(after))
            layers.append(options.activate())
        self.layers = nn.Sequential(*layers, nn.Linear(options.width, math.prod(space.shape)))

    def forward(self, z: Tensor) -> Tensor:
        """``[B, latent] -> [B, *event]``."""
        return squash(self.layers(z).view(-1, *self.shape), self.box)


class ConvGenerator(nn.Module):
    """A dense layer to at most 4x4 pixels, then transposed convolutions that double to the size.

    The mirror of ``ConvTrunk``: 28 pixels grow 4, 7, 14, 28, a doubled image being cropped where
    the size is odd.
    """

    def __init__(self, space: Space, latent: int, options: NetworkOptions):
        super().__init__()
        channels, height, width = image_shape(space)
        steps = max(len(halvings(height)), len(halvings(width))) - 1
        self.sizes = [(-(-height // 2**i), -(-width // 2**i)) for i in range(steps, -1, -1)]
        counts = [options.channels * min(4, 2**i) for i in range(steps, -1, -1)]
        self.box = space.box
        self.start = (counts[0], *self.sizes[0])
        self.dense = nn.Sequential(nn.Linear(latent, math.prod(self.start)), options.activate())
        self.doublings = nn.ModuleList()
        for before, after in pairwise(counts):
            block: list[nn.Module] = [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)]
            if options.batch_norm:
                block.append(nn.BatchNorm2d(after))
            self.doublings.append(nn.Sequential(*block, options.activate()))
        self.head = nn.Conv2d(counts[-1], channels, 3, padding=1)
        he(self)
        glorot(self.head)

    def forward(self, z: Tensor) -> Tensor:
        """``[B, latent] -> [B, C, H, W]``."""
        x = self.dense(z).view(-1, *self.start)
        for doubling, (height, width) in zip(self.doublings, self.sizes[1:], strict=True):
            x = doubling(x)[..., :height, :width]
        return squash(self.head(x), self.box)
