"""The process itself: exit status, streams that are full or closed."""

import os
import subprocess
import sys

import pytest

from gibbsian.cli import main


def gibbsian(*words, **streams):
    # Buffered, what standard output does not take fails only when flushed, at exit once more.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": ""}
    command = [sys.executable, "-m", "gibbsian", *words]
    settings = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE} | streams
    return subprocess.run(command, env=environment, text=True, check=False, timeout=120, **settings)


def test_bad_input_exits_with_2_and_one_line():
    done = gibbsian("train", "cd", "--data", "gone.csv", "--rounds", "3")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "gibbsian: error: gone.csv does not exist; check the path\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("words", [("list", "methods"), ("report", "--help"), ("train", "-h")])
def test_full_standard_output(words):
    with open("/dev/full", "w") as full:
        done = gibbsian(*words, stdout=full)
    assert done.returncode == 2
    assert done.stderr.startswith("gibbsian: error: cannot read or write: No space left on device;")
    assert len(done.stderr.splitlines()) == 1


def test_a_reader_that_leaves_is_not_complained_about():
    reading, writing = os.pipe()
    os.close(reading)
    done = gibbsian("list", "methods", stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError("could not create a primitive"), 1),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 1),
        (RuntimeError("could not create a primitive descriptor for a deconvolution"), None),
    ],
)
def test_what_the_lack_of_memory_looks_like(error, status, monkeypatch, capsys):
    """oneDNN says no more of it than the first; the last is a fault of ours, and no lack of memory."""

    def fail(arguments):
        raise error

    monkeypatch.setattr("gibbsian.cli._run", fail)
    if status is None:
        with pytest.raises(RuntimeError):
            main([])
    else:
        assert main([]) == status
        assert "not enough memory for this" in capsys.readouterr().err
