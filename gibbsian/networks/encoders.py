"""Encoders q(z|x): ``[B, *event] -> [B, 2 latent_dim]``, means, then log-variances, of a Gaussian in z."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor, nn

from gibbsian.core import DataSpace
from gibbsian.core.signatures import RARE
from gibbsian.networks.options import draw_normal
from gibbsian.networks.trunks import ConvTrunk, DenseTrunk


class DenseEncoder(nn.Module):
    """A dense trunk and a linear head.

    Args:
        init_std: standard deviation of every weight and bias at the start, 0.1 in Kingma and Welling
            (2014); 0 leaves each layer's own.
    """

    def __init__(
        self,
        space: DataSpace,
        latent_dim: int,
        *,
        init_std: Annotated[float, RARE] = 0.0,
        **trunk: Annotated[Any, DenseTrunk],
    ):
        super().__init__()
        self.trunk = DenseTrunk(space, **trunk)
        self.head = nn.Linear(self.trunk.features, 2 * latent_dim)
        draw_normal(self, init_std)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, *event] -> [B, 2 latent_dim]``."""
        parameters: Tensor = self.head(self.trunk(x))
        return parameters


class ConvEncoder(nn.Module):
    """A convolutional trunk and a linear head, for images.

    Args:
        init_std: standard deviation of every weight and bias at the start, 0.1 in Kingma and Welling
            (2014); 0 leaves each layer's own.
    """

    def __init__(
        self,
        space: DataSpace,
        latent_dim: int,
        *,
        init_std: Annotated[float, RARE] = 0.0,
        **trunk: Annotated[Any, ConvTrunk],
    ):
        super().__init__()
        self.trunk = ConvTrunk(space, **trunk)
        self.head = nn.Linear(self.trunk.features, 2 * latent_dim)
        draw_normal(self, init_std)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W] -> [B, 2 latent_dim]``."""
        parameters: Tensor = self.head(self.trunk(x))
        return parameters
