"""``gibbsian sample RUN --condition-on CLASS``: samples of one class, by a model that was taught them."""

import numpy as np
import pytest

import gibbsian
from gibbsian.cli import main


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classes")
    options = {"rounds": 2, "batch": 32, "device": "cpu"}
    for name, energy, size, classify in (
        ("taught", "joint", "width", 1.0),
        ("plain", "conv", "channels", 0.0),
    ):
        gibbsian.train(
            "nce",
            "digits",
            out=folder / name,
            training=options,
            source={"max_rows": 200},
            energy={"name": energy, size: 4},
            class_loss_weight=classify,
            sampler={"steps": 1, "steps_per_sample": 1},
        )
    np.save(folder / "labels.npy", np.array([[1], [3], [3]]))
    np.save(folder / "halves.npy", np.array([[0.5], [1.5], [2.0]]))
    return folder


def test_one_class_or_one_for_each(runs, capsys, monkeypatch):
    monkeypatch.chdir(runs)
    for given in ("3", "labels.npy"):
        words = ["sample", "taught", "-n", "3", "--condition-on", given, "--output", "x.npy"]
        assert main(words) == 0
        assert np.load("x.npy").shape == (3, 1, 8, 8)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["taught", "--condition-on", "10"], "numbered from 0 to 9"),
        (["taught", "--condition-on", "three"], "a class number or a file"),
        (["taught", "--condition-on", "halves.npy"], "a whole number, per row"),
        (["taught", "--condition-on", "labels.npy", "-n", "4"], "one for each of 4 samples"),
        (["taught", "--condition-on", "3", "--refine", "hmc"], "leave out one"),
        (["plain", "--condition-on", "3"], "was taught no classes"),
    ],
)
def test_what_does_not_fit(runs, capsys, monkeypatch, words, why):
    monkeypatch.chdir(runs)
    words = words if "-n" in words else [*words, "-n", "3"]
    assert main(["sample", *words, "--output", "x.npy"]) == 2
    assert why in capsys.readouterr().err


def test_evaluate_shows_the_log_z_that_training_learned(tmp_path, capsys):
    options = {"rounds": 2, "batch": 32, "device": "cpu"}
    settings = {"sampler": {"steps": 1, "steps_per_sample": 1}, "energy": {"width": 8}}
    model = gibbsian.train("nce", "ring8", out=tmp_path / "run", training=options, **settings)
    assert main(["evaluate", str(tmp_path / "run"), "--num-samples", "50"]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "training learned" in line]
    assert f"{model.method.A.item():.4g}" in row and row.endswith("(estimate)")
