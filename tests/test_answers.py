"""What a trained model answers, against the truth, and in the kind of array that it is asked with."""

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from torch import nn

import gibbsian
from gibbsian.config import recipes
from gibbsian.config.config import replace
from gibbsian.core import Interval, NotDefined
from gibbsian.data import from_array
from gibbsian.models.evaluation_record import Evaluation
from gibbsian.models.train import train

ONE_ROUND = {"rounds": 1, "batch": 32, "device": "cpu"}
IDLE = {"lr": 1e-30}
SCALE = np.array([2.0, 10.0])
TRUE_LOG_Z = math.log(2 * math.pi) - 0.7


class StandardNormal(nn.Module):
    """E = |x|^2 / 2 + 0.7."""

    confining, bounded = True, False

    def __init__(self):
        super().__init__()
        self.offset = nn.Parameter(torch.tensor(0.7))

    def forward(self, x):
        return 0.5 * x.square().sum(1) + self.offset


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).normal(size=(200, 2)) * SCALE + [1.0, -3.0]


@pytest.fixture(scope="module")
def frame(rows):
    return pd.DataFrame(rows, columns=["height", "depth"], index=range(7, 207))


@pytest.fixture(scope="module")
def model(frame):
    """A normal distribution with the mean and spread that the training rows have, by construction."""
    return train(
        "cd",
        frame,
        chains=16,
        training=ONE_ROUND,
        energy_optimizer=IDLE,
        networks={"energy": StandardNormal()},
    )


def true_log_density(model, rows):
    """Of the normal distribution in the rows' units: means and spreads are those of the transform."""
    mean = np.array(model.transform.origin)
    std = np.array(model.transform.unit)
    z = (rows - mean) / std
    return -0.5 * (z**2).sum(1) - np.log(std).sum() - math.log(2 * math.pi)


def test_log_z_and_log_densities_are_the_true_ones(model, rows):
    z = model.log_z()
    assert isinstance(z, Interval) and z.lower.standing == "exact"
    assert z.lower.value == pytest.approx(TRUE_LOG_Z, abs=2e-3)
    assert model.log_z(rows[:50]).lower.value == pytest.approx(TRUE_LOG_Z, abs=2e-3)
    truth = true_log_density(model, rows)
    assert model.log_prob(rows, z=z) == pytest.approx(truth, abs=5e-3)
    below, above = model.log_prob_bounds(torch.from_numpy(rows), z=z)
    assert below.numpy() == pytest.approx(truth, abs=5e-3) and torch.equal(below, above)


def test_answers_come_in_the_kind_of_the_question(model, rows, frame):
    z = model.log_z()
    answers = {
        "energy": model.energy,
        "percentile_rank": model.percentile_rank,
        "log_prob": lambda x: model.log_prob(x, z=z),
        "log_prob_lower": lambda x: model.log_prob_bounds(x, z=z)[0],
    }
    for name, answer in answers.items():
        tensor = answer(torch.from_numpy(rows))
        assert tensor.shape == (200,)
        array, table = answer(rows), answer(frame)
        assert isinstance(array, np.ndarray) and isinstance(table, pd.DataFrame)
        assert list(table.columns) == [name] and list(table.index) == list(frame.index)
        arrow = answer(pa.Table.from_pandas(frame, preserve_index=False))
        assert isinstance(arrow, pa.Table) and arrow.column_names == [name]
        for other in (array, table[name].to_numpy(), arrow[name].to_numpy()):
            np.testing.assert_array_equal(other, tensor.numpy())


def test_a_percentile_is_the_share_of_held_out_rows_with_no_higher_energy(model, rows):
    held_out = model.held_out.numpy()
    expected = [100 * (held_out <= e).mean() for e in model.energy(rows)]
    assert model.percentile_rank(rows) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda f: f.assign(depth="deep"), "String values in column 'depth'"),
        (lambda f: f[["depth", "height"]], "column 1 of the data frame is called 'depth'"),
        (lambda f: f.assign(more=1.0), "trained on 2 columns; the data frame has 3"),
        (lambda f: f.mask(f > 5), "the data frame holds nan at row"),
        (lambda f: torch.full((3, 2), torch.nan), "row 1 of these points is not finite"),
        (lambda f: np.zeros((3, 4)), "trained on 2 columns; the array has 4"),
    ],
)
def test_rows_unlike_the_training_data_are_refused(model, frame, change, sentence):
    with pytest.raises(ValueError, match=sentence):
        model.energy(change(frame))


