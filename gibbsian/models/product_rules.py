"""Products between columns: amount = quantity x price, power = irradiance x area x efficiency.

Of logarithms a product is a sum, which a covariance holds. As they are, the columns of a product lie on a
curved surface, and a row that breaks the rule by a half hides in what a plane leaves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gibbsian.models.whitening import EIGENVALUE_FLOOR

GAIN, RULE = 0.1, 0.75
"""Nats a row by which each logarithm must raise the likelihood, and all of them together."""
DETERMINED = 0.05
"""Share of its variance that the other columns leave at most of a column of a product."""
KEPT, PASSES, RIDGE = 0.98, 3, 1e-6
"""Share of the rows, the nearest, that say how the columns vary together; passes; ridge of the categories,
and floor of what they leave, in variances of the column."""
ROWS, FEWEST_COLUMNS = 10, 3
"""Rows that are needed for each number and value of a category; columns of the smallest rule."""


def columns_of_products(
    x: Tensor, seen: Tensor, positive: Sequence[int], alone: Sequence[int] = ()
) -> list[int]:
    """Those of the columns ``positive`` of rows ``x [n, m]`` to take the logarithm of, for a rule's sake.

    ``seen [n, W]``: the categories as columns of 0 and 1. ``alone``: columns whose shape asks for a
    logarithm, which are returned where no product holds; those of others must gain more than their shape
    does. From the logarithms of all the one that gains least is dropped, again and again, of those that gain
    too little or that the other columns do not determine. Gains are of likelihood, of a Gaussian whose axes
    are no narrower than a detector lets them be.
    """
    if len(positive) < FEWEST_COLUMNS or len(x) < ROWS * (x.shape[1] + seen.shape[1]):
        return sorted(alone)
    logs = torch.zeros_like(x)
    logs[:, list(positive)] = x[:, list(positive)].log()
    both, given = torch.cat([x, logs], 1), torch.cat([seen, torch.ones_like(x[:, :1])], 1)
    of_all = Moments.of(both, given, positive)
    prices = {j: max(0.0, of_all.gain_of_shape(j)) if j not in alone else 0.0 for j in positive}
    chosen = _without_those_that_gain_little(of_all, prices, alone)
    if len(chosen) < FEWEST_COLUMNS:
        return sorted(alone)
    without = Moments.of(both, given, alone).width(alone)
    gained = without - Moments.of(both, given, chosen).width(chosen)
    return sorted(chosen if gained - sum(prices[j] for j in chosen) > RULE else alone)


def _without_those_that_gain_little(
    moments: Moments, prices: Mapping[int, float], alone: Sequence[int]
) -> list[int]:
    """Of the columns with ``prices`` those left; ``alone`` need not be determined by the others."""
    chosen = list(prices)
    while chosen:
        rest = {j: [k for k in chosen if k != j] for j in chosen}
        here = moments.width(chosen)
        gains = {j: moments.width(rest[j]) - here - prices[j] for j in chosen}
        free = moments.left_by_the_others(chosen)
        loose = [j for j in chosen if gains[j] < GAIN or (free[j] > DETERMINED and j not in alone)]
        if not loose:
            break
        chosen = rest[min(loose, key=gains.__getitem__)]
    return chosen


@dataclass(frozen=True, eq=False)
class Moments:
    """Of m numbers and their logarithms: ``covariance [2m, 2m]`` given the categories, ``mean_logs [m]``."""

    covariance: Tensor
    mean_logs: Tensor

    @classmethod
    def of(cls, both: Tensor, given: Tensor, logs: Sequence[int]) -> Moments:
        """Of rows ``both [n, 2m]`` beside ``given [n, W]``, but for those far out: they must not hide a rule.

        Far out with the columns ``logs`` by their logarithm and the others as they stand.
        """
        n, m = len(both), both.shape[1] // 2
        near = torch.ones(n, dtype=torch.bool)
        for _ in range(PASSES):
            system = given[near].T @ given[near]
            system.diagonal().add_(RIDGE * len(both[near]))
            levels = torch.linalg.solve(system, given[near].T @ both[near])
            away = both - given @ levels
            covariance = away[near].T @ away[near] / len(away[near])
            covariance.diagonal().add_(RIDGE * both[near].var(0, correction=0))
            moments = cls(covariance, both[near, m:].mean(0))
            columns, std, correlation = moments._of_columns(logs)
            z = away[:, columns] / std
            distance = (z @ torch.linalg.inv(correlation) * z).sum(1)
            near = distance <= distance.sort().values[int(KEPT * (n - 1))]
        return moments

    def width(self, logs: Sequence[int]) -> float:
        """-log-likelihood of a row, mean, with the columns ``logs`` by logarithm; nats, up to a constant."""
        _, std, correlation = self._of_columns(logs)
        width = 0.5 * torch.logdet(correlation) + std.log().sum()
        return float(width + self.mean_logs[list(logs)].sum())

    def left_by_the_others(self, logs: Sequence[int]) -> Tensor:
        """Share of each column's variance that all others leave, ``[m]``, ``logs`` by their logarithm."""
        _, _, correlation = self._of_columns(logs)
        return 1 / torch.linalg.inv(correlation).diagonal()

    def gain_of_shape(self, j: int) -> float:
        """By how much the logarithm raises the likelihood of column ``j`` alone, given the categories."""
        plain, log = _std(self.covariance).log().chunk(2)
        return float(plain[j] - log[j] - self.mean_logs[j])

    def _of_columns(self, logs: Sequence[int]) -> tuple[list[int], Tensor, Tensor]:
        """Places, standard deviations and correlation of the columns, ``logs`` by their logarithm."""
        m = len(self.mean_logs)
        columns = [j + m if j in set(logs) else j for j in range(m)]
        std = _std(self.covariance)[columns]
        correlation = self.covariance[columns][:, columns] / (std[:, None] * std)
        correlation.diagonal().add_(EIGENVALUE_FLOOR)  # as a detector's whitening does
        return columns, std, correlation


def _std(covariance: Tensor) -> Tensor:
    std = covariance.diagonal().sqrt()
    return torch.where(std > 0, std, 1.0)
