"""The lower side of log Z with output noise: H(x) = H(x | z) + I(x; z), the information bounded below.

For x = G(z) + sigma eps, eps from N(0, I_D), the first term is (D/2) log(2 pi e sigma^2) whatever G
is, so a lower bound on the mutual information is one on the entropy. No condition on G remains.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Generator, Tensor, nn

from gibbsian.bounds.entropy import Entropy, SamplesWithEntropy
from gibbsian.bounds.guarantees import Guarantee
from gibbsian.core.measures import Gaussian
from gibbsian.core.numerics import log_normal

LOG_VARIANCES = (-14.0, 8.0)
"""Where an encoder's log-variances are cut off: outside, the latents would not be told apart in float32."""


class Information(Entropy):
    """An encoder q(z | x) = N(mean(x), diag variance(x)) reads the latent back from a noisy sample.

    ``encoder``: ``[B, *event] -> [B, 2 d]``, mean and log-variance. Trained with the generator.
    """

    def __init__(self, prior: Gaussian, encoder: nn.Module, noise: float):
        super().__init__(prior)
        if not 0 < noise < math.inf:
            raise ValueError(
                f"the information between x and z is finite only with output noise; "
                f"output_noise_std must be positive, not {noise}"
            )
        self.encoder = encoder
        self.noise = noise

    def randomness(self, z: Tensor, shape: tuple[int, ...], rng: Generator) -> tuple[Tensor, ...]:
        """eps ``[B, *event]``."""
        return (torch.randn(len(z), *shape, generator=rng, device=rng.device, dtype=z.dtype),)

    def forward(self, generator: nn.Module, z: Tensor, *randomness: Tensor) -> SamplesWithEntropy:
        """x = G(z) + sigma eps and (D/2) log(2 pi e sigma^2) + a bound on I(x; z)."""
        x = generator(z) + self.noise * randomness[0]
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        of_noise = 0.5 * x[0].numel() * math.log(2 * math.pi * math.e * self.noise**2)
        return SamplesWithEntropy(
            x, of_noise + self.information(z, mean, log_variance.clamp(*LOG_VARIANCES))
        )

    @abstractmethod
    def information(self, z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        """Terms ``[B]`` whose mean is at most I(x; z)."""


class BarberAgakov(Information):
    """I(x; z) >= H(p0) + E[log q(z | x)] (Barber, Agakov 2003); the gap is E KL(p(z|x) || q(z|x))."""

    def information(self, z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        """log q(z_i | x_i) - log p0(z_i)."""
        return log_normal(z, mean, log_variance) - self.prior.log_density(z)

    def guarantee(self, generator: nn.Module, dim: int) -> Guarantee:
        """Always a bound."""
        return Guarantee("lower", "log Z")


class InfoNCE(Information):
    """I(x; z) >= E[f(x_i, z_i) - log 1/B sum_j exp f(x_i, z_j)] (van den Oord et al. 2018).

    f = log q(z | x). Never above log B: a gradient rather than a value where the information is
    larger.
    """

    def information(self, z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
        """f_ii - log-mean-exp_j f_ij."""
        f = log_normal(z[None], mean[:, None], log_variance[:, None])
        return f.diagonal() - torch.logsumexp(f, 1) + math.log(len(z))

    def guarantee(self, generator: nn.Module, dim: int) -> Guarantee:
        """Always a bound, capped at log B."""
        return Guarantee("lower", "log Z")
