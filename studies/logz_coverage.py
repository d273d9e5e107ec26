"""Is the interval for log Z calibrated, and does it warn where it is not?

Every target below has a known log Z. Each repetition draws 500 points to fit a normal law to, finds
its own schedule with a pilot, and runs six estimators: importance sampling, AIS, reverse AIS from
exact draws, bridge sampling between the two, SMC and thermodynamic integration. A cell is one
estimator on one target. Fixed before running:

- A cell is *easy* or *hard* as named in TARGETS. Easy: 93-97 % of 1000 repetitions have the truth in
  the estimator's own 95 % interval. Hard: at least 90 % of 200.
- A cell lies *below the warning level* if the estimator warns of itself in at least half of the
  repetitions, or if its true root mean square error exceeds 0.5 nats. The coverage is required of
  the other cells, which must be at least 70 % of all. In the cells below it the warning must fire in
  at least 80 % of the repetitions, all such cells taken together. Three targets are starved of
  particles and temperatures so that there are such cells.
- The levels at which the estimators warn stand in ``evaluation/logz.py``; that on the spread of
  runs was set after trial runs on the starved targets with other seeds.
- Batches of 50 repetitions are seeded by 1000 times the target's place in the list plus the batch.
- The mean error of the lower bounds in expectation (importance sampling, AIS, SMC) is at most +3 of
  its standard errors; that of reverse AIS at least -3.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean

import torch
from torch import Generator, Tensor

from gibbsian.core import Energy
from gibbsian.core.measures import Counting, Measure, RealSpace
from gibbsian.evaluation.log_z.annealing import (
    Problem,
    default_binary_kernel,
    default_kernel,
)
from gibbsian.evaluation.log_z.effort import LogZEffort
from gibbsian.evaluation.log_z.estimators import LARGE, LogZ, bridge, from_weights
from gibbsian.evaluation.log_z.references import FairCoins, Reference, annealing_path, normal_fit
from gibbsian.samplers import RBM
from studies.harness import Result, Study, run_study

EASY_COVERAGE, HARD_COVERAGE = (0.93, 0.97), (0.90, 1.0)
EASY_SEEDS, HARD_SEEDS = 1000, 200
ABOVE_SHARE, FIRING_SHARE, BIAS_ERRORS = 0.70, 0.80, 3.0
FIT_POINTS = 500
CHUNK = 50  # repetitions in one batch
EFFORT = LogZEffort(draws=2048, run_particles=64)
ESTIMATORS = ("importance", "ais", "reverse-ais", "bridge", "smc", "thermodynamic")
FROM_BELOW = ("importance", "ais", "smc")
Draw = Callable[[int, Generator], Tensor]


@dataclass(frozen=True)
class Truth:
    """A density with known log Z and exact draws ``draw(n, rng) -> [n, d]``."""

    energy: Energy
    draw: Draw
    log_z: float
    binary: bool = False


def gaussian(dim: int) -> Truth:
    """N(0, S) with S_ij = s_i s_j 0.7^|i - j| and s from 0.5 to 2; the energy is shifted by -1.7."""
    index = torch.arange(dim, dtype=torch.float64)
    std = torch.linspace(0.5, 2.0, dim, dtype=torch.float64)
    covariance = 0.7 ** (index[:, None] - index).abs() * std[:, None] * std
    precision = torch.linalg.inv(covariance).float()
    factor = torch.linalg.cholesky(covariance)

    def energy(x: Tensor) -> Tensor:
        return 0.5 * ((x @ precision) * x).sum(1) - 1.7

    def draw(n: int, rng: Generator) -> Tensor:
        return torch.randn(n, dim, generator=rng) @ factor.T.float()

    log_det = float(factor.diagonal().log().sum())
    return Truth(energy, draw, 1.7 + log_det + 0.5 * dim * math.log(2 * math.pi))


def mixture(means: Tensor, std: float, dim: int) -> Truth:
    """Equal Gaussians around ``means [M, 2]``, which lie in the plane of the first two coordinates."""
    centres = torch.nn.functional.pad(means, (0, dim - 2))

    def energy(x: Tensor) -> Tensor:
        square = x.square().sum(1, keepdim=True) - 2 * x @ centres.T + centres.square().sum(1)
        return -torch.logsumexp(-square / (2 * std**2), 1)

    def draw(n: int, rng: Generator) -> Tensor:
        which = torch.randint(len(centres), (n,), generator=rng)
        return centres[which] + std * torch.randn(n, dim, generator=rng)

    log_z = math.log(len(means)) + dim * (math.log(std) + 0.5 * math.log(2 * math.pi))
    return Truth(energy, draw, log_z)


def ring8(dim: int) -> Truth:
    """8 modes of std 0.1 on the unit circle."""
    angle = torch.arange(8) * (math.pi / 4)
    return mixture(torch.stack([angle.cos(), angle.sin()], 1), 0.1, dim)


def grid25(dim: int) -> Truth:
    """5 x 5 modes, spacing 2 / 2.828, std 0.2 / 2.828."""
    line = torch.arange(-2.0, 3.0) * 2 / 2.828
    return mixture(torch.cartesian_prod(line, line), 0.2 / 2.828, dim)


def double_well(dim: int) -> Truth:
    """E(x) = 2 sum (x_i^2 - 1)^2: 2^d modes; one-dimensional quadrature gives log Z and the draws."""
    grid = torch.linspace(-3.0, 3.0, 60_001, dtype=torch.float64)
    log_density = -2 * (grid.square() - 1).square()
    cdf = torch.softmax(log_density, 0).cumsum(0)
    log_z = float(torch.logsumexp(log_density, 0)) + math.log(1e-4)

    def energy(x: Tensor) -> Tensor:
        return 2 * (x.square() - 1).square().sum(1)

    def draw(n: int, rng: Generator) -> Tensor:
        u = torch.rand(n, dim, generator=rng, dtype=torch.float64)
        cell = torch.searchsorted(cdf, u).clamp(max=len(grid) - 1)
        return (grid[cell] + 1e-4 * (torch.rand(n, dim, generator=rng) - 0.5)).float()

    return Truth(energy, draw, dim * log_z)


def boltzmann(joint: bool) -> Truth:
    """A restricted Boltzmann machine of 16 visible and 12 hidden units, by enumeration of 2^16 states.

    ``joint``: on (v, h), for block Gibbs sampling; otherwise its free energy on v.
    """
    rng = Generator().manual_seed(5)
    weight = 0.8 * torch.randn(16, 12, generator=rng)
    machine = RBM(weight, torch.randn(16, generator=rng), torch.randn(12, generator=rng))
    states = (torch.arange(2**16)[:, None] >> torch.arange(16) & 1).float()
    log_weight = -machine.free_energy(states).double()
    cdf = torch.softmax(log_weight, 0).cumsum(0)

    def draw(n: int, rng: Generator) -> Tensor:
        u = torch.rand(n, generator=rng, dtype=torch.float64)
        v = states[torch.searchsorted(cdf, u).clamp(max=len(states) - 1)]
        if not joint:
            return v
        h = torch.rand(n, 12, generator=rng) < machine.hidden_field(v).sigmoid()
        return torch.cat([v, h.float()], 1)

    energy = machine if joint else machine.free_energy
    return Truth(energy, draw, float(torch.logsumexp(log_weight, 0)), binary=True)


@dataclass(frozen=True)
class Target:
    """A truth, how hard each estimator is named on it, and the effort."""

    truth: Callable[[], Truth]
    easy: Sequence[str]
    effort: LogZEffort = EFFORT
    estimators: Sequence[str] = ESTIMATORS


# Too few particles, temperatures and moves on purpose: here the warnings must fire.
STARVED = LogZEffort(
    draws=256, particles=64, runs=4, run_particles=32, pilot=64, moves=1, conditional_ess=0.5
)
ALL_BUT_REVERSE = tuple(name for name in ESTIMATORS if name != "reverse-ais")
ANNEALED = ("ais", "bridge", "smc", "thermodynamic")
REVERSIBLE = tuple(name for name in ESTIMATORS if name != "bridge")
TARGETS: Mapping[str, Target] = {
    "Gaussian, d = 2": Target(partial(gaussian, 2), ESTIMATORS),
    "Gaussian, d = 10": Target(partial(gaussian, 10), ESTIMATORS),
    "Gaussian, d = 50": Target(partial(gaussian, 50), ()),
    "Gaussian, d = 100": Target(partial(gaussian, 100), ()),
    "ring8, d = 2": Target(partial(ring8, 2), ALL_BUT_REVERSE),
    "ring8, d = 10": Target(partial(ring8, 10), ANNEALED),
    "grid25, d = 2": Target(partial(grid25, 2), ALL_BUT_REVERSE),
    "grid25, d = 10": Target(partial(grid25, 10), ()),
    "double well, d = 2": Target(partial(double_well, 2), ALL_BUT_REVERSE),
    "double well, d = 20": Target(partial(double_well, 20), ()),
    "RBM 16 x 12, joint": Target(partial(boltzmann, True), (), estimators=REVERSIBLE),
    "RBM 16 x 12, visible": Target(partial(boltzmann, False), ANNEALED),
    "Gaussian, d = 100, starved": Target(partial(gaussian, 100), (), STARVED),
    "grid25, d = 10, starved": Target(partial(grid25, 10), (), STARVED),
    "double well, d = 20, starved": Target(partial(double_well, 20), (), STARVED),
}


def start_of(truth: Truth, runs: int, rng: Generator) -> tuple[Reference, Measure]:
    """Fair coins, or a normal fit to fresh points for every repetition."""
    if truth.binary:
        coins = Counting(tuple(truth.draw(1, rng).shape[1:]))
        return FairCoins(coins, runs), coins
    points = truth.draw(runs * FIT_POINTS, rng)
    return normal_fit(points, runs), RealSpace(tuple(points.shape[1:]))


def repetitions(target: Target, truth: Truth, runs: int, rng: Generator) -> dict[str, LogZ]:
    """Every estimator on ``runs`` repetitions at once."""
    reference, measure = start_of(truth, runs, rng)
    kernel = default_binary_kernel if truth.binary else default_kernel
    path = annealing_path(truth.energy, measure, reference)
    problem = Problem(path, reference, kernel, target.effort)
    schedule = problem.schedule(rng)
    forward = problem.forward(schedule, rng)
    start = reference.from_data(truth.draw(runs * target.effort.particles, rng))
    backward = problem.backward(start, schedule, rng)
    annealed, wide = problem.sequential(schedule, rng)
    return {
        "importance": problem.importance(rng),
        "ais": from_weights(forward, "AIS"),
        "reverse-ais": from_weights(backward, "reverse AIS", reverse=True),
        "bridge": bridge(forward, -backward),
        "smc": problem.smc_estimate(annealed),
        "thermodynamic": problem.thermodynamic_estimate(annealed, wide),
    }


def measure_target(name: str, quick: bool) -> Result:
    """All cells of one target."""
    target = TARGETS[name]
    truth = target.truth()
    seeds = EASY_SEEDS if target.easy else HARD_SEEDS
    chunks = 1 if quick else seeds // CHUNK
    found = []
    for chunk in range(chunks):
        rng = Generator().manual_seed(1000 * list(TARGETS).index(name) + chunk)
        found.append(repetitions(target, truth, 10 if quick else CHUNK, rng))
    cells = {}
    for estimator in target.estimators:
        easy = estimator in target.easy
        kept = found if easy or quick else found[: HARD_SEEDS // CHUNK]
        cells[estimator] = summary([part[estimator] for part in kept], truth.log_z, easy)
    return {"log_z": truth.log_z, "cells": cells}


def summary(parts: Sequence[LogZ], truth: float, easy: bool) -> Result:
    """What the repetitions of one cell say; errors in nats."""
    value = torch.cat([part.value for part in parts])
    low, high = (torch.cat([getattr(part, side) for part in parts]) for side in ("low", "high"))
    error, hit = value - truth, (low <= truth) & (truth <= high)
    warned = torch.cat([part.warned for part in parts])
    bias_error = float(error.std() / math.sqrt(len(error)))
    silent = hit[~warned]
    return {
        "named": "easy" if easy else "hard",
        "seeds": len(value),
        "coverage": float(hit.double().mean()),
        "silent_coverage": float(silent.double().mean()) if len(silent) else None,
        "warned": float(warned.double().mean()),
        "bias": float(error.mean()),
        "bias_in_errors": float(error.mean()) / bias_error,
        "rms": float(error.square().mean().sqrt()),
        "stderr": float(torch.cat([part.stderr for part in parts]).median()),
        "markov_violated": float((value - math.log(20) > truth).double().mean()),
        "diagnostics": {
            key: float(torch.cat([part.diagnostics[key] for part in parts]).median())
            for key in parts[0].diagnostics
        },
    }


def below(cell: Result) -> bool:
    """Whether a cell lies below the warning level."""
    return cell["warned"] >= 0.5 or cell["rms"] > LARGE


def covered(cell: Result) -> bool:
    """Whether the cell's coverage is what its name asks for."""
    low, high = EASY_COVERAGE if cell["named"] == "easy" else HARD_COVERAGE
    return low <= round(cell["coverage"], 6) <= high


