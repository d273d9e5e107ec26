"""torch's global generators, from which modules draw that are given none (initial weights, dropout).

There is one on the CPU and one on every device. ``torch.manual_seed`` seeds them all and
``torch.random.fork_rng`` knows of CUDA's alone; here it is always the CPU's and one device's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Generator, Tensor

CPU = torch.device("cpu")


def global_states(device: torch.device) -> dict[str, Tensor]:
    """States of the CPU's generator, ``"global rng"``, and the device's, ``"cuda rng"`` or ``"mps rng"``."""
    states = {"global rng": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda rng"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        states["mps rng"] = torch.mps.get_rng_state()
    return states


def set_global_states(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Put back what ``global_states`` gave; those of other devices are passed over."""
    torch.set_rng_state(states["global rng"])
    if device.type == "cuda" and "cuda rng" in states:
        torch.cuda.set_rng_state(states["cuda rng"], device)
    elif device.type == "mps" and "mps rng" in states:
        torch.mps.set_rng_state(states["mps rng"])


def seed_global(seed: int, device: torch.device = CPU) -> None:
    """Seed the CPU's generator and the device's, and no other."""
    torch.default_generator.manual_seed(seed)
    seed_device(seed, device)


def seed_device(seed: int, device: torch.device) -> None:
    """Seed the device's generator; nothing on the CPU."""
    if device.type == "cpu":
        return
    state = Generator(device).manual_seed(seed).get_state()
    set_global_states({**global_states(CPU), f"{device.type} rng": state}, device)


@contextmanager
def kept_global(device: torch.device = CPU) -> Iterator[None]:
    """Leave the CPU's generator and the device's, at the end, as they were."""
    states = global_states(device)
    try:
        yield
    finally:
        set_global_states(states, device)


def seed_from(state: Tensor) -> int:
    """A seed that depends on nothing but a generator's ``state``: how a run changes to another device."""
    digest = hashlib.sha256(state.numpy().tobytes()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
