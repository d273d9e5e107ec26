"""A noise distribution for mixed rows: a Gaussian for the numbers, independent categories beside it."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from gibbsian.core.measures import Box, Mixed, RealSpace, one_hot_draws
from gibbsian.methods.noise_law import fitted_noise

FLAT = 0.01
"""Share of a uniform distribution in that of each category, so that no value has probability 0."""


class ProductNoise(nn.Module):
    """N(mean, spread^2 covariance) of the numbers times the frequencies of each category seen so far.

    Numbers and categories, and the categories among themselves, are independent. The buffer ``rates``
    holds the categories' frequencies, uniform before any row is seen, in double precision.
    """

    def __init__(self, measure: Mixed, spread: float):
        super().__init__()
        self.measure = measure
        shape = (measure.numbers,)
        real = RealSpace(shape) if measure.box is None else Box(shape, *measure.box)
        self.numbers = fitted_noise(real, spread) if measure.numbers else None
        uniform = [torch.full((count,), 1 / count) for count in measure.categories]
        self.register_buffer("rates", torch.cat(uniform).double())
        self.rates: Tensor
        self.register_buffer("unit", torch.ones(()))
        self.unit: Tensor

    def see(self, x: Tensor, index: int) -> None:
        """Count the batch ``x [B, *event]`` of round ``index`` as one of index + 1."""
        numbers, categories = x.tensor_split([self.measure.numbers], 1)
        self.rates.lerp_(categories.to(self.rates).mean(0), 1 / (index + 1))
        if self.numbers is not None:
            self.numbers.see(numbers, index)

    def probabilities(self) -> Tensor:
        """Of every value of every category, ``[sum(categories)]``."""
        parts = self.rates.split(self.measure.categories)
        return torch.cat([(1 - FLAT) * part + FLAT / len(part) for part in parts])

    def sample(self, n: int, rng: Generator) -> Tensor:
        """``[n, *event]`` independent draws."""
        drawn = one_hot_draws(self.probabilities(), self.measure.categories, n, rng).to(self.unit)
        if self.numbers is None:
            return drawn
        return torch.cat([self.numbers.sample(n, rng), drawn], 1)

    def log_density(self, x: Tensor) -> Tensor:
        """``[B, *event] -> [B]``, nats; -inf outside the box."""
        numbers, categories = x.tensor_split([self.measure.numbers], 1)
        log_p = (categories.to(self.rates) @ self.probabilities().log()).to(self.unit.dtype)
        return log_p if self.numbers is None else log_p + self.numbers.log_density(numbers)
