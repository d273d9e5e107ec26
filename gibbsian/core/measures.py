"""Base measures b of p(x) = exp(-E(x)) b(x) / Z.

A measure knows the event shape, its log-density (relative to Lebesgue or counting measure) and, if
it is a probability or has finite volume, how to draw from its normalised form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class Box:
    """Lebesgue measure on ``[low, high]^d``: any bounded energy has a normaliser here."""

    shape: tuple[int, ...]
    low: float
    high: float

    def log_density(self, x: Tensor) -> Tensor:
        """``[B, *shape] -> [B]``: 0 inside, -inf outside."""
        outside = ((x < self.low) | (x > self.high)).flatten(1).any(1)
        return torch.zeros(len(x), dtype=x.dtype, device=x.device).masked_fill(outside, -math.inf)

    @property
    def log_volume(self) -> float:
        """Log of the measure of the whole box."""
        return math.prod(self.shape) * math.log(self.high - self.low)

    def sample(self, n: int, rng: Generator) -> Tensor:
        """``[n, *shape]`` uniform in the box."""
        u = torch.rand(n, *self.shape, generator=rng, device=rng.device)
        return self.low + (self.high - self.low) * u


@dataclass(frozen=True)
class RealSpace:
    """Lebesgue measure on R^d: only for energies that confine (grow at infinity)."""

    shape: tuple[int, ...]

    def log_density(self, x: Tensor) -> Tensor:
        """``[B, *shape] -> [B]``: zeros."""
        return torch.zeros(len(x), dtype=x.dtype, device=x.device)


@dataclass(frozen=True)
class Gaussian:
    """The standard normal distribution times ``scale``; also the prior of a generator's latent space."""

    shape: tuple[int, ...]
    scale: float = 1.0

    def log_density(self, x: Tensor) -> Tensor:
        """``[B, *shape] -> [B]``: log N(x; 0, scale^2 I)."""
        d = math.prod(self.shape)
        square = x.flatten(1).square().sum(1) / self.scale**2
        return -0.5 * (square + d * math.log(2 * math.pi * self.scale**2))

    def sample(self, n: int, rng: Generator) -> Tensor:
        """``[n, *shape]`` independent draws."""
        return self.scale * torch.randn(n, *self.shape, generator=rng, device=rng.device)


@dataclass(frozen=True)
class Counting:
    """Counting measure on {0,1}^d."""

    shape: tuple[int, ...]

    def log_density(self, x: Tensor) -> Tensor:
        """``[B, *shape] -> [B]``: zeros."""
        return torch.zeros(len(x), dtype=x.dtype, device=x.device)

    @property
    def log_volume(self) -> float:
        """Log of the number of states."""
        return math.prod(self.shape) * math.log(2.0)

    def sample(self, n: int, rng: Generator) -> Tensor:
        """``[n, *shape]`` fair coins."""
        return torch.randint(2, (n, *self.shape), generator=rng, device=rng.device).float()


Measure = Box | RealSpace | Gaussian | Counting


@dataclass(frozen=True)
class Undefined:
    """No base measure makes this energy normalisable; ``why`` is printed instead of a number."""

    shape: tuple[int, ...]
    why: str
