"""log Z of an energy on numbers and categories: sums of quadratures, and where annealing starts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from gibbsian.core import Energy, Estimate, Interval, check_energy
from gibbsian.core.measures import Box, Mixed, RealSpace, one_hot_draws
from gibbsian.core.numerics import log_normal_dense
from gibbsian.evaluation.log_z.quadrature import log_partition_quadrature
from gibbsian.evaluation.log_z.references import normal_fit

MOST_STATES = 2**17
"""So many combinations of categories are summed where there are no numbers."""
MOST_GRIDS = 64
"""So many combinations are summed where each needs a quadrature over its numbers."""
MOST_NUMBERS = 2
CHUNK = 8192
FLAT = 0.02
"""Share of a uniform distribution in that of each category, so that no value is left out."""
WIDER = 1.2
"""Of the points' spread: where annealing starts must not be narrower than where it ends."""


def one_hot(state: Tensor, categories: tuple[int, ...]) -> Tensor:
    """Combinations number ``state [n]``, the last category counted fastest, ``[n, sum(categories)]``."""
    blocks = []
    for count in reversed(categories):
        blocks.append(torch.nn.functional.one_hot(state % count, count))
        state = state // count
    return torch.cat(blocks[::-1], 1)


@dataclass(frozen=True)
class GivenCategories:
    """E of numbers ``[B, numbers]`` beside the one-hot blocks ``[sum(categories)]``."""

    energy: Energy
    blocks: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """``[B, numbers] -> [B]``."""
        rows = self.blocks.to(x).expand(len(x), -1)
        return self.energy(torch.cat([x, rows], 1))


def summed(
    energy: Energy, measure: Mixed, near: Tensor | None, device: torch.device
) -> Interval | None:
    """log Z summed over all combinations of categories; None where they are too many.

    Without numbers exact; with one or two of them, the integral over these by quadrature for each.
    ``near [n, *event]``: points that show where the numbers have mass.
    """
    if measure.numbers == 0:
        return (
            _enumerated(energy, measure, device) if measure.configurations <= MOST_STATES else None
        )
    if measure.numbers > MOST_NUMBERS or measure.configurations > MOST_GRIDS:
        return None
    shape = (measure.numbers,)
    base = RealSpace(shape) if measure.box is None else Box(shape, *measure.box)
    numbers = None if near is None else near[:, : measure.numbers]
    dtype = torch.float32 if near is None else near.dtype
    parts = []
    for blocks in one_hot(torch.arange(measure.configurations), measure.categories):
        given = GivenCategories(energy, blocks.to(device))
        found = log_partition_quadrature(given, base, near=numbers, dtype=dtype, device=device)
        if not isinstance(found, Interval):
            return None
        parts.append(found.lower)
    value = float(torch.tensor([part.value for part in parts]).double().logsumexp(0))
    error = max(part.diagnostics["error"] for part in parts)
    how = f"quadrature for each of {len(parts)} combinations of categories"
    estimate = Estimate(value, 0.0, "both", "exact", how, {"error": error})
    return Interval(estimate, estimate)


def _enumerated(energy: Energy, measure: Mixed, device: torch.device) -> Interval:
    total = torch.tensor(-math.inf, dtype=torch.float64)
    with torch.no_grad():
        for states in torch.arange(measure.configurations).split(CHUNK):
            x = one_hot(states, measure.categories).float().to(device)
            value = check_energy(energy(x), len(x)).cpu().double()
            total = torch.logaddexp(total, torch.logsumexp(-value, 0))
    how = f"enumeration of {measure.configurations} combinations of categories"
    estimate = Estimate(float(total), 0.0, "both", "exact", how, {"error": 0.0})
    return Interval(estimate, estimate)


@dataclass(frozen=True)
class Product:
    """A normal distribution of the numbers, uniform on a box, times independent categories.

    ``mean [numbers]``, ``factor [numbers, numbers]`` lower triangular, ``rates [sum(categories)]`` sum to 1
    for each category.
    """

    measure: Mixed
    mean: Tensor
    factor: Tensor
    rates: Tensor

    def sample(self, n: int, rng: Generator) -> Tensor:
        """``[n, *event]`` independent draws."""
        measure, size = self.measure, (n, self.measure.numbers)
        if measure.box is None:
            xi = torch.randn(size, generator=rng, device=rng.device, dtype=self.mean.dtype)
            numbers = self.mean + xi @ self.factor.T
        else:
            u = torch.rand(size, generator=rng, device=rng.device, dtype=self.mean.dtype)
            numbers = measure.box[0] + (measure.box[1] - measure.box[0]) * u
        return torch.cat([numbers, one_hot_draws(self.rates, measure.categories, n, rng)], 1)

    def log_density(self, x: Tensor) -> Tensor:
        """``[B, *event] -> [B]``; -inf outside the box."""
        measure = self.measure
        numbers, categories = x.tensor_split([measure.numbers], 1)
        log_p = categories @ self.rates.log() + measure.log_density(x)
        if measure.box is not None:
            return log_p - measure.numbers * math.log(measure.box[1] - measure.box[0])
        return (
            log_p + log_normal_dense(numbers, self.mean, self.factor) if measure.numbers else log_p
        )


def product_fit(points: Tensor, measure: Mixed) -> Product:
    """The product distribution of ``points [n, *event]``, somewhat wider than they are.

    ValueError for fewer than two points.
    """
    numbers, categories = points.tensor_split([measure.numbers], 1)
    rates = torch.cat(
        [
            (1 - FLAT) * part + FLAT / len(part)
            for part in categories.mean(0).split(measure.categories)
        ]
    )
    mean, factor = points.new_zeros(measure.numbers), torch.eye(measure.numbers).to(points)
    if measure.numbers and measure.box is None:
        fit = normal_fit(numbers)
        mean, factor = fit.mean[0], WIDER * fit.factor[0]
    return Product(measure, mean, factor, rates)


def flat_start(measure: Mixed, device: torch.device) -> Product:
    """Where nothing is known: uniform categories, standard normal numbers or uniform ones on the box."""
    rates = torch.cat([torch.full((count,), 1 / count) for count in measure.categories])
    mean, factor = torch.zeros(measure.numbers), torch.eye(measure.numbers)
    return Product(measure, mean.to(device), factor.to(device), rates.to(device))
