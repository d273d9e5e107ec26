"""What resuming needs, one file per process and round: ``state/round-00001000.rank0.safetensors``.

Process 0's file holds what all processes share (parameters, buffers, optimizers, averages); every
process's file holds what is its own (local buffers, random number generators, the data's position).
The last two rounds are kept, so that a damaged file costs one interval and not the run. A file also
holds the rounds that the run can go back to where it leaves what is healthy (`health`).
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from gibbsian.core import TrainingMethod
from gibbsian.core.files import CorruptFileError
from gibbsian.core.randomness import global_states, seed_device, seed_from, set_global_states
from gibbsian.core.tensor_files import ForeignFileError, read_tensors, write_tensors
from gibbsian.training import processes
from gibbsian.training.health import Health, Recovery, Snapshot
from gibbsian.training.optimizers import export_state, import_state
from gibbsian.training.stepper import Stepper

SHARED = ("method/", "average/", "best", "optimizer/")
"""What the names of tensors begin with that are the same in all processes."""
NAME = re.compile(r"round-(\d+)\.rank(\d+)\.safetensors")
FORMAT = 1


@dataclass
class Progress:
    """Everything that changes while training runs: the state of a run between two rounds."""

    method: TrainingMethod
    stepper: Stepper
    rng: Generator
    stream: Any  # has state_dict() and load_state_dict() of whole numbers
    average: dict[str, Tensor]  # exponential moving average of the parameters; empty if not asked
    index: int = 0  # rounds done
    run: str = ""  # identity of the run whose files these are, if there are any
    best: dict[str, Tensor] = field(default_factory=dict)  # the weights that validation liked best
    best_value: float = -math.inf  # mean log-likelihood of the validation rows with them
    stage_began: int = 0  # rounds done when the present stage of a method in stages began
    health: Health = field(default_factory=Health)


def _path(folder: Path, index: int, rank: int) -> Path:
    return folder / f"round-{index:08d}.rank{rank}.safetensors"


def rounds(folder: Path) -> list[int]:
    """The rounds for which process 0 left a file, newest first."""
    found = (NAME.fullmatch(path.name) for path in folder.glob("round-*.safetensors"))
    return sorted({int(m[1]) for m in found if m and m[2] == "0"}, reverse=True)


def saved(folder: Path, index: int, device: torch.device) -> bool:
    """Whether every process's file for round ``index`` is there (all processes must ask)."""
    missing = not _path(folder, index, processes.rank()).exists()
    return not processes.any_process(missing, device)


def snapshot(progress: Progress) -> Snapshot:
    """Copy, in main memory, what this process saves of the current round.

    The rounds that the run can go back to are in it, but for the current one, which is the copy itself.
    """
    first = processes.rank() == 0
    taken = copy_state(progress, shared=first)
    tensors = dict(taken.tensors)
    for number, good in enumerate(progress.health.good):
        if good.index != progress.index:
            tensors |= {
                f"good/{number}/{name}": value
                for name, value in good.tensors.items()
                if first or not name.startswith(SHARED)
            }
    metadata = {**taken.metadata, "health": progress.health.to_json()}
    return Snapshot(taken.index, tensors, metadata, taken.run)


def copy_state(progress: Progress, shared: bool = True) -> Snapshot:
    """Copy, in main memory, the state of the current round; of all processes' part only if ``shared``."""
    method, device = progress.method, progress.stepper.device
    tensors = {"rng": progress.rng.get_state(), **global_states(device)}
    for name, value in method.state_dict().items():
        if name in method.local:
            tensors[f"local/{name}"] = value
        elif shared:
            tensors[f"method/{name}"] = value
    if shared:
        tensors |= {f"average/{name}": value for name, value in progress.average.items()}
        if progress.best:
            tensors["best value"] = torch.tensor(progress.best_value, dtype=torch.float64)
            tensors |= {f"best/{name}": value for name, value in progress.best.items()}
        for player, optimizer in progress.stepper.optimizers.items():
            tensors |= export_state(optimizer, f"optimizer/{player}")
    metadata = {
        "format": FORMAT,
        "round": progress.index,
        "world": processes.world(),
        "stream": progress.stream.state_dict(),
        "stage began": progress.stage_began,
        "device": device.type,
    }
    copies = {name: value.detach().to("cpu", copy=True) for name, value in tensors.items()}
    return Snapshot(progress.index, copies, metadata, progress.run)


def write(folder: Path, taken: Snapshot) -> None:
    """Write a snapshot as this process's file of its round.

    Alone, all but the last two rounds are then removed; next to other processes, which may not have
    written theirs yet, that is left to ``prune``.
    """
    path = _path(folder, taken.index, processes.rank())
    write_tensors(path, taken.tensors, taken.metadata, taken.run)
    if processes.world() == 1:
        prune(folder)


def prune(folder: Path) -> None:
    """Remove all but the last two rounds; due once every process has written the last one."""
    if processes.rank() == 0:
        old = set(rounds(folder)[2:])
        for path in folder.glob("round-*.safetensors"):
            match = NAME.fullmatch(path.name)
            if match and int(match[1]) in old:
                path.unlink(missing_ok=True)


