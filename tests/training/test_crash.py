"""The short form of ``python -m fuzz.crash``: real runs, killed between rounds and while writing."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("what", ["score-matching", "writing"])
def test_killed_runs_resume_to_the_same_bits(what):
    command = [sys.executable, "-m", "fuzz.crash", "--kills", "2", "--seed", "7", "--only", what]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "killed 2 times, equal the uninterrupted" in done.stdout
