"""One writer a run, who can be named; what a dead one leaves is swept."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from gibbsian.config.run_lock import HOLDER, LOCK, writing

HOLD = """
import sys, time
from pathlib import Path
from gibbsian.config.run_lock import writing
with writing(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds ``tmp_path``."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_writer_is_told_who_the_first_is(tmp_path, other):
    with (
        pytest.raises(
            ValueError, match=rf"is being written by process {other.pid} on \S+ since \d{{4}}-"
        ),
        writing(tmp_path),
    ):
        pass


def test_the_system_releases_what_a_killed_process_held(tmp_path, other):
    for _ in range(2):
        (tmp_path / "state").mkdir(exist_ok=True)
        (tmp_path / "state" / ".round.safetensors.x.part").write_bytes(b"half")
        (tmp_path / ".evaluation.json.x.part").write_bytes(b"of another command")
        other.send_signal(signal.SIGKILL)
        other.wait()
        with writing(tmp_path):
            assert json.loads((tmp_path / HOLDER).read_text())["pid"] == os.getpid()
            assert not list((tmp_path / "state").iterdir())
            assert (tmp_path / ".evaluation.json.x.part").exists()


def test_nothing_but_the_lock_file_stays(tmp_path):
    with (
        writing(tmp_path / "a" / "run"),
        pytest.raises(ValueError, match=f"process {os.getpid()} on"),
        writing(tmp_path / "a/run"),
    ):
        pass
    assert [path.name for path in (tmp_path / "a/run").iterdir()] == [LOCK]
    with writing(tmp_path / "a" / "run"):
        pass


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"pid": "x", "host": 1, "since": 2}',
        '{"pid": 1}',
        '{"pid": 99999999999999999999, "host": "h", "since": ""}',
    ],
)
def test_a_holder_that_cannot_be_read_is_another_process(text, tmp_path, other, monkeypatch):
    monkeypatch.setattr("gibbsian.config.run_lock.PATIENCE", 0.1)
    (tmp_path / HOLDER).write_text(text)
    begun = time.monotonic()
    with (
        pytest.raises(ValueError, match=r"is being written by (another process|process 9+ on h)"),
        writing(tmp_path),
    ):
        pass
    assert time.monotonic() - begun < 5
