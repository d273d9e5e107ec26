"""The classifier two-sample test: exact tails, false alarms, power, known accuracies."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import binomtest, norm
from torch import Tensor

from gibbsian.evaluation import classifier_two_sample
from gibbsian.evaluation.metrics.two_sample import binomial_tail


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def draw(rng: torch.Generator, n: int, d: int = 2) -> Tensor:
    return torch.randn(n, d, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize(("right", "trials"), [(0, 7), (4, 7), (7, 7), (530, 1000), (5200, 10_000)])
def test_tails_are_exact(right: int, trials: int) -> None:
    truth = binomtest(right, trials, 0.5, alternative="greater").pvalue
    assert binomial_tail(right, trials) == pytest.approx(truth, rel=1e-9)


def test_equal_laws_are_rarely_told_apart(rng: torch.Generator) -> None:
    """At most 5 % of p-values below 0.05: more than 19 of 150 have probability 1e-4 or less.

    The mean accuracy of 150 repetitions of 40 held-out rows has a standard error of 0.0065.
    """
    found = [classifier_two_sample(draw(rng, 40), draw(rng, 55), rng) for _ in range(150)]
    assert sum(f.diagnostics["p_value"] <= 0.05 for f in found) <= 19
    mean = sum(f.value for f in found) / len(found)
    assert mean == pytest.approx(0.5, abs=4.5 * 0.0065)
    assert all(f.diagnostics["held_out"] == 40 and f.diagnostics["few"] for f in found)


@pytest.mark.parametrize("judge", ["knn", "logistic", "mlp"])
def test_far_apart_is_seen_by_all(judge: str, rng: torch.Generator) -> None:
    found = classifier_two_sample(draw(rng, 60), draw(rng, 60) + 20, rng, judge)
    assert found.value == 1.0 and found.stderr == 0.0
    assert found.diagnostics["p_value"] == pytest.approx(2.0**-60)
    low, high = found.diagnostics["interval"]
    assert (low, high) == pytest.approx(binomtest(60, 60).proportion_ci(method="wilson"))


def test_a_known_accuracy(rng: torch.Generator) -> None:
    """Two normal distributions a distance delta apart: no classifier beats Phi(delta / 2).

    2000 rows train it to within 0.005 of that; 4.5 standard errors of 0.0098 on top.
    """
    found = classifier_two_sample(draw(rng, 2000), draw(rng, 2000) + 0.8, rng, "logistic")
    truth = norm.cdf(0.8 / math.sqrt(2))
    assert found.value == pytest.approx(truth, abs=0.049)
    assert found.stderr == pytest.approx(math.sqrt(truth * (1 - truth) / 2000), rel=0.1)


def test_what_a_straight_line_cannot_see(rng: torch.Generator) -> None:
    """Equal means: the nearest neighbours find the larger spread, logistic regression does not."""
    x, y = draw(rng, 300), 4 * draw(rng, 300)
    assert classifier_two_sample(x, y, rng).diagnostics["p_value"] < 1e-6
    # 300 held-out rows: 4.5 standard errors of 0.029.
    assert classifier_two_sample(x, y, rng, "logistic").value == pytest.approx(0.5, abs=0.13)


def test_units_do_not_matter_and_constant_columns_do_no_harm(rng: torch.Generator) -> None:
    x, y = draw(rng, 80), draw(rng, 80) + 1
    units = torch.tensor([1.0, 1e6], dtype=torch.float64)
    found = [
        classifier_two_sample(a, b, torch.Generator().manual_seed(3)).value
        for a, b in ((x, y), (x * units, y * units))
    ]
    assert found[0] == found[1]
    constant = torch.ones(80, 1, dtype=torch.float64)
    wide = classifier_two_sample(torch.cat([x, constant], 1), torch.cat([y, constant], 1), rng)
    assert wide.value > 0.6


def test_unusable_input(rng: torch.Generator) -> None:
    with pytest.raises(ValueError, match="at least 10 rows"):
        classifier_two_sample(draw(rng, 9), draw(rng, 20), rng)
