"""Tells torch that the pretended device is there."""

from __future__ import annotations

import threading

import torch

from tests.device.generators import DeviceGenerator, default_generator
from tests.device.tensors import Pretended


def install(device_type: str) -> None:
    """Answer torch's questions about devices, and dispatch every operation from now on."""
    torch.Generator = DeviceGenerator
    (install_cuda if device_type == "cuda" else install_mps)()
    asarray = torch.asarray  # of a storage, as safetensors asks for, it fails while a mode is on

    def asarray_of_storage(x, dtype=None, **kwargs):
        if isinstance(x, torch.UntypedStorage):
            return torch.empty(0, dtype=dtype).set_(x)
        return asarray(x, dtype=dtype, **kwargs)

    torch.asarray = asarray_of_storage
    # Module.to makes its parameters anew instead of writing through ``.data``.
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    enter()
    run = threading.Thread.run

    def run_dispatched(thread: threading.Thread) -> None:
        enter()
        run(thread)

    threading.Thread.run = run_dispatched


def enter() -> None:
    """Dispatch what this thread does; both settings are a thread's own."""
    torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device=) is a copy from the host
    Pretended().__enter__()


def pin_memory(x: torch.Tensor, device: object = None) -> torch.Tensor:
    """A copy from which uploads do not make the host wait."""
    if x.device.type != "cpu":
        raise RuntimeError("only dense CPU tensors can be pinned")
    copy = x.clone()
    copy.pinned = True
    return copy


def install_cuda() -> None:
    """One CUDA device."""
    cuda, own = torch.cuda, default_generator("cuda")
    torch.Tensor.pin_memory = pin_memory
    cuda._lazy_init = lambda: None
    cuda.is_available = lambda: True
    cuda.is_initialized = lambda: True
    cuda.device_count = lambda: 1
    cuda.current_device = lambda: 0
    cuda.set_device = lambda device: None
    cuda.get_device_name = lambda device=None: "pretended"
    cuda.is_bf16_supported = lambda including_emulation=True: True
    cuda.synchronize = lambda device=None: None
    cuda.get_rng_state = lambda device="cuda": own.get_state()
    cuda.set_rng_state = lambda state, device="cuda": own.set_state(state)
    cuda.manual_seed = cuda.manual_seed_all = lambda seed: own.manual_seed(seed)


def install_mps() -> None:
    """One MPS device."""
    mps, own = torch.mps, default_generator("mps")
    torch.backends.mps.is_available = torch.backends.mps.is_built = lambda: True
    mps._is_in_bad_fork = lambda: False
    mps.device_count = lambda: 1
    mps.synchronize = lambda: None
    mps.get_rng_state = lambda device="mps": own.get_state()
    mps.set_rng_state = lambda state, device="mps": own.set_state(state)
    mps.manual_seed = lambda seed: own.manual_seed(seed)
