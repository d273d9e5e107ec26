"""Per-player optimizers: the usual ones of torch, a rate schedule, and their state as plain tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from gibbsian.core.signatures import RARE

Name = Literal["adam", "adamw", "sgd", "rmsprop", "adagrad", "adadelta"]


def execution(name: str, device_type: str) -> dict[str, Any]:
    """How torch should run the optimizer called ``name`` on a kind of device: its keyword arguments.

    Fused where there is such a kernel: on the CPU Adam's and Adagrad's are several times faster than the
    default. Capturable on CUDA: the count of steps stays on the device, so that no step waits for the
    host and a CUDA graph can hold one.
    """
    if device_type == "cpu":
        return {"fused": True} if name in ("adam", "adamw", "adagrad") else {}
    if device_type != "cuda":
        return {"foreach": True}
    fused = {"fused": True} if name in ("adam", "adamw", "sgd") else {"foreach": True}
    return fused | ({"capturable": True} if name not in ("sgd", "adagrad") else {})


@dataclass(frozen=True)
class OptimizerOptions:
    """How one player steps.

    Args:
        name: which optimizer of torch.
        lr: learning rate at the start (after warm-up).
        betas: Adam's and AdamW's moment decays.
        eps: added to the denominator.
        momentum: of sgd and rmsprop.
        weight_decay: L2 penalty (decoupled for adamw).
        clip_grad_norm: largest global gradient norm; 0 does not clip.
        lr_schedule: how the rate falls from `lr` to zero over the run, or over each of the stages of a
            method that has some (constant: it does not).
        warmup: rounds over which the rate rises linearly to `lr`.
    """

    name: Annotated[Name, RARE] = "adam"
    lr: float = 1e-3
    betas: Annotated[tuple[float, float], RARE] = (0.9, 0.999)
    eps: Annotated[float, RARE] = 1e-8
    momentum: Annotated[float, RARE] = 0.0
    weight_decay: Annotated[float, RARE] = 0.0
    clip_grad_norm: Annotated[float, RARE] = 0.0
    lr_schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup: Annotated[int, RARE] = 0

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise ValueError(f"a learning rate must be positive, not {self.lr}")
        if self.clip_grad_norm < 0 or self.weight_decay < 0 or self.warmup < 0:
            raise ValueError("clip_grad_norm, weight_decay and warmup must not be negative")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be at least 0 and below 1, not {self.betas}")
        if not self.eps >= 0:
            raise ValueError(f"eps must not be negative, and is {self.eps}")

    def build(self, parameters: Sequence[Tensor]) -> torch.optim.Optimizer:
        """The torch optimizer over ``parameters``, in one pass over them where torch has one."""
        one_pass = execution(self.name, parameters[0].device.type)
        common: dict[str, Any] = {
            "lr": self.lr,
            "eps": self.eps,
            "weight_decay": self.weight_decay,
        }
        match self.name:
            case "adam":
                return torch.optim.Adam(parameters, betas=self.betas, **one_pass, **common)
            case "adamw":
                return torch.optim.AdamW(parameters, betas=self.betas, **one_pass, **common)
            case "sgd":
                return torch.optim.SGD(
                    parameters,
                    self.lr,
                    self.momentum,
                    weight_decay=self.weight_decay,
                    **one_pass,
                )
            case "rmsprop":
                return torch.optim.RMSprop(parameters, momentum=self.momentum, **one_pass, **common)
            case "adagrad":
                return torch.optim.Adagrad(parameters, **one_pass, **common)
            case "adadelta":
                return torch.optim.Adadelta(parameters, rho=self.betas[0], **one_pass, **common)

    def factor(self, index: int, rounds: int) -> float:
        """The rate in round ``index`` of ``rounds``, as a share of ``lr``."""
        rise = min(1.0, (index + 1) / (self.warmup + 1))
        done = min(1.0, index / max(1, rounds))
        match self.lr_schedule:
            case "constant":
                return rise
            case "linear":
                return rise * (1.0 - done)
            case "cosine":
                return rise * 0.5 * (1.0 + math.cos(math.pi * done))


def laid_out(tensor: Tensor, parameter: Tensor) -> Tensor:
    """``tensor`` in the memory layout of ``parameter``, which fused optimizers take for granted.

    They walk both as rows of numbers: a transposed gradient would be added to the wrong entries, and an
    expanded one read past its end.
    """
    if tensor.is_contiguous() and parameter.is_contiguous():
        return tensor
    if tensor.shape != parameter.shape or tensor.stride() == parameter.stride():
        return tensor
    return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)


def export_state(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """The optimizer's tensors, named ``prefix/parameter number/name``."""
    tensors = {}
    for number, entries in optimizer.state_dict()["state"].items():
        for name, value in entries.items():
            if value is not None:
                tensors[f"{prefix}/{number}/{name}"] = torch.as_tensor(value)
    return tensors


def import_state(
    optimizer: torch.optim.Optimizer, prefix: str, tensors: Mapping[str, Tensor]
) -> None:
    """Put back what ``export_state`` gave; the groups' settings stay as built."""
    state: dict[int, dict[str, Tensor]] = {}
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for key, value in tensors.items():
        if key.startswith(f"{prefix}/"):
            number, name = key.removeprefix(f"{prefix}/").split("/")
            state.setdefault(int(number), {})[name] = (
                value if name == "step" else laid_out(value, parameters[int(number)])
            )
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
