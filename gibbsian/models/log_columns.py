"""Columns that a detector takes the logarithm of: positive numbers that spread by factors, or are multiplied.

Counts of cells, weights of parcels, incomes: on their own scale ordinary large values lie many standard
deviations out and fill the list of strange rows, and one that is a thousand times too small lies within two.
A sum of columns is no sum of logarithms: where the others explain a column better as it is, it stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gibbsian.models.product_rules import columns_of_products
from gibbsian.models.whitening import expanded

GAIN = 0.25
"""Nats a row by which the logarithm must raise a column's likelihood, as of a Gaussian given the rest."""
FEWEST, FEWEST_IN_RULE, MOST_COLUMNS = 30, 3, 64
"""Different values that a column must have, since grades are no amounts, and that a factor of a product must;
columns up to which any is tried."""
KEPT, PASSES, RIDGE = 0.98, 3, 1e-3
"""Share of the rows, the nearest to the fit, that say how wide a column spreads; passes; ridge."""
POSITIVE = 0.99
"""Share of a column's values that must be positive; the others are errors, and count as the least."""
ENOUGH, MOST_VALUES, OFTEN = 20_000, 200, 10
"""Rows by which columns are judged; values of categories up to which these help to explain them; rows that a
value needs to say where there is nothing."""
LEAST, LARGEST = 1e-3, 700.0
"""Of the smallest value of a column: later ones below it, which may not be positive, count as that. Logarithm
above which there is no number."""


@dataclass(frozen=True, eq=False)
class LogColumns:
    """``least [d]``: of the columns taken by their logarithm the least value, of others 0."""

    least: Tensor

    @classmethod
    def fit(cls, x: Tensor, gaps: Tensor, categories: tuple[int, ...] = ()) -> LogColumns:
        """Of rows ``x [n, d]`` with ``gaps [n, d]``; ``categories``: how many values, 0 for numbers."""
        least = torch.zeros(x.shape[1], dtype=torch.float64)
        usable = (x > 0) & ~gaps
        enough = usable.sum(0) >= POSITIVE * (~gaps).sum(0)
        step = max(1, len(x) // ENOUGH)
        every, x, usable, gaps = x, x[::step].double(), usable[::step], gaps[::step]
        chosen = [bool(categories) and categories[j] > 0 for j in range(x.shape[1])]
        numbers = [j for j, is_category in enumerate(chosen) if not is_category]
        if len(numbers) > MOST_COLUMNS or len(x) < FEWEST:
            return cls(least)
        # In units in which squares stay finite; gains of likelihood are the same in any.
        size = x.abs().amax(0)
        x = torch.where(torch.tensor(chosen), x, x / torch.where(size > 0, size, 1.0))
        few = 0 < sum(categories) <= MOST_VALUES
        seen = expanded(x[:, chosen], tuple(c for c in categories if c)) if few else x[:, :0]
        values = {j: len(x[usable[:, j], j].unique()) for j in numbers}
        alone = [
            j
            for j in numbers
            if enough[j] and values[j] >= FEWEST and _asks_for_it(x, usable[:, j], seen, numbers, j)
        ]
        positive = [
            j
            for j in numbers
            if values[j] >= FEWEST_IN_RULE
            and (enough[j] or _is_nothing_of_a_category(x[:, j], x[:, chosen], ~gaps[:, j]))
        ]
        positive, whole = _with_whole_rows(positive, usable)
        found = columns_of_products(
            x[whole][:, numbers],
            seen[whole],
            [numbers.index(j) for j in positive],
            [numbers.index(j) for j in alone if j in positive],
        )
        for j in {*(numbers[place] for place in found), *(j for j in alone if j not in positive)}:
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
        """``[n, d] -> [n, d]``, or rows of one dimension less; 0 for the least, which stands for nothing."""
        x = torch.where(y > self.least.log(), y.clamp(max=LARGEST).exp(), 0.0)
        return torch.where(self.least > 0, x, y)


def _asks_for_it(x: Tensor, there: Tensor, seen: Tensor, numbers: list[int], j: int) -> bool:
    """Whether the logarithm of column ``j`` is likelier, given the other numbers as they are and ``seen``."""
    y, others = x[there, j], [k for k in numbers if k != j]
    rest = torch.cat([x[there][:, others], seen[there]], 1)
    gain = _spread(y, rest).log() - _spread(y.log(), rest).log() - y.log().mean()
    return float(gain) > GAIN


def _is_nothing_of_a_category(x: Tensor, codes: Tensor, there: Tensor) -> bool:
    """Whether values of some category say which of ``x [n]`` are 0, and none is negative; but for errors.

    ``codes [n, k]``: the categories; ``there [n]``: where there is no gap. A value of few rows says nothing.
    """
    x, most = x[there], (1 - POSITIVE) * int(there.sum())
    if int((x < 0).sum()) > most:
        return False
    for column in codes[there].T:
        _, value = column.unique(return_inverse=True)
        often = value.bincount()
        nothing = value[x == 0].bincount(minlength=len(often))
        missed = torch.where(often < OFTEN, nothing, torch.minimum(nothing, often - nothing))
        if int(missed.sum()) <= most:
            return True
    return False


def _with_whole_rows(positive: list[int], usable: Tensor) -> tuple[list[int], Tensor]:
    """Those of the columns that half of the rows or more have all of, and these rows, ``[n]`` bool.

    The one that most rows lack is left out first: a note in few rows must not hide a rule among others.
    """
    order = usable[:, positive].sum(0).argsort(stable=True).tolist()
    kept = [positive[i] for i in order]
    while kept and float(usable[:, kept].all(1).double().mean()) < 0.5:
        kept = kept[1:]
    return sorted(kept), usable[:, kept].all(1)


def _spread(y: Tensor, rest: Tensor) -> Tensor:
    """The standard deviation of ``y [n]`` about its least squares on ``rest [n, m]``, of the nearest rows.

    A few gross errors, far out on any scale but the logarithm's, must not choose it.
    """
    rest = rest - rest.mean(0)
    std = rest.square().mean(0).sqrt()
    rest = rest / torch.where(std > 0, std, 1.0)
    rest = torch.cat([rest, torch.ones_like(y)[:, None]], 1)
    size = y.std(correction=0).clamp(min=torch.finfo(y.dtype).tiny)
    y, near = y / size, torch.ones_like(y, dtype=torch.bool)
    for _ in range(PASSES):
        system = rest[near].T @ rest[near]
        system.diagonal().add_(RIDGE * int(near.sum()))
        away = (y - rest @ torch.linalg.solve(system, rest[near].T @ y[near])).abs()
        near = away <= away.sort().values[int(KEPT * (len(y) - 1))]
    return size * away[near].square().mean().sqrt().clamp(min=1e-9)
