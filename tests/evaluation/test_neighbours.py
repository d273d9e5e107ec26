"""Precision, recall, density and coverage on constructed sets, by loops, and of perfect samples."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gibbsian.evaluation import density_coverage, precision_recall
from gibbsian.evaluation.metrics.neighbours import perfect_coverage


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


DATA = column(*range(10))  # k = 1: balls of radius 1, which together cover [-1, 10]
INSIDE = column(0.5, 1.5, 2.5, 3.5, 10.0)  # radii 1, 1, 1, 1 and 1.5 with the point below
OUTSIDE = column(11.5, 100.0, 101.0)  # radii 1.5, 1, 1


def test_a_line_by_hand(rng: torch.Generator) -> None:
    """Five of eight samples lie in [-1, 10], its end included; they see 0 to 4 and, from 10, 9."""
    found = precision_recall(DATA, torch.cat([INSIDE, OUTSIDE]), rng, k=1)
    assert found.precision.value == 5 / 8
    assert found.recall.value == 6 / 10
    dense = density_coverage(DATA, torch.cat([INSIDE, OUTSIDE]), rng, k=1)
    # Balls that hold 0.5: those of 0 and 1, and so on; 10.0 is in that of 9 alone.
    assert dense.density.value == (2 + 2 + 2 + 2 + 1) / 8
    assert dense.coverage.value == 6 / 10  # the balls of 0, 1, 2, 3, 4 and 9


def test_two_clusters(rng: torch.Generator) -> None:
    """Samples of one of two clusters are all precise and recall half; of a third place, nothing."""
    one = torch.randn(40, 2, generator=rng)
    data = torch.cat([one, one + 100.0])
    same = one[torch.randperm(40, generator=rng)]
    found = precision_recall(data, same, rng)
    assert (found.precision.value, found.recall.value) == (1.0, 0.5)
    assert density_coverage(data, same, rng).coverage.value == 0.5
    elsewhere = precision_recall(data, one - 100.0, rng)
    assert (elsewhere.precision.value, elsewhere.recall.value) == (0.0, 0.0)
    dense = density_coverage(data, one - 100.0, rng)
    assert (dense.density.value, dense.coverage.value) == (0.0, 0.0)
    assert precision_recall(data, data, rng).recall.value == 1.0


@pytest.mark.parametrize("k", [1, 3])
def test_against_loops(k: int, rng: torch.Generator) -> None:
    x = torch.randn(14, 2, generator=rng, dtype=torch.float64)
    y = 0.7 + torch.randn(11, 2, generator=rng, dtype=torch.float64)

    def radius(points: Tensor, i: int) -> float:
        return sorted(math.dist(points[i], p) for j, p in enumerate(points) if j != i)[k - 1]

    def held(ball: Tensor, i: int, points: Tensor) -> list[bool]:
        return [math.dist(ball[i], p) <= radius(ball, i) for p in points]

    in_data = [held(x, i, y) for i in range(len(x))]
    in_model = [held(y, i, x) for i in range(len(y))]
    found, dense = precision_recall(x, y, rng, k), density_coverage(x, y, rng, k)
    assert found.precision.value == sum(map(any, zip(*in_data, strict=True))) / len(y)
    assert found.recall.value == sum(map(any, zip(*in_model, strict=True))) / len(x)
    assert dense.density.value == pytest.approx(sum(map(sum, in_data)) / (k * len(y)))
    assert dense.coverage.value == sum(map(any, in_data)) / len(x)


@pytest.mark.parametrize(("n", "m", "k"), [(6, 4, 1), (12, 30, 3), (500, 200, 5)])
def test_coverage_of_perfect_samples_is_a_matter_of_counting(n: int, m: int, k: int) -> None:
    """No sample covers a row if its k nearest among n - 1 other rows and m samples are all rows."""
    missed = math.comb(n - 1, k) / math.comb(n - 1 + m, k)
    assert perfect_coverage(n, m, k) == pytest.approx(1 - missed, rel=1e-12)


REPEATS = 80


def test_perfect_samples_and_errors(rng: torch.Generator) -> None:
    """Density 1 and the stated coverage in expectation, whatever the distribution: here an exponential one.

    z beyond 4.5: one false alarm in 150 000. The claimed spread is right within 40 %, of which 8 %
    are the noise of 80 repetitions.
    """
    n, m, k = 60, 90, 2
    found = []
    for _ in range(REPEATS):
        x, y = -torch.rand(n, 2, generator=rng).log(), -torch.rand(m, 2, generator=rng).log()
        found.append(density_coverage(x, y, rng, k))
    assert found[0].coverage.diagnostics["perfect"] == perfect_coverage(n, m, k)
    for truth, part in ((1.0, [f.density for f in found]), (None, [f.coverage for f in found])):
        truth = perfect_coverage(n, m, k) if truth is None else truth
        values = torch.tensor([f.value for f in part])
        assert abs(float(values.mean()) - truth) < 4.5 * float(values.std()) / math.sqrt(REPEATS)
        claimed = torch.tensor([f.stderr for f in part]).square().mean().sqrt()
        assert float(claimed / values.std()) == pytest.approx(1.0, abs=0.4)


def test_errors_of_precision_and_recall(rng: torch.Generator) -> None:
    """As above; between two shifted normal distributions, where both are far from 0 and 1."""
    found = [
        precision_recall(
            torch.randn(80, 3, generator=rng), torch.randn(60, 3, generator=rng) + 0.8, rng
        )
        for _ in range(50)
    ]
    for name in ("precision", "recall"):
        values = torch.tensor([getattr(f, name).value for f in found])
        claimed = torch.tensor([getattr(f, name).stderr for f in found]).square().mean().sqrt()
        assert float(claimed / values.std()) == pytest.approx(1.0, abs=0.4)
    low, high = found[0].precision.diagnostics["interval"]
    assert 0 < low < found[0].precision.value < high < 1
    assert found[0].precision.diagnostics["few"]


def test_unusable_input(rng: torch.Generator) -> None:
    with pytest.raises(ValueError, match="k must be at least 1, not 0"):
        precision_recall(DATA, DATA, rng, k=0)
    with pytest.raises(ValueError, match="at least 12 rows"):
        density_coverage(DATA, DATA, rng, k=5)
