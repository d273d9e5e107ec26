"""A critic that looks at a batch as a whole, so that samples which are all alike give themselves away."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from gibbsian.networks.residual import ResidualTrunk
from gibbsian.networks.trunks import ConvTrunk, DenseTrunk, glorot


class MinibatchDiscriminationCritic(nn.Module):
    """Minibatch discrimination (Salimans et al. 2016, section 3.2).

    f(x_i) = w . [phi(x_i), o(x_i)] + b with o(x_i)_k = mean over j != i of exp(-|M_ik - M_jk|_1) and
    M_i = T phi(x_i), ``kernels`` rows of 5 numbers. The paper sums over j; with the mean f does not
    depend on the size of the batch. f is no function of one point: ``rows_interact`` says so.
    """

    rows_interact: ClassVar[bool] = True
    dims: ClassVar[int] = 5

    def __init__(self, trunk: DenseTrunk | ConvTrunk | ResidualTrunk, kernels: int):
        super().__init__()
        self.trunk = trunk
        self.T = nn.Linear(trunk.features, kernels * self.dims, bias=False)
        self.head = nn.Linear(trunk.features + kernels, 1)
        glorot(self.T)
        glorot(self.head)

    def similarity(self, features: Tensor) -> Tensor:
        """o ``[B, kernels]`` in [0, 1] from phi ``[B, features]``; 0 for a batch of one."""
        M = self.T(features).unflatten(1, (-1, self.dims))
        alike = torch.exp(-(M.unsqueeze(0) - M.unsqueeze(1)).abs().sum(3)).sum(1)
        return (alike - 1.0) / max(1, len(M) - 1)

    def features(self, x: Tensor) -> Tensor:
        """[phi, o], what the head reads: ``[B, *event] -> [B, width + kernels]``."""
        phi = self.trunk(x)
        return torch.cat([phi, self.similarity(phi)], 1)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, *event] -> [B]``."""
        f: Tensor = self.head(self.features(x)).squeeze(1)
        return f
