"""RealNVP as the UCI study uses it: an invertible generator, and an energy whose log Z is known."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gibbsian.core.measures import Gaussian


def dense(inputs: int, hidden: int, outputs: int, activation: type[nn.Module]) -> nn.Sequential:
    """Two hidden layers; the last one starts small, so that the flow starts near the identity."""
    last = nn.Linear(hidden, outputs)
    with torch.no_grad():
        last.weight.mul_(0.1)
        last.bias.zero_()
    layers = [nn.Linear(inputs, hidden), activation(), nn.Linear(hidden, hidden), activation()]
    return nn.Sequential(*layers, last)


class Coupling(nn.Module):
    """x = m z + (1 - m)(z exp(s(m z)) + t(m z)) with a mask m (Dinh, Sohl-Dickstein, Bengio 2017, eq. 9).

    s with tanh units, t with rectifiers, as in the authors' runs on the UCI tables.
    """

    mask: Tensor

    def __init__(self, mask: Tensor, hidden: int):
        super().__init__()
        self.register_buffer("mask", mask)
        self.s = dense(len(mask), hidden, len(mask), nn.Tanh)
        self.t = dense(len(mask), hidden, len(mask), nn.ReLU)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z ``[B, d]`` to x and log |det dx/dz| ``[B]``."""
        still, free = self.mask * z, 1.0 - self.mask
        s, t = free * self.s(still), free * self.t(still)
        return still + free * (z * s.exp() + t), s.sum(1)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x ``[B, d]`` to z and log |det dz/dx| ``[B]``."""
        still, free = self.mask * x, 1.0 - self.mask
        s, t = free * self.s(still), free * self.t(still)
        return still + free * (x - t) * (-s).exp(), -s.sum(1)


class RealNVP(nn.Module):
    """A stack of couplings with alternating masks: an invertible generator of vectors."""

    def __init__(self, dim: int, hidden: int = 100, blocks: int = 5):
        super().__init__()
        masks = [((torch.arange(dim) + i) % 2).float() for i in range(blocks)]
        self.couplings = nn.ModuleList([Coupling(mask, hidden) for mask in masks])

    def forward(self, z: Tensor) -> Tensor:
        """``[B, d] -> [B, d]``."""
        return self.forward_with_log_det(z)[0]

    def forward_with_log_det(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """x and log |det dx/dz| ``[B]``."""
        total = z.new_zeros(len(z))
        for coupling in self.couplings:
            z, log_det = coupling(z)
            total = total + log_det
        return z, total

    def inverse_with_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z and log |det dz/dx| ``[B]``."""
        total = x.new_zeros(len(x))
        for coupling in reversed(list(self.couplings)):
            x, log_det = coupling.inverse(x)
            total = total + log_det
        return x, total


class FlowEnergy(nn.Module):
    """E(x) = -log p(x) + sum_j mean |psi_j| over the parameters psi_j of a flow with density p.

    An unnormalised model whose log Z is known at all times: minus that sum. The authors' test bed
    for the learned log-partition (Arbel, Zhou, Gretton 2021, density estimation).
    """

    confining = True

    def __init__(self, flow: RealNVP, dim: int):
        super().__init__()
        self.flow = flow
        self.prior = Gaussian((dim,))

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), ``[B, d] -> [B]``."""
        z, log_det = self.flow.inverse_with_log_det(x)
        return self.prior.log_density(z) + log_det

    def log_partition(self) -> Tensor:
        """log of the integral of exp(-E), scalar."""
        return -torch.stack([w.abs().mean() for w in self.flow.parameters()]).sum()

    def forward(self, x: Tensor) -> Tensor:
        """``[B, d] -> [B]``."""
        return -self.log_prob(x) - self.log_partition()
