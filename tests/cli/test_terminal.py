"""What reaches a terminal, a spreadsheet and a closed stream."""

import csv
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from gibbsian.cli import main
from tests.cli.conftest import SMALL

ESCAPE = "\x1b[2J\x1b[31m\x07height"
FORMULA = '=HYPERLINK("http://evil.example","click")'


@pytest.fixture
def named(here, capfd):
    """A run on a table whose columns have the names above; what was said of it."""
    rng = np.random.default_rng(0)
    with open("t.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([ESCAPE, FORMULA])
        writer.writerows(rng.normal(size=(200, 2)).round(6).tolist())
    assert main(["train", "cd", "--data", "t.csv", *SMALL, "--out", "run"]) == 0
    return "".join(capfd.readouterr())


def controls(text):
    return re.findall(r"[^\n\t\x20-\x7e\u00a0-\uffff]", text)


def test_escapes_of_names_reach_no_terminal(named, capfd):
    assert "height" in named and not controls(named)
    for words in (
        ("score", "run", "t.csv"),
        ("evaluate", "run", "--num-samples", "50"),
        ("evaluate", "run", "--num-samples", "50", "--json"),
        ("score", "run", "\x1b[2J.csv"),
        ("train", "cd", "--data", "\x1b[2J"),
        ("\x1b[2J",),
        ("train", "--resume", "\x9b2J"),
    ):
        main(list(words))
        out, err = capfd.readouterr()
        assert not controls(out + err), words


def test_a_warning_about_a_constant_column(here, capfd):
    with open("t.csv", "w") as file:
        file.write('"\x1b[2J",b\n' + "1,2\n" * 9)
    assert main(["train", "cd", "--data", "t.csv", "--out", "run"]) == 2
    assert not controls(capfd.readouterr().err)


def test_formulas_reach_no_spreadsheet(named, here):
    assert main(["sample", "run", "-n", "5", "--output", "x.csv"]) == 0
    with open("x.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][1] == "'" + FORMULA and not controls("".join(rows[0]))
    assert main(["score", "run", "x.csv", "--output", "s.csv"]) == 0  # it is still the same column
    assert main(["score", "run", "t.csv", "--output", "s.csv"]) == 0


def closed(*words, streams, cwd):
    code = (
        "import os, subprocess, sys\n"
        f"for number in {streams!r}: os.close(number)\n"
        f"os.execv(sys.executable, [sys.executable, '-m', 'gibbsian', *{words!r}])"
    )
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True)


@pytest.mark.parametrize("words", [("list", "methods"), ("--help",), ("--version",)])
def test_a_closed_output_is_said(words, here):
    done = closed(*words, streams=[1], cwd=here)
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr and "standard output" in done.stderr


@pytest.mark.parametrize("streams", [[0], [1], [2], [1, 2], [0, 1, 2]])
def test_closed_streams_do_no_harm(streams, run, here):
    """What is opened next must not take the place of a closed stream."""
    done = closed("sample", "run", "-n", "2", "--output", "x.csv", streams=streams, cwd=here)
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert np.loadtxt(here / "x.csv", delimiter=",").shape == (2, 2)
    assert os.path.exists(here / "run/config.json")


TRACKERS = [
    "os:system",
    "builtins:exec",
    "json:dumps",
    "os:",
    ":f",
    "os:getpid",
]


@pytest.mark.parametrize("name", TRACKERS)
def test_trackers_that_are_none(name, run, refused):
    refused("train", "--resume", "run", "--rounds", "5", "--log-with", name)
