"""Answers about a table have its separator and its decimal mark, and say what they replaced."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import gibbsian
from gibbsian.cli import main
from gibbsian.training import TrainingInterrupted
from tests.cli.conftest import SMALL


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table with semicolons and decimal commas, and a run on it."""
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).normal(size=(120, 2))
    lines = [";".join(f"{v:.3f}".replace(".", ",") for v in row) for row in rows]
    (tmp_path / "werte.csv").write_text("\ufeff" + "\n".join(["Menge;Preis", *lines]) + "\n")
    assert main(["train", "cd", "--data", "werte.csv", *SMALL, "--out", "run"]) == 0
    return tmp_path


def read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig") as file:
        return list(csv.reader(file, delimiter=";"))


def test_scores_and_samples_are_as_their_table(office: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["score", "run", "werte.csv", "--output", "scores.csv"]) == 0
    assert main(["sample", "run", "-n", "5", "--output", "new.csv"]) == 0
    for name, count in (("scores.csv", 120), ("new.csv", 5)):
        assert (office / name).read_bytes()[:3] == b"\xef\xbb\xbf"
        header, *rows = read(office / name)
        assert len(rows) == count and len({len(row) for row in (header, *rows)}) == 1
        assert not [cell for row in rows for cell in row if "." in cell]
        assert [cell for row in rows for cell in row if "," in cell]
    # What was sampled can be scored, as a table like the first.
    capsys.readouterr()
    assert main(["score", "run", "new.csv", "--output", "scores.csv"]) == 0
    assert "scores.csv was replaced" in capsys.readouterr().err
    assert len(read(office / "scores.csv")) == 6


def test_the_mark_is_known_when_the_table_has_gone(office: Path):
    (office / "werte.csv").unlink()
    assert main(["sample", "run", "-n", "5", "--output", "new.csv"]) == 0
    assert all(len(row) == 2 for row in read(office / "new.csv"))


def test_replacing_and_finished_runs_are_told(office: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["sample", "run", "-n", "5", "--output", "new.npy"]) == 0
    assert "replaced" not in capsys.readouterr().err
    assert main(["sample", "run", "-n", "5", "--output", "new.npy"]) == 0
    assert "new.npy was replaced" in capsys.readouterr().err
    assert main(["train", "--resume", "run"]) == 0
    assert "were done already; --rounds M" in capsys.readouterr().err


def test_a_text_without_numbers_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "prose.txt"
    file.write_text("This is one sentence, without numbers, line\nand one more, here.\n")
    assert main(["train", "cd", "--data", str(file)]) == 2
    assert "no number was found" in capsys.readouterr().err


def test_help_has_plain_words(capsys: pytest.CaptureFixture[str]):
    for command in ("sample", "score", "detect", "log-z"):
        assert main([command, "--help"]) == 0
        assert "{None}" not in capsys.readouterr().out
    assert main(["train", "cd", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Defaults depend on the data: --data DATA --print-config" in said


def test_rounds_belong_to_training():
    with pytest.raises(ValueError, match=r"one of training: training=\{'rounds': 5\}"):
        gibbsian.train("cd", "moons", rounds=5)


def test_an_interrupted_search_kept_nothing(
    office: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def interrupted(*_: object) -> None:
        raise TrainingInterrupted(2, None)

    monkeypatch.setattr("gibbsian.cli.detecting.fit_folds", interrupted)
    assert main(["detect", "werte.csv"]) == 130
    assert "interrupted; nothing was written" in capsys.readouterr().err
    assert not (office / "werte-detected").exists()
