"""Directed models scored and evaluated: a perfect one has the truth within its errors, in its units."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from gibbsian.config import recipes
from gibbsian.config.config import replace
from gibbsian.core import Estimate, Interval, NotDefined
from gibbsian.models.evaluate import evaluate_run, model_kl
from gibbsian.models.log_density import directed_likelihood, log_z
from gibbsian.models.model import Model
from gibbsian.models.scores import score_rows
from gibbsian.models.train import load_data, train


class Decoder(nn.Module):
    """x = A z + noise of variance 1/4 has the distribution `gaussian`, correlation 1/2."""

    def __init__(self):
        super().__init__()
        covariance = torch.tensor([[0.75, 0.5], [0.5, 0.75]])
        self.A = nn.Parameter(torch.linalg.cholesky(covariance))

    def forward(self, z):
        mean = z @ self.A.T
        return torch.stack([mean, torch.full_like(mean, math.log(0.25))], 1)


class Encoder(nn.Module):
    """The mean of p(z|x); a variance half as large again as the posterior's on the diagonal."""

    def __init__(self, decoder):
        super().__init__()
        A = decoder.A.detach()
        covariance = (torch.eye(2) + A.T @ A / 0.25).inverse()
        self.gain = nn.Parameter(covariance @ A.T / 0.25)
        self.log_variance = nn.Parameter((1.5 * covariance.diagonal()).log())

    def forward(self, x):
        mean = x @ self.gain.T
        return torch.cat([mean, self.log_variance.expand_as(mean)], 1)


@pytest.fixture(scope="module")
def perfect():
    config = replace(
        recipes.default_config("vae", "gaussian"),
        training={"rounds": 1, "device": "cpu", "ema": 0.0},
        model_optimizer={"lr": 1e-30},
    )
    decoder = Decoder()
    networks = {"decoder": decoder, "encoder": Encoder(decoder)}
    return train(config, networks=networks), load_data(config)


def test_the_likelihood_is_between_its_sides(perfect):
    model, data = perfect
    found = directed_likelihood(model, data.test[:500], 0)
    assert isinstance(found, Interval)
    truth = float(data.density.log_prob(data.test[:500]).mean())
    assert found.lower.value - 0.05 < truth < found.upper.value + 0.05
    assert found.upper.value - found.lower.value < 0.2
    assert isinstance(log_z(model, None, 0), NotDefined)


def test_rows_and_divergence(perfect):
    model, data = perfect
    table, standing = score_rows(model, data.test[:600], 0)
    truth = data.density.log_prob(data.test[:600]).float()
    gap = truth - table["log_density_lower"]
    assert gap.shape == (600,) and abs(float(gap.mean())) < 0.02 and float(gap.std()) < 0.2
    assert "from below" in standing
    kl = model_kl(model, data, NotDefined("no energy"))
    assert isinstance(kl, Estimate) and kl.side == "upper"
    assert abs(kl.value) < 0.02


def test_units_of_the_data_count(perfect):
    """In units ten times finer every log-density is lower by ln 10 a column."""
    model, data = perfect
    scaled = dataclasses.replace(model.transform, scale=(10.0,))
    finer = Model(model.method, model.config, model.space, scaled)
    x = data.test[:50]
    here, there = (score_rows(m, c, 0)[0] for m, c in ((model, x), (finer, 10 * x)))
    shift = here["log_density_lower"] - there["log_density_lower"]
    assert torch.allclose(shift, torch.full((50,), 2 * math.log(10.0)), atol=1e-4)


def test_evaluation_has_a_likelihood_and_no_log_z(perfect):
    model, data = perfect
    small = dataclasses.replace(data, test=data.test[:12])
    figures = evaluate_run(model, small, 50, 0, ("log-likelihood", "kl"))
    assert "normalised by construction" in figures["rows"]["log Z (scaled units, nats)"]
    assert set(figures["values"]["log-likelihood"]) == {"lower", "upper"}
    assert figures["anomaly"] == {"undefined": "the method has no energy"}
    with pytest.raises(ValueError, match="log-z is"):
        evaluate_run(model, small, 50, 0, ("log-z",))


def test_a_helmholtz_machine_reports_log_p_log_p_star_and_log_z():
    config = replace(
        recipes.default_config("bihm", "digits-4-binary"),
        training={"rounds": 3, "device": "cpu"},
        belief_network={"layer_sizes": "6,3"},
        gibbs_sweeps=2,
    )
    model, data = train(config), load_data(config)
    small = dataclasses.replace(data, test=data.test[:40])
    figures = evaluate_run(model, small, 20, 0, ("log-z", "between", "log-likelihood"))
    between, z = figures["values"]["between"], figures["values"]["log-z"]
    assert z["lower"]["value"] < 0 == z["upper"]["value"]
    gap = between["upper"]["value"] - between["lower"]["value"]
    assert gap == pytest.approx(-2 * z["lower"]["value"])
    # log p~* < log p, both from below with 500 draws.
    assert between["lower"]["value"] < figures["values"]["log-likelihood"]["lower"]["value"]
    assert figures["rows"]["log Z (scaled units, nats)"].startswith("log Z in [")
    with pytest.raises(ValueError, match="unknown quantity 'kl'"):
        evaluate_run(model, small, 20, 0, ("kl",))
