"""Intervals against scipy, the error by halves against known variances."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor

from gibbsian.evaluation.metrics.resampling import (
    checked_pair,
    halved_error,
    share_interval,
    wilson_interval,
)


@pytest.mark.parametrize(("successes", "trials"), [(0, 5), (3, 10), (10, 10), (470, 1000)])
def test_wilson(successes: int, trials: int) -> None:
    expected = binomtest(successes, trials).proportion_ci(method="wilson")
    assert wilson_interval(successes, trials) == pytest.approx(tuple(expected), abs=1e-12)


def test_intervals_of_shares() -> None:
    """Symmetric in log-odds, inside (0, 1), and near value +- 1.96 stderr where that is small."""
    low, high = share_interval(0.9, 0.06)
    assert 0 < low < 0.9 < high < 1
    odds = [math.log(p / (1 - p)) for p in (low, 0.9, high)]
    assert odds[1] - odds[0] == pytest.approx(1.959964 * 0.06 / 0.09, rel=1e-6)
    assert odds[2] - odds[1] == pytest.approx(odds[1] - odds[0])
    low, high = share_interval(0.5, 1e-4)
    assert (low, high) == pytest.approx((0.5 - 1.96e-4, 0.5 + 1.96e-4), abs=1e-7)
    assert share_interval(1.0, 0.1) == (1.0, 1.0) and share_interval(0.3, 0.0) == (0.3, 0.3)


def test_error_of_a_difference_of_means() -> None:
    """sqrt(var x / n + var y / m); 400 splits of 60 and 90 rows leave about 5 % of noise."""
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(60, 1, generator=rng), 3 * torch.randn(90, 1, generator=rng)
    y[60:] *= 4  # a table in some order: its last rows count as its first

    def difference(a: Tensor, b: Tensor) -> Tensor:
        return a.mean() - b.mean()

    truth = math.sqrt(float(x.var() / 60 + y.var() / 90))
    found = float(halved_error(difference, x, y, rng, splits=400))
    assert found == pytest.approx(truth, rel=0.2)


def test_tables_are_checked() -> None:
    x, y = checked_pair(torch.zeros(4, 2), torch.ones(3, 2), 3)
    assert x.dtype == y.dtype == torch.float64
    with pytest.raises(ValueError, match="flatten images"):
        checked_pair(torch.zeros(4, 2, 2), torch.zeros(4, 2, 2), 1)
    with pytest.raises(ValueError, match="row 1 of the data is not finite"):
        checked_pair(torch.tensor([[0.0, 0.0], [math.nan, 0.0]]), torch.zeros(2, 2), 1)
