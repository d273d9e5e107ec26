"""Several processes, one model: what is averaged, and by whom files are written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
import torch.distributed as dist
from torch import Tensor


def rank() -> int:
    """This process's number; 0 when there is only one. Known before the group is joined."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank()
    return int(os.environ.get("RANK", "0"))


def world() -> int:
    """The number of processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def announced() -> bool:
    """Whether ``torchrun`` started this process: it says so in the environment."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def own_device(device: torch.device) -> torch.device:
    """The device of this process where ``torchrun`` started several on one machine: a GPU for each.

    ``cuda`` becomes ``cuda:LOCAL_RANK``. ValueError where the processes here cannot have one each.
    """
    local_world = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if announced() else 1
    if local_world == 1 or device.type == "cpu":
        return device
    if str(device) != "cuda":
        raise ValueError(
            f"{local_world} processes cannot share the device {device}; give --device cuda for one GPU "
            "each, or --device cpu"
        )
    there = torch.cuda.device_count()
    if local_world > there:
        raise ValueError(
            f"{local_world} processes need a GPU each and this machine has {there}; start them with "
            f"torchrun --nproc-per-node {there}, or train on the CPU by --device cpu"
        )
    return torch.device("cuda", int(os.environ["LOCAL_RANK"]))


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the group that ``torchrun`` announces, on ``device``; nothing to do without one."""
    if not announced() or dist.is_initialized():
        yield
        return
    cuda = device.type == "cuda"
    with torch.cuda.device(device) if cuda else nullcontext():
        dist.init_process_group("nccl" if cuda else "gloo", device_id=device if cuda else None)
        try:
            yield
        finally:
            dist.destroy_process_group()


def average_(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over processes, bit-identical everywhere.

    One flat all-reduce for each type of number: a double among them does not widen the others.
    """
    if world() == 1:
        return
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        alike = [tensor for tensor in tensors if tensor.dtype == dtype]
        flat = torch.cat([tensor.reshape(-1) for tensor in alike])
        dist.all_reduce(flat)
        flat /= world()
        for tensor, mean in zip(alike, flat.split([t.numel() for t in alike]), strict=True):
            tensor.copy_(mean.view_as(tensor))


def any_process(flag: bool, device: torch.device) -> bool:
    """Whether ``flag`` holds in any process (all processes must ask)."""
    if world() == 1:
        return flag
    votes = torch.tensor(int(flag), device=device)
    dist.all_reduce(votes, op=dist.ReduceOp.MAX)
    return bool(votes.item())


def from_first(text: str, device: torch.device) -> str:
    """The ASCII text of process 0 where all give one of the same length (all must ask)."""
    if world() == 1:
        return text
    letters = torch.tensor(list(text.encode()), device=device)
    dist.broadcast(letters, 0)
    return bytes(letters.tolist()).decode()


def barrier() -> None:
    """Wait for every process."""
    if world() > 1:
        dist.barrier()
