"""The same on a pretended Apple GPU, which has no double precision, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.device.pretend import TYPE
from tests.device.small import NAMES

CHOSEN = ["test_pretend.py", "test_waits.py::test_a_samplers_steps_wait_for_nothing"]
CHOSEN += [f"test_waits.py::test_a_round_waits_as_often_as_its_table_says[{n}]" for n in NAMES]
CHOSEN += ["test_runs.py::test_a_resumed_run_is_the_uninterrupted_one[nce]"]
CHOSEN += ["test_runs.py::test_a_run_goes_on_on_another_device[cpu-mps-nce]"]
CHOSEN += ["test_models.py::test_refinement[gan-mala]"]
CHOSEN += ["test_evaluation.py::test_bounds_on_log_z"]
CHOSEN += ["test_experiments.py::test_commands_on_the_device"]
"""All that trains, and of the rest an example each: what is not there is double precision alone."""


@pytest.mark.skipif(TYPE == "mps", reason="this is the process")
def test_everything_on_an_apple_gpu():
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "tests.device.pretend"]
    command += ["-p", "no:cacheprovider", *(f"tests/device/{test}" for test in CHOSEN)]
    environment = os.environ | {"GIBBSIAN_PRETEND": "mps", "PYTHONPATH": "."}
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:]
