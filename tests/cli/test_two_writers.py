"""Processes that start at once on one folder: one wins, the others name it; readers go on."""

import json
import subprocess
import sys

import pytest

from gibbsian.cli import main
from gibbsian.config.run_lock import writing
from gibbsian.core.records import parse_line, read_record
from tests.cli.conftest import SMALL, contents


def test_eight_starts_at_once():
    """`python -m tests.starts` makes fifty."""
    command = [sys.executable, "-m", "tests.starts", "--number", "8"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("1 of 8 won, 7 named it") == 3


def test_a_run_that_is_being_written(run, here, refused, capsys):
    with writing(run):
        before = contents(run)
        for command in (
            ("sample", "run", "-n", "2", "--output", "x.csv"),
            ("evaluate", "run", "--num-samples", "50"),
            ("report", "run", "--output", "x.html"),
        ):
            assert main(list(command)) == 0, capsys.readouterr().err
        assert "is being written by process" in refused("train", "--resume", "run")
        words = ("train", "cd", "--data", "moons", *SMALL, "--out")
        assert "already holds a run" in refused(*words, "run")
        after = contents(run)
        assert all(after[name] == before[name] for name in before)


def test_a_folder_that_was_claimed_and_nothing_else(here, refused):
    with writing(here / "r"):
        words = ("train", "cd", "--data", "moons", *SMALL, "--out", "r")
        assert "r is being written by process" in refused(*words)
    assert main(list(words)) == 0
    identity = read_record(here / "r/config.json")["id"]
    lines = (here / "r/metrics.jsonl").read_bytes().splitlines()
    assert [parse_line(line, identity)["round"] for line in lines] == [4]
    assert json.loads(lines[0])["checksum"]


def test_what_a_start_that_was_killed_leaves_is_no_content(here):
    (here / "r").mkdir()
    for name in (".writer.lock", ".writer.json", ".config.json.abc.part"):
        (here / "r" / name).write_text("half")
    assert main(["train", "cd", "--data", "moons", *SMALL, "--out", "r"]) == 0
    assert not list((here / "r").glob(".*.part"))


@pytest.mark.parametrize("existed", [False, True])
def test_a_run_that_fails_at_once_lets_go(existed, here, refused, monkeypatch):
    from gibbsian.methods import TRAINING_METHODS

    def unfit(self, index, data, rng):
        raise ValueError("this does not fit")

    if existed:
        (here / "r").mkdir()
    words = ("train", "cd", "--data", "moons", *SMALL, "--out", "r")
    with monkeypatch.context() as patch:
        patch.setattr(TRAINING_METHODS["cd"], "round", unfit)
        refused(*words)
    assert main(list(words)) == 0
