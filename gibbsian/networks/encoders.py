"""Encoders q(z|x): ``[B, *event] -> [B, 2 latent]``, means, then log-variances, of a Gaussian in z."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from gibbsian.core import Space
from gibbsian.networks.options import NetworkOptions
from gibbsian.networks.trunks import ConvTrunk, DenseTrunk


class DenseEncoder(nn.Module):
    """A dense trunk and a linear head."""

    def __init__(self, space: Space, latent: int, options: NetworkOptions):
        super().__init__()
        self.trunk = DenseTrunk(space, replace(options, time=False))
        self.head = nn.Linear(self.trunk.features, 2 * latent)
        options.start(self)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, *event] -> [B, 2 latent]``."""
        parameters: Tensor = self.head(self.trunk(x))
        return parameters


class ConvEncoder(nn.Module):
    """A convolutional trunk and a linear head, for images."""

    def __init__(self, space: Space, latent: int, options: NetworkOptions):
        super().__init__()
        self.trunk = ConvTrunk(space, replace(options, time=False))
        self.head = nn.Linear(self.trunk.features, 2 * latent)
        options.start(self)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W] -> [B, 2 latent]``."""
        parameters: Tensor = self.head(self.trunk(x))
        return parameters
