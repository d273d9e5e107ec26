"""The short form of ``make fuzz``, and that its eyes are open: planted faults are found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.cases import Case, Step
from fuzz.execute import Limits, Outcome
from fuzz.judge import change_of, fault_of

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system with fork")


def test_forty_random_cases_find_nothing(tmp_path):
    command = [sys.executable, "-m", "fuzz", "--cases", "40", "--seed", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "40 cases" in done.stdout and "faults: none" in done.stdout


SAID = "gibbsian: error: config.json is damaged; restore it from a copy"


@pytest.mark.parametrize(
    ("outcome", "found"),
    [
        (Outcome(2, 0.1, "", SAID), ""),
        (Outcome(0, 0.1, "", ""), ""),
        (Outcome(1, 0.1, "", "Traceback (most recent call last):\n  ..."), "traceback"),
        (Outcome(2, 0.1, "", ""), "no sentence"),
        (Outcome(2, 0.1, "", "gibbsian: error: 3"), "no sentence"),
        (Outcome(-11, 0.1, "", ""), "died"),
        (Outcome(70, 0.1, "", SAID), "status"),
        (Outcome(0, 31.0, "", "", hung=True), "hang"),
        (Outcome(0, 0.1, "\x1b[2J", ""), "control character"),
    ],
)
def test_how_a_command_ends_is_judged(outcome, found, tmp_path):
    case = Case("kind", "what", (Step(("score", "run")),))
    assert fault_of(case, case.steps[0], outcome, tmp_path)[0] == found


def test_code_that_ran_is_found(tmp_path):
    (tmp_path / "EXECUTED").touch()
    case = Case("kind", "what", (Step(("score", "run")),))
    assert fault_of(case, case.steps[0], Outcome(2, 0.1, "", SAID), tmp_path)[0] == "code ran"


def test_a_run_that_cannot_go_on_is_found_and_a_kill_is_none(tmp_path):
    killed = Step(("train",), Limits(signals=((0.1, 9),)))
    case = Case("killed", "what", (killed, Step(("train",))), must_end=True)
    assert fault_of(case, killed, Outcome(-9, 0.1, "", ""), tmp_path)[0] == ""
    assert fault_of(case, case.steps[1], Outcome(2, 0.1, "", SAID), tmp_path)[0] == "lost"


@pytest.mark.parametrize(
    ("scores", "said", "found"),
    [("1\n2\n", "", ""), ("1\n3\n", "", "silent change"), ("1\n3\n", "warning: damaged", "")],
)
def test_a_result_that_changed_without_a_word_is_found(scores, said, found, tmp_path):
    (tmp_path / "scores.csv").write_text(scores)
    case = Case("run", "what", (Step(("score", "run")),), "score", "1\n2\n")
    assert change_of(case, [Outcome(0, 0.1, "", said)], tmp_path)[0] == found


def test_scores_that_are_no_numbers_are_found(tmp_path):
    case = Case("rows", "what", (Step(("score", "run", "x.npy")),))
    said = "row,energy\n0,1.5\n1,nan\n"
    assert change_of(case, [Outcome(0, 0.1, said, "")], tmp_path)[0] == "scores that are no numbers"
