"""Energies E: ``[B, *event] -> [B]``: one of five heads on a trunk.

``confining`` says that E grows at infinity, so that exp(-E) has a normaliser on R^d; ``bounded``
that |E| has a bound there, so that it has none without a box. An energy that is neither has a
normaliser on a box.

``features(x)`` is what the head reads, the penultimate layer of the network as a whole.

``takes_time`` says that E(x, t) takes noise levels t ``[B]`` too, for the diffusion bound and for
noise-levels; the model's own energy is that of the cleanest level, E(x) = E(x, 0).
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from gibbsian.networks.residual import ResidualTrunk
from gibbsian.networks.trunks import ConvTrunk, DenseTrunk, glorot

Trunk = DenseTrunk | ConvTrunk | ResidualTrunk


class HeadOnTrunk(nn.Module):
    """What the energies below share: phi(x) of a trunk and a linear map of it, Glorot-uniform."""

    def __init__(self, trunk: Trunk, outputs: int = 1):
        super().__init__()
        self.trunk = trunk
        self.takes_time = trunk.time is not None
        self.head = nn.Linear(trunk.features, outputs)
        glorot(self.head)

    def features(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """phi(x), ``[B, *event]``, ``[B] -> [B, width]``."""
        phi: Tensor = self.trunk(x, t)
        return phi


class UnconfinedEnergy(HeadOnTrunk):
    """E(x) = w . phi(x) + b: no envelope and no bound. Also the critic of a GAN, f = -E."""

    confining: ClassVar[bool] = False
    bounded: ClassVar[bool] = False

    def forward(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """``[B, *event]``, ``[B] -> [B]``."""
        energy: Tensor = self.head(self.features(x, t)).squeeze(1)
        return energy


def precision_of(sigma: float) -> float:
    """1 / sigma^2; ValueError for a sigma whose square no number of single precision can hold."""
    if not 1e-15 <= sigma <= 1e15:
        raise ValueError(f"confinement_std must lie between 1e-15 and 1e15, not {sigma}")
    return float(sigma**-2)


class ConfinedEnergy(HeadOnTrunk):
    """E(x) = w . phi(x) + b + |x|^2 / (2 sigma^2), sigma fixed.

    phi grows at most linearly for the activations offered, so the quadratic term wins and exp(-E)
    has a normaliser on R^d whatever the weights.
    """

    confining: ClassVar[bool] = True
    bounded: ClassVar[bool] = False

    def __init__(self, trunk: Trunk, sigma: float):
        super().__init__(trunk)
        self.precision = precision_of(sigma)

    def forward(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """``[B, *event]``, ``[B] -> [B]``."""
        envelope = x.flatten(1).square().sum(1)
        energy: Tensor = self.head(self.features(x, t)).squeeze(1) + 0.5 * self.precision * envelope
        return energy


class JointClassEnergy(HeadOnTrunk):
    """E(x) = -log sum_y exp f_y(x) + |x|^2 / (2 sigma^2), sigma fixed: a classifier read as an energy.

    exp(f_y(x)) with the envelope is p(x, y) up to a constant (Grathwohl et al. 2020, equations 5 and
    6, without an envelope), so that p(y|x) is the softmax of the ``logits`` and E(x) - log p(y|x) the
    energy of x given its class. Confining as ``ConfinedEnergy`` is.
    """

    confining: ClassVar[bool] = True
    bounded: ClassVar[bool] = False

    def __init__(self, trunk: Trunk, classes: int, sigma: float):
        super().__init__(trunk, classes)
        self.precision = precision_of(sigma)

    def logits(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """f(x), ``[B, *event]``, ``[B] -> [B, classes]``."""
        f: Tensor = self.head(self.features(x, t))
        return f

    def forward(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """``[B, *event]``, ``[B] -> [B]``."""
        envelope = x.flatten(1).square().sum(1)
        return 0.5 * self.precision * envelope - torch.logsumexp(self.logits(x, t), 1)


def bernoulli_entropy(s: Tensor) -> Tensor:
    """h(s) = -s log s - (1 - s) log(1 - s) in nats, elementwise, s in [0, 1]."""
    return torch.special.entr(s) + torch.special.entr(1.0 - s)


class BoundedRangeEnergy(HeadOnTrunk):
    """VGAN's product of K Bernoulli-entropy experts (Zhai et al. 2016, equation 8).

    s_j(x) = sigmoid(W_j . phi(x) + b_j) and E(x) = sum_j h(s_j(x)), h the entropy of a coin in
    nats: 0 <= E <= K ln 2, with up to 2^K equally deep minima where all s_j are 0 or 1. As in the
    authors' code s is clipped to [1e-4, 1 - 1e-4]: a floor of 1.02e-3 nats an expert, below which
    there is no gradient. The gradient in a logit a is -a s (1 - s): zero at a = 0, so the weights
    must not start near zero (they are Glorot-uniform).
    """

    confining: ClassVar[bool] = False
    bounded: ClassVar[bool] = True
    clip: ClassVar[float] = 1e-4

    def __init__(self, trunk: Trunk, count: int):
        super().__init__(trunk, count)

    def experts(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """s(x), ``[B, K]``, clipped."""
        return torch.sigmoid(self.head(self.features(x, t))).clamp(self.clip, 1.0 - self.clip)

    def energy_from_experts(self, s: Tensor) -> Tensor:
        """sum_j h(s_j), ``[B, K] -> [B]``."""
        return bernoulli_entropy(s).sum(1)

    def forward(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """``[B, *event]``, ``[B] -> [B]``."""
        return self.energy_from_experts(self.experts(x, t))


class SigmoidOutputEnergy(HeadOnTrunk):
    """E(x) = -log D(x), D = sigmoid(w . phi(x) + b): the GAN-like energy that VGAN is set against.

    E >= 0 with one minimum in the logit. D is its only expert, so that VGAN's surrogate can be
    computed from it. Clipped like ``BoundedRangeEnergy``, so E <= 9.21.
    """

    confining: ClassVar[bool] = False
    bounded: ClassVar[bool] = True
    clip: ClassVar[float] = BoundedRangeEnergy.clip
    highest: ClassVar[float] = -math.log(BoundedRangeEnergy.clip)

    def experts(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """D(x), ``[B, 1]``, clipped."""
        return torch.sigmoid(self.head(self.features(x, t))).clamp(self.clip, 1.0 - self.clip)

    def energy_from_experts(self, s: Tensor) -> Tensor:
        """-log D, ``[B, 1] -> [B]``."""
        return -s.log().squeeze(1)

    def forward(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """``[B, *event]``, ``[B] -> [B]``."""
        return self.energy_from_experts(self.experts(x, t))
