"""Random number generators of the pretended device, whose states are not those of the CPU's."""

from __future__ import annotations

import hashlib
import weakref

import torch
from torch import Tensor

CPU = torch.device("cpu")
HostGenerator = torch.Generator
STATE_BYTES = {"cuda": 16, "mps": 36}
"""As large as the real ones, which hold a seed and an offset; the CPU's has some 5 000 bytes."""

_known: dict[bytes, Tensor] = {}
_made: weakref.WeakValueDictionary[int, DeviceGenerator] = weakref.WeakValueDictionary()


class _AnyGenerator(type(HostGenerator)):
    """Every generator is an instance of ``torch.Generator``, whatever that is replaced by."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, HostGenerator)


class DeviceGenerator(HostGenerator, metaclass=_AnyGenerator):
    """What ``torch.Generator("cuda")`` makes; ``torch.Generator("cpu")`` makes the usual one."""

    def __new__(cls, device="cpu"):
        if torch.device(device).type == "cpu":
            return HostGenerator(device)
        return super().__new__(cls)

    def __init__(self, device="cpu"):
        self._device = torch.device(torch.device(device).type, 0)
        _made[self._cdata] = (
            self  # an operation is given another Python object of the same generator
        )

    @property
    def device(self):
        return self._device

    def get_state(self):
        """A few bytes that stand for the state, on the CPU, as on a device."""
        state = super().get_state()
        size = STATE_BYTES[self._device.type]
        token = hashlib.blake2b(state.numpy().tobytes(), digest_size=size).digest()
        _known[token] = state
        return torch.tensor(list(token), dtype=torch.uint8)

    def set_state(self, state):
        if state.device.type != "cpu" or state.dtype != torch.uint8:
            raise TypeError("RNG state must be a torch.ByteTensor")
        if state.numel() != STATE_BYTES[self._device.type]:
            raise RuntimeError("RNG state is wrong size")
        super().set_state(_known[state.numpy().tobytes()])
        return self


def device_of_generator(generator: torch.Generator) -> torch.device:
    """Where the tensors are that it draws."""
    made = _made.get(generator._cdata)
    return CPU if made is None else made.device


def default_generator(device_type: str) -> DeviceGenerator:
    """The one that is drawn from when none is given."""
    if device_type not in _defaults:
        _defaults[device_type] = DeviceGenerator(device_type).manual_seed(0)
    return _defaults[device_type]


_defaults: dict[str, DeviceGenerator] = {}
