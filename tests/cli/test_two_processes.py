"""``gibbsian train`` under torchrun: two processes end with the same bits, except local buffers."""

from pathlib import Path

import torch

from gibbsian.core.tensor_files import read_tensors
from gibbsian.methods import TRAINING_METHODS
from gibbsian.models.model import load_model
from tests.training.test_processes import torchrun


def test_every_method_in_two_processes(tmp_path):
    done = torchrun("tests.cli.worker", str(tmp_path))
    assert done.returncode == 0, done.stderr[-3000:]
    for name, method in TRAINING_METHODS.items():
        (one, facts), (two, other) = (
            read_tensors(tmp_path / f"{name}.rank{rank}.safetensors") for rank in (0, 1)
        )
        assert facts == other == {"round": 10} and one.keys() == two.keys()
        different = {key for key in one if not torch.equal(one[key], two[key])}
        # EBGAN keeps rows of its own only where it is told classes, which these data have not
        assert different == (set() if name == "ebgan" else set(method.local)), name
        assert any(key.startswith("optimizer/") for key in one)


def trained(run: Path, rounds: int) -> tuple[str, ...]:
    """A short run of cd, as words of a command."""
    data = ("--data", "ring8", "--max-rows", "500", "--batch", "32", "--chains", "32")
    return (
        "gibbsian",
        "train",
        "cd",
        *data,
        "--rounds",
        str(rounds),
        "--out",
        str(run),
        "--device",
        "cpu",
    )


def test_the_command_line_works_unchanged(tmp_path):
    run = tmp_path / "run"
    done = torchrun(*trained(run, rounds=30))
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("model saved in") == 1
    state = {path.name for path in (run / "state").iterdir()}
    assert state == {f"round-000000{r}.rank{k}.safetensors" for r in ("00", "30") for k in (0, 1)}
    assert load_model(run).sample(3).shape == (3, 2)


def test_a_run_that_was_killed_while_its_first_files_were_written(tmp_path):
    """One process had written its file and the other had not: it goes on, to the same bits."""
    run, last = tmp_path / "run", [f"round-00000020.rank{rank}.safetensors" for rank in (0, 1)]
    done = torchrun(*trained(run, rounds=20))
    assert done.returncode == 0, done.stderr[-3000:]
    expected = [read_tensors(run / "state" / name)[0] for name in last]
    for written in (0, 1):
        for path in (run / "state").iterdir():
            if path.name != f"round-00000000.rank{written}.safetensors":
                path.unlink()
        done = torchrun("gibbsian", "train", "--resume", str(run), timeout=150)
        assert done.returncode == 0, done.stderr[-3000:]
        for name, tensors in zip(last, expected, strict=True):
            found, _ = read_tensors(run / "state" / name)
            assert all(torch.equal(found[key], tensors[key]) for key in tensors)
