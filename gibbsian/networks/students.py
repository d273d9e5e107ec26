"""Students p_M(x): ``student(x, noise) -> [B]``, log-densities in nats or bounds on them from below.

``noise``: how many standard normal numbers a student needs per row, ``[B, noise]``; 0 where its
log-density is exact. No batch normalisation: a student is unrolled through its own steps.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, Any, Literal, cast

import torch
from torch import Tensor, nn

from gibbsian.core import DataSpace
from gibbsian.core.numerics import bernoulli_log_prob, log_normal
from gibbsian.core.protocols import Invertible
from gibbsian.core.signatures import RARE
from gibbsian.networks.encoders import DenseEncoder
from gibbsian.networks.generators import DenseGenerator, squash
from gibbsian.networks.options import Activation, check_counts, check_positive


def gaussian_log_prob(x: Tensor, mean: Tensor, variance: float) -> Tensor:
    """log N(x; mean, variance I), ``[B, *event] -> [B]``."""
    return log_normal(
        x.flatten(1), mean.flatten(1), x.new_full((x[0].numel(),), math.log(variance))
    )


class VAEStudent(nn.Module):
    """The evidence lower bound with one reparameterised sample (Kingma, Welling 2014).

    log p(x|z) - KL(q(z|x) || N(0, I)), z = mean + std noise. Encoder and decoder have ``depth``
    layers of ``width`` units, the latent space ``code_dim`` dimensions. p(x|z) is Gaussian with the
    fixed ``output_variance``, its mean in the box where there is one, or Bernoulli on the box scaled to
    [0, 1] (Du et al. 2020, code).

    Args:
        code_dim: dimension of the latent space.
        likelihood: of the decoder, bernoulli only on a box.
        output_variance: of a gaussian likelihood, in the networks' units.
        width: units of each hidden layer of encoder and decoder.
        depth: number of hidden layers of each.
        activation: non-linearity; smooth ones suit unrolling.
        fourier_features: number of random frequencies appended to the inputs of both; 0 for none.
        fourier_scale: standard deviation of these frequencies.
    """

    def __init__(
        self,
        space: DataSpace,
        *,
        code_dim: int = 32,
        likelihood: Literal["gaussian", "bernoulli"] = "gaussian",
        output_variance: float = 0.001,
        width: int = 128,
        depth: int = 2,
        activation: Activation = "silu",
        fourier_features: int = 0,
        fourier_scale: Annotated[float, RARE] = 2.0,
    ):
        super().__init__()
        check_counts(code_dim=code_dim)
        check_positive(output_variance=output_variance)
        if likelihood not in ("gaussian", "bernoulli"):
            raise ValueError(f"the likelihood is gaussian or bernoulli, not {likelihood!r}")
        if likelihood == "bernoulli" and space.box is None:
            raise ValueError(
                "a bernoulli likelihood needs data in a box, such as images; use gaussian"
            )
        sizes: dict[str, Any] = {"width": width, "depth": depth, "activation": activation}
        fourier: dict[str, Any] = {
            "fourier_features": fourier_features,
            "fourier_scale": fourier_scale,
        }
        self.encoder = DenseEncoder(space, code_dim, **sizes, **fourier)
        unboxed = replace(space, box=None)
        self.decoder = DenseGenerator(unboxed, code_dim, **sizes, **fourier)
        self.box, self.output_variance = space.box, output_variance
        self.likelihood, self.noise = likelihood, code_dim

    def log_likelihood(self, x: Tensor, a: Tensor) -> Tensor:
        """log p(x|z) of ``x [B, *event]`` given the decoder's output ``a``."""
        if self.likelihood == "bernoulli":
            assert self.box is not None
            low, high = self.box
            return bernoulli_log_prob((x - low) / (high - low), a)
        return gaussian_log_prob(x, squash(a, self.box), self.output_variance)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """``[B, *event]``, ``[B, code_dim] -> [B]``."""
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        z = mean + torch.exp(0.5 * log_variance) * noise
        kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1)
        return self.log_likelihood(x, self.decoder(z)) - kl


class MixtureStudent(nn.Module):
    """A mixture of ``components`` Gaussians with diagonal covariances; exact.

    The means start standard normal, the standard deviations at 1/2, the weights equal.

    Args:
        components: number of Gaussians.
    """

    noise = 0

    def __init__(self, space: DataSpace, *, components: int = 64):
        super().__init__()
        check_counts(components=components)
        count, d = components, math.prod(space.shape)
        self.means = nn.Parameter(torch.randn(count, d))
        self.log_std = nn.Parameter(torch.full((count, d), math.log(0.5)))
        self.logits = nn.Parameter(torch.zeros(count))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """``[B, *event] -> [B]``; ``noise [B, 0]`` is not used."""
        component = log_normal(x.flatten(1).unsqueeze(1), self.means, 2 * self.log_std)
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
