"""What healthy training looks like: the ranges that logged values keep to, and what leaving them means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class HealthyRange:
    """Where a logged value lies while training is sound.

    ``metric`` is a name of the log, ``player/name``, whose values a method reports in ``Loss.logs``;
    with ``minus``, another one, the difference of the two is meant. Below ``low`` or above ``high``, or
    not a number, at ``looks`` looks in a row, the run has left it. The limits are wide: no sound run may
    leave them, and one that runs away does so sooner or later. ``per_dimension``: both limits are at
    least this far from zero for each number of an observation. ``why`` says what it means and what helps.
    """

    metric: str
    why: str
    low: float = -math.inf
    high: float = math.inf
    minus: str = ""
    looks: int = 4
    per_dimension: float = 0.0

    @property
    def name(self) -> str:
        """The value in words: ``energy/energy_data - energy/energy_model``."""
        return f"{self.metric} - {self.minus}" if self.minus else self.metric

    def value(self, logs: Mapping[str, Tensor]) -> Tensor | None:
        """What ``logs`` say of it, 0-d; None where the round did not log it."""
        if self.metric not in logs or (self.minus and self.minus not in logs):
            return None
        return logs[self.metric] - logs[self.minus] if self.minus else logs[self.metric]

    def limits(self, dimension: int) -> tuple[float, float]:
        """Low and high for observations of ``dimension`` numbers."""
        least = self.per_dimension * dimension
        return min(self.low, -least), max(self.high, least)

    def left(self, logs: Mapping[str, Tensor], dimension: int) -> bool | None:
        """Whether the value in ``logs`` is outside the limits; None where the round did not log it."""
        value = self.value(logs)
        low, high = self.limits(dimension)
        return None if value is None else not low <= float(value) <= high


def energy_gap(player: str, data: str = "energy_data", model: str = "energy_model") -> HealthyRange:
    """The mean energies of data and samples, as ``player`` logs them, stay within 1000 nats of each other.

    Or within 10 nats for each number of an observation, where that is more.
    """
    return HealthyRange(
        f"{player}/{data}",
        "the samples have lost touch with the energy, which then falls at the data and rises elsewhere "
        f"without end; a slower {player} (--{player}-optimizer.lr), or more steps of what follows it, helps",
        low=-1e3,
        high=1e3,
        minus=f"{player}/{model}",
        per_dimension=10.0,
    )


def sample_spread(player: str) -> HealthyRange:
    """Samples lie at most five times as far out as the data, as ``player`` logs it (`relative_spread`)."""
    return HealthyRange(
        f"{player}/relative_spread",
        "the samples have left the region of the data, where the networks learn nothing about them; "
        "a slower generator helps",
        high=5.0,
        looks=16,
    )


def relative_spread(x_model: Tensor, x: Tensor) -> Tensor:
    """Root mean square of samples over that of the data, both in the networks' units; 0-d, detached.

    1 where they are alike. Batches of zeros alone have no scale: 0.
    """
    sizes = [part.detach().float().square().mean() for part in (x_model, x)]
    return torch.where(sizes[1] > 0, sizes[0] / sizes[1], 0.0).sqrt()
