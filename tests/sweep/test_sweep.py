"""Sweeps of real runs: the command, its files, failures with reasons, going on, what differs."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
import torch
from PIL import Image

from gibbsian import cli, data
from gibbsian.config.config import replace
from gibbsian.config.recipes import default_config
from gibbsian.evaluation import frechet_distance, inception_type_score
from gibbsian.evaluation.features.classifier import Classifier
from gibbsian.evaluation.log_z.directed import mean_weights
from gibbsian.evaluation.metrics.class_scores import clipped_kl_score
from gibbsian.experiments.sweep import (
    SWEEP_OBJECTIVES,
    SweepSettings,
    search as sweep_runs,
)
from gibbsian.experiments.sweep.objectives import Setting, possible
from gibbsian.experiments.sweep.results import groups, page
from gibbsian.experiments.sweep.space import parse_search_space
from gibbsian.experiments.trials import workers
from gibbsian.experiments.trials.journal import Journal
from gibbsian.models.build import assemble, resolve
from gibbsian.models.model import Model

SMALL = {
    "rounds": [3],
    "batch": [32],
    "max_rows": [300],
    "device": ["cpu"],
    "generator.width": [8],
    "energy.width": [8],
    "energy.fourier_features": [0],
}


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "space.json"
    path.write_text(json.dumps(SMALL | {"margin": [0.5, 2.0], "energy-optimizer.lr": [1e-3, 1e30]}))
    return path


def command(space: Path, out: Path, *more: str) -> list[str]:
    words = ["sweep", "ebgan", "--data", "ring8", "--search-space", str(space), "--out", str(out)]
    return [*words, "--target-metric", "high-quality", "--num-samples", "100", *more]


def test_a_grid_of_runs(space: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    """Four runs, two of which diverge at an absurd rate; a second call finds nothing to do."""
    out = tmp_path / "sweep"
    assert cli.main(command(space, out)) == 0
    said = capsys.readouterr()
    assert "2 trials done, 2 failed, 0 running; largest high-quality first" in said.out
    assert "trial 0: high-quality" in said.err and "0 to go" in said.err
    found = json.loads((out / "summary.json").read_text())
    assert [t["state"] for t in found["trials"]] == ["done", "failed", "done", "failed"]
    assert all("not finite" in t["failed"] for t in found["trials"] if t["state"] == "failed")
    assert found["trials"][2]["values"]["margin"] == 2.0
    assert set(found["trials"][0]["figures"]) == {"modes", "high-quality", "mode-kl"}
    config = json.loads((out / "trials/00002/run/config.json").read_text())["config"]
    assert config["margin"] == 2.0 and config["energy"]["width"] == 8
    assert (out / "summary.md").read_text() == said.out
    assert Image.open(out / "histograms.png").width > 400

    def never(*arguments) -> None:
        raise AssertionError("a finished trial was run again")

    monkeypatch.setattr(sweep_runs, "run_trial", never)
    assert cli.main(command(space, out)) == 0
    assert capsys.readouterr().out == said.out
    assert cli.main(command(space, out, "--seed", "3")) == 2
    assert "another seed" in capsys.readouterr().err
    assert cli.main(command(space, tmp_path)) == 2
    assert "holds no sweep" in capsys.readouterr().err


def test_a_run_left_in_its_folder_goes_on(tmp_path: Path, monkeypatch) -> None:
    entries = SMALL | {"rounds": [6], "save_every": [2]}
    settings = SweepSettings(
        default_config("ebgan", "ring8"), parse_search_space(entries), "grid", "modes", 50
    )
    out, resumed = tmp_path / "sweep", []
    sweep_runs.settle(out, settings)

    class Killed(BaseException):
        pass

    original = sweep_runs.SWEEP_OBJECTIVES["modes"].measure

    def dies(*arguments):
        raise Killed

    dead = sweep_runs.SWEEP_OBJECTIVES["modes"]._replace(measure=dies)
    monkeypatch.setitem(sweep_runs.SWEEP_OBJECTIVES, "modes", dead)
    with pytest.raises(Killed):
        sweep_runs.work(out, resumed.append)
    monkeypatch.setitem(sweep_runs.SWEEP_OBJECTIVES, "modes", dead._replace(measure=original))
    monkeypatch.setattr(sweep_runs, "train_config", dies)
    sweep_runs.work(out, resumed.append)
    assert len(resumed) == 1 and resumed[0].startswith("trial 0: modes")


def test_more_trials_later(tmp_path: Path) -> None:
    entries = SMALL | {"margin": {"low": 0.5, "high": 4.0, "log": True}}
    for trials in (1, 2):
        settings = SweepSettings(
            default_config("ebgan", "ring8"),
            parse_search_space(entries),
            "random",
            "modes",
            50,
            trials=trials,
        )
        assert sweep_runs.run_sweep(tmp_path / "sweep", settings, 1, str) == 0
        rows = settings.journal(tmp_path / "sweep").rows()
        assert len(rows) == trials
    assert len({row.values["margin"] for row in rows}) == 2


def test_two_workers(space: Path, tmp_path: Path, monkeypatch) -> None:
    codes = iter([0, -9])

    class Process:
        """A worker process without the seconds that starting one takes."""

        def __init__(self, target, args, daemon):
            self.target, self.args = target, args
            self.exitcode = next(codes)

        def start(self) -> None:
            self.target(*self.args)

        def join(self) -> None:
            pass

    class Context:
        pass

    Context.Process = Process
    monkeypatch.setattr(workers, "get_context", lambda kind: Context)
    monkeypatch.setattr(sweep_runs, "run_trial", lambda *arguments: {"value": 1.0})
    settings = SweepSettings(
        default_config("ebgan", "ring8"),
        parse_search_space(json.loads(space.read_text())),
        "grid",
        "modes",
    )
    assert sweep_runs.run_sweep(tmp_path / "sweep", settings, 2, str) == 1, "one was killed"
    with pytest.raises(ValueError, match="workers must be at least 1"):
        sweep_runs.run_sweep(tmp_path / "sweep", settings, 0, str)


def test_the_page_sorts_by_what_is_better(tmp_path: Path) -> None:
    space = parse_search_space({"margin": [1.0, 2.0, 3.0]})
    for objective, order in (("modes", [2, 1, 0]), ("mode-kl", [0, 1, 2])):
        settings = SweepSettings(default_config("ebgan", "ring8"), space, "grid", objective)
        journal: Journal = settings.journal(tmp_path / objective)
        for value in (1.0, 2.0, 3.0):
            with journal.next() as claim:
                journal.finish(claim, {"value": value})
        lines = page(journal.rows(), settings).splitlines()
        assert [int(line.split("|")[1]) for line in lines[6:9]] == order
        panels = groups(journal.rows())
        assert panels["all trials"] == {"all": [1.0, 2.0, 3.0]}
        assert panels["margin"] == {"1.0": [1.0], "2.0": [2.0], "3.0": [3.0]}


@pytest.mark.parametrize(
    ("entries", "objective", "words"),
    [
        ({"margni": [1]}, "modes", "did you mean margin"),
        ({"margin": [1, "two"]}, "modes", "must be of type float"),
        ({"margin": [1]}, "mods", "unknown objective 'mods'; did you mean modes"),
    ],
)
def test_unusable_settings(entries, objective: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SweepSettings(
            default_config("ebgan", "ring8"), parse_search_space(entries), "grid", objective
        )


def test_figures_of_pictures() -> None:
    """They are those of the functions in evaluation, on samples and validation rows."""
    digits = data.load_dataset("digits")
    judge = Classifier(digits.space, digits.transform, 10, dict(width=6, channels=2)).eval()
    small = {"channels": 2}
    config = replace(default_config("ebgan", "digits"), energy=small, generator=small)
    config = resolve(config, digits.space, digits.train[:10])
    method = assemble(config, digits.space)
    model = Model(method, config, digits.space, digits.transform)
    found = SWEEP_OBJECTIVES["frechet"].measure(model, digits, Setting(100, 4, judge))
    assert set(found) == {"frechet", "i-prime", "inception-type", "class-entropy"}
    x, rng = model.sample(100, 4), torch.Generator()
    distance = frechet_distance(judge.features(x), judge.features(digits.valid), rng)
    assert found["frechet"] == pytest.approx(distance.value, rel=1e-6)
    log_p = judge.logits(x).log_softmax(1)
    assert found["i-prime"] == pytest.approx(clipped_kl_score(log_p, rng).value)
    assert found["inception-type"] == pytest.approx(inception_type_score(log_p, rng).value)
    with pytest.raises(ValueError, match="gibbsian classifier"):
        SWEEP_OBJECTIVES["frechet"].measure(model, digits, Setting(100, 0))
    with pytest.raises(ValueError, match="no known modes"):
        SWEEP_OBJECTIVES["modes"].measure(model, digits, Setting(100, 0))
    with pytest.raises(ValueError, match="log Z is not defined"):
        SWEEP_OBJECTIVES["kl"].measure(model, digits, Setting(100, 0))


@pytest.mark.parametrize(
    ("entries", "more", "words"),
    [
        ({"margin": {"low": 1, "high": 2}}, (), "a grid needs lists; margin is a range"),
        ({}, ("--hyperparameter-search", "random"), "give --num-trials"),
        ({}, ("--data", "moons"), "no known modes to cover"),
        ({}, ("--target-metric", "i-prime"), "gibbsian classifier"),
        ({}, ("--target-metric", "kl"), "kl needs log Z, which is not defined"),
        ({}, ("--metric-classifier", "gone.safetensors"), "gone.safetensors"),
        ({}, ("--workers", "0"), "workers must be at least 1"),
    ],
)
def test_a_refused_sweep_leaves_nothing(entries, more, words, tmp_path: Path, capsys) -> None:
    path, out = tmp_path / "space.json", tmp_path / "sweep"
    path.write_text(json.dumps(SMALL | entries))
    assert cli.main(command(path, out, *more)) == 2
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_directed_models_are_judged_by_their_importance_bound() -> None:
    """On validation rows; of a known density the divergence is what is missing from it."""
    dataset, setting = data.load_dataset("ring8"), Setting(10, 3)
    config = resolve(
        default_config("vae", "ring8"), dataset.space, dataset.transform.encode(dataset.train)
    )
    torch.manual_seed(0)
    model = Model(assemble(config, dataset.space), config, dataset.space, dataset.transform)
    found = SWEEP_OBJECTIVES["log-likelihood"].measure(model, dataset, setting)
    x = dataset.valid[:500]
    u = dataset.transform.encode(x, model.rng(9))
    bound = mean_weights(model.method.log_weights, u, 500, model.rng(9)).log_mean
    bound = bound + dataset.transform.log_jacobian
    # Two estimates of the same rows: an untrained encoder is near the prior, 500 weights are plenty.
    assert found["log-likelihood"] == pytest.approx(float(bound.mean()), abs=0.05)
    truth = dataset.density.log_prob(x).mean()
    assert found["kl"] == pytest.approx(float(truth) - found["log-likelihood"], abs=1e-3)
    bits = data.load_dataset("digits-4-binary")
    settings = [default_config("bihm", bits.name)]
    possible("log-likelihood", bits, setting, settings)


def test_the_trial_of_the_ray_example() -> None:
    """It needs no Ray; the search around it runs with the other examples where Ray is installed."""
    example = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "ray_tune.py"))
    found = example["trial"]({"lr": 1e-3, "margin": 1.0, "rounds": 2})
    assert 0 <= found["high-quality"] <= 1
