"""`gibbsian log-z` on anybody's energy: the number, and one sentence for what is unusable."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from gibbsian.cli import main
from tests.cli.conftest import SMALL

ENERGIES = """
import torch

def bowl(x):
    return 0.5 * x.square().sum(1)

def broken(x):
    return bowl(x).masked_fill(x[:, 0] > 1, torch.nan)

def half(x):
    return torch.where(x[:, 0] > 0, torch.nan, x.sum(1))

def rows(x):
    return x

def constant(x):
    return 0 * x.sum(1) + 3.0

def jump(x):
    return bowl(x) + 2.0 * (x[:, 0] > 0)

def number(x):
    return 3.0

def in_place(x):
    x *= 2
    return bowl(x)

def noisy(x):
    return bowl(x) * (1 + 0.1 * torch.rand(len(x)))

def detached(x):
    return torch.tensor(x.numpy() ** 2).sum(1)

def walls(x):
    return torch.where(x.abs().amax(1) < 1, 0.0, torch.inf)

def three(x):
    return (x * torch.ones(3)).sum(1)

five = 5

class Wants:
    def __init__(self, width):
        pass
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some_energies.py").write_text(ENERGIES)
    (tmp_path / "broken_energies.py").write_text("1 / 0\n")
    points = np.random.default_rng(0).normal(size=(300, 5)).astype("float32")
    np.save(tmp_path / "points.npy", points)
    return tmp_path


def run(*arguments: str) -> int:
    return main(["log-z", *arguments])


def test_the_number(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert run("some_energies:bowl", "--dim", "2") == 0
    assert capsys.readouterr().out == "log Z = 1.838 (exact)\n"
    common = ("--dim", "5", "--samples-from", "points.npy", "--log-z-effort", "quick", "--json")
    assert run("some_energies:jump", *common) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    truth = 2.5 * math.log(2 * math.pi) + math.log((1 + math.exp(-2)) / 2)
    low, high = found["lower"], found["upper"]
    assert low["value"] - 4 * low["stderr"] < truth < high["value"] + 4 * high["stderr"]  # 6e-5
    assert "log Z takes about" in said.err


def test_evaluate_foretells_too(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["train", "cd", "--data", "points.npy", *SMALL, "--out", "run"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "run", "--num-samples", "50", "--log-z-effort", "quick"]) == 0
    assert "log Z takes about" in capsys.readouterr().err


def test_nothing_to_integrate(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert run("some_energies:constant", "--dim", "5", "--samples-from", "points.npy") == 0
    assert "log Z is not defined: the energy does not confine on R^5" in capsys.readouterr().out
    assert run("some_energies:constant", "--dim", "2", "--domain-half-width", "3") == 0
    assert f"log Z = {2 * math.log(6) - 3:.4g}" in capsys.readouterr().out


BAD = {
    ("some_energies:bowl", "--dim", "0"): "--dim must be at least 1; got 0",
    (
        "some_energies:broken",
        "--dim",
        "5",
        "--samples-from",
        "points.npy",
    ): "the energy is NaN at row",
    ("some_energies:half", "--dim", "5"): "the energy is NaN at x = [",
    ("some_energies:half", "--dim", "5", "--domain-half-width", "2"): "the energy is NaN at x = [",
    ("some_energies:broken", "--dim", "2"): "NaN or minus infinity at x =",
    ("some_energies:rows", "--dim", "5"): "one number per row",
    (
        "some_energies:rows",
        "--dim",
        "5",
        "--samples-from",
        "points.npy",
    ): "one number per row",
    ("some_energies:in_place", "--dim", "2"): "changes its argument in place; write x = x * 2",
    ("some_energies:in_place", "--dim", "6"): "changes its argument in place; write x = x * 2",
    ("some_energies:noisy", "--dim", "2"): "the energy is random",
    ("some_energies:noisy", "--dim", "6"): "the energy is random",
    ("some_energies:detached", "--dim", "6"): "at points that require a gradient",
    ("some_energies:number", "--dim", "5"): "must return a tensor; this one returned float",
    ("some_energies:three", "--dim", "5"): "cannot be evaluated at points of shape [3, 5]",
    ("some_energies:five", "--dim", "5"): "is no function",
    ("some_energies:six", "--dim", "5"): "has no 'six'",
    (
        "some_energies:Wants",
        "--dim",
        "5",
    ): "your own energy some_energies:Wants fails with TypeError",
    ("broken_energies:bowl", "--dim", "5"): "broken_energies:bowl fails with ZeroDivisionError",
    ("no_such_module:energy", "--dim", "5"): "cannot import 'no_such_module'",
    ("some_energies", "--dim", "5"): "package.module:name",
    (
        "some_energies:bowl",
        "--dim",
        "4",
        "--samples-from",
        "points.npy",
    ): "points.npy holds points of 5 numbers, and --dim is 4",
    (
        "some_energies:bowl",
        "--dim",
        "2",
        "--domain-half-width",
        "-1",
    ): "--domain-half-width must be positive",
}


@pytest.mark.parametrize("arguments", BAD, ids=lambda a: " ".join(a))
def test_one_sentence_each(
    arguments: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]
):
    assert run(*arguments) == 2
    said = capsys.readouterr().err
    assert BAD[arguments] in said
    assert len([line for line in said.splitlines() if "error" in line]) == 1


def test_the_error_of_weights_that_bridges_reach_beyond(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    common = ("some_energies:jump", "--dim", "5", "--samples-from", "points.npy")
    assert run(*common, "--log-z-effort", "quick", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    low, high = found["interval95"]
    lower, upper = found["lower"], found["upper"]
    # Never inside the printed ends with 1.96 of their errors.
    assert low <= lower["value"] - 1.9599 * lower["stderr"] + 1e-9
    assert high >= upper["value"] + 1.9599 * upper["stderr"] - 1e-9


def test_points_without_density_are_not_said_to_be_given(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    for more in ([], ["--domain-half-width", "3"]):
        assert run("some_energies:walls", "--dim", "6", *more) == 2
        said = capsys.readouterr().err
        assert "--samples-from" in said and "--domain-half-width" in said
        assert "given points" not in said and "x0" not in said
    assert run("some_energies:walls", "--dim", "6", "--domain-half-width", "1") == 0
