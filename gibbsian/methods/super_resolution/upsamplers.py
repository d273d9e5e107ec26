"""Networks of super-resolution: from small images to large ones, and from statistics to statistics.

Borders are continued by their last pixel, so that an image's rim looks like the rest of it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gibbsian.core import DataSpace
from gibbsian.core.imaging import upscale
from gibbsian.networks.options import Activation, activate, check_counts
from gibbsian.networks.trunks import he, image_shape


def convolution(before: int, after: int, size: int) -> nn.Conv2d:
    """A convolution of odd kernel ``size`` that keeps the image's size."""
    return nn.Conv2d(before, after, size, padding=size // 2, padding_mode="replicate")


class SubPixelUpsampler(nn.Module):
    """Bicubic interpolation plus a correction made at low resolution and shuffled into pixels.

    Convolutions 5-3-3 with ``channels``, half as many, and C f^2 channels (Shi et al. 2016); the
    last starts at 0, so that the untrained network is the interpolation, which is ours.
    ``[B, C, h, w] -> [B, C, f h, f w]``.

    Args:
        upscaling_factor: f, how much larger the images become.
        channels: channels of the first convolution.
        activation: non-linearity.
    """

    def __init__(
        self,
        space: DataSpace,
        *,
        upscaling_factor: int = 2,
        channels: int = 32,
        activation: Activation = "silu",
    ):
        super().__init__()
        check_counts(upscaling_factor=upscaling_factor, channels=channels)
        planes = image_shape(space)[0]
        self.upscaling_factor = upscaling_factor
        wide, narrow = channels, max(1, channels // 2)
        last = convolution(narrow, planes * self.upscaling_factor**2, 3)
        self.layers = nn.Sequential(
            convolution(planes, wide, 5),
            activate(activation),
            convolution(wide, narrow, 3),
            activate(activation),
            last,
            nn.PixelShuffle(self.upscaling_factor),
        )
        he(self.layers)
        nn.init.zeros_(last.weight)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, h, w] -> [B, C, f h, f w]``."""
        return upscale(x, self.upscaling_factor) + self.layers(x)


class SRCNN(nn.Module):
    """Three convolutions, 9-5-5, of the bicubic interpolation (Dong et al. 2016).

    ``channels`` and half as many between them (the paper: 64 and 32), rectifiers; no skip
    connection, so that it must learn the image itself. ``[B, C, h, w] -> [B, C, f h, f w]``.

    Args:
        upscaling_factor: f, how much larger the images become.
        channels: channels of the first convolution.
    """

    def __init__(self, space: DataSpace, *, upscaling_factor: int = 2, channels: int = 32):
        super().__init__()
        check_counts(upscaling_factor=upscaling_factor, channels=channels)
        planes = image_shape(space)[0]
        self.upscaling_factor = upscaling_factor
        wide, narrow = channels, max(1, channels // 2)
        self.layers = nn.Sequential(
            convolution(planes, wide, 9),
            nn.ReLU(),
            convolution(wide, narrow, 5),
            nn.ReLU(),
            convolution(narrow, planes, 5),
        )
        he(self.layers)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, h, w] -> [B, C, f h, f w]``."""
        y: Tensor = self.layers(upscale(x, self.upscaling_factor))
        return y


class StatisticsPredictor(nn.Module):
    """Statistics of the truth from those of the point estimate: the same plus a correction.

    ``depth`` hidden 3x3 convolutions of ``channels`` and one that starts at 0: the untrained
    prediction is that the estimate is right. ``[B, K, h, w] -> [B, K, h, w]``.

    Args:
        depth: number of hidden convolutions.
        channels: their channels.
        activation: non-linearity.
    """

    def __init__(
        self,
        space: DataSpace,
        *,
        depth: int = 2,
        channels: int = 32,
        activation: Activation = "silu",
    ):
        super().__init__()
        check_counts(depth=depth, channels=channels)
        maps = image_shape(space)[0]
        layers: list[nn.Module] = []
        before = maps
        for _ in range(depth):
            layers += [convolution(before, channels, 3), activate(activation)]
            before = channels
        last = convolution(before, maps, 3)
        self.layers = nn.Sequential(*layers, last)
        he(self.layers)
        nn.init.zeros_(last.weight)

    def forward(self, statistics: Tensor) -> Tensor:
        """``[B, K, h, w] -> [B, K, h, w]``."""
        return statistics + self.layers(statistics)


class Identity(nn.Module):
    """Psi(y) = gain * y, one gain per channel, 1 at first: the Gibbs model is then least squares."""

    def __init__(self, space: DataSpace):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(image_shape(space)[0], 1, 1))

    def forward(self, y: Tensor) -> Tensor:
        """``[B, C, H, W] -> [B, C, H, W]``."""
        return self.gain * y


def statistics_space(network: nn.Module, space: DataSpace) -> DataSpace:
    """What ``network`` makes of one image of ``space``; ValueError unless maps ``[K, h, w]``."""
    with torch.no_grad():
        found = network(torch.zeros(1, *space.shape))
    if not isinstance(found, Tensor) or found.ndim != 4 or len(found) != 1:
        what = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(
            "the network of sufficient statistics must map images [B, C, H, W] to maps [B, K, h, w]; it made "
            f"{what} of one image (a vector of statistics is K maps of 1x1)"
        )
    return DataSpace(tuple(found.shape[1:]), "image")