def test_a_frame_with_two_columns_of_one_name_is_refused(frame):
    with pytest.raises(ValueError, match="one name"):
        from_array(frame.set_axis(["a", "a"], axis=1))


def test_missing_and_whole_numbers_of_a_frame():
    """A missing count is named by row and column; integers are found to lie on a grid."""
    counts = pd.DataFrame({"n": pd.array([3, None, 5, 6, 7], dtype="Int64"), "x": [0.5] * 5})
    with pytest.raises(ValueError, match=r"nan at row 2, column 1 \('n'\)"):
        from_array(counts)
    whole = from_array(pd.DataFrame({"n": np.random.default_rng(0).poisson(5.0, 60)}))
    assert whole.transform.dequantises and whole.columns == ("n",)


def test_what_is_not_exact_says_to_ask_for_bounds(rows):
    """A directed model: from below alone."""
    model = train("vae", rows, training=ONE_ROUND)
    with pytest.raises(ValueError, match="log_prob_bounds"):
        model.log_prob(rows)
    below, above = model.log_prob_bounds(rows[:5])
    assert np.isfinite(below).all() and np.isinf(above).all()
    assert isinstance(model.log_z(), NotDefined)


def test_without_a_measure_there_is_no_density(rows):
    model = train("gan", rows, training=ONE_ROUND)
    z = model.log_z()
    assert isinstance(z, NotDefined)
    for given in (None, z):
        with pytest.raises(ValueError, match="gan has no log-density: log Z is not defined"):
            model.log_prob_bounds(rows, z=given)


def test_values_on_a_grid_are_scored_with_noise_or_at_the_value_itself():
    counts = np.random.default_rng(0).poisson(9.0, (80, 1)).astype(float)
    model = train("cd", counts, chains=16, training=ONE_ROUND)
    noisy = model.energy(counts, seed=0)
    assert not np.array_equal(noisy, model.energy(counts, seed=1))
    plain = model.energy(counts, seed=0, dequantise=False)
    assert np.array_equal(plain, model.energy(counts, seed=1, dequantise=False))


def test_evaluation_is_data_with_reasons(model, rows):
    found = model.evaluate(rows, samples=100)
    assert isinstance(found, Evaluation)
    likelihood = found.values["log-likelihood"]
    # The mean over 100 of 200 rows: 4.5 standard errors, a false alarm in 7e-6 of the seeds.
    gap = likelihood.lower.value - true_log_density(model, rows).mean()
    assert abs(gap) < 4.5 * likelihood.lower.stderr + 5e-3
    assert "energy" in found.anomaly.cells and str(found).startswith("log Z")
    found.require(["log-z"])
    with pytest.raises(ValueError, match="coverage is not defined"):
        found.require(["coverage"])
    gan = train("gan", rows, training=ONE_ROUND).evaluate(rows, samples=100)
    figures = gan.to_json()
    assert "critic" in figures["values"]["log-z"]["undefined"]


def test_refined_samples_of_a_perfect_model_stay_its_own(model):
    x, chains = model.refine(500, "mala", 40, seed=1, step_size=0.5)
    assert x.shape == (500, 2) and "500 chains" in str(chains)
    # Variance of 500 standard normal numbers a column: 4.5 sqrt(2 / 500) = 0.28; chains started at
    # samples of 16 short chains forget them in 40 steps up to exp(-40 * 0.25) of their distance.
    spread = (x.double().numpy() - model.transform.origin) / model.transform.unit
    assert np.abs(spread.var(0) - 1).max() < 0.28 + 0.05


def test_training_on_a_data_frame_keeps_its_columns(model, frame):
    assert model.transform.columns == ("height", "depth")
    config = replace(recipes.default_config("cd", "array"), training=ONE_ROUND, chains=16)
    again = gibbsian.train(config, frame)
    assert again.sample(3).shape == (3, 2)
