"""The README's calls with arrays of every kind, and their runs from the command line.

A run does not keep the array it was trained on: the commands name the option that gives it, and go on
with that.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import gibbsian
from gibbsian.cli import main
from gibbsian.core import Interval
from gibbsian.data import from_array

ROOT = Path(__file__).parents[2]
BRIEF = {"energy": {"width": 8}, "training": {"rounds": 10, "device": "cpu"}}
ROWS = np.random.default_rng(0).normal(size=(200, 2)) @ np.array([[2.0, 0.5], [0.0, 1.0]])
KINDS = ("ndarray", "pandas", "polars", "pyarrow", "tensor")


def as_kind(x: np.ndarray, kind: str) -> Any:
    columns = {"height": x[:, 0].copy(), "weight": x[:, 1].copy()}
    if kind == "pandas":
        return pytest.importorskip("pandas").DataFrame(columns)
    if kind == "polars":
        return pytest.importorskip("polars").DataFrame(columns)
    if kind == "pyarrow":
        return pytest.importorskip("pyarrow").table(columns)
    return torch.from_numpy(x) if kind == "tensor" else x


def write(x: Any, folder: Path) -> Path:
    """As its owner would write it."""
    if isinstance(x, torch.Tensor | np.ndarray):
        np.save(folder / "x.npy", np.asarray(x))
        return folder / "x.npy"
    path = folder / "x.csv"
    if type(x).__module__.startswith("pandas"):
        x.to_csv(path, index=False)
    elif type(x).__module__.startswith("polars"):
        x.write_csv(path)
    else:
        path = folder / "x.parquet"
        pytest.importorskip("pyarrow.parquet").write_table(x, path)
    return path


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "gibbsian", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("kind", KINDS)
def test_the_calls_of_the_readme(kind: str, tmp_path: Path) -> None:
    """Its one block of Python, line by line, with rows of a kind in place of a name."""
    block = re.search(
        r"## From Python\n\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S
    )
    assert block is not None
    code = block[1].replace(
        '"moons", out="runs/python", training={"rounds": 50}', "DATA, out=RUN, **BRIEF"
    )
    code = code.replace('"runs/python"', "RUN").replace('"moons-model"', "SAVED")
    assert code.count("DATA") == 1 and code.count("RUN") == 2 and "moons" not in code
    data = as_kind(ROWS, kind)
    names: dict[str, Any] = {
        **{"DATA": data, "RUN": tmp_path / "run", "SAVED": tmp_path / "saved"},
        "BRIEF": BRIEF,
    }
    exec(code, names)
    model, x = names["model"], names["x"]
    assert x.shape == (100, 2) and isinstance(names["z"], Interval)
    # Questions about rows of this kind are answered in it, with the numbers of the same tensor.
    rows = as_kind(x.double().numpy(), kind)
    for question in (model.energy, model.percentile_rank, model.log_prob, model.explain):
        answer, expected = question(rows), question(x.double())
        assert type(answer) is type(rows)
        assert np.asarray(answer).reshape(expected.shape) == pytest.approx(
            expected.numpy(), abs=1e-6
        )


def refused(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    capsys.readouterr()
    assert main(list(map(str, arguments))) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


@pytest.mark.parametrize("kind", KINDS)
def test_runs_go_on_from_the_command_line(kind: str, tmp_path: Path, capsys) -> None:
    data, run = as_kind(ROWS, kind), tmp_path / "run"
    gibbsian.train("cd", data, out=run, **BRIEF)
    evaluate = ("evaluate", run, "--num-samples", "200")
    go_on = ("train", "--resume", run, "--rounds", "15")
    for line in (evaluate, go_on):
        said = refused(capsys, *line)
        assert "was trained on an array, which it does not keep" in said and "--data FILE" in said
    shutil.copytree(run, tmp_path / "python")
    gibbsian.resume(tmp_path / "python", 15, dataset=from_array(data))
    file = write(data, tmp_path)
    for line in (evaluate, go_on):
        if kind in ("ndarray", "pandas"):  # a process of its own takes seconds to start
            done = command(*line, "--data", file)
            assert done.returncode == 0, done.stderr
        else:
            assert main([*map(str, line), "--data", str(file)]) == 0
    weights, expected = (
        load_file(tmp_path / name / "model" / "model.safetensors") for name in ("run", "python")
    )
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in weights)
    # The fingerprint is still there, and other rows, or these in another order, are refused.
    np.save(tmp_path / "other.npy", ROWS[::-1])
    for line in (evaluate, go_on):
        said = refused(capsys, *line, "--data", tmp_path / "other.npy")
        assert "does not hold the rows, in their order" in said


def test_runs_of_names_find_their_data(tmp_path: Path, capsys) -> None:
    gibbsian.train("cd", "moons", out=tmp_path / "run", **BRIEF)
    said = refused(capsys, "evaluate", tmp_path / "run", "--data", "x.csv")
    assert "was trained on moons and finds it there" in said


def test_frames_with_texts_are_read_back_from_their_files(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    city = np.array(["Rome", "Oslo", "Paris"])[np.arange(200) % 3]
    frame = pandas.DataFrame({"height": ROWS[:, 0], "city": city, "weight": ROWS[:, 1]})
    run, file = str(tmp_path / "run"), str(tmp_path / "x.csv")
    gibbsian.train("nce", frame, out=run, **BRIEF)
    frame.to_csv(file, index=False)
    assert main(["train", "--resume", run, "--rounds", "12", "--data", file]) == 0
    assert main(["score", run, file, "--output", str(tmp_path / "scores.csv")]) == 0