def unbiased(estimator: str, cell: Result) -> bool:
    """Whether a bound in expectation stays on its side."""
    if estimator in FROM_BELOW:
        return cell["bias_in_errors"] <= BIAS_ERRORS
    return estimator != "reverse-ais" or cell["bias_in_errors"] >= -BIAS_ERRORS


def verdict(results: Mapping[str, Result]) -> dict[str, bool | float]:
    """The conditions of the study, and the numbers they rest on."""
    cells = [
        (estimator, cell)
        for result in results.values()
        for estimator, cell in result["cells"].items()
    ]
    low = [cell for _, cell in cells if below(cell)]
    high = [cell for _, cell in cells if not below(cell)]
    firing = fmean(cell["warned"] for cell in low) if low else 1.0
    return {
        "cells": float(len(cells)),
        "share above the warning level": len(high) / len(cells),
        "warnings fire below it": firing,
        "coverage holds": all(covered(cell) for cell in high),
        "enough cells above": len(high) >= ABOVE_SHARE * len(cells),
        "enough warnings below": firing >= FIRING_SHARE,
        "bounds on their side": all(unbiased(name, cell) for name, cell in cells),
    }


def cells(quick: bool) -> dict[str, Callable[[], Result]]:
    """One harness cell per target: its estimators share their draws."""
    return {name: partial(measure_target, name, quick) for name in TARGETS}


