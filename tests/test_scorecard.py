"""Scorecard, refinement and report on small trained models with known answers."""

import json
import math

import pytest
import torch
from torch import nn

from gibbsian.cli import main
from gibbsian.config import recipes
from gibbsian.config.config import replace
from gibbsian.config.run_folder import open_run
from gibbsian.core import Interval, NotDefined
from gibbsian.models.evaluate import evaluate_run, log_z, model_kl
from gibbsian.models.refinement import refine
from gibbsian.models.scores import score_rows
from gibbsian.models.train import load_data, train
from gibbsian.report import sample_grid_image


class Perfect(nn.Module):
    """E = -log of the density gaussian (correlation 0.5), up to a constant; one idle parameter."""

    confining, bounded = True, False

    def __init__(self, offset: float = 3.0):
        super().__init__()
        self.offset = nn.Parameter(torch.tensor(offset))

    def forward(self, x):
        a, b = x[:, 0], x[:, 1]
        return (a.square() - a * b + b.square()) / 1.5 + self.offset


def perfect(offset=3.0):
    config = replace(
        recipes.default_config("cd", "gaussian"),
        chains=64,
        training={"rounds": 1, "device": "cpu"},
        energy_optimizer={"lr": 1e-30},
    )
    return train(config, networks={"energy": Perfect(offset)}), load_data(config)


def test_a_perfect_model_has_the_true_log_z_and_no_divergence():
    model, data = perfect()
    z = log_z(model, data.train[:2000], 0)
    assert isinstance(z, Interval)
    truth = math.log(2 * math.pi * math.sqrt(0.75)) - 3.0
    assert z.lower.value == pytest.approx(truth, abs=2e-3)
    assert model_kl(model, data, z).value == pytest.approx(0.0, abs=2e-3)


def test_log_densities_of_a_perfect_model_are_the_true_ones():
    model, data = perfect()
    table, standing = score_rows(model, data.test[:100], 0)
    truth = data.density.log_prob(data.test[:100])
    torch.testing.assert_close(table["log_density_lower"], truth.float(), atol=5e-3, rtol=0)
    torch.testing.assert_close(table["log_density_upper"], truth.float(), atol=5e-3, rtol=0)
    assert "exact" in standing


def test_percentiles_of_held_out_data_are_uniform():
    model, data = perfect()
    percentile = score_rows(model, data.test[:2000], 0)[0]["energy_percentile"]
    # Mean of n = 2000 uniforms against an empirical distribution of 2000: sd 28.9 sqrt(2 / 2000) = 0.91;
    # 4.5 sd: false alarm 7e-6.
    assert abs(float(percentile.mean()) - 50) < 4.1


def test_evaluation_and_page_are_written_and_self_contained(tmp_path):
    config = replace(
        recipes.default_config("cd", "ring8"),
        chains=64,
        training={"rounds": 5, "log_every": 2, "device": "cpu"},
    )
    train(config, out=tmp_path / "run", source={"max_rows": 3000})
    assert main(["evaluate", str(tmp_path / "run"), "--num-samples", "500"]) == 0
    figures = json.loads((tmp_path / "run/evaluation.json").read_text())
    assert set(figures["values"]) == {"log-z", "log-likelihood", "entropy", "kl", "coverage"}
    assert figures["anomaly"]["values"].keys() == {"energy", "Gaussian", "PCA", "untrained"}
    page = tmp_path / "page.html"
    assert main(["report", str(tmp_path / "run"), "--output", str(page)]) == 0
    # samples and data, true and learned landscape | two intervals, a histogram, three pictures behind charts
    assert page.read_text().count("data:image/png;base64,") == 4
    assert page.read_text().count("data:image/svg+xml;base64,") == 6


