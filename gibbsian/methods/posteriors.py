"""Laws of the latent variables that are reparameterised: z = m + s eps, eps from a fixed distribution.

Kingma, Welling (2014), section 2.4: location-scale families; the Laplace and the logistic distribution draw
their eps by the inverse of the distribution function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn.functional import softplus

from gibbsian.core.measures import Gaussian
from gibbsian.core.numerics import LOG_2_PI


def normal_noise(shape: tuple[int, ...], rng: Generator) -> Tensor:
    """Standard normal, of ``shape``."""
    return torch.randn(shape, generator=rng, device=rng.device)


def normal_log_density(eps: Tensor) -> Tensor:
    """-(eps^2 + log 2 pi) / 2, entry by entry."""
    return -0.5 * (eps.square() + LOG_2_PI)


def open_uniform(shape: tuple[int, ...], rng: Generator) -> Tensor:
    """Uniform on the middles of 2^23 equal parts of (0, 1): neither end is ever drawn."""
    cells = torch.randint(2**23, shape, generator=rng, device=rng.device)
    return (cells.float() + 0.5) / 2**23


def laplace_noise(shape: tuple[int, ...], rng: Generator) -> Tensor:
    """F^-1(u) = -sign(u - 1/2) log(1 - |2 u - 1|)."""
    centred = 2.0 * open_uniform(shape, rng) - 1.0
    return -centred.sign() * torch.log1p(-centred.abs())


def laplace_log_density(eps: Tensor) -> Tensor:
    """-|eps| - log 2, entry by entry."""
    return -eps.abs() - math.log(2.0)


def logistic_noise(shape: tuple[int, ...], rng: Generator) -> Tensor:
    """F^-1(u) = log u - log(1 - u)."""
    return torch.logit(open_uniform(shape, rng))


def logistic_log_density(eps: Tensor) -> Tensor:
    """-eps - 2 log(1 + exp(-eps)), entry by entry."""
    return -eps - 2.0 * softplus(-eps)


def location_and_log_scale(parameters: Tensor) -> tuple[Tensor, Tensor]:
    """m and log s, ``[B, latent_dim]`` each, of means and log-variances ``[B, 2 latent_dim]``."""
    m, log_variance = parameters.chunk(2, dim=1)
    return m, 0.5 * log_variance


@dataclass(frozen=True)
class LocationScale:
    """A family of distributions of z with independent coordinates, by the distribution of its noise eps.

    ``noise(shape, rng)`` draws eps, ``log_density(eps)`` is taken entry by entry; ``entropy`` (nats)
    and ``variance`` are those of one coordinate of eps, whose mean is 0.
    """

    noise: Callable[[tuple[int, ...], Generator], Tensor]
    log_density: Callable[[Tensor], Tensor]
    entropy: float
    variance: float

    def log_prob(self, z: Tensor, m: Tensor, log_s: Tensor) -> Tensor:
        """log q(z) of ``z [..., latent]``, summed over the last dimension."""
        return (self.log_density((z - m) * torch.exp(-log_s)) - log_s).sum(-1)

    def divergence(self, m: Tensor, log_s: Tensor, prior: Gaussian) -> Tensor:
        """KL(q || prior) in closed form, ``[B, latent_dim] -> [B]``.

        The cross-entropy to a Gaussian needs q's mean and variance only; for a Gaussian q and a
        standard normal prior this is -1/2 sum (1 + log s^2 - m^2 - s^2) (equation 10).
        """
        second = torch.add(m.square(), torch.exp(2.0 * log_s), alpha=self.variance)
        constant = 0.5 * LOG_2_PI + math.log(prior.scale) - self.entropy
        return (0.5 / prior.scale**2 * second - log_s).sum(-1) + m.shape[-1] * constant


POSTERIORS: Mapping[str, LocationScale] = {
    "gaussian": LocationScale(normal_noise, normal_log_density, 0.5 * (LOG_2_PI + 1.0), 1.0),
    "laplace": LocationScale(laplace_noise, laplace_log_density, 1.0 + math.log(2.0), 2.0),
    "logistic": LocationScale(logistic_noise, logistic_log_density, 2.0, math.pi**2 / 3.0),
}
