"""Tables with categories from the command line: train, score, sample and read the samples back."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import gibbsian
from gibbsian.cli import main

COLUMNS = ["colour", "size", "grade", "ok"]


def rows(n: int, gaps: bool = False) -> list[list[str]]:
    rng = np.random.default_rng(0)
    found = []
    for i in range(n):
        kind = rng.integers(3)
        size = f"{kind + rng.normal():.6f}"
        colour = "" if gaps and i % 7 == 3 else ("red", "green", "=blue")[kind]
        found.append([colour, size, str(int(rng.integers(1, 4))), ("no", "yes")[int(kind > 1)]])
    return found


def write(path: Path, table: list[list[str]], header: list[str] = COLUMNS) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *table])
    return path


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixed")
    file = write(folder / "table.csv", rows(200))
    options = ["--category-columns", "grade", "--rounds", "20", "--out", str(folder / "run")]
    assert main(["train", "--data", str(file), *options]) == 0
    return folder / "run"


def test_samples_are_texts_that_score_reads_back(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", str(run), "-n", "40", "--output", str(tmp_path / "x.csv")]) == 0
    samples = read(tmp_path / "x.csv")
    assert {row["colour"] for row in samples} <= {"red", "green", "'=blue"}  # no formula
    assert {row["grade"] for row in samples} <= {"1", "2", "3"}
    assert {row["ok"] for row in samples} == {"no", "yes"}
    capsys.readouterr()
    assert (
        main(["score", str(run), str(tmp_path / "x.csv"), "--output", str(tmp_path / "s.csv")]) == 0
    )
    said = capsys.readouterr().err
    assert "densities of the numbers times probabilities of the categories" in said
    scores = read(tmp_path / "s.csv")
    assert len(scores) == 40
    assert all(math.isfinite(float(row["log_density_lower"])) for row in scores)
    model = gibbsian.load_model(run)
    x = model.sample(40)
    expected = model.energy(x)
    found = torch.tensor([float(row["energy"]) for row in scores])
    assert torch.allclose(found, expected, atol=1e-4)  # numbers in the file have nine digits
    assert [values for values in model.category_values if values] == [
        ("=blue", "green", "red"),
        ("1", "2", "3"),
        ("no", "yes"),
    ]


def test_a_density_sums_to_one_over_categories_and_numbers(run: Path) -> None:
    """Over all 18 combinations and a grid of the number, whatever 20 rounds have learned."""
    model = gibbsian.load_model(run)
    z = model.log_z()
    size = torch.linspace(-12, 14, 2_001, dtype=torch.float64)
    total = 0.0
    for code in range(18):
        x = torch.stack([size, size, size, size], 1)
        x[:, 0], x[:, 2], x[:, 3] = code // 6, code // 2 % 3, code % 2
        below, above = model.log_prob_bounds(x, z=z, dequantise=False)
        assert torch.equal(below, above)
        total += float(torch.trapezoid(below.double().exp(), size))
    assert abs(total - 1) < 2e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "pink"}, r"'pink' at row 3 \(line 4\), column 1 .*values =blue, green, red"),
        ({"colour": ""}, r"empty cell at row 3 .*column 1 \('colour'\)"),
        ({"size": "large"}, r"the text 'large' at row 3 .*trained on numbers"),
        ({"grade": "4"}, r"'4' at row 3 .*values 1, 2, 3"),
    ],
)
def test_what_the_model_does_not_know_is_one_sentence(
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, str],
    message: str,
) -> None:
    table = rows(5)
    for name, cell in change.items():
        table[2][COLUMNS.index(name)] = cell
    assert main(["score", str(run), str(write(tmp_path / "x.csv", table))]) == 2
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1
    assert re.search(message, error), error


def test_a_missing_column_is_one_sentence(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = [row[1:] for row in rows(5)]
    assert main(["score", str(run), str(write(tmp_path / "x.csv", table, COLUMNS[1:]))]) == 2
    assert "lacks the column 'colour'" in capsys.readouterr().err


def test_gaps_are_a_value_of_their_own(tmp_path: Path) -> None:
    file = write(tmp_path / "table.csv", rows(100, gaps=True))
    run = tmp_path / "run"
    options = ["--missing-values", "impute", "--rounds", "5", "--out", str(run)]
    assert main(["train", "cd", "--data", str(file), "--chains", "16", *options]) == 0
    model = gibbsian.load_model(run)
    assert model.category_values[0] == ("=blue", "green", "red", "(missing)")
    some = write(tmp_path / "some.csv", rows(10, gaps=True))
    assert main(["score", str(run), str(some), "--output", str(tmp_path / "s.csv")]) == 0
    told = write(tmp_path / "told.csv", [["(missing)", *row[1:]] for row in rows(4)])
    bare = write(tmp_path / "bare.csv", [["", *row[1:]] for row in rows(4)])
    for path in (told, bare):
        assert main(["score", str(run), str(path), "--output", str(path) + ".out.csv"]) == 0
    assert read(Path(f"{told}.out.csv")) == read(Path(f"{bare}.out.csv"))


def test_frames_in_and_out(run: Path, tmp_path: Path) -> None:
    pl = pytest.importorskip("polars")
    model = gibbsian.load_model(run)
    x = model.sample(30)
    frame = model.as_frame(x, "polars")
    assert frame.columns == COLUMNS
    assert frame["colour"].dtype == pl.String
    energies = model.energy(frame)
    assert isinstance(energies, pl.DataFrame)
    assert torch.equal(torch.from_numpy(energies["energy"].to_numpy().copy()), model.energy(x))
    with pytest.raises(ValueError, match="'pink' at row 1, column 1"):
        model.energy(frame.head(1).with_columns(colour=pl.lit("pink")))
    again = gibbsian.train("nce", frame, training={"rounds": 2, "batch": 8})
    assert again.space.kind == "mixed" and again.table is not None
    assert again.table.kept[0].values == tuple(sorted(set(frame["colour"])))
    with_truth = frame.with_columns(ok=pl.col("ok") == "yes")
    flags = gibbsian.train("nce", with_truth, training={"rounds": 1, "batch": 8}).category_values[3]
    assert flags == ("false", "true")


def test_evaluation_of_a_mixed_table(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--num-samples", "50", "--log-z-effort", "quick"]) == 0
    said = capsys.readouterr().out
    assert "redrawn 0.2" in said and "noise 1" in said and "(exact)" in said
