"""Residual networks for images, in three sizes: trunk, generator, encoder and decoder.

Pre-activation blocks (He et al. 2016, *Identity mappings in deep residual networks*) that halve an image
by average pooling and double it by repeating pixels, inside of the block (Brock et al. 2019; before the
first convolution, as in Dhariwal, Nichol 2021). With the smooth activation that is the default all
derivatives exist, as gradient penalties and score matching need. No batch normalisation: an energy is a
function of one image.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from gibbsian.core import DataSpace
from gibbsian.core.signatures import RARE
from gibbsian.networks.decoders import arranged, parameter_space
from gibbsian.networks.generators import squash
from gibbsian.networks.options import Activation, activate, draw_normal
from gibbsian.networks.trunks import Time, apply_at, glorot, halvings, he, image_shape

Size = Literal["small", "medium", "large"]
Linear = TypeVar("Linear", nn.Linear, nn.Conv2d)

SIZES: dict[str, tuple[int, int]] = {"small": (16, 1), "medium": (32, 2), "large": (64, 2)}
"""Channels at full size, which double at each halving up to four times as many; blocks per halving."""

PER_GROUP = 8
"""Channels of a group of group normalisation."""


def unchanged(x: Tensor) -> Tensor:
    """``x``."""
    return x


def halved(x: Tensor) -> Tensor:
    """Means over 2x2 pixels, at an odd edge over those there are, ``[B, C, H, W] -> [B, C, H/2, W/2]``."""
    return avg_pool2d(x, 2, ceil_mode=True)


def doubled(x: Tensor) -> Tensor:
    """Every pixel as 2x2 pixels, ``[B, C, H, W] -> [B, C, 2 H, 2 W]``."""
    return interpolate(x, scale_factor=2.0, mode="nearest")


def activated(channels: int, activation: Activation, group_norm: bool) -> nn.Sequential:
    """Group normalisation (Wu, He 2018) where asked for, and the activation."""
    norm = [nn.GroupNorm(channels // PER_GROUP, channels)] if group_norm else []
    return nn.Sequential(*norm, activate(activation))


def keeping_variance(layer: Linear) -> Linear:
    """``layer``, which no rectifier stands before, with weights of variance 1 / fan-in and zero bias."""
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="linear")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class ResidualBlock(nn.Module):
    """y = (s(x) + r(x)) / sqrt(2), r two activated 3x3 convolutions, s the identity or a 1x1 convolution.

    ``resample`` comes before the first convolution of both branches. Each branch about keeps the variance
    of x, and so does y: the sum of two is divided by sqrt(2) (Karras et al. 2020).
    """

    def __init__(
        self,
        before: int,
        after: int,
        resample: Callable[[Tensor], Tensor],
        activation: Activation,
        group_norm: bool,
    ):
        super().__init__()
        self.resample = resample
        self.activate1 = activated(before, activation, group_norm)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.activate2 = activated(after, activation, group_norm)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        he(self)
        self.skip: nn.Module = nn.Identity()
        if before != after:
            self.skip = keeping_variance(nn.Conv2d(before, after, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, before, H, W] -> [B, after, H', W']``, H' and W' as ``resample`` makes them."""
        r = self.conv2(self.activate2(self.conv1(self.resample(self.activate1(x)))))
        y: Tensor = (self.skip(self.resample(x)) + r) * math.sqrt(0.5)
        return y


class SelfAttention(nn.Module):
    """y = x + gamma softmax(q k^T / sqrt(C)) v over the pixels, gamma 0 at the start (Zhang et al. 2019).

    Written out, since PyTorch's fused attention has no second derivatives.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.qkv = keeping_variance(nn.Conv2d(channels, 3 * channels, 1, bias=False))
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W] -> [B, C, H, W]``."""
        q, k, v = self.qkv(x).flatten(2).chunk(3, dim=1)  # [B, C, HW]
        weights = torch.softmax(q.transpose(1, 2) @ k / math.sqrt(x.shape[1]), dim=2)
        y: Tensor = x + self.gamma * (v @ weights.transpose(1, 2)).view_as(x)
        return y


def counts_and_blocks(size: str, steps: int) -> tuple[list[int], int]:
    """Channels from the image's own size down ``steps`` halvings, and blocks per halving."""
    if size not in SIZES:
        raise ValueError(f"size is {', '.join(SIZES)}, not {size!r}")
    channels, blocks = SIZES[size]
    return [channels * min(4, 2**i) for i in range(steps + 1)], blocks


