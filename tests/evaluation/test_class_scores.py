"""Scores by a classifier against closed forms: uniform, sure, collapsed, mixed; their errors."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gibbsian.evaluation import entropy_of_class_counts, inception_type_score
from gibbsian.evaluation.metrics.class_scores import clipped_kl_score

C = 10


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def sure(labels: Tensor, logit: float = 200.0) -> Tensor:
    return (logit * torch.nn.functional.one_hot(labels, C)).double().log_softmax(1)


EVEN = torch.arange(C).repeat(20)


@pytest.mark.parametrize("logit", [200.0, 1e6])
def test_sure_and_even(logit: float, rng: torch.Generator) -> None:
    """IS = C; I' = ((C - 1) / C ln 1e6 - ln C)^2, however far the classifier saturates."""
    log_p = sure(EVEN, logit)
    assert inception_type_score(log_p, rng).value == pytest.approx(C, rel=1e-9)
    best = (0.9 * math.log(1e6) - math.log(C)) ** 2
    assert best == pytest.approx(102.6, abs=0.05)
    assert clipped_kl_score(log_p, rng).value == pytest.approx(best, rel=1e-9)


def test_collapsed_or_undecided(rng: torch.Generator) -> None:
    one_class = sure(torch.full((50,), 3))
    undecided = torch.full((50, C), -math.log(C), dtype=torch.float64)
    for log_p in (one_class, undecided):
        found = inception_type_score(log_p, rng)
        assert found.value == pytest.approx(1.0, abs=1e-9)
        assert found.stderr == pytest.approx(0.0, abs=1e-9)
        assert clipped_kl_score(log_p, rng).value == pytest.approx(0.0, abs=1e-9)


def test_scores_of_two_kinds_of_samples(rng: torch.Generator) -> None:
    """A quarter of the samples says (0.9, 0.1), the rest (0.2, 0.8): both scores by hand."""
    rows = torch.tensor([[0.9, 0.1]] + [[0.2, 0.8]] * 3, dtype=torch.float64)
    p = (0.25 * 0.9 + 0.75 * 0.2, 0.25 * 0.1 + 0.75 * 0.8)

    def kl(a: tuple[float, ...], b: tuple[float, ...]) -> float:
        return sum(x * math.log(x / y) for x, y in zip(a, b, strict=True))

    one, other = (0.9, 0.1), (0.2, 0.8)
    found = inception_type_score(rows.log(), rng).value
    assert found == pytest.approx(math.exp(0.25 * kl(one, p) + 0.75 * kl(other, p)), rel=1e-12)
    found = clipped_kl_score(rows.log(), rng).value
    assert found == pytest.approx(0.25 * kl(p, one) ** 2 + 0.75 * kl(p, other) ** 2, rel=1e-12)


@pytest.mark.parametrize("score", [inception_type_score, clipped_kl_score])
def test_errors_are_those_of_repeated_draws(score, rng: torch.Generator) -> None:
    """100 sets of 300: the spread has an error of 7 %, a bootstrap's of 10 %; the band is 40 %."""
    logits = 2 * torch.randn(30_000, 4, generator=rng, dtype=torch.float64)
    found = [score(part.log_softmax(1), rng) for part in logits.split(300)]
    spread = torch.tensor([f.value for f in found]).std().item()
    claimed = torch.tensor([f.stderr for f in found]).mean().item()
    assert claimed == pytest.approx(spread, rel=0.4)


def test_entropy_of_classes() -> None:
    assert entropy_of_class_counts(EVEN, C).value == pytest.approx(math.log(C), abs=1e-12)
    assert entropy_of_class_counts(EVEN, C).stderr == pytest.approx(0.0, abs=1e-6)
    alone = entropy_of_class_counts(torch.full((9,), 2), C)
    assert (alone.value, alone.stderr) == (0.0, 0.0)
    labels = torch.tensor([0] * 30 + [1] * 70)
    p = (0.3, 0.7)
    truth = -sum(q * math.log(q) for q in p)
    variance = sum(q * math.log(q) ** 2 for q in p) - truth**2
    found = entropy_of_class_counts(labels, C)
    assert found.value == pytest.approx(truth, abs=1e-12)
    assert found.stderr == pytest.approx(math.sqrt(variance / 100), abs=1e-12)


def test_unusable_input(rng: torch.Generator) -> None:
    with pytest.raises(ValueError, match="apply log_softmax"):
        inception_type_score(torch.ones(5, 3), rng)
    with pytest.raises(ValueError, match="two samples or more"):
        clipped_kl_score(torch.zeros(1, 1), rng)
    with pytest.raises(ValueError, match="numbers from 0 to 9"):
        entropy_of_class_counts(torch.tensor([0, 10]), C)
    with pytest.raises(ValueError, match="at least one"):
        entropy_of_class_counts(torch.zeros(0, dtype=torch.int64), C)
