"""Two processes hold the same bits, except what is declared local; each has a device of its own."""

import os
import subprocess
import sys

import pytest
import torch
import torch.distributed as dist

from gibbsian.core.tensor_files import read_tensors
from gibbsian.models.train import device_of
from gibbsian.training import (
    OptimizerOptions,
    TrainingOptions,
    checkpoints,
    prepare_training,
    processes,
    restore_checkpoint,
    run_training_loop,
)
from tests.training.toys import CountingStream, Quadratic


def torchrun(*arguments, timeout=300):
    """Run a module under torchrun with two gloo processes."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, "-m", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment,
        check=False,
    )


def test_replicas_stay_identical_and_local_buffers_differ(tmp_path):
    done = torchrun("tests.training.worker", str(tmp_path))
    assert done.returncode == 0, done.stderr[-2000:]
    first, _ = read_tensors(tmp_path / "rank0.safetensors")
    second, _ = read_tensors(tmp_path / "rank1.safetensors")
    different = {name for name in first if not torch.equal(first[name], second[name])}
    assert different == {"chains", "rng"}
    x = next(CountingStream()).x  # rank 1 sees the same points, shifted by 1
    torch.testing.assert_close(first["averaged step"], x.mean(0) + 0.5)
    saved = {path.name for path in (tmp_path / "state").iterdir()}
    assert saved == {f"round-000000{r}.rank{k}.safetensors" for r in (20, 30) for k in (0, 1)}


@pytest.fixture
def started(monkeypatch):
    """Pretend that torchrun started this process, on a machine with so many GPUs."""

    def start(rank: int, processes: int, gpus: int) -> None:
        environment = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes}
        for name, value in (environment | {"LOCAL_WORLD_SIZE": processes}).items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)

    return start


def test_each_process_takes_the_gpu_of_its_own_number(started):
    cuda = torch.device("cuda")
    assert processes.own_device(cuda) == cuda  # not under torchrun
    for rank in range(4):
        started(rank, 4, 4)
        assert processes.own_device(cuda) == torch.device("cuda", rank)
        assert processes.own_device(torch.device("cpu")) == torch.device("cpu")
    started(0, 1, 2)
    assert processes.own_device(torch.device("cuda:1")) == torch.device("cuda:1")


def test_more_processes_than_devices_are_refused(started):
    started(0, 4, 2)
    with pytest.raises(
        ValueError, match=r"4 processes need a GPU each and this machine has 2; .*-node 2"
    ):
        processes.own_device(torch.device("cuda"))
    for name in ("cuda:1", "mps"):
        with pytest.raises(ValueError, match=f"4 processes cannot share the device {name}"):
            processes.own_device(torch.device(name))


def test_a_device_that_is_not_there_is_refused():
    for name in ("cuda:7", "tpu", "cuda:x"):
        with pytest.raises(ValueError, match=f"device '{name}' is not there; this machine has cpu"):
            device_of(name)


def test_a_double_among_the_gradients_widens_no_other(monkeypatch):
    """Two processes of which the other has the same numbers plus 2: means are ours plus 1."""
    sent = []

    def all_reduce(flat):
        sent.append((flat.dtype, flat.numel()))
        flat.add_(flat + 2)

    monkeypatch.setattr(processes, "world", lambda: 2)
    monkeypatch.setattr(dist, "all_reduce", all_reduce)
    tensors = [torch.ones(2, 3), torch.ones(2, dtype=torch.float64), torch.full((4,), 5.0)]
    processes.average_(tensors)
    assert sent == [(torch.float32, 10), (torch.float64, 2)]
    assert [t.dtype for t in tensors] == [torch.float32, torch.float64, torch.float32]
    for tensor, mean in zip(tensors, (2.0, 2.0, 6.0), strict=True):
        assert torch.equal(tensor, torch.full_like(tensor, mean))


def test_processes_ask_each_other_now_and_then_and_not_every_round(monkeypatch):
    """A signal to the other process is seen at the next tenth round, in both at once."""
    asked = []

    def any_process(flag, device):
        asked.append(progress.index)
        return False

    monkeypatch.setattr(processes, "world", lambda: 2)
    monkeypatch.setattr(processes, "average_", lambda tensors: None)
    monkeypatch.setattr(processes, "any_process", any_process)
    options = TrainingOptions(rounds=35)
    progress = prepare_training(
        Quadratic(), {"only": OptimizerOptions("sgd")}, options, CountingStream()
    )
    run_training_loop(progress, options)
    assert asked == [10, 20, 30]


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (
            2,
            1,
            "by 2 processes and cannot be resumed by 1; start it with torchrun --nproc-per-node 2",
        ),
        (1, 2, "by 1 process and cannot be resumed by 2; start it without torchrun"),
    ],
)
@pytest.mark.parametrize("rank", [0, 1])
def test_a_run_is_resumed_by_as_many_as_trained_it(before, now, words, rank, tmp_path, monkeypatch):
    options = TrainingOptions(rounds=1)
    progress = prepare_training(
        Quadratic(), {"only": OptimizerOptions("sgd")}, options, CountingStream()
    )
    monkeypatch.setattr(processes, "barrier", lambda: None)
    monkeypatch.setattr(processes, "world", lambda: before)
    checkpoints.save_checkpoint(tmp_path, progress)
    monkeypatch.setattr(processes, "world", lambda: now)
    monkeypatch.setattr(processes, "rank", lambda: rank)
    with pytest.raises(ValueError, match=words):
        restore_checkpoint(tmp_path, progress)
