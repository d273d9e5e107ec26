"""What a decoder's output means: the distribution p(x|z) of an observation given its parameters."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from gibbsian.core.measures import Counting, Measure, RealSpace, Undefined
from gibbsian.core.numerics import bernoulli_log_prob, log_normal


@dataclass(frozen=True)
class Bits:
    """Independent bits with logits ``a [B, *event]``."""

    shape: tuple[int, ...]

    def log_prob(self, x: Tensor, a: Tensor) -> Tensor:
        """sum x log y + (1 - x) log(1 - y), y = sigmoid(a), ``[B]``."""
        return bernoulli_log_prob(x, a)

    def mean(self, a: Tensor) -> Tensor:
        """The probabilities of a 1, ``[B, *event]``."""
        return torch.sigmoid(a)

    def noise(self, n: int, rng: Generator) -> Tensor:
        """Uniform, ``[n, *event]``."""
        return torch.rand(n, *self.shape, generator=rng, device=rng.device)

    def draw(self, a: Tensor, noise: Tensor) -> Tensor:
        """1 where the noise is below the probability."""
        return (noise < torch.sigmoid(a)).to(a)


@dataclass(frozen=True)
class Normals:
    """Independent Gaussians, ``a [B, 2, *event]``: means, then log-variances."""

    shape: tuple[int, ...]

    def log_prob(self, x: Tensor, a: Tensor) -> Tensor:
        """log N(x; mean, diag(variance)), ``[B]``."""
        mean, log_variance = a.flatten(2).unbind(1)
        return log_normal(x.flatten(1), mean, log_variance)

    def mean(self, a: Tensor) -> Tensor:
        """The means, ``[B, *event]``."""
        return a[:, 0]

    def noise(self, n: int, rng: Generator) -> Tensor:
        """Standard normal, ``[n, *event]``."""
        return torch.randn(n, *self.shape, generator=rng, device=rng.device)

    def draw(self, a: Tensor, noise: Tensor) -> Tensor:
        """mean + std noise."""
        mean, log_variance = a.unbind(1)
        return mean + torch.exp(0.5 * log_variance) * noise


Observation = Bits | Normals
"""A distribution of x with parameters a; ``draw`` is deterministic in its noise."""


def observation_of(measure: Measure | Undefined) -> Observation:
    """Bits on {0,1}^d, Gaussians on R^d; ValueError elsewhere."""
    if isinstance(measure, Counting):
        return Bits(measure.shape)
    if isinstance(measure, RealSpace):
        return Normals(measure.shape)
    raise ValueError(
        f"a directed model needs binary data or all of R^d as its measure, not {measure}; "
        "leave out the box"
    )
