"""How a device computes while a run trains: the width of its numbers, and whether it repeats to the bit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn

Precision = Literal["float32", "tf32", "bfloat16"]


def check_precision(precision: Precision, device: torch.device) -> None:
    """ValueError where ``device`` cannot compute in ``precision``."""
    if precision == "tf32" and device.type != "cuda":
        raise ValueError(
            f"--float-precision tf32 is a mode of CUDA devices, and this run is on {device.type}; "
            "leave it out"
        )
    narrow = precision != "float32" and device.type == "cuda"
    if narrow and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ValueError(
            f"this GPU ({torch.cuda.get_device_name(device)}) has no {precision} arithmetic; "
            "leave --float-precision out"
        )


@contextmanager
def arithmetic(precision: Precision, deterministic: bool, device: torch.device) -> Iterator[None]:
    """Compute on ``device`` as asked for, then as before; on other devices than CUDA's this does nothing.

    ``float32`` is float32: PyTorch alone lets convolutions round to TF32 (10 bits of mantissa). With
    ``deterministic`` an operation that has no deterministic kernel is a ValueError that names it.
    """
    if device.type != "cuda":
        yield
        return
    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    backends = (torch.backends.cuda.matmul, convolutions)
    before = [backend.fp32_precision for backend in backends]
    algorithms = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        for backend in backends:
            backend.fp32_precision = "tf32" if precision == "tf32" else "ieee"
        if deterministic:
            # cuBLAS reads this once, when it is first used.
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
        yield
    except RuntimeError as error:
        if deterministic and "deterministic" in str(error):
            raise ValueError(
                f"--deterministic cannot be kept: {str(error).split('. ')[0]}"
            ) from error
        raise
    finally:
        torch.use_deterministic_algorithms(algorithms, warn_only=warn_only)
        for backend, value in zip(backends, before, strict=True):
            backend.fp32_precision = value


def channels_last(module: nn.Module) -> None:
    """Lay out the convolutions' weights for tensor cores, in place: channels innermost.

    Only theirs: a buffer of images may be viewed as rows somewhere, which that layout forbids.
    """
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)):
            part.weight.data = part.weight.data.contiguous(memory_format=torch.channels_last)
