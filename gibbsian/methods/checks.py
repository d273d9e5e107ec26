"""Checks of method options, each a ValueError in one sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def check_at_least(name: str, value: int, least: int) -> None:
    """``value`` must be a whole number of at least ``least``."""
    if value != int(value) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value}")


def check_between(name: str, value: int, least: int, most: int) -> None:
    """``value`` must be a whole number from ``least`` to ``most``."""
    check_at_least(name, value, least)
    if value > most:
        raise ValueError(f"{name} can be at most {most}, not {value}")


def check_weight(name: str, value: float) -> None:
    """``value`` must be finite and not negative."""
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be finite and not negative, not {value}")


def check_positive(name: str, value: float) -> None:
    """``value`` must be finite and positive."""
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be finite and positive, not {value}")


def check_probability(name: str, value: float) -> None:
    """``value`` must lie in [0, 1]."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is a probability and must lie in [0, 1], not {value}")


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """``value`` must be one of ``choices``."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def check_no_batch_norm(what: str, network: nn.Module) -> None:
    """Steps that are differentiated must not leave traces in running averages."""
    if any(isinstance(part, _BatchNorm) for part in network.modules()):
        raise ValueError(f"{what} may hold no batch normalisation; set its batch_norm to false")


def check_time(what: str, energy: nn.Module) -> None:
    """ValueError unless ``energy`` takes a noise level, as ``what`` asks."""
    if not getattr(energy, "takes_time", False):
        raise ValueError(
            f"{what} needs an energy E(x, t) of point and noise level: a built-in one with "
            "--energy.time, or your own with forward(x, t=None) and takes_time = True"
        )


def refuse_given(given: Tensor | None) -> None:
    """For methods that model x alone: there is nothing to condition on."""
    if given is not None:
        raise ValueError("this method samples unconditionally; leave out what to condition on")