def save_checkpoint(folder: Path, progress: Progress) -> None:
    """Write this process's file for the current round, then remove all but the last two rounds."""
    write(folder, snapshot(progress))
    processes.barrier()
    prune(folder)


def save_instead(folder: Path, progress: Progress) -> None:
    """Write this process's file for the current round, then remove those of later ones, another path's.

    Until then these stay, from which the run would come to the same place again.
    """
    taken = snapshot(progress)
    write_tensors(
        _path(folder, taken.index, processes.rank()), taken.tensors, taken.metadata, taken.run
    )
    processes.barrier()
    if processes.rank() == 0:
        for index in rounds(folder):
            if index > taken.index:
                for path in folder.glob(f"round-{index:08d}.rank*.safetensors"):
                    path.unlink(missing_ok=True)
    processes.barrier()


def restore_checkpoint(folder: Path, progress: Progress) -> None:
    """Put the newest whole checkpoint into ``progress``; say so when a damaged one was passed over.

    Random numbers go on to the same bits on the type of device that wrote it. On another, whose
    generators have states of another kind, new ones are seeded from the old states, and a warning says
    so. Where the run was killed while several processes wrote their first files, it begins anew, with the
    bits it began with. Raises ValueError when none is whole, when it was written by a newer version, by
    another run, by another number of processes, in another round than its name says, or for other
    networks.
    """
    device = progress.stepper.device
    there = rounds(folder)
    for index in there:
        problem, damaged = "", False
        shared: dict[str, Tensor] = {}
        own: dict[str, Tensor] = {}
        facts: dict[str, Any] = {}
        try:
            shared, facts = read_tensors(_path(folder, index, 0), progress.run)
            _check_written_for_us(folder, facts)
            own, facts = read_tensors(_path(folder, index, processes.rank()), progress.run)
        except (CorruptFileError, FileNotFoundError) as error:
            problem, damaged = str(error), isinstance(error, CorruptFileError)
        if processes.any_process(bool(problem), device):
            if there == [0] and not processes.any_process(damaged, device):
                return
            warnings.warn(
                f"checkpoint of round {index} cannot be used ({problem or 'another process says so'}); "
                "falling back to the one before",
                stacklevel=2,
            )
            continue
        if facts["round"] != index:
            raise ForeignFileError(
                f"{_path(folder, index, processes.rank())} is of round {facts['round']}: it was renamed; "
                "give it its own name back, or remove it"
            )
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
    tensors = {**shared, **own}
    put_back(progress, tensors, facts)
    _restore_randomness(progress, own, facts.get("device", "cuda" if "cuda rng" in own else "cpu"))
    health = facts.get("health", {})
    progress.health = Health(
        [Recovery(**entries) for entries in health.get("recoveries", [])],
        health.get("outside", {}),
        [
            _good(progress, number, tensors, metadata)
            for number, metadata in enumerate(health.get("good", []))
        ],
        health.get("warned", []),
    )
    progress.stepper.lr_factor = progress.health.lr_factor


def _good(
    progress: Progress, number: int, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]
) -> Snapshot:
    """A round that the run can go back to; without tensors of its own it is the checkpoint's."""
    if metadata["round"] == progress.index:
        return copy_state(progress)
    start = f"good/{number}/"
    named = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
    return Snapshot(metadata["round"], named, metadata, progress.run)


def put_back(
    progress: Progress, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]
) -> None:
    """Put a snapshot's parts into ``progress``, all but its random numbers; it may keep these tensors."""
    method = progress.method
    state = {k.removeprefix("method/"): v for k, v in tensors.items() if k.startswith("method/")}
    state |= {k.removeprefix("local/"): v for k, v in tensors.items() if k.startswith("local/")}
    try:
        method.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            "this run was trained with other networks than these; give networks of your own again by "
            "networks=, or put their code back as it was"
        ) from error
    for player, optimizer in progress.stepper.optimizers.items():
        import_state(optimizer, f"optimizer/{player}", tensors)
    for name, value in progress.average.items():
        value.copy_(tensors[f"average/{name}"])
    device = progress.stepper.device
    progress.best = {
        name.removeprefix("best/"): value.to(device)
        for name, value in tensors.items()
        if name.startswith("best/")
    }
    progress.best_value = float(tensors.get("best value", -math.inf))
    progress.stream.load_state_dict(metadata["stream"])
    progress.index, progress.stage_began = metadata["round"], metadata.get("stage began", 0)


def _restore_randomness(progress: Progress, own: Mapping[str, Tensor], written_on: str) -> None:
    """Go on with the generators of ``own``, or with new ones where they are of another device type."""
    device = progress.stepper.device
    set_global_states(own, device)
    if device.type == written_on:
        progress.rng.set_state(own["rng"])
        return
    warnings.warn(
        f"this run was trained on {written_on} and goes on on {device.type}: its random numbers are "
        "others from here on, and its results not those of a run on one device",
        stacklevel=2,
    )
    progress.rng.manual_seed(seed_from(own["rng"]))
    seed_device(seed_from(own["global rng"]), device)
