"""Decoders p(x|z): ``[B, latent_dim]`` to the parameters of a distribution of x.

Of binary data the logits of independent bits, ``[B, *event]``; of other data the means and
log-variances of independent Gaussians, ``[B, 2, *event]``, the means squashed into the space's box
where it has one (Kingma, Welling 2014, appendix C).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from gibbsian.core import DataSpace
from gibbsian.core.signatures import RARE
from gibbsian.networks.generators import ConvGenerator, DenseGenerator, squash
from gibbsian.networks.options import draw_normal


def parameter_space(space: DataSpace) -> DataSpace:
    """What a generator must return for a decoder of ``space``: both halves joined, no box."""
    halves = 1 if space.kind == "binary" else 2
    return replace(space, shape=(halves * space.shape[0], *space.shape[1:]), box=None)


def arranged(a: Tensor, space: DataSpace) -> Tensor:
    """The joined halves ``[B, 2 C, ...]`` as ``[B, 2, *event]``; logits as they are."""
    if space.kind == "binary":
        return a
    mean, log_variance = a.view(-1, 2, *space.shape).unbind(1)
    return torch.stack([squash(mean, space.box), log_variance], dim=1)


class DenseDecoder(nn.Module):
    """``depth`` dense layers of ``width`` units; one linear head for means and log-variances.

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
        **body: Annotated[Any, DenseGenerator],
    ):
        super().__init__()
        self.space = space
        self.body = DenseGenerator(parameter_space(space), latent_dim, **body)
        draw_normal(self, init_std)

    def forward(self, z: Tensor) -> Tensor:
        """``[B, latent_dim]`` to logits ``[B, *event]``, or to ``[B, 2, *event]``."""
        return arranged(self.body(z), self.space)


class ConvDecoder(nn.Module):
    """Transposed convolutions, for images.

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
        **body: Annotated[Any, ConvGenerator],
    ):
        super().__init__()
        self.space = space
        self.body = ConvGenerator(parameter_space(space), latent_dim, **body)
        draw_normal(self, init_std)

    def forward(self, z: Tensor) -> Tensor:
        """``[B, latent_dim] -> [B, 2, C, H, W]``."""
        return arranged(self.body(z), self.space)
