"""Columns that a detector takes the logarithm of: positive numbers that spread by factors.

Counts of cells, weights of parcels, incomes: on their own scale ordinary large values lie many standard
deviations out and fill the list of strange rows, and one that is a thousand times too small lies within two.
A sum of columns is no sum of logarithms: where the others explain a column better as it is, it stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gibbsian.models.whitening import expanded

GAIN = 0.25
"""Nats a row by which the logarithm must raise a column's likelihood, as of a Gaussian given the rest."""
FEWEST, MOST_COLUMNS = 30, 64
"""Different values that a column must have, since grades are no amounts; columns up to which any is tried."""
KEPT, PASSES, RIDGE = 0.98, 3, 1e-3
"""Share of the rows, the nearest to the fit, that say how wide a column spreads; passes; ridge."""
POSITIVE = 0.99
"""Share of a column's values that must be positive; the others are errors, and count as the least."""
ENOUGH, MOST_VALUES = 20_000, 200
"""Rows by which columns are judged, and values of categories up to which these help to explain them."""
LEAST = 1e-3
"""Of the smallest value of a column: later ones below it, which may not be positive, count as that."""


@dataclass(frozen=True, eq=False)
class LogColumns:
    """``least [d]``: of the columns taken by their logarithm the least value, of others 0."""

    least: Tensor

    @classmethod
    def fit(cls, x: Tensor, gaps: Tensor, categories: tuple[int, ...] = ()) -> LogColumns:
        """Of rows ``x [n, d]`` with ``gaps [n, d]``; ``categories``: how many values, 0 for numbers."""
        least = torch.zeros(x.shape[1], dtype=torch.float64)
        usable = (x > 0) & ~gaps
        positive = usable.sum(0) >= POSITIVE * (~gaps).sum(0)
        step = max(1, len(x) // ENOUGH)
        every, x, usable = x, x[::step].double(), usable[::step]
        chosen = [bool(categories) and categories[j] > 0 for j in range(x.shape[1])]
        numbers = [j for j, is_category in enumerate(chosen) if not is_category]
        if len(numbers) > MOST_COLUMNS or len(x) < FEWEST:
            return cls(least)
        few = 0 < sum(categories) <= MOST_VALUES
        seen = expanded(x[:, chosen], tuple(c for c in categories if c)) if few else x[:, :0]
        for j in numbers:
            there = usable[:, j]
            y = x[there, j]
            if not bool(positive[j]) or len(y.unique()) < FEWEST:
                continue
            others = [k for k in numbers if k != j]
            rest = torch.cat([x[there][:, others], seen[there]], 1)
            gain = _spread(y, rest).log() - _spread(y.log(), rest).log() - y.log().mean()
            if float(gain) > GAIN:
                least[j] = LEAST * every[every[:, j] > 0, j].min()
        return cls(least)

    @property
    def columns(self) -> list[int]:
        """Those that are taken by their logarithm."""
        return self.least.nonzero()[:, 0].tolist()

    def __call__(self, x: Tensor) -> Tensor:
        """``[n, d] -> [n, d]``, or rows of one dimension less."""
        return torch.where(self.least > 0, x.double().clamp(min=self.least).log(), x.double())

    def inverse(self, y: Tensor) -> Tensor:
        """``[n, d] -> [n, d]``, or rows of one dimension less."""
        return torch.where(self.least > 0, y.exp(), y)


def _spread(y: Tensor, rest: Tensor) -> Tensor:
    """The standard deviation of ``y [n]`` about its least squares on ``rest [n, m]``, of the nearest rows.

    A few gross errors, far out on any scale but the logarithm's, must not choose it.
    """
    std = rest.std(0, correction=0)
    rest = (rest - rest.mean(0)) / torch.where(std > 0, std, 1.0)
    rest = torch.cat([rest, torch.ones_like(y)[:, None]], 1)
    size = y.std(correction=0).clamp(min=torch.finfo(y.dtype).tiny)
    y, near = y / size, torch.ones_like(y, dtype=torch.bool)
    for _ in range(PASSES):
        system = rest[near].T @ rest[near]
        system.diagonal().add_(RIDGE * int(near.sum()))
        away = (y - rest @ torch.linalg.solve(system, rest[near].T @ y[near])).abs()
        near = away <= away.sort().values[int(KEPT * (len(y) - 1))]
    return size * away[near].square().mean().sqrt().clamp(min=1e-9)
