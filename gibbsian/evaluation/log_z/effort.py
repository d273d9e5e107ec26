"""How much work an estimate of log Z may be: in words, in numbers, in seconds foretold."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from gibbsian.core import Energy
from gibbsian.samplers.potential import value_and_grad

TEMPERATURES = 30
"""Of a usual annealing between a mixture and its target."""
Amount = Literal["quick", "normal", "high"]


@dataclass(frozen=True)
class LogZEffort:
    """How much work the sampling estimators may do; costs are energy gradients.

    ``draws``: of importance sampling. ``particles``: of AIS in each direction. ``runs`` of SMC with
    ``run_particles`` each. ``pilot``: particles that find the schedule. ``moves``: kernel steps at
    every temperature. ``conditional_ess``: what one step of temperature may cost of the effective
    sample size; nearer to 1 means more temperatures, ``max_temperatures`` at most. All passes
    together cost about (pilot + 2 particles + runs run_particles) moves gradients per temperature.

    Of the mixture that is fitted to given points: ``warm_up`` steps of Hamiltonian Monte Carlo from
    each point and ``states`` that are kept of it, ``leapfrogs`` gradients a step;
    ``components`` of the mixture at most; it is fitted to ``fit_points`` of the states, and sharpened
    in ``rounds`` by ``draws`` of its own.
    """

    draws: int = 4096
    particles: int = 512
    runs: int = 8
    run_particles: int = 128
    pilot: int = 128
    moves: int = 5
    conditional_ess: float = 0.98
    max_temperatures: int = 1000
    warm_up: int = 15
    states: int = 10
    leapfrogs: int = 6
    components: int = 24
    fit_points: int = 1600
    rounds: int = 2


EFFORTS: Mapping[str, LogZEffort] = {
    "quick": LogZEffort(
        draws=1024, particles=256, runs=4, run_particles=64, pilot=64, moves=2,
        conditional_ess=0.95, warm_up=10, states=5, fit_points=800, rounds=1,
    ),
    "normal": LogZEffort(),
    "high": LogZEffort(
        draws=65536, particles=2048, runs=16, run_particles=256, pilot=256, moves=5,
        conditional_ess=0.99, warm_up=30, states=40, fit_points=6000, rounds=3,
    ),
}  # fmt: skip


def effort_of(effort: LogZEffort | Amount) -> LogZEffort:
    """The numbers behind a word. Raises ValueError for another word."""
    if isinstance(effort, LogZEffort):
        return effort
    if effort not in EFFORTS:
        raise ValueError(f"effort must be one of {', '.join(EFFORTS)}, not {effort!r}")
    return EFFORTS[effort]


def predicted_seconds(
    energy: Energy, points: Tensor, effort: LogZEffort | Amount
) -> tuple[float, float]:
    """Seconds that log Z by a mixture will take: where the mixture fits, and where annealing must help.

    Timed on the energy's own value and gradient at ``points [n, *event]``; the fit's share is counted
    in multiplications. Right within a factor of about two on an idle machine.
    """
    work = effort_of(effort)
    n, d = len(points), math.prod(points.shape[1:])
    seconds = []
    for _ in range(4):  # the first pays for what is set up once
        begun = time.perf_counter()
        value_and_grad(energy, points)
        seconds.append(time.perf_counter() - begun)
    per_point = min(seconds) / n
    size = max(1, min(work.components, 480 // d))
    chains = (work.warm_up + work.states) * work.leapfrogs * (min(seconds) + 3e-4)
    per_draw = 0.5 * per_point + 1e-9 * size * d * d
    draws = 2 * (work.rounds + 1.25) * work.draws * per_draw
    fit = 2 * 40 * (5e-4 + 5e-10 * work.fit_points * size * d * (d + 20))
    mixture = chains + draws + fit
    passes = 2 * (work.pilot + 2 * work.particles) * work.moves * TEMPERATURES
    return mixture, mixture + passes * (per_point + 1.5e-9 * size * d * d + 2e-6)
