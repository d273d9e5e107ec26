"""AUROC against scikit-learn and closed forms; the baselines on data they must separate."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import norm, rankdata
from sklearn.metrics import roc_auc_score

from gibbsian.evaluation import auroc, gaussian_anomaly_score, pca_anomaly_score
from gibbsian.evaluation.metrics.out_of_distribution import auroc_table, midranks


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("decimals", [12, 1, 0])  # no ties, some, mostly ties
def test_auroc_equals_scikit_learn(decimals: int):
    normal, anomalous = draw(300).round(decimals=decimals), draw(200, seed=1) + 0.7
    anomalous = anomalous.round(decimals=decimals)
    scores = torch.cat([normal, anomalous])
    truth = roc_auc_score([0] * 300 + [1] * 200, scores.numpy())
    assert auroc(normal, anomalous).value == pytest.approx(truth, abs=1e-12)
    assert torch.equal(midranks(scores), torch.as_tensor(rankdata(scores.numpy())))


def test_extremes():
    low, high = torch.arange(5.0), torch.arange(5.0) + 10
    assert (auroc(low, high).value, auroc(high, low).value) == (1.0, 0.0)
    assert auroc(low, high).stderr == 0
    assert auroc(torch.zeros(4), torch.zeros(6)).value == 0.5
    # No sigmoid on the way: huge scores keep their order, infinite ones rank last.
    assert auroc(low * 1e30, torch.full((5,), math.inf)).value == 1.0


@pytest.mark.parametrize(("n", "m"), [(40, 160), (160, 40)])
def test_standard_error_is_that_of_repetition(n: int, m: int):
    # 400 repetitions: the ratio of the two spreads has a standard error of 3.5 %; 4.5 of them.
    repeats = 400
    rng = torch.Generator().manual_seed(3)
    results = [
        auroc(torch.randn(n, generator=rng), 1.0 + 1.5 * torch.randn(m, generator=rng))
        for _ in range(repeats)
    ]
    values = torch.tensor([r.value for r in results])
    stderr = torch.tensor([r.stderr for r in results])
    truth = norm.cdf(1.0 / math.sqrt(1 + 1.5**2))
    assert float(values.mean()) == pytest.approx(truth, abs=4.5 * float(values.std()) / 20)
    assert float(stderr.square().mean().sqrt() / values.std()) == pytest.approx(1, abs=0.16)


def test_baselines():
    basis = draw(3, 8)
    train, held_out = draw(500, 3, seed=1) @ basis, draw(200, 3, seed=2) @ basis
    train = train + 0.05 * draw(500, 8, seed=3)
    held_out = held_out + 0.05 * draw(200, 8, seed=4)
    corrupted = {
        "off the plane": held_out + 0.5 * draw(200, 8, seed=5),
        "far along it": 6 * held_out,
        "nothing": train[:200],
    }
    scores = {"gaussian": gaussian_anomaly_score(train), "pca": pca_anomaly_score(train)}
    table = auroc_table(scores, held_out, corrupted, batch=64)
    assert table.cells["gaussian"]["off the plane"].value > 0.99
    assert table.cells["pca"]["off the plane"].value > 0.99
    assert table.cells["gaussian"]["far along it"].value > 0.95
    for row in table.cells.values():  # 4.5 standard errors of about 0.03
        assert abs(row["nothing"].value - 0.5) < 0.14
    assert str(table).splitlines()[0].split()[0] == "AUROC"
    distance = gaussian_anomaly_score(train)(held_out)
    covariance = torch.cov(train.T)
    deviation = held_out - train.mean(0)
    expected = (deviation @ torch.linalg.inv(covariance) * deviation).sum(1)
    torch.testing.assert_close(distance, expected, rtol=2e-3, atol=1e-6)


def test_images_and_constant_columns():
    train = draw(100, 1, 4, 4)
    train[:, :, 0] = 0.0
    score = gaussian_anomaly_score(train)
    assert torch.isfinite(score(train)).all()
    assert pca_anomaly_score(train)(train).shape == (100,)


def test_bad_input():
    with pytest.raises(ValueError, match="at least two"):
        auroc(torch.zeros(1), torch.zeros(5))
    with pytest.raises(ValueError, match="NaN"):
        auroc(torch.tensor([0.0, math.nan]), torch.zeros(5))
    with pytest.raises(ValueError, match="'square'"):
        auroc_table({"square": torch.square}, draw(4, 2), {"same": draw(4, 2)})
