"""What categories say of the numbers beside them: where they lie, and how widely they spread."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gibbsian.models.whitening import expanded

PRIOR = 3.0
"""Rows of the usual spread that each value of a category counts as having beside its own; usual is the
geometric mean over all rows, which one wide value does not set."""
GAIN = 3.0
"""Nats for each value by which spreads of their own must raise the likelihood."""
LEAST, MOST = 1e-3, 1e2
"""Bounds of the ridge, in rows."""
LEAST_SPREAD = 1e-3
"""Of a value's rows, in spreads of all."""
PASSES, MOST_WEIGHED = 4, 200
"""How often levels are found again with rows weighed by their spreads, of up to so many values."""


@dataclass(frozen=True, eq=False)
class NumbersGiven:
    """z = (x - level) / spread for the m numbers of a row, level and spread by its categories.

    ``categories [d]``: of each column how many values it has, 0 for numbers. ``mean [m]``; ``levels [W, m]``:
    what each of the W values of k categories adds to each number; ``log_spreads [W, m]``: the same of the
    logarithm of its spread; ``unknown [k, m]``: that for a value never seen.
    """

    categories: tuple[int, ...]
    mean: Tensor
    levels: Tensor
    log_spreads: Tensor
    unknown: Tensor

    @classmethod
    def fit(cls, x: Tensor, categories: tuple[int, ...]) -> NumbersGiven:
        """Of rows ``x [n, d]``.

        Levels are least squares with a ridge, of as many rows as the noise has variance beside the levels;
        rows of wide spread weigh less.
        Spreads are mean distances from the levels, as of Laplace distributions: one gross error does not
        hide the others of its value. They depend on one category, the one that gains the most likelihood by
        it; of a value without a row the level is unknown, and the spread has the size of the levels.
        """
        none = torch.empty(0)
        self = cls(categories, none, none, none, none)
        seen, numbers = self._seen(x), self._numbers(x)
        mean = numbers.mean(0)
        numbers = numbers - mean
        levels = _levels(seen, numbers)
        log_spreads, unknown = _log_spreads(seen, numbers - seen @ levels, levels, categories)
        if len(levels) <= MOST_WEIGHED:
            for _ in range(PASSES):
                spread = (seen @ log_spreads).exp()
                levels = _weighed_levels(seen, numbers, levels, spread)
                log_spreads, unknown = _log_spreads(
                    seen, numbers - seen @ levels, levels, categories
                )
        return cls(categories, mean, levels, log_spreads, unknown)

    def __call__(self, x: Tensor) -> Tensor:
        """``[n, d] -> [n, m]``, float64."""
        away = self._numbers(x) - self.mean - self._seen(x) @ self.levels
        return away / self.log_spread(x).exp()

    def log_spread(self, x: Tensor) -> Tensor:
        """Of each number of rows ``x [n, d]``, ``[n, m]``."""
        unseen = (self._codes(x) < 0).double()
        return self._seen(x) @ self.log_spreads + unseen @ self.unknown

    def _codes(self, x: Tensor) -> Tensor:
        return x[:, torch.tensor(self.categories) > 0]

    def _seen(self, x: Tensor) -> Tensor:
        """The categories of rows as columns of 0 and 1, ``[n, W]``."""
        return expanded(self._codes(x), tuple(c for c in self.categories if c))

    def _numbers(self, x: Tensor) -> Tensor:
        return x[:, torch.tensor(self.categories) == 0].double()


def _log_spreads(
    seen: Tensor, away: Tensor, levels: Tensor, categories: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Of each value and number, ``[W, m]``, and of a value never seen, ``[k, m]``.

    Of rows with values ``seen [n, W]``, their numbers ``away [n, m]`` from the ``levels [W, m]``.
    """
    distance = away.abs()
    often, size = seen.sum(0)[:, None], distance.mean(0)
    size = torch.where(size > 0, size, 1.0)
    sums = seen.T @ distance / size
    alone = (sums / often.clamp(min=1)).clamp(min=LEAST_SPREAD).log()
    usual = (often * alone).sum(0) / often.sum(0).clamp(min=1)
    spread = (sums + PRIOR * usual.exp()) / (often + PRIOR)
    log_spread = spread.clamp(min=LEAST_SPREAD).log()
    blocks = torch.tensor([c for c in categories if c])
    column = torch.arange(len(blocks)).repeat_interleave(blocks)

    def of_columns(values: Tensor) -> Tensor:
        return values.new_zeros(len(blocks), values.shape[1]).index_add_(0, column, values)

    gain = of_columns(-often * log_spread) - GAIN * blocks[:, None]
    taken = (column[:, None] == gain.argmax(0)) & (gain.amax(0) > 0)
    unknown = (1 + of_columns(often * levels.abs()) / len(away) / size).log()
    log_spreads = torch.where(taken, log_spread, 0.0)
    return torch.where(often > 0, log_spreads, unknown[column]), unknown


def _weighed_levels(seen: Tensor, numbers: Tensor, levels: Tensor, spread: Tensor) -> Tensor:
    """Least squares with rows weighed by 1 / ``spread [n, m]`` squared, of numbers whose spread varies.

    A value of wide spread would put its noise into the levels of all others, whose rows share its columns.
    The ridge is noise over levels as the values have them, or a wide value's rows would weigh less than it.
    """
    found = levels.clone()
    for j in (spread.amax(0) > spread.amin(0)).nonzero()[:, 0].tolist():
        weighed, y = seen / spread[:, j, None], numbers[:, j] / spread[:, j]
        noise = (y - weighed @ levels[:, j]).square().mean()
        ridge = (noise / levels[:, j].square().mean()).clamp(0.0, 1.0)
        system = weighed.T @ weighed
        system.diagonal().add_(ridge + 1e-9 * system.diagonal().amax())
        found[:, j] = torch.linalg.solve(system, weighed.T @ y)
    return found


def _levels(seen: Tensor, numbers: Tensor) -> Tensor:
    """Least squares of ``numbers [n, m]`` on ``seen [n, W]`` with a ridge for each number, ``[W, m]``.

    First a ridge of one row, then noise over levels as those have them.
    """
    eigenvalues, axes = torch.linalg.eigh(seen.T @ seen)
    projected = axes.T @ (seen.T @ numbers)
    eigenvalues = eigenvalues.clamp(min=0)[:, None]
    levels = axes @ (projected / (eigenvalues + 1.0))
    explained = seen @ levels
    noise, signal = (numbers - explained).square().mean(0), explained.square().mean(0)
    ridge = (noise / signal.clamp(min=1e-300)).clamp(LEAST, MOST)
    return axes @ (projected / (eigenvalues + ridge))
