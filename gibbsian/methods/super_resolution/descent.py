"""Descent of an energy with a step size per row that finds itself: modes near where one starts."""

from __future__ import annotations

import torch
from torch import Tensor

from gibbsian.core import Energy
from gibbsian.samplers import value_and_grad

GROW, SHRINK = 1.2, 0.5


@torch.no_grad()
def descend(
    energy: Energy, start: Tensor, steps: int, step_size: float, box: tuple[float, float]
) -> Tensor:
    """``start [B, *event]`` after ``steps`` steps y' = y - h dE/dy, kept within the box.

    Where a row's energy would not fall, the row stays and its h is halved; otherwise h grows by a
    fifth. So no row's energy ever rises, and h, ``step_size`` at first, is a matter of time only.
    A proposal whose energy is not finite counts as not falling. One gradient a step.
    """
    y = start.clamp(*box)
    value, slope = value_and_grad(energy, y)
    h = torch.full_like(value, step_size)
    for _ in range(steps):
        rows = h.view(-1, *[1] * (y.ndim - 1))
        proposal = (y - rows * slope).clamp(*box)
        new_value, new_slope = value_and_grad(energy, proposal)
        falls = new_value < value
        h = torch.where(falls, GROW * h, SHRINK * h)
        rows = falls.view(-1, *[1] * (y.ndim - 1))
        y = torch.where(rows, proposal, y)
        slope = torch.where(rows, new_slope, slope)
        value = torch.where(falls, new_value, value)
    return y
