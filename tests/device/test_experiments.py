"""Sweeps and comparisons of runs on the device."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gibbsian import cli
from gibbsian.config.config import Source
from gibbsian.experiments import budgets
from gibbsian.experiments.compare import ComparisonSettings, compare, entries
from gibbsian.experiments.compare.settings import variants_of
from gibbsian.experiments.sweep.objectives import SWEEP_OBJECTIVES, Setting, density
from gibbsian.models.model import load_model
from gibbsian.models.train import train_config
from tests.device.pretend import TYPE
from tests.device.small import data_of, small

WIDTHS = {"generator.width": [8], "energy.width": [8], "energy.num_experts": [8]}


@pytest.mark.parametrize("objective", ["kl", "high-quality"])
def test_a_sweep(objective, tmp_path, capsys):
    shared = {"rounds": [2, 3], "batch": [32], "max_rows": [300], "device": [TYPE]}
    (tmp_path / "space.json").write_text(json.dumps(shared | WIDTHS))
    words = ["sweep", "vgan", "--data", "ring8", "--search-space", str(tmp_path / "space.json")]
    words += ["--out", str(tmp_path / "out"), "--target-metric", objective, "--num-samples", "50"]
    assert cli.main(words) == 0
    assert "2 trials done, 0 failed" in capsys.readouterr().out
    assert load_model(tmp_path / "out/trials/00000/run", device=TYPE).device.type == TYPE


@pytest.mark.parametrize("name", ["vae", "vgan", "cd"])
def test_objectives_of_density(name):
    assert SWEEP_OBJECTIVES["log-likelihood"].measure is density
    data = data_of(name)
    found = density(train_config(small(name), None, data), data, Setting(50, 0))
    assert set(found) == {"log-likelihood", "kl"}


def test_a_comparison_trains_where_it_is_asked_to(tmp_path, monkeypatch):
    asked = []

    def rounds_within(config, data, seconds, device="cpu"):
        asked.append(device)
        return 2

    monkeypatch.setattr(entries, "rounds_within", rounds_within)
    rows = variants_of("gan,vgan")
    settings = ComparisonSettings(
        "ring8", rows, seeds=1, samples=40, source=Source(max_rows=300), device=TYPE
    )
    assert compare(tmp_path / "out", settings, 1, lambda line: None) == 0
    assert asked == [TYPE, TYPE]
    for row in rows:
        folder = tmp_path / "out" / row.label / "seed-0"
        assert "figures" in json.loads((folder / "figures.json").read_text())
        config = json.loads((folder / "run/config.json").read_text())["config"]
        assert config["training"]["device"] == TYPE
    elsewhere = ComparisonSettings("ring8", rows, seeds=1, samples=40, source=Source(max_rows=300))
    with pytest.raises(ValueError, match="another device"):
        compare(tmp_path / "out", elsewhere, 1, lambda line: None)


def test_a_comparison_on_a_device_that_is_not_there(tmp_path):
    settings = ComparisonSettings("ring8", variants_of("gan"), device=f"{TYPE}:7")
    with pytest.raises(ValueError, match="is not there"):
        compare(tmp_path / "out", settings, 1, lambda line: None)
    assert not (tmp_path / "out").exists()


def test_a_budget_on_the_device_is_the_clocks(monkeypatch):
    """Nothing is trained: on the CPU no time passes, on the device a second between two looks."""
    seconds = iter(range(1_000))
    monkeypatch.setattr(budgets.time, "perf_counter", lambda: float(next(seconds)))
    monkeypatch.setattr(budgets.time, "process_time", lambda: 0.0)
    monkeypatch.setattr(budgets, "train_config", lambda config, run, data: None)
    found = budgets.seconds_per_round(small("gan"), data_of("gan"), 0.0, TYPE)
    assert found == 0.0  # as long for many rounds as for few
    assert next(seconds) > 0


def test_commands_on_the_device(tmp_path: Path, capsys):
    run = str(tmp_path / "run")
    options = ["--data", "ring8", "--max-rows", "300", "--rounds", "2", "--batch", "32"]
    assert cli.main(["train", "vgan", *options, "--device", TYPE, "--out", run]) == 0
    assert cli.main(["sample", run, "-n", "5", "--output", str(tmp_path / "x.npz")]) == 0
    assert cli.main(["evaluate", run, "--num-samples", "50", "--device", TYPE]) == 0
    assert "log Z" in capsys.readouterr().out
    assert cli.main(["train", "--resume", run, "--rounds", "3"]) == 0
