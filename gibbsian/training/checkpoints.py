"""What resuming needs, one file per process and round: ``state/round-00001000.rank0.safetensors``.

Process 0's file holds what all processes share (parameters, buffers, optimizers, averages); every
process's file holds what is its own (local buffers, random number generators, the data's position).
The last two rounds are kept, so that a damaged file costs one interval and not the run.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from gibbsian.core import Method
from gibbsian.core.files import CorruptFileError, read_tensors, write_tensors
from gibbsian.training import processes
from gibbsian.training.optimizers import export_state, import_state
from gibbsian.training.stepper import Stepper

NAME = re.compile(r"round-(\d+)\.rank(\d+)\.safetensors")
FORMAT = 1


@dataclass
class Progress:
    """Everything that changes while training runs: the state of a run between two rounds."""

    method: Method
    stepper: Stepper
    rng: Generator
    stream: Any  # has state_dict() and load_state_dict() of whole numbers
    average: dict[str, Tensor]  # exponential moving average of the parameters; empty if not asked
    index: int = 0  # rounds done


def _path(folder: Path, index: int, rank: int) -> Path:
    return folder / f"round-{index:08d}.rank{rank}.safetensors"


def rounds(folder: Path) -> list[int]:
    """The rounds for which process 0 left a file, newest first."""
    found = (NAME.fullmatch(path.name) for path in folder.glob("round-*.safetensors"))
    return sorted({int(m[1]) for m in found if m and m[2] == "0"}, reverse=True)


def saved(folder: Path, index: int) -> bool:
    """Whether this process's own file for round ``index`` is there (others may be ahead)."""
    return _path(folder, index, processes.rank()).exists()


def save(folder: Path, progress: Progress) -> None:
    """Write this process's file for the current round, then remove all but the last two rounds."""
    method, rank = progress.method, processes.rank()
    tensors = {"rng": progress.rng.get_state(), "global rng": torch.get_rng_state()}
    if torch.cuda.is_available() and progress.stepper.device.type == "cuda":
        tensors["cuda rng"] = torch.cuda.get_rng_state(progress.stepper.device)
    for name, value in method.state_dict().items():
        if name in method.local:
            tensors[f"local/{name}"] = value
        elif rank == 0:
            tensors[f"method/{name}"] = value
    if rank == 0:
        tensors |= {f"average/{name}": value for name, value in progress.average.items()}
        for player, optimizer in progress.stepper.optimizers.items():
            tensors |= export_state(optimizer, f"optimizer/{player}")
    facts = {
        "format": FORMAT,
        "round": progress.index,
        "world": processes.world(),
        "stream": progress.stream.state_dict(),
    }
    write_tensors(_path(folder, progress.index, rank), tensors, facts)
    processes.barrier()
    if rank == 0:
        old = set(rounds(folder)[2:])
        for path in folder.glob("round-*.safetensors"):
            match = NAME.fullmatch(path.name)
            if match and int(match[1]) in old:
                path.unlink(missing_ok=True)


def restore(folder: Path, progress: Progress) -> None:
    """Put the newest whole checkpoint into ``progress``; say so when a damaged one was passed over.

    Raises ValueError when none is whole, when it was written by a newer version, or by another
    number of processes.
    """
    device = progress.stepper.device
    for index in rounds(folder):
        problem = ""
        shared: dict[str, Tensor] = {}
        own: dict[str, Tensor] = {}
        facts: dict[str, Any] = {}
        try:
            shared, facts = read_tensors(_path(folder, index, 0))
            _check_written_for_us(folder, facts)
            own, facts = read_tensors(_path(folder, index, processes.rank()))
        except (CorruptFileError, FileNotFoundError) as error:
            problem = str(error)
        if processes.any_process(bool(problem), device):
            warnings.warn(
                f"checkpoint of round {index} cannot be used ({problem or 'another process says so'}); "
                "falling back to the one before",
                stacklevel=2,
            )
            continue
        _apply(progress, shared, own, facts)
        return
    raise ValueError(f"{folder} holds no usable checkpoint; start the run again with a new --out")


def _check_written_for_us(folder: Path, facts: Mapping[str, Any]) -> None:
    """ValueError where a newer version wrote this, or another number of processes."""
    if facts["format"] > FORMAT:
        raise ValueError(f"{folder} was written by a newer version of gibbsian; please upgrade")
    before, now = facts["world"], processes.world()
    if before != now:
        remedy = (
            f"start it with torchrun --nproc-per-node {before}"
            if before > 1
            else "start it without torchrun"
        )
        raise ValueError(
            f"this run was trained by {before} process{'es' * (before > 1)} and cannot be resumed by "
            f"{now}; {remedy}"
        )


def _apply(
    progress: Progress,
    shared: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    facts: Mapping[str, Any],
) -> None:
    method = progress.method
    state = {k.removeprefix("method/"): v for k, v in shared.items() if k.startswith("method/")}
    state |= {k.removeprefix("local/"): v for k, v in own.items() if k.startswith("local/")}
    method.load_state_dict(state)
    for player, optimizer in progress.stepper.optimizers.items():
        import_state(optimizer, f"optimizer/{player}", shared)
    for name, value in progress.average.items():
        value.copy_(shared[f"average/{name}"])
    progress.rng.set_state(own["rng"])
    torch.set_rng_state(own["global rng"])
    if "cuda rng" in own:
        torch.cuda.set_rng_state(own["cuda rng"], progress.stepper.device)
    progress.stream.load_state_dict(facts["stream"])
    progress.index = facts["round"]
