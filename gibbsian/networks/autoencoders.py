"""Auto-encoders: the distance to one's own reconstruction as an energy, and transitions through a code."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from gibbsian.core import DataSpace
from gibbsian.core.signatures import RARE
from gibbsian.networks.generators import ConvGenerator, DenseGenerator
from gibbsian.networks.options import Activation, activate, check_counts
from gibbsian.networks.residual import ResidualGenerator, ResidualTrunk
from gibbsian.networks.trunks import (
    ConvTrunk,
    DenseTrunk,
    Time,
    apply_at,
    he,
    image_shape,
    timed_dense,
)


class ConvCode(nn.Module):
    """``depth`` 4x4 convolutions of stride 2, flattened: ``[B, C, H, W] -> [B, features]``.

    Channels double from one to the next. Batch normalisation, if asked for, spares the first. Raises
    ValueError for an image that cannot be halved so often.

    Args:
        time: take a noise level as a second input, as the diffusion bound and noise-levels need.
        channels: channels of the first convolution.
        depth: number of convolutions.
        activation: non-linearity.
        batch_norm: normalise the hidden layers by batch.
    """

    def __init__(
        self,
        space: DataSpace,
        *,
        time: Annotated[bool, RARE] = False,
        channels: int = 32,
        depth: int = 2,
        activation: Activation = "silu",
        batch_norm: bool = False,
    ):
        super().__init__()
        check_counts(channels=channels, depth=depth)
        planes, height, width = image_shape(space)
        if min(height, width) < 2**depth:
            raise ValueError(
                f"an image of {height}x{width} cannot be halved {depth} times; use a smaller depth"
            )
        self.sizes = [(height >> i, width >> i) for i in range(depth + 1)]
        self.counts = [planes, *(channels << i for i in range(depth))]
        layers: list[nn.Module] = []
        for index, (before, after) in enumerate(pairwise(self.counts)):
            layers.append(nn.Conv2d(before, after, 4, stride=2, padding=1))
            if batch_norm and index > 0:
                layers.append(nn.BatchNorm2d(after))
            layers.append(activate(activation))
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.time = Time(self.counts[1]) if time else None
        self.activation, self.batch_norm = activation, batch_norm
        self.features = self.counts[-1] * math.prod(self.sizes[-1])
        he(self.layers)

    def forward(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """``[B, C, H, W]``, ``[B] -> [B, features]``."""
        return apply_at(self.layers, 0, self.time, x, t)

    def mirror(self) -> nn.Sequential:
        """Transposed convolutions that undo the halvings, ``[B, features] -> [B, C, H, W]``."""
        layers: list[nn.Module] = [nn.Unflatten(1, (self.counts[-1], *self.sizes[-1]))]
        for index in range(len(self.counts) - 1, 0, -1):
            before, after = self.counts[index], self.counts[index - 1]
            (h, w), (height, width) = self.sizes[index], self.sizes[index - 1]
            odd = (height - 2 * h, width - 2 * w)
            layers.append(
                nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, output_padding=odd)
            )
            if index > 1:
                layers += [nn.BatchNorm2d(after)] if self.batch_norm else []
                layers.append(activate(self.activation))
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


def dense_energy(
    space: DataSpace,
    *,
    batch_norm: bool = False,
    **trunk: Annotated[Any, timed_dense],
) -> AutoEncoderEnergy:
    """Dense layers to a code of ``width`` units, and one linear layer back.

    Args:
        batch_norm: normalise the hidden layers but the first by batch.
    """
    encoder = timed_dense(space, batch_norm, **trunk)
    back = nn.Linear(encoder.features, math.prod(space.shape))
    return AutoEncoderEnergy(encoder, nn.Sequential(back, nn.Unflatten(1, space.shape)))


def conv_energy(space: DataSpace, **code: Annotated[Any, ConvCode]) -> AutoEncoderEnergy:
    """``depth`` halving convolutions to the code, and their mirror back, for images."""
    encoder = ConvCode(space, **code)
    return AutoEncoderEnergy(encoder, encoder.mirror())


class AutoEncoder(nn.Module):
    """An encoder to a code in [-1, 1]^code_dim, by tanh, and a decoder: ``[B, *event] -> [B, *event]``.

    For operators that work on the code between the two (Zhai et al. 2016, section 5).
    """

    def __init__(
        self,
        trunk: DenseTrunk | ConvTrunk | ResidualTrunk,
        decoder: nn.Module,
        code_dim: int,
        batch_norm: bool = False,
    ):
        super().__init__()
        check_counts(code_dim=code_dim)
        head: list[nn.Module] = [nn.Linear(trunk.features, code_dim)]
        if batch_norm:
            head.append(nn.BatchNorm1d(code_dim))
        self.encoder = nn.Sequential(trunk, *head, nn.Tanh())
        self.decoder = decoder
        self.code_dim = code_dim

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction Dec(Enc(x)), ``[B, *event]``."""
        reconstruction: Tensor = self.decoder(self.encoder(x))
        return reconstruction


def dense_autoencoder(
    space: DataSpace,
    *,
    code_dim: int = 32,
    dropout: float = 0.0,
    batch_norm: bool = False,
    **body: Annotated[Any, DenseGenerator],
) -> AutoEncoder:
    """Dense layers both ways.

    Args:
        code_dim: dimension of the code.
        dropout: share of the encoder's hidden units that each training step leaves out.
        batch_norm: normalise the hidden layers by batch.
    """
    trunk = DenseTrunk(space, batch_norm, dropout=dropout, **body)
    decoder = DenseGenerator(space, code_dim, batch_norm=batch_norm, **body)
    return AutoEncoder(trunk, decoder, code_dim, batch_norm)


def conv_autoencoder(
    space: DataSpace,
    *,
    code_dim: int = 32,
    width: int = 128,
    batch_norm: bool = False,
    **body: Annotated[Any, ConvGenerator],
) -> AutoEncoder:
    """Convolutions both ways, for images.

    Args:
        code_dim: dimension of the code.
        width: units of the encoder's dense layer.
        batch_norm: normalise the decoder's hidden layers and the code by batch.
    """
    trunk = ConvTrunk(space, width=width, **body)
    decoder = ConvGenerator(space, code_dim, batch_norm=batch_norm, **body)
    return AutoEncoder(trunk, decoder, code_dim, batch_norm)


def residual_autoencoder(
    space: DataSpace, *, code_dim: int = 32, **body: Annotated[Any, ResidualGenerator]
) -> AutoEncoder:
    """Residual blocks both ways, for images.

    Args:
        code_dim: dimension of the code.
    """
    trunk = ResidualTrunk(space, False, False, **body)
    return AutoEncoder(trunk, ResidualGenerator(space, code_dim, **body), code_dim)
