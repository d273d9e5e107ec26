"""Auto-encoders: the distance to one's own reconstruction as an energy, and transitions through a code."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from gibbsian.core import Space
from gibbsian.networks.generators import ConvGenerator, DenseGenerator
from gibbsian.networks.options import NetworkOptions
from gibbsian.networks.trunks import ConvTrunk, DenseTrunk, Time, apply_at, he, image_shape


class ConvCode(nn.Module):
    """``depth`` 4x4 convolutions of stride 2, flattened: ``[B, C, H, W] -> [B, features]``.

    Channels double from one to the next. Batch normalisation, if asked for, spares the first. Raises
    ValueError for a picture that cannot be halved so often.
    """

    def __init__(self, space: Space, options: NetworkOptions):
        super().__init__()
        channels, height, width = image_shape(space)
        if min(height, width) < 2**options.depth:
            raise ValueError(
                f"a picture of {height}x{width} cannot be halved {options.depth} times; use a "
                "smaller depth"
            )
        self.sizes = [(height >> i, width >> i) for i in range(options.depth + 1)]
        self.counts = [channels, *(options.channels << i for i in range(options.depth))]
        layers: list[nn.Module] = []
        for index, (before, after) in enumerate(pairwise(self.counts)):
            layers.append(nn.Conv2d(before, after, 4, stride=2, padding=1))
            if options.batch_norm and index > 0:
                layers.append(nn.BatchNorm2d(after))
            layers.append(options.activate())
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.time = Time(self.counts[1]) if options.time else None
        self.features = self.counts[-1] * math.prod(self.sizes[-1])
        he(self.layers)

    def forward(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """``[B, C, H, W]``, ``[B] -> [B, features]``."""
        return apply_at(self.layers, 0, self.time, x, t)

    def mirror(self, options: NetworkOptions) -> nn.Sequential:
        """Transposed convolutions that undo the halvings, ``[B, features] -> [B, C, H, W]``."""
        layers: list[nn.Module] = [nn.Unflatten(1, (self.counts[-1], *self.sizes[-1]))]
        for index in range(options.depth, 0, -1):
            before, after = self.counts[index], self.counts[index - 1]
            (h, w), (height, width) = self.sizes[index], self.sizes[index - 1]
            odd = (height - 2 * h, width - 2 * w)
            layers.append(
                nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, output_padding=odd)
            )
            if index > 1:
                layers += [nn.BatchNorm2d(after)] if options.batch_norm else []
                layers.append(options.activate())
        decoder = nn.Sequential(*layers)
        he(decoder)
        return decoder


class AutoEncoderEnergy(nn.Module):
    """E(x) = |Dec(Enc(x)) - x|, the plain norm over the event (Zhao, Mathieu, LeCun 2017, section 2.3).

    Neither squared nor averaged over pixels: margins are meant on this scale. E >= 0, but it need
    not grow at infinity. With batch normalisation or dropout, E depends on the rest of the batch or
    on chance in training and on x alone afterwards.
    """

    confining: ClassVar[bool] = False
    bounded: ClassVar[bool] = False

    def __init__(self, encoder: DenseTrunk | ConvCode, decoder: nn.Module):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.takes_time = encoder.time is not None

    def features(self, x: Tensor) -> Tensor:
        """The code ``[B, width]`` of ``x [B, *event]``, flattened."""
        code: Tensor = self.encoder(x)
        return code

    def denoise(self, x: Tensor, noisy: Tensor) -> Tensor:
        """|Dec(Enc(noisy)) - x|, ``[B]``: the error of a denoising auto-encoder."""
        residual = self.decoder(self.encoder(noisy)) - x
        return torch.linalg.vector_norm(residual.flatten(1), dim=1)

    def forward(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """``[B, *event]``, ``[B] -> [B]``."""
        residual = self.decoder(self.encoder(x, t)) - x
        return torch.linalg.vector_norm(residual.flatten(1), dim=1)


def dense_energy(space: Space, options: NetworkOptions) -> AutoEncoderEnergy:
    """Dense layers to a code of ``width`` units, and one linear layer back."""
    encoder = DenseTrunk(space, options, options.batch_norm)
    back = nn.Linear(encoder.features, math.prod(space.shape))
    return AutoEncoderEnergy(encoder, nn.Sequential(back, nn.Unflatten(1, space.shape)))


def conv_energy(space: Space, options: NetworkOptions) -> AutoEncoderEnergy:
    """``depth`` halving convolutions to the code, and their mirror back, for images."""
    encoder = ConvCode(space, options)
    return AutoEncoderEnergy(encoder, encoder.mirror(options))


class AutoEncoder(nn.Module):
    """An encoder to a code in [-1, 1]^code, by tanh, and a decoder: ``[B, *event] -> [B, *event]``.

    For operators that work on the code between the two (Zhai et al. 2016, section 5).
    """

    def __init__(self, trunk: DenseTrunk | ConvTrunk, decoder: nn.Module, options: NetworkOptions):
        super().__init__()
        head: list[nn.Module] = [nn.Linear(trunk.features, options.code)]
        if options.batch_norm:
            head.append(nn.BatchNorm1d(options.code))
        self.encoder = nn.Sequential(trunk, *head, nn.Tanh())
        self.decoder = decoder
        self.code = options.code

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction Dec(Enc(x)), ``[B, *event]``."""
        reconstruction: Tensor = self.decoder(self.encoder(x))
        return reconstruction


def dense_autoencoder(space: Space, options: NetworkOptions) -> AutoEncoder:
    """Dense layers both ways."""
    trunk = DenseTrunk(space, replace(options, time=False), options.batch_norm)
    return AutoEncoder(trunk, DenseGenerator(space, options.code, options), options)


def conv_autoencoder(space: Space, options: NetworkOptions) -> AutoEncoder:
    """Convolutions both ways, for images."""
    trunk = ConvTrunk(space, replace(options, time=False))
    return AutoEncoder(trunk, ConvGenerator(space, options.code, options), options)
