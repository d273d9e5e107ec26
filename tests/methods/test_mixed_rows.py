"""nce, cd and energy-discrepancy on numbers beside categories: what they learn, against a known density."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Generator

import gibbsian
from gibbsian.core.measures import Mixed
from gibbsian.data import Dataset, load_dataset
from gibbsian.methods.product_noise import FLAT, ProductNoise
from gibbsian.models.train import resume

RATES = np.array([0.5, 0.3, 0.2])
MEANS = np.array([-1.0, 0.5, 2.0])
STD = 0.6


def log_density(number: np.ndarray, kind: np.ndarray) -> np.ndarray:
    """log p(kind) + log N(number; mean of that kind, STD)."""
    z = (number - MEANS[kind]) / STD
    normal: np.ndarray = -0.5 * z**2 - math.log(STD) - 0.5 * math.log(2 * math.pi)
    return np.log(RATES[kind]) + normal


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    kind = rng.choice(3, 4_000, p=RATES)
    number = MEANS[kind] + STD * rng.standard_normal(4_000)
    path = tmp_path_factory.mktemp("data") / "table.csv"
    rows = [f"{'abc'[k]},{x:.9g}\n" for k, x in zip(kind, number, strict=True)]
    path.write_text("kind,number\n" + "".join(rows))
    return path


@pytest.fixture(scope="module")
def data(table: Path) -> Dataset:
    return load_dataset(table)


def mean_error(model: gibbsian.Model, data: Dataset) -> float:
    """Mean of log p - log p_model over test rows, an estimate of KL(p || p_model) in nats."""
    x = data.test.numpy()
    truth = log_density(x[:, 1], x[:, 0].astype(int))
    return float((truth - model.log_prob(data.test).double().numpy()).mean())


def test_nce_learns_a_mixed_density_and_its_log_z(data: Dataset) -> None:
    """Independent columns would be 0.66 nats off; the test rows' own error is 0.01."""
    model = gibbsian.train("nce", data, training={"rounds": 600, "seed": 1})
    z = model.log_z()
    assert z.lower.standing == "exact" and "3 combinations of categories" in z.lower.how
    assert abs(float(model.method.learned_log_z()) - z.lower.value) < 0.1
    assert abs(mean_error(model, data)) < 0.05
    x = model.sample(6_000, seed=2).numpy()
    kind = x[:, 0].astype(int)
    shares = np.bincount(kind, minlength=3) / len(x)
    # 5 standard errors of a share and what KL < 0.05 leaves open (Pinsker: 0.16 in total variation)
    assert np.abs(shares - RATES).max() < 0.03 + 0.08
    for k in range(3):
        assert abs(x[kind == k, 1].mean() - MEANS[k]) < 0.15


def test_cd_learns_it_too(data: Dataset) -> None:
    sampler = {"steps": 5, "step_size": 0.1, "steps_per_sample": 100}
    settings = {"rounds": 300, "seed": 1}
    model = gibbsian.train("cd", data, training=settings, sampler=sampler, chains=256)
    assert abs(mean_error(model, data)) < 0.15


def test_energy_discrepancy_learns_it_too(data: Dataset) -> None:
    model = gibbsian.train("energy-discrepancy", data, training={"rounds": 400, "seed": 1})
    assert abs(mean_error(model, data)) < 0.1


def test_a_resumed_run_is_the_uninterrupted_one(table: Path, tmp_path: Path) -> None:
    constant = {
        "energy_optimizer": {"lr_schedule": "constant"}
    }  # else it knows the number of rounds
    for method, chains in (("nce", {}), ("cd", {"chains": 64}), ("energy-discrepancy", {})):
        options = constant | chains
        whole = gibbsian.train(
            method, str(table), training={"rounds": 6}, out=tmp_path / f"{method}-6", **options
        )
        gibbsian.train(
            method, str(table), training={"rounds": 3}, out=tmp_path / f"{method}-3", **options
        )
        resumed = resume(tmp_path / f"{method}-3", rounds=6)
        ours, theirs = whole.method.state_dict(), resumed.method.state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_saved_model_is_the_same_model(data: Dataset, tmp_path: Path) -> None:
    model = gibbsian.train("nce", data, training={"rounds": 5})
    model.save_pretrained(tmp_path)
    again = gibbsian.Model.from_pretrained(tmp_path)
    assert again.table == model.table and again.table is not None
    assert again.table.kept[0].values == ("a", "b", "c")
    assert again.space == model.space and again.transform == model.transform
    assert torch.equal(again.energy(data.test), model.energy(data.test))
    assert torch.equal(again.sample(20), model.sample(20))


def test_product_noise_is_a_density() -> None:
    """It sums and integrates to 1, and its draws have its frequencies (5 standard errors)."""
    measure, rng = Mixed(1, (3, 2)), Generator().manual_seed(0)
    noise = ProductNoise(measure, 1.0).double()
    hot = torch.nn.functional.one_hot
    kind, flag = torch.tensor([0, 0, 1, 2] * 50), torch.tensor([0, 1, 1, 1] * 50)
    number = kind.double() + torch.randn(200, generator=rng, dtype=torch.float64)
    noise.see(torch.cat([number[:, None], hot(kind, 3), hot(flag, 2)], 1), 0)
    grid = torch.linspace(-12, 12, 4_001, dtype=torch.float64)
    total = 0.0
    for k in range(3):
        for f in range(2):
            blocks = torch.cat([hot(torch.tensor(k), 3), hot(torch.tensor(f), 2)])
            x = torch.cat([grid[:, None], blocks.expand(len(grid), 5)], 1)
            total += float(torch.trapezoid(noise.log_density(x).exp(), grid))
    assert abs(total - 1) < 1e-6
    expected = (1 - FLAT) * torch.tensor([0.5, 0.25, 0.25]) + FLAT / 3
    shares = noise.sample(20_000, rng)[:, 1:4].mean(0)
    assert bool(((shares - expected).abs() < 5 * (0.25 / 20_000) ** 0.5).all())


def test_methods_and_settings_that_do_not_fit_say_so(data: Dataset) -> None:
    with pytest.raises(
        ValueError,
        match=r"vae takes no columns of categories.*nce and energy-discrepancy do.*or write whole",
    ):
        gibbsian.train("vae", data, training={"rounds": 1})
    with pytest.raises(ValueError, match="one kernel, mala on their numbers"):
        gibbsian.train("cd", data, training={"rounds": 1}, sampler={"kernel": "ula"})
    with pytest.raises(ValueError, match=r"metropolis_step_std .* leave it at 0"):
        gibbsian.train("cd", data, training={"rounds": 1}, sampler={"metropolis_step_std": 1.0})
    with pytest.raises(ValueError, match="must confine the numbers; use --energy confined"):
        gibbsian.train("cd", data, training={"rounds": 1}, energy="mlp")
    model = gibbsian.train("nce", data, training={"rounds": 1})
    with pytest.raises(ValueError, match="refinement moves numbers"):
        model.refine(4, "mala", 20)
    bad = data.test[:2].clone()
    bad[1, 0] = 3
    with pytest.raises(ValueError, match=r"'kind'.* whole numbers from 0 to 2"):
        model.energy(bad)
