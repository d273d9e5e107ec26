"""The linear probe: perfect where classes are separable, at chance where features say nothing."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gibbsian.evaluation import linear_probe
from gibbsian.evaluation.metrics.probe import Labelled

CLASSES = 5


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def drawn(n: int, rng: torch.Generator) -> Tensor:
    return torch.randint(CLASSES, (n,), generator=rng)


def around(labels: Tensor, spread: float, rng: torch.Generator) -> Labelled:
    """Features 3 e_label + noise, and two columns: one of no use, one that never changes."""
    means = 3.0 * torch.nn.functional.one_hot(labels, CLASSES).double()
    noise = spread * torch.randn(means.shape, generator=rng, dtype=torch.float64)
    idle = 1e3 * torch.rand(len(labels), 1, generator=rng)
    return Labelled(torch.cat([means + noise, idle, torch.full_like(idle, 7.0)], 1), labels)


def test_separable_features_have_no_error(rng: torch.Generator) -> None:
    train, valid, test = (around(drawn(n, rng), 0.1, rng) for n in (300, 100, 1_000))
    found = linear_probe(train, valid, test)
    assert found.value == found.diagnostics["validation"] == 0.0 and found.stderr == 0.0


def test_labels_that_features_say_nothing_of_are_guessed(rng: torch.Generator) -> None:
    """4.5 standard deviations of 2 000 guesses: false alarm 7e-6."""
    train, valid, test = (
        Labelled(torch.randn(n, 6, generator=rng), drawn(n, rng)) for n in (500, 500, 2_000)
    )
    found = linear_probe(train, valid, test)
    chance = 1 - 1 / CLASSES
    error = math.sqrt(chance * (1 - chance) / 2_000)
    assert abs(found.value - chance) < 4.5 * error
    assert found.stderr == pytest.approx(error, rel=0.2)


def test_the_error_of_two_gaussians_is_that_of_the_best_rule(rng: torch.Generator) -> None:
    """N(+-1, 1): the best rule is linear and errs on Phi(-1) = 15.87 %; 4.5 sd of 20 000 rows."""

    def rows(n: int) -> Labelled:
        labels = torch.randint(2, (n,), generator=rng)
        return Labelled((2.0 * labels - 1)[:, None] + torch.randn(n, 1, generator=rng), labels)

    found = linear_probe(rows(4_000), rows(1_000), rows(20_000))
    assert abs(found.value - 0.158655) < 4.5 * math.sqrt(0.1587 * 0.8413 / 20_000)


def test_the_scale_of_features_does_not_matter_and_validation_chooses(rng: torch.Generator) -> None:
    """60 columns, 2 of them useful, few rows: strong regularisation errs less, and is chosen."""
    labels = drawn(80, rng) % 2
    x = torch.randn(2_080, 60, generator=rng, dtype=torch.float64)
    y = torch.cat([labels, drawn(2_000, rng) % 2])
    x[:, :2] += 1.5 * (2.0 * y - 1)[:, None]
    parts = [Labelled(x[a:b], y[a:b]) for a, b in ((0, 80), (80, 580), (580, 2_080))]
    found = linear_probe(*parts)
    assert found.diagnostics["strength"] < 1.0
    units = torch.logspace(-3, 3, 60, dtype=torch.float64)
    scaled = linear_probe(*(Labelled(5.0 + units * part.features, part.labels) for part in parts))
    assert scaled.value == pytest.approx(found.value, abs=2e-3)


@pytest.mark.parametrize(
    ("features", "labels", "words"),
    [
        (torch.zeros(4, 2, 2), torch.arange(4), "features \\[N, width\\]"),
        (torch.zeros(4, 2), torch.arange(3), "a label for each row"),
        (torch.full((4, 2), math.nan), torch.arange(4), "finite"),
        (torch.zeros(4, 2), torch.zeros(4, dtype=torch.long), "two classes"),
    ],
)
def test_unusable_rows(features: Tensor, labels: Tensor, words: str) -> None:
    rows = Labelled(features, labels)
    with pytest.raises(ValueError, match=words):
        linear_probe(rows, rows, rows)