class ResidualTrunk(nn.Module):
    """A 3x3 convolution, residual blocks that halve the image to 4 pixels or less, and the sum over pixels.

    With ``pooled`` false the last pixels are kept, as features of an encoder that must know what is where.
    ``time`` as in the other trunks.

    Args:
        size: small starts with 16 channels and has a block for each halving, medium 32 and two, large 64
            and two.
        activation: non-linearity; smooth ones suit Langevin sampling and Jacobians.
        attention: each pixel sees all others once, where the image is 5 to 8 pixels high or wide.
        group_norm: normalise groups of 8 channels before each activation, for each image by itself.
    """

    def __init__(
        self,
        space: DataSpace,
        time: bool = False,
        pooled: bool = True,
        *,
        size: Size = "small",
        activation: Activation = "silu",
        attention: Annotated[bool, RARE] = False,
        group_norm: Annotated[bool, RARE] = False,
    ):
        super().__init__()
        planes, high, wide = image_shape(space)
        steps = max(len(halvings(high)), len(halvings(wide))) - 1
        counts, blocks = counts_and_blocks(size, steps)
        stem = keeping_variance(nn.Conv2d(planes, counts[0], 3, padding=1))
        layers: list[nn.Module] = [stem]
        for step, (before, after) in enumerate(pairwise(counts)):
            if attention and step == steps - 1:
                layers.append(SelfAttention(before))
            layers.append(ResidualBlock(before, after, halved, activation, group_norm))
            for _ in range(blocks - 1):
                layers.append(ResidualBlock(after, after, unchanged, activation, group_norm))
            high, wide = (high + 1) // 2, (wide + 1) // 2
        layers += [activated(counts[-1], activation, group_norm), nn.Flatten(2 if pooled else 1)]
        self.layers = nn.Sequential(*layers, SumOverPixels() if pooled else nn.Identity())
        self.time = Time(counts[0]) if time else None
        self.features = counts[-1] * (1 if pooled else high * wide)

    def forward(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """``[B, C, H, W]``, ``[B] -> [B, features]``."""
        return apply_at(self.layers, 0, self.time, x, t)


class SumOverPixels(nn.Module):
    """``[B, C, H W] -> [B, C]``: a sum, so that each part of an image adds its own to the energy."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(2)


class ResidualGenerator(nn.Module):
    """A dense layer to at most 4x4 pixels, then residual blocks that double to the size.

    The mirror of ``ResidualTrunk``: 28 pixels grow 4, 7, 14, 28, a doubled image being cropped where
    the size is odd.

    Args:
        size: small ends with 16 channels and has a block for each doubling, medium 32 and two, large 64
            and two.
        activation: non-linearity; smooth ones suit Jacobians and latent sampling.
        attention: each pixel sees all others once, where the image is 5 to 8 pixels high or wide.
        group_norm: normalise groups of 8 channels before each activation, for each image by itself.
    """

    def __init__(
        self,
        space: DataSpace,
        latent_dim: int,
        *,
        size: Size = "small",
        activation: Activation = "silu",
        attention: Annotated[bool, RARE] = False,
        group_norm: Annotated[bool, RARE] = False,
    ):
        super().__init__()
        planes, height, width = image_shape(space)
        steps = max(len(halvings(height)), len(halvings(width))) - 1
        counts, blocks = counts_and_blocks(size, steps)
        counts.reverse()
        self.sizes = [(-(-height // 2**i), -(-width // 2**i)) for i in range(steps, -1, -1)]
        self.box = space.box
        self.start = (counts[0], *self.sizes[0])
        self.dense = keeping_variance(nn.Linear(latent_dim, math.prod(self.start)))
        self.doublings = nn.ModuleList()
        for step, (before, after) in enumerate(pairwise(counts)):
            layers = [ResidualBlock(before, after, doubled, activation, group_norm)]
            for _ in range(blocks - 1):
                layers.append(ResidualBlock(after, after, unchanged, activation, group_norm))
            attended = [SelfAttention(after)] if attention and step == 0 else []
            self.doublings.append(nn.Sequential(*layers, *attended))
        last = nn.Conv2d(counts[-1], planes, 3, padding=1)
        glorot(last)
        self.head = nn.Sequential(activated(counts[-1], activation, group_norm), last)

    def forward(self, z: Tensor) -> Tensor:
        """``[B, latent_dim] -> [B, C, H, W]``."""
        x = self.dense(z).view(-1, *self.start)
        for doubling, (height, width) in zip(self.doublings, self.sizes[1:], strict=True):
            x = doubling(x)[..., :height, :width]
        return squash(self.head(x), self.box)


class ResidualEncoder(nn.Module):
    """A residual trunk that keeps its last pixels, and a linear head.

    Args:
        init_std: standard deviation of every weight and bias at the start; 0 leaves each layer's own.
    """

    def __init__(
        self,
        space: DataSpace,
        latent_dim: int,
        *,
        init_std: Annotated[float, RARE] = 0.0,
        **trunk: Annotated[Any, ResidualTrunk],
    ):
        super().__init__()
        self.trunk = ResidualTrunk(space, False, False, **trunk)
        self.head = nn.Linear(self.trunk.features, 2 * latent_dim)
        draw_normal(self, init_std)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W] -> [B, 2 latent_dim]``."""
        parameters: Tensor = self.head(self.trunk(x))
        return parameters


class ResidualDecoder(nn.Module):
    """A residual generator of the parameters of p(x|z).

    Args:
        init_std: standard deviation of every weight and bias at the start; 0 leaves each layer's own.
    """

    def __init__(
        self,
        space: DataSpace,
        latent_dim: int,
        *,
        init_std: Annotated[float, RARE] = 0.0,
        **body: Annotated[Any, ResidualGenerator],
    ):
        super().__init__()
        self.space = space
        self.body = ResidualGenerator(parameter_space(space), latent_dim, **body)
        draw_normal(self, init_std)

    def forward(self, z: Tensor) -> Tensor:
        """``[B, latent_dim]`` to logits ``[B, C, H, W]``, or to ``[B, 2, C, H, W]``."""
        return arranged(self.body(z), self.space)


def timed_residual(
    space: DataSpace, *, time: Annotated[bool, RARE] = False, **trunk: Annotated[Any, ResidualTrunk]
) -> ResidualTrunk:
    """Residual blocks of an energy.

    Args:
        time: take a noise level as a second input, as the diffusion bound and noise-levels need.
    """
    return ResidualTrunk(space, time, **trunk)
