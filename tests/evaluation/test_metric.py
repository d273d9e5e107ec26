"""Metrics piece by piece: the same as at once, forgetting, merging; running moments."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gibbsian.evaluation import (
    METRICS,
    FeatureExtractor,
    build_metric,
    frechet_distance,
    inception_type_score,
    precision_recall,
    sliced_wasserstein,
)
from gibbsian.evaluation.metrics.metric import FeatureMetric, Frechet, Metric, Rows

NAMES = ["frechet", *METRICS]
OF_SCORES = {"auroc", "aupr-anomalous", "aupr-normal", "fpr95"}


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def rows_for(name: str, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    x, y = torch.randn(53, 3, generator=rng), torch.randn(47, 3, generator=rng) + 0.5
    if name in OF_SCORES:
        return x[:, 0], y[:, 0]
    if name == "inception-type":
        return x.log_softmax(1), (5 * y).log_softmax(1)
    return x, y


def fed(metric: Metric, x: Tensor, y: Tensor, size: int) -> Metric:
    for part in x.split(size):
        metric.update(part, real=True)
    for part in y.split(size):
        metric.update(part, False)
    return metric


@pytest.mark.parametrize("name", NAMES)
def test_pieces_are_the_whole(name: str, rng: torch.Generator) -> None:
    x, y = rows_for(name, rng)
    at_once, in_pieces = (fed(build_metric(name), x, y, size) for size in (100, 10))
    found = at_once.compute()
    assert in_pieces.compute().value == pytest.approx(found.value, rel=1e-9)
    assert in_pieces.compute().stderr == pytest.approx(found.stderr, rel=1e-6)
    assert at_once.compute() == found, "asking again changes nothing"
    in_pieces.reset()
    assert not in_pieces.state
    with pytest.raises(ValueError, match="has seen no"):
        in_pieces.compute()
    assert fed(in_pieces, x, y, 10).compute().value == pytest.approx(found.value, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_two_halves_merged(name: str, rng: torch.Generator) -> None:
    x, y = rows_for(name, rng)
    whole = fed(build_metric(name), x, y, 100).compute()
    one, two = (fed(build_metric(name), x[p], y[p], 9) for p in (slice(0, 20), slice(20, None)))
    one.merge(two)
    one.merge(build_metric(name))  # one that has seen nothing
    assert one.compute().value == pytest.approx(whole.value, rel=1e-9)
    other = Frechet() if name != "frechet" else build_metric("kernel")
    with pytest.raises(ValueError, match="same kind"):
        one.merge(other)


def test_values_are_those_of_the_functions(rng: torch.Generator) -> None:
    x, y = rows_for("recall", rng)
    seeded = torch.Generator().manual_seed
    found = fed(build_metric("recall", seed=4, k=2), x, y, 10).compute()
    assert found == precision_recall(x, y, seeded(4), 2).recall
    found = fed(build_metric("sliced-wasserstein", seed=4, p=1, projections=7), x, y, 10)
    assert found.compute() == sliced_wasserstein(x, y, seeded(4), 1, 7)
    _, log_p = rows_for("inception-type", rng)
    score = build_metric("inception-type")
    score.update(log_p, real=False)
    score.update(log_p[:1], real=True)  # passed over
    assert set(score.state) == {"model"}
    assert score.compute() == inception_type_score(log_p, seeded(0))


def test_frechet_from_moments(rng: torch.Generator) -> None:
    """Far from 0 and of unequal spread, where a difference of sums of squares would lose digits."""
    x = 1e4 + torch.randn(90, 4, generator=rng, dtype=torch.float64)
    y = 1e4 + 2 * torch.randn(70, 4, generator=rng, dtype=torch.float64)
    found = fed(Frechet(), x, y, 7)
    size = sum(part.numel() for part in found.state.values())
    assert found.compute().value == pytest.approx(frechet_distance(x, y, rng).value, rel=1e-9)
    assert found.compute().diagnostics["few"] is False
    found.update(x, real=True)
    assert sum(part.numel() for part in found.state.values()) == size == 2 * 20 * (1 + 4 + 16)


def test_jackknife_of_moments_is_that_of_rows(rng: torch.Generator) -> None:
    x, y = torch.randn(47, 2, generator=rng), torch.randn(60, 2, generator=rng) + 1
    group, group_model = torch.arange(47) % 20, torch.arange(60) % 20
    without = torch.tensor(
        [frechet_distance(x[group != g], y[group_model != g], rng).value for g in range(20)]
    ).double()
    expected = (19 * without.var(correction=0)).sqrt()
    assert fed(Frechet(), x, y, 11).compute().stderr == pytest.approx(float(expected), rel=1e-6)


def test_error_of_the_running_frechet_distance(rng: torch.Generator) -> None:
    """60 repetitions: noise of 9 %; a jackknife of 20 groups is a little too large on average."""
    found = [
        fed(
            Frechet(), torch.randn(80, 2, generator=rng), torch.randn(80, 2, generator=rng) + 1, 80
        ).compute()
        for _ in range(60)
    ]
    values = torch.tensor([f.value for f in found])
    claimed = torch.tensor([f.stderr for f in found]).square().mean().sqrt()
    assert float(claimed / values.std()) == pytest.approx(1.05, abs=0.4)


def halved(x: Tensor) -> Tensor:
    return x.flatten(1) / 2


def test_on_features(rng: torch.Generator) -> None:
    pictures = torch.randn(50, 1, 2, 2, generator=rng)
    extractor = FeatureExtractor("halved", halved, 4, "ab" * 16)
    metric = FeatureMetric(extractor, build_metric("kernel"))
    found = fed(metric, pictures, pictures[:30] + 1, 8).compute()
    direct = fed(build_metric("kernel"), halved(pictures), halved(pictures[:30] + 1), 100).compute()
    assert (found.estimate, found.digest) == (direct, "ab" * 16)
    assert set(metric.state) == {"real", "model"}
    metric.merge(fed(FeatureMetric(extractor, build_metric("kernel")), pictures, pictures, 50))
    assert len(metric.state["real"]) == 100
    other = FeatureMetric(FeatureExtractor("other", halved, 4, "cd" * 16), build_metric("kernel"))
    with pytest.raises(ValueError, match="one extractor"):
        metric.merge(other)
    metric.reset()
    assert not metric.state


def test_unusable_input(rng: torch.Generator) -> None:
    x, _ = rows_for("kernel", rng)
    metric = build_metric("kernel")
    metric.update(x, real=True)
    with pytest.raises(ValueError, match=r"\[2\] do not go with those before, of shape \[3\]"):
        metric.update(x[:, :2], real=False)
    with pytest.raises(ValueError, match=r"has seen no samples \(real=False\)"):
        metric.compute()
    running = Frechet()
    running.update(x, real=True)
    with pytest.raises(ValueError, match="2 columns do not go with those before, of 3"):
        running.update(x[:, :2], real=True)
    with pytest.raises(ValueError, match="finite rows"):
        running.update(x / 0.0, real=False)
    running.update(x[:, :2], real=False)
    with pytest.raises(ValueError, match="the same features"):
        running.compute()
    with pytest.raises(ValueError, match="40 rows a side"):
        fed(Frechet(), x, x[:30], 50).compute()
    with pytest.raises(ValueError, match="did you mean kernel"):
        build_metric("kernal")
    with pytest.raises(ValueError, match="has k; there is no option 'neighbours'"):
        build_metric("recall", neighbours=3)
    with pytest.raises(ValueError, match="has positive, tpr; there is no option 'positiv'"):
        build_metric("fpr95", positiv="normal")
    with pytest.raises(ValueError, match="has none; there is no option 'k'"):
        build_metric("frechet", k=3)
    assert isinstance(build_metric("auroc"), Rows)
