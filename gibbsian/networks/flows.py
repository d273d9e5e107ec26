"""An invertible generator: couplings of rational-quadratic splines (Durkan et al. 2019), by zuko."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gibbsian.core import DataSpace
from gibbsian.networks.generators import squash
from gibbsian.networks.options import ACTIVATIONS, Activation, check_counts


class FlowGenerator(nn.Module):
    """x = G(z), invertible by construction, with its log-volume: q(x) has an exact density.

    Four couplings, each a monotone spline of 8 bins per coordinate on [-5, 5] (the identity beyond),
    its knots computed from the other half of the coordinates by ``depth`` dense layers of ``width``
    units. Both directions are closed forms and differentiable in z, x and the parameters; G is once
    continuously differentiable. In a box the result is squashed by a tanh, whose log-derivative
    is included. Raises ValueError without the extra ``flows`` and where z and x differ in size.

    A sample takes one pass of the couplings' networks and a density three. With ``towards_noise`` the
    splines map x to z: a density takes one and a sample two.

    Args:
        width: units of each hidden layer of a coupling.
        depth: number of these layers.
        activation: their non-linearity.
    """

    couplings: ClassVar[int] = 4
    bins: ClassVar[int] = 8

    def __init__(
        self,
        space: DataSpace,
        latent_dim: int,
        towards_noise: bool = False,
        *,
        width: int = 128,
        depth: int = 2,
        activation: Activation = "silu",
    ):
        super().__init__()
        check_counts(width=width, depth=depth)
        try:
            from zuko.flows import NSF
        except ImportError as error:
            raise ValueError(
                "the flow network needs zuko; install it with pip install 'gibbsian[flows]'"
            ) from error
        size = math.prod(space.shape)
        if latent_dim != size:
            raise ValueError(
                f"a flow is invertible: its latent dimension must be that of an observation, {size}, "
                f"not {latent_dim} (--latent-dim {size})"
            )
        self.shape, self.box, self.towards_noise = space.shape, space.box, towards_noise
        self.spline = NSF(
            size,
            bins=self.bins,
            transforms=self.couplings,
            passes=2,  # couplings; the autoregressive form inverts one coordinate at a time
            hidden_features=(width,) * depth,
            activation=ACTIVATIONS[activation],
        ).transform

    def from_noise(self) -> Any:
        """zuko's transform of z to x before the squash, ``[B, latent_dim] -> [B, latent_dim]``."""
        splines = self.spline()
        return splines.inv if self.towards_noise else splines

    def forward(self, z: Tensor) -> Tensor:
        """``[B, latent_dim] -> [B, *event]``."""
        return squash(self.from_noise()(z).view(-1, *self.shape), self.box)

    def forward_with_log_det(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, latent_dim]`` to x ``[B, *event]`` and log |det dx/dz| ``[B]``."""
        a, log_det = self.from_noise().call_and_ladj(z)
        return squash(a.view(-1, *self.shape), self.box), log_det + self.log_slope(a)

    def inverse_with_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, *event]`` to z ``[B, latent_dim]`` and log |det dz/dx| ``[B]``.

        Rounding puts samples on the edge of the box, which has no pre-image: coordinates nearer to
        it than four roundings are taken to lie that far inside. ValueError beyond the edge.
        """
        a = self.unsquash(x.flatten(1))
        z, log_det = self.from_noise().inv.call_and_ladj(a)
        return z, log_det - self.log_slope(a)

    def log_slope(self, a: Tensor) -> Tensor:
        """sum_i log of the squash's derivative at ``a [B, d]``; zeros without a box."""
        if self.box is None:
            return a.new_zeros(len(a))
        low, high = self.box
        # 1 - tanh^2 a = 4 e^-2a / (1 + e^-2a)^2
        slopes = math.log(2.0 * (high - low)) - 2.0 * a - 2.0 * softplus(-2.0 * a)
        return slopes.sum(1)

    def unsquash(self, x: Tensor) -> Tensor:
        """The inverse of the squash, ``[B, d] -> [B, d]``."""
        if self.box is None:
            return x
        low, high = self.box
        t = (2.0 * x - low - high) / (high - low)
        margin = 4.0 * torch.finfo(t.dtype).eps
        if (t.abs() > 1.0 + margin).any():
            raise ValueError(f"observations must lie in the box [{low}, {high}] of this flow")
        return torch.atanh(t.clamp(-1.0 + margin, 1.0 - margin))
