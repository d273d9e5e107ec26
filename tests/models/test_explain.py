"""Reasons: what an energy falls by when one column is changed, against a Gaussian's closed form."""

import numpy as np
import pandas as pd
import pytest
import torch

import gibbsian
from gibbsian.config import recipes
from gibbsian.core import DataSpace
from gibbsian.data import from_array, load_dataset
from gibbsian.data.transforms import binary
from gibbsian.models.explain import GRID, WIDTH, column_contributions, grid_of
from gibbsian.models.model import Model
from gibbsian.models.train import untrained

D = 4


@pytest.fixture
def gaussian():
    """Mean, precision and the energy (x - m)^T P (x - m) / 2."""
    rng = torch.Generator().manual_seed(0)
    a = torch.randn(D, D, generator=rng, dtype=torch.float64)
    m, P = torch.randn(D, generator=rng, dtype=torch.float64), a @ a.T + torch.eye(D).double()

    def energy(x):
        return 0.5 * ((x - m) @ P * (x - m)).sum(1) + 3.0

    return m, P, energy


def conditional(m, P, x):
    """Mean and variance of each x_j given the other columns, ``[n, d]`` and ``[d]``."""
    variance = 1 / P.diagonal()
    return x - (x - m) @ P * variance, variance


def test_contributions_are_half_the_squared_conditional_z_scores(gaussian):
    m, P, energy = gaussian
    x = m + torch.randn(20, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    mean, variance = conditional(m, P, x)
    expected = 0.5 * (x - mean) ** 2 / variance
    exact = mean[:1]  # the best values of the first row themselves are among the candidates
    fall, best = column_contributions(energy, x[:1], exact)
    assert fall == pytest.approx(expected[:1], abs=1e-9)
    assert best == pytest.approx(exact, abs=1e-12)
    fine = torch.linspace(-12, 12, 4801, dtype=torch.float64)[:, None].expand(-1, D)
    fall, best = column_contributions(energy, x, fine)
    # The nearest candidate is at most half a step of 0.005 away, or x itself is nearer.
    assert float((best - mean).abs().max()) <= 0.0025 + 1e-9
    assert ((expected - fall) <= 0.5 * 0.0025**2 / variance + 1e-9).all()
    assert (fall <= expected + 1e-9).all()


def test_a_value_that_fits_best_has_no_contribution(gaussian):
    m, _, energy = gaussian
    fall, best = column_contributions(energy, m[None], m + torch.tensor([[0.5], [-0.5]]).double())
    assert (fall == 0).all()
    assert torch.equal(best, m[None])


def test_parts_do_not_matter(gaussian, monkeypatch):
    _, _, energy = gaussian
    x = torch.randn(9, D, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    whole = column_contributions(energy, x, x)
    monkeypatch.setattr("gibbsian.models.explain.EVALUATIONS", 20)
    for one, other in zip(whole, column_contributions(energy, x, x), strict=True):
        assert one == pytest.approx(other, abs=1e-12)


@pytest.fixture(scope="module")
def model():
    """An untrained energy of two columns in units of their own; its moments are those of the rows."""
    rng = np.random.default_rng(0)
    rows = rng.normal([10.0, -500.0], [2.0, 100.0], (300, 2))
    data = from_array(pd.DataFrame(rows, columns=["a", "b"]))
    config, method = untrained(recipes.default_config("score-matching", "array"), data)
    u = data.transform.encode(data.train)
    moments = torch.stack([u.mean(0), u.std(0, correction=0)])
    return Model(method, config, data.space, data.transform, moments=moments), rows


def test_a_model_explains_by_its_own_energy(model):
    """Against the definition, by brute force over the grid of 65 values."""
    model, rows = model
    x = torch.from_numpy(rows[:3])
    grid = model.transform.decode(grid_of(model.moments))
    assert grid.shape == (GRID, 2)
    low, high = (model.moments[0] + sign * WIDTH * model.moments[1] for sign in (-1, 1))
    assert model.transform.encode(grid)[[0, -1]] == pytest.approx(
        torch.stack([low, high]), abs=1e-4
    )
    found = model.explain(x)
    for i in range(3):
        for j in range(2):
            changed = x[i].repeat(GRID, 1)
            changed[:, j] = grid[:, j]
            here, there = model.energy(x[i : i + 1]), model.energy(changed).min()
            # Energies are of single precision and of size 10 here.
            assert float(found[i, j]) == pytest.approx(max(0.0, float(here - there)), abs=1e-4)


def test_the_same_kind_comes_back(model):
    model, rows = model
    frame = pd.DataFrame(rows[:5], columns=["a", "b"], index=list("vwxyz"))
    found = model.explain(frame)
    assert list(found.columns) == ["a", "b"] and list(found.index) == list("vwxyz")
    assert np.array_equal(found.to_numpy(), model.explain(rows[:5]))
    assert isinstance(model.explain(torch.from_numpy(rows[:5])), torch.Tensor)
    own = model.explain(rows[:5], rows=rows)
    assert own.shape == (5, 2) and (own >= 0).all()


def test_columns_that_were_dropped_for_training_are_left_out(tmp_path):
    a = np.random.default_rng(0).normal(size=200)
    frame = pd.DataFrame({"id": range(200), "a": a, "b": np.where(a > 0, "up", "down")})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    known = load_dataset(tmp_path / "rows.csv", drop_columns="id")
    model = gibbsian.train("nce", known, training={"rounds": 3, "batch": 32})
    assert len(model.percentile_rank(frame)) == 200
    found = model.explain(frame[:5], rows=frame)
    assert list(found.columns) == ["a", "b"]
    few = frame[["a", "b"]]
    assert np.array_equal(found.to_numpy(), model.explain(few[:5], rows=few).to_numpy())


def test_what_cannot_be_explained_is_said(model):
    model, rows = model
    with pytest.raises(ValueError, match="trained on 2 columns; the array has 3"):
        model.explain(np.zeros((2, 3)))
    bare = Model(model.method, model.config, model.space, model.transform)
    with pytest.raises(ValueError, match="without moments of its data; give rows"):
        bare.explain(rows[:2])
    assert bare.explain(rows[:2], rows=rows[:50]).shape == (2, 2)
    images = Model(model.method, model.config, DataSpace((1, 2, 2), "image"), binary((1, 2, 2)))
    with pytest.raises(ValueError, match="by column; this model is of images"):
        images.explain(rows[:2])
