"""Precision-recall areas and false alarms against scikit-learn, closed forms and quadrature."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.integrate import quad
from scipy.stats import binomtest, norm
from sklearn.metrics import average_precision_score, roc_curve
from torch import Tensor

from gibbsian.evaluation import auroc, auroc_estimate, average_precision, false_positive_rate
from gibbsian.evaluation.metrics.detection import detection_scores


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def draw(rng: torch.Generator, n: int, shift: float = 0.0) -> Tensor:
    return shift + torch.randn(n, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("decimals", [12, 1, 0])  # no ties, some, mostly ties
def test_equal_to_scikit_learn(decimals: int, rng: torch.Generator) -> None:
    normal = draw(rng, 200).round(decimals=decimals)
    anomalous = draw(rng, 120, 1.0).round(decimals=decimals)
    scores = torch.cat([normal, anomalous]).numpy()
    is_normal = [1] * 200 + [0] * 120
    is_anomalous = [0] * 200 + [1] * 120
    for positive, label, score in (
        ("anomalous", is_anomalous, scores),
        ("normal", is_normal, -scores),
    ):
        area = average_precision(normal, anomalous, rng, positive)
        assert area.value == pytest.approx(average_precision_score(label, score), abs=1e-12)
        assert area.diagnostics["chance"] == sum(label) / 320
        false, true, _ = roc_curve(label, score, drop_intermediate=False)
        for tpr in (0.8, 0.95, 1.0):
            found = false_positive_rate(normal, anomalous, rng, positive, tpr).value
            assert found == pytest.approx(false[(true >= tpr).argmax()], abs=1e-12)


def test_extremes(rng: torch.Generator) -> None:
    low, high = torch.arange(20.0), torch.arange(20.0) + 100
    found = detection_scores(low, high, rng)
    assert [f.value for f in found] == [1.0, 1.0, 1.0, 0.0]
    assert found.aupr_normal.diagnostics["interval"] == (1.0, 1.0)  # no error can be seen
    # No false alarm among 20: the interval says how many there may be.
    expected = binomtest(0, 20).proportion_ci(method="wilson")
    assert found.fpr95.diagnostics["interval"] == pytest.approx((0.0, expected.high), abs=1e-12)
    tied = detection_scores(torch.zeros(30), torch.zeros(10), rng)
    assert [f.value for f in tied] == [0.5, 0.25, 0.75, 1.0]
    # Infinite scores keep their rank.
    endless = torch.full((5,), math.inf)
    assert average_precision(low, endless, rng).value == 1.0


def test_nineteen_of_twenty_is_enough(rng: torch.Generator) -> None:
    normal = torch.arange(20.0)
    anomalous = torch.tensor([5.0, 18.0, 18.5, 19.0])
    assert false_positive_rate(normal, anomalous, rng).value == 2 / 4
    assert false_positive_rate(normal, anomalous, rng, tpr=1.0).value == 1.0
    # The other way round: at the lowest anomaly, 5, pass the normal points 5, ..., 19.
    assert false_positive_rate(normal, anomalous, rng, "anomalous").value == 15 / 20


SHIFT = 1.5


def population_area() -> float:
    """Area under the precision-recall curve of N(SHIFT, 1) against N(0, 1), as many of either."""

    def precision(t: float) -> float:
        found, passed = norm.sf(t - SHIFT), norm.sf(t)
        return norm.pdf(t - SHIFT) * found / (found + passed)

    return quad(precision, -8, 10)[0]


def test_intervals_hold(rng: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells fixed before running: 200 repetitions of 100 points a side.

    Of 200 intervals of 95 % fewer than 172 hold with probability 3e-7, of 92 % with 1e-3.
    """
    monkeypatch.setattr("gibbsian.evaluation.metrics.detection.BOOTSTRAPS", 40)
    truths = {
        "auroc": norm.cdf(SHIFT / math.sqrt(2)),
        "aupr_anomalous": population_area(),
        "aupr_normal": population_area(),  # the two distributions mirror each other
        "fpr95": norm.cdf(norm.ppf(0.95) - SHIFT),
    }
    held = dict.fromkeys(truths, 0)
    found = []
    for _ in range(200):
        found.append(detection_scores(draw(rng, 100), draw(rng, 100, SHIFT), rng))
        for name, truth in truths.items():
            low, high = getattr(found[-1], name).diagnostics["interval"]
            held[name] += low <= truth <= high
    assert min(held.values()) >= 172, held
    for name in ("aupr_anomalous", "fpr95"):
        values = torch.tensor([getattr(f, name).value for f in found])
        claimed = torch.tensor([getattr(f, name).stderr for f in found]).square().mean().sqrt()
        # Noise of 5 % from the repetitions, and the bootstrap's own bias.
        assert float(claimed / values.std()) == pytest.approx(1.0, abs=0.25)


def test_the_auroc_is_the_same_with_an_interval(rng: torch.Generator) -> None:
    normal, anomalous = draw(rng, 99), draw(rng, 120, 1.0)
    found, plain = auroc_estimate(normal, anomalous), auroc(normal, anomalous)
    assert (found.value, found.stderr) == (plain.value, plain.stderr)
    low, high = found.diagnostics["interval"]
    assert (low, high) == plain.interval and low < plain.value < high
    assert found.diagnostics["few"]


def test_unusable_input(rng: torch.Generator) -> None:
    with pytest.raises(ValueError, match="NaN"):
        average_precision(torch.tensor([0.0, math.nan]), torch.zeros(5), rng)
    with pytest.raises(ValueError, match="true positive rate"):
        false_positive_rate(torch.zeros(3), torch.zeros(3), rng, tpr=0.0)