def test_a_model_that_reaches_no_mode_is_evaluated_too(tmp_path):
    """Its divergence within modes is NaN, for which JSON has no number."""
    assert (
        main(["train", "gan", "--data", "grid100", "--rounds", "1", "--out", f"{tmp_path}/run"])
        == 0
    )
    run = open_run(tmp_path / "run")
    config = run.config()
    model, data = train(replace(config, training={"rounds": 1})), load_data(config)
    model.sample = lambda n, seed: torch.full((n, 2), 50.0)
    figures = evaluate_run(model, data, 50, 0, [], run)
    assert figures["values"]["coverage"]["covered"] == 0
    assert figures["values"]["coverage"]["intra_mode_kl"] is None
    assert json.loads(run.evaluation.read_text())["values"] == figures["values"]


def test_a_gan_has_no_log_z_and_says_why(tmp_path):
    config = replace(
        recipes.default_config("gan", "ring8"), training={"rounds": 2, "device": "cpu"}
    )
    model = train(config, source={"max_rows": 1000})
    data = load_data(replace(config, source={"max_rows": 1000}))
    figures = evaluate_run(model, data, 200, 0, ())
    assert figures["rows"]["log Z (scaled units, nats)"].startswith("not defined: the critic")
    assert figures["values"]["kl"]["undefined"].startswith("the critic")
    with pytest.raises(ValueError, match="log-z is not defined"):
        evaluate_run(model, data, 200, 0, ("log-z",))
    assert isinstance(log_z(model, data.train, 0), NotDefined)


class Identity(nn.Module):
    """G(z) = z, with one idle parameter."""

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(2))

    def forward(self, z):
        return z + self.shift


@pytest.mark.parametrize("kernel", ["mala", "hmc", "independence", "langevin", "underdamped"])
def test_refining_keeps_a_perfect_pair(kernel):
    """VGAN's own target leaves G(z) = z, E = |x|^2 / 2 alone; the tilted one would halve the variance."""
    config = replace(
        recipes.default_config("vgan", "gaussian-2-0"),
        generator_entropy="none",
        expert_entropy_weight=0.0,
        domain_half_width="none",
        training={"rounds": 1, "device": "cpu"},
        generator_optimizer={"lr": 1e-30},
        energy_optimizer={"lr": 1e-30},
    )

    class Round(nn.Module):
        confining, bounded = True, False

        def __init__(self):
            super().__init__()
            self.offset = nn.Parameter(torch.zeros(()))

        def forward(self, x):
            return 0.5 * x.square().sum(1) + self.offset

    model = train(config, networks={"energy": Round(), "generator": Identity()})
    # The kinetic kernel starts at rest and needs time 1 / friction to forget it.
    h = {"underdamped": 0.3}.get(kernel)
    x, chains = refine(model, 1000, kernel, 40, seed=1, step_size=h, friction=2.0)
    # Variance of 2000 coordinates: sd sqrt(2 / 2000) = 0.032; 4.5 sd and ULA's bias h / 4 < 0.003.
    assert abs(float(x.var()) - 1) < 0.145
    assert "1000 chains" in str(chains)


def test_a_sheet_holds_every_image_once():
    images = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 1, 2, 3).numpy()
    sheet = sample_grid_image(images, columns=2)
    assert sheet.shape == (3 * 3 - 1, 2 * 4 - 1)
    for k in range(5):
        top, left = k // 2 * 3, k % 2 * 4
        assert (sheet[top : top + 2, left : left + 3] == k / 4).all()


def test_the_demo_runs(tmp_path, capsys):
    assert main(["demo", "--quick", "--out", str(tmp_path / "demo")]) == 0
    told = capsys.readouterr().out
    for name in ("digits-cd", "moons-cd"):
        run = open_run(tmp_path / "demo" / name)
        page = tmp_path / "demo" / f"{name}.html"
        assert str(page) in told
        for seen in ("Samples beside data", "Energies", "Training"):
            assert f">{seen}</h2>" in page.read_text()
        assert (run.samples / "drawn.png").stat().st_size > 1000
    assert ">Energy landscape</h2>" in (tmp_path / "demo/moons-cd.html").read_text()
