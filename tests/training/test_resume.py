"""A resumed run is the uninterrupted run, whatever killed it and whenever."""

import contextlib
import dataclasses
import errno
import json
import os
import signal

import pytest
import torch

from gibbsian.training import (
    OptimizerOptions,
    TrainingInterrupted,
    TrainingOptions,
    prepare_training,
    restore_checkpoint,
    run_training_loop,
)
from tests.training.toys import CountingStream, Seesaw

OPTIONS = TrainingOptions(rounds=12, log_every=3, save_every=4, ema=0.9, seed=3)
OPTIMIZERS = {
    "left": OptimizerOptions("adam", 0.05, lr_schedule="cosine"),
    "right": OptimizerOptions("sgd", 0.05, momentum=0.9, warmup=2),
}


def fresh():
    torch.manual_seed(0)
    return prepare_training(Seesaw(), OPTIMIZERS, OPTIONS, CountingStream())


def everything(progress):
    """All that must agree to the bit."""
    facts = {f"average {k}": v for k, v in progress.average.items()}
    facts |= dict(progress.method.state_dict())
    facts |= {"rng": progress.rng.get_state(), "global": torch.get_rng_state()}
    for player, optimizer in progress.stepper.optimizers.items():
        for number, state in optimizer.state_dict()["state"].items():
            facts |= {f"{player} {number} {k}": v for k, v in state.items() if v is not None}
    facts["drawn"] = torch.tensor(progress.stream.drawn)
    return facts


def assert_same(a, b):
    a, b = everything(a), everything(b)
    assert a.keys() == b.keys()
    different = [k for k in a if not torch.equal(torch.as_tensor(a[k]), torch.as_tensor(b[k]))]
    assert different == []


@pytest.fixture(scope="module")
def uninterrupted():
    with torch.random.fork_rng():
        done = run_training_loop(fresh(), OPTIONS)
        facts = everything(done)
    return facts


def assert_equals_uninterrupted(progress, uninterrupted):
    facts = everything(progress)
    assert facts.keys() == uninterrupted.keys()
    different = [k for k in facts if not torch.equal(facts[k], uninterrupted[k])]
    assert different == []


def continued(folder):
    progress = fresh()
    restore_checkpoint(folder, progress)
    torch_state = torch.get_rng_state()
    assert len(torch_state)
    return run_training_loop(progress, OPTIONS, folder)


@pytest.mark.parametrize("stop", [0, 1, 4, 5, 11])
def test_resumed_equals_uninterrupted(stop, tmp_path, uninterrupted):
    progress = fresh()

    class Killed(Exception):
        pass

    original = progress.method.round

    def dies(index, data, rng):
        if index == stop:
            raise Killed
        return original(index, data, rng)

    progress.method.round = dies
    with pytest.raises(Killed):
        run_training_loop(progress, OPTIONS, tmp_path)
    assert_equals_uninterrupted(continued(tmp_path), uninterrupted)


@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_a_fault_while_saving_costs_nothing(call, number, tmp_path, uninterrupted, monkeypatch):
    original, calls = getattr(os, call), []

    def faulty(*arguments, **options):
        calls.append(1)
        if len(calls) == number + 2:  # the first save, of round 0, succeeds
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(*arguments, **options)

    progress = fresh()
    monkeypatch.setattr(os, call, faulty)
    with contextlib.suppress(OSError):
        run_training_loop(progress, OPTIONS, tmp_path)
    monkeypatch.undo()
    assert not list(tmp_path.glob(".*part")), "a partial file was left behind"
    assert_equals_uninterrupted(continued(tmp_path), uninterrupted)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(damage, tmp_path, uninterrupted):
    run_training_loop(fresh(), dataclasses.replace(OPTIONS, rounds=8), tmp_path)
    newest = max(tmp_path.iterdir())
    content = bytearray(newest.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[-5] ^= 1
    else:
        content = b"" if damage == "empty" else b"not a checkpoint"
    newest.write_bytes(bytes(content))
    with pytest.warns(UserWarning, match="round 8 cannot be used .*falling back"):
        progress = continued(tmp_path)
    assert progress.index == 12


def test_no_whole_checkpoint_is_an_error(tmp_path):
    run_training_loop(fresh(), TrainingOptions(rounds=1), tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="holds no usable checkpoint"):
        restore_checkpoint(tmp_path, fresh())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_at_the_end_of_the_round(number, tmp_path, uninterrupted):
    progress = fresh()
    original = progress.method.round

    def interrupted(index, data, rng):
        if index == 6:
            os.kill(os.getpid(), number)
        return original(index, data, rng)

    progress.method.round = interrupted
    with pytest.raises(TrainingInterrupted):
        run_training_loop(progress, OPTIONS, tmp_path)
    assert progress.index == 7
    again = fresh()
    restore_checkpoint(tmp_path, again)
    assert again.index == 7
    assert_equals_uninterrupted(run_training_loop(again, OPTIONS, tmp_path), uninterrupted)


def test_metrics_of_replayed_rounds_stand_once(tmp_path):
    metrics, options = tmp_path / "metrics.jsonl", dataclasses.replace(OPTIONS, log_every=4)
    run_training_loop(fresh(), options, tmp_path / "state", metrics)
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert [line["round"] for line in lines] == [4, 8, 12]
    metrics.write_text(metrics.read_text() + '{"round": 13, "tor')
    (tmp_path / "state" / "round-00000012.rank0.safetensors").unlink()
    progress = fresh()
    restore_checkpoint(tmp_path / "state", progress)
    assert progress.index == 8
    run_training_loop(progress, options, tmp_path / "state", metrics)
    again = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert [line["round"] for line in again] == [4, 8, 12]
    assert [line["left/loss"] for line in again] == [line["left/loss"] for line in lines]


def test_only_two_checkpoints_are_kept(tmp_path):
    run_training_loop(fresh(), OPTIONS, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
