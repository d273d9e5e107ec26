"""Students p_M(x): ``student(x, noise) -> [B]``, log-densities in nats or bounds on them from below.

``noise``: how many standard normal numbers a student needs per row, ``[B, noise]``; 0 where its
log-density is exact. No batch normalisation: a student is unrolled through its own steps.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from gibbsian.core import Space
from gibbsian.core.numerics import bernoulli_log_prob
from gibbsian.core.protocols import Invertible
from gibbsian.networks.encoders import DenseEncoder
from gibbsian.networks.generators import DenseGenerator, squash
from gibbsian.networks.options import NetworkOptions

LOG_2_PI = math.log(2.0 * math.pi)


def gaussian_log_prob(x: Tensor, mean: Tensor, variance: float) -> Tensor:
    """log N(x; mean, variance I), ``[B, *event] -> [B]``."""
    square = (x - mean).flatten(1).square().sum(1)
    d = math.prod(x.shape[1:])
    return -0.5 * (square / variance + d * (LOG_2_PI + math.log(variance)))


class VAEStudent(nn.Module):
    """The evidence lower bound with one reparameterised sample (Kingma, Welling 2014).

    log p(x|z) - KL(q(z|x) || N(0, I)), z = mean + std noise. Encoder and decoder have ``depth``
    layers of ``width`` units, the latent space ``code`` dimensions. p(x|z) is Gaussian with the
    fixed ``variance``, its mean in the box where there is one, or Bernoulli on the box scaled to
    [0, 1] (Du et al. 2020, code).
    """

    def __init__(self, space: Space, options: NetworkOptions):
        super().__init__()
        if options.likelihood == "bernoulli" and space.box is None:
            raise ValueError(
                "a bernoulli likelihood needs data in a box, such as images; use gaussian"
            )
        plain = replace(options, batch_norm=False)
        self.encoder = DenseEncoder(space, options.code, plain)
        self.decoder = DenseGenerator(replace(space, box=None), options.code, plain)
        self.box, self.variance = space.box, options.variance
        self.likelihood, self.noise = options.likelihood, options.code

    def log_likelihood(self, x: Tensor, a: Tensor) -> Tensor:
        """log p(x|z) of ``x [B, *event]`` given the decoder's output ``a``."""
        if self.likelihood == "bernoulli":
            assert self.box is not None
            low, high = self.box
            return bernoulli_log_prob((x - low) / (high - low), a)
        return gaussian_log_prob(x, squash(a, self.box), self.variance)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """``[B, *event]``, ``[B, code] -> [B]``."""
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        z = mean + torch.exp(0.5 * log_variance) * noise
        kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1)
        return self.log_likelihood(x, self.decoder(z)) - kl


class MixtureStudent(nn.Module):
    """A mixture of ``components`` Gaussians with diagonal covariances; exact.

    The means start standard normal, the standard deviations at 1/2, the weights equal.
    """

    noise = 0

    def __init__(self, space: Space, options: NetworkOptions):
        super().__init__()
        count, d = options.components, math.prod(space.shape)
        self.means = nn.Parameter(torch.randn(count, d))
        self.log_std = nn.Parameter(torch.full((count, d), math.log(0.5)))
        self.logits = nn.Parameter(torch.zeros(count))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """``[B, *event] -> [B]``; ``noise [B, 0]`` is not used."""
        scaled = (x.flatten(1).unsqueeze(1) - self.means) * torch.exp(-self.log_std)
        component = (-0.5 * (scaled.square() + LOG_2_PI) - self.log_std).sum(2)
        return torch.logsumexp(component + torch.log_softmax(self.logits, 0), 1)


class FlowStudent(nn.Module):
    """A normalising flow's log N(z; 0, I) + log|dz/dx|, z = f^-1(x); exact."""

    noise = 0

    def __init__(self, flow: nn.Module):
        super().__init__()
        self.flow = flow

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """``[B, *event] -> [B]``; ``noise [B, 0]`` is not used."""
        z, log_det = cast("Invertible", self.flow).inverse_with_log_det(x)
        return gaussian_log_prob(z, torch.zeros_like(z), 1.0) + log_det