def render(results: Mapping[str, Result]) -> str:
    """The Markdown table and the verdict."""
    lines = [
        "| target | estimator | named | repetitions | coverage | warned | below the warning level "
        "| mean error / its standard error | rms error | median stderr | |",
        "|---" * 11 + "|",
    ]
    for name in [name for name in TARGETS if name in results]:
        for estimator, cell in results[name]["cells"].items():
            low = below(cell)
            sound = (low or covered(cell)) and unbiased(estimator, cell)
            lines.append(
                f"| {name} | {estimator} | {cell['named']} | {cell['seeds']} "
                f"| {cell['coverage']:.1%} | {cell['warned']:.0%} | {'yes' if low else ''} "
                f"| {cell['bias_in_errors']:+.1f} | {cell['rms']:.3f} | {cell['stderr']:.3f} "
                f"| {'' if sound else 'MISSED'} |"
            )
    lines.append("")
    for condition, value in verdict(results).items():
        text = ("yes" if value else "no") if isinstance(value, bool) else f"{value:.3g}"
        lines.append(f"- {condition}: {text}")
    return "\n".join(lines)


STUDY = Study("logz-coverage", __doc__ or "", cells, render)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the study; the exit status."""
    return run_study(STUDY, argv)


if __name__ == "__main__":
    sys.exit(main())
