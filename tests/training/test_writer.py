"""Checkpoints are written by a thread: the rounds go on, errors come back, nothing half is left."""

import dataclasses
import errno
import os
import signal
import threading

import pytest
import torch

from gibbsian.core.tensor_files import read_tensors, write_tensors
from gibbsian.training import checkpoints, prepare_training, restore_checkpoint, run_training_loop
from gibbsian.training.writer import Writer
from tests.training.test_resume import OPTIMIZERS, OPTIONS, everything
from tests.training.toys import CountingStream, Seesaw

PATIENCE = 60
"""Seconds after which a thread is taken to wait for ever."""


def fresh():
    torch.manual_seed(0)
    return prepare_training(Seesaw(), OPTIMIZERS, OPTIONS, CountingStream())


@pytest.fixture
def slow(monkeypatch):
    """The write of round 4 lasts until the event is set."""
    go, original = threading.Event(), checkpoints.write_tensors

    def write(path, tensors, *rest):
        if "00000004" in path.name:
            assert go.wait(PATIENCE), "the rounds wait for the file"
        original(path, tensors, *rest)

    monkeypatch.setattr(checkpoints, "write_tensors", write)
    return go


def test_rounds_go_on_while_a_checkpoint_is_written(tmp_path, slow):
    """The file of round 4 is written in round 7 and holds what stood after round 4."""
    progress, states = fresh(), {}
    original = progress.method.round

    def watched(index, data, rng):
        states[index] = {k: v.clone() for k, v in progress.method.state_dict().items()}
        if index == 7:
            slow.set()
        return original(index, data, rng)

    progress.method.round = watched
    run_training_loop(progress, dataclasses.replace(OPTIONS, rounds=8), tmp_path)
    tensors, _ = read_tensors(tmp_path / "round-00000004.rank0.safetensors")
    held = {name.partition("/")[2]: value for name, value in tensors.items()}
    assert all(torch.equal(held[name], value) for name, value in states[4].items())
    assert any(not torch.equal(states[7][name], value) for name, value in states[4].items())


def test_the_next_save_waits_for_the_last(tmp_path, slow):
    """Round 8 is saved after round 4, however long that takes: never two files at once."""
    threading.Timer(0.3, slow.set).start()
    run_training_loop(fresh(), OPTIONS, tmp_path)
    assert checkpoints.rounds(tmp_path) == [12, 8]


def test_an_error_of_the_thread_stops_the_run_and_keeps_the_file_before(tmp_path, monkeypatch):
    progress, original = fresh(), checkpoints.write_tensors

    def full(path, *rest):
        if "00000008" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        original(path, *rest)

    monkeypatch.setattr(checkpoints, "write_tensors", full)
    with pytest.raises(OSError, match="No space left"):
        run_training_loop(progress, OPTIONS, tmp_path)
    monkeypatch.undo()
    again = fresh()
    restore_checkpoint(tmp_path, again)
    assert again.index == 4
    done, whole = run_training_loop(again, OPTIONS), run_training_loop(fresh(), OPTIONS)
    one, two = everything(done), everything(whole)
    assert all(torch.equal(one[name], two[name]) for name in two)


def test_an_error_besides_another_is_noted(tmp_path):
    def fails():
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ValueError, match="first") as caught, Writer(1) as writer:
        writer.submit(fails)
        raise ValueError("first")
    assert "No space left" in caught.value.__notes__[0]


def test_an_error_comes_back_once_and_the_writer_goes_on():
    done = []

    def fails():
        raise ValueError("lost")

    with Writer(1) as writer:
        writer.submit(fails)
        with pytest.raises(ValueError, match="lost"):
            writer.wait()
        writer.submit(lambda: done.append(1))
    assert done == [1]


def test_only_two_rounds_are_left_and_training_is_unchanged(tmp_path):
    whole = run_training_loop(fresh(), OPTIONS)
    saved = run_training_loop(fresh(), OPTIONS, tmp_path)
    one, two = everything(whole), everything(saved)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert len(list(tmp_path.iterdir())) == 2


def test_an_interrupted_run_whose_last_save_fails_says_so(tmp_path, monkeypatch):
    """Not that everything is saved."""
    progress, original = fresh(), checkpoints.write_tensors

    def full(path, *rest):
        if "00000007" in path.name:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        original(path, *rest)

    played = progress.method.round

    def interrupted(index, data, rng):
        if index == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return played(index, data, rng)

    monkeypatch.setattr(checkpoints, "write_tensors", full)
    progress.method.round = interrupted
    with pytest.raises(OSError, match="No space left"):
        run_training_loop(progress, OPTIONS, tmp_path)
    assert checkpoints.rounds(tmp_path) == [4, 0]


def test_tensors_that_share_their_memory_are_written_apart(tmp_path):
    x = torch.arange(6.0).view(2, 3)
    held = {"x": x, "same": x, "part": x[1], "turned": x.T}
    write_tensors(tmp_path / "t.safetensors", held, {})
    found, _ = read_tensors(tmp_path / "t.safetensors")
    assert found.keys() == held.keys()
    assert all(torch.equal(found[name], held[name]) for name in held)
