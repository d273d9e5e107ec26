"""Base measures b of p(x) = exp(-E(x)) b(x) / Z.

A measure knows the event shape, its log-density (relative to Lebesgue or counting measure) and, if
it is a probability or has finite volume, how to draw from its normalised form.
"""

from __future__ import annotations

import itertools
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


@dataclass(frozen=True)
class Mixed:
    """Lebesgue measure on ``numbers`` real numbers times counting measure on categories.

    Points ``[B, numbers + sum(categories)]`` hold the numbers, in ``box`` if there is one, then a one-hot
    block for each category. A density relative to it is one of the numbers times a probability of the
    categories.
    """

    numbers: int
    categories: tuple[int, ...]
    box: tuple[float, float] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """``(numbers + sum(categories),)``."""
        return (self.numbers + sum(self.categories),)

    @property
    def blocks(self) -> tuple[slice, ...]:
        """Where the one-hot block of each category stands in a row."""
        ends = itertools.accumulate(self.categories, initial=self.numbers)
        return tuple(slice(first, last) for first, last in itertools.pairwise(ends))

    @property
    def configurations(self) -> int:
        """How many combinations of categories there are."""
        return math.prod(self.categories)

    def log_density(self, x: Tensor) -> Tensor:
        """``[B, *shape] -> [B]``: 0, and -inf where a number lies outside the box."""
        zero = torch.zeros(len(x), dtype=x.dtype, device=x.device)
        if self.box is None:
            return zero
        numbers = x[:, : self.numbers]
        outside = ((numbers < self.box[0]) | (numbers > self.box[1])).any(1)
        return zero.masked_fill(outside, -math.inf)

    def sample(self, n: int, rng: Generator) -> Tensor:
        """``[n, *shape]``: uniform categories and numbers uniform in the box; without one standard normal."""
        size = n, self.numbers
        if self.box is None:
            numbers = torch.randn(size, generator=rng, device=rng.device)
        else:
            low, high = self.box
            numbers = low + (high - low) * torch.rand(size, generator=rng, device=rng.device)
        rates = torch.ones(sum(self.categories), device=rng.device)
        return torch.cat([numbers, one_hot_draws(rates, self.categories, n, rng)], 1)


def one_hot_draws(rates: Tensor, categories: tuple[int, ...], n: int, rng: Generator) -> Tensor:
    """``[n, sum(categories)]`` one-hot blocks, each drawn with probabilities proportional to its ``rates``.

    ``rates [sum(categories)]``, positive; the draws have their precision.
    """
    blocks = []
    for part in rates.split(categories):
        drawn = torch.multinomial(part, n, replacement=True, generator=rng)
        blocks.append(torch.nn.functional.one_hot(drawn, len(part)).to(rates))
    return torch.cat(blocks, 1)


Measure = Box | RealSpace | Gaussian | Counting | Mixed


@dataclass(frozen=True)
class Undefined:
    """No base measure makes this energy normalisable; ``why`` is printed instead of a number."""

    shape: tuple[int, ...]
    why: str
