"""Rows by the million: what is written is what a model says of all at once, in little memory."""

from __future__ import annotations

import csv
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gibbsian.cli import main
from gibbsian.models.model import CHUNK, DRAWN, load_model
from gibbsian.models.scores import score_rows

N = 2 * CHUNK + 100
MEASURE = """
import resource, sys
from gibbsian.cli import main
assert main(sys.argv[1:]) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def rows(n: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.column_stack([rng.normal(size=(n, 2)).round(3), rng.integers(0, 5, n)])


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    """Runs on a table with a column of whole numbers, which are dequantised: ``cd`` and ``vae``."""
    folder = tmp_path_factory.mktemp("table")
    np.savetxt(folder / "t.csv", rows(300), delimiter=",", header="a,b,c", comments="")
    small = ("--data", folder / "t.csv", "--rounds", "2", "--device", "cpu", "--batch", "16")
    chains = (
        "--chains",
        "8",
        "--sampler.steps",
        "2",
        "--sampler.steps-per-sample",
        "2",
        "--energy.width",
        "8",
    )
    for method, more in (("cd", chains), ("vae", ())):
        words = ("train", method, *small, *more, "--out", folder / method)
        assert main([str(word) for word in words]) == 0
    return folder


def columns(path: Path) -> dict[str, list[str]]:
    with path.open() as file:
        found = list(csv.DictReader(file))
    return {name: [row[name] for row in found] for name in found[0]}


@pytest.mark.parametrize("method", ["cd", "vae"])
@pytest.mark.parametrize("kind", ["csv", "npy"])
def test_scores_in_parts_are_those_of_all_rows_at_once(method, kind, table, tmp_path):
    x, path = rows(N), tmp_path / f"x.{kind}"
    if kind == "npy":
        np.save(path, x)
    else:
        np.savetxt(path, x, delimiter=",", fmt="%.17g")
    out = tmp_path / "scores.csv"
    words = ("score", table / method, path, "--output", out, "--seed", "3", "--device", "cpu")
    assert main([str(word) for word in words]) == 0
    model, found = load_model(table / method), columns(out)
    expected, _ = score_rows(model, torch.from_numpy(x), 3)
    assert found.pop("row") == [str(i + 1) for i in range(N)]
    assert found == {k: [f"{v:.7g}" for v in column.tolist()] for k, column in expected.items()}
    if method == "cd":
        assert torch.equal(expected["energy"], model.energy(torch.from_numpy(x), 3))


def test_a_fault_far_down_is_named_and_leaves_no_file(table, tmp_path, capsys):
    x = rows(N)
    x[CHUNK + 10, 1] = np.nan
    np.save(tmp_path / "x.npy", x)
    out = tmp_path / "scores.csv"
    words = ("score", table / "cd", tmp_path / "x.npy", "--output", out, "--device", "cpu")
    assert main([str(word) for word in words]) == 2
    assert f"row {CHUNK + 11}, column 2" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


@pytest.mark.parametrize("method", ["cd", "vae"])
def test_samples_in_parts_are_those_drawn_at_once(method, table, tmp_path):
    n = DRAWN + 50
    model = load_model(table / method)
    expected = model.sample(n, 5)
    for kind in ("npy", "csv"):
        out = tmp_path / f"s.{kind}"
        words = ("sample", table / method, "-n", n, "--seed", "5", "--output", out)
        assert main([str(word) for word in (*words, "--device", "cpu")]) == 0
        found = (
            np.load(out) if kind == "npy" else np.loadtxt(out, delimiter=",", skiprows=1, ndmin=2)
        )
        assert found.shape == (n, 3)
        np.testing.assert_allclose(found, expected, rtol=0 if kind == "npy" else 1e-8)
    few = model.sample(DRAWN, 5)
    torch.testing.assert_close(few, expected[:DRAWN], rtol=0, atol=0)


def peak(*words: object) -> int:
    """Kilobytes that a command holds at most."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GIBBSIAN_TYPECHECK": "0"}
    command = [sys.executable, "-c", MEASURE, *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


@pytest.mark.skipif(not hasattr(resource, "RUSAGE_SELF"), reason="needs the system's accounting")
def test_memory_does_not_grow_with_the_rows(table, tmp_path):
    """Twenty times the rows, 12 MB of numbers: all at once they took some 250 MB more."""
    taken = []
    for n in (20_000, 400_000):
        np.save(tmp_path / "x.npy", rows(n))
        score = ("score", table / "cd", tmp_path / "x.npy", "--output", tmp_path / "s.csv")
        taken.append(peak(*score, "--device", "cpu"))
    assert taken[1] - taken[0] < 40_000, taken
