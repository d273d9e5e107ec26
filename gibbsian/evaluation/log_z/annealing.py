"""The estimators of log Z that walk a path from a reference to the target.

`Problem` runs them for all repetitions of its reference at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Generator, Tensor

from gibbsian.core import Estimate
from gibbsian.core.measures import Mixed
from gibbsian.evaluation.log_z.effort import LogZEffort
from gibbsian.evaluation.log_z.estimators import (
    LogZ,
    bridge,
    from_runs,
    from_weights,
    thermodynamic,
)
from gibbsian.evaluation.log_z.references import Reference
from gibbsian.samplers.binary import RBM, block_gibbs, discrete_mala
from gibbsian.samplers.importance import resample_by_weight
from gibbsian.samplers.kernel import ChainState, MarkovKernel
from gibbsian.samplers.langevin import mala
from gibbsian.samplers.mixed import mixed_gibbs
from gibbsian.samplers.potential import AnnealingPath
from gibbsian.samplers.tempering import (
    AnnealedParticles,
    AnnealingSchedule,
    adapt_annealing_schedule,
    ais,
    smc,
)

Estimator = Literal[
    "quadrature", "importance", "ais", "smc", "reverse-ais", "bridge", "thermodynamic"
]
SAMPLING: tuple[Estimator, ...] = (
    "importance",
    "ais",
    "smc",
    "reverse-ais",
    "bridge",
    "thermodynamic",
)
KernelFor = Callable[[AnnealingPath], MarkovKernel[ChainState]]


def default_kernel(path: AnnealingPath) -> MarkovKernel[ChainState]:
    """MALA; its step size is adapted at every temperature."""
    return mala(path, 0.1)


def default_binary_kernel(path: AnnealingPath) -> MarkovKernel[ChainState]:
    """Block Gibbs for a path between restricted Boltzmann machines, otherwise discrete MALA."""
    return block_gibbs(path) if isinstance(path.energy, RBM) else discrete_mala(path, 0.5)


@dataclass(frozen=True)
class MixedKernel:
    """Gibbs steps on the categories of ``measure``, MALA on its numbers, as `KernelFor`."""

    measure: Mixed

    def __call__(self, path: AnnealingPath) -> MarkovKernel[ChainState]:
        """The kernel on a path; its step size is adapted at every temperature."""
        return mixed_gibbs(path, self.measure, 0.1)


@dataclass(frozen=True)
class Problem:
    """A path with the means to walk it. ``reference.runs`` repetitions are estimated at once."""

    path: AnnealingPath
    reference: Reference
    kernel: KernelFor
    effort: LogZEffort

    def log_weights(self, y: Tensor) -> Tensor:
        """log of exp(-U) over the reference's density at ``y [runs * n, ...]``, ``[runs, n]``."""
        with torch.no_grad():
            gap = self.reference.energy(y).cpu().double() - self.path.energy(y).cpu().double()
        return (gap + self.reference.log_normaliser).reshape(self.reference.runs, -1)

    def schedule(self, rng: Generator) -> AnnealingSchedule:
        """Temperatures and step sizes from a pilot, per repetition."""
        return adapt_annealing_schedule(
            self.kernel(self.path),
            self.reference.draw(self.effort.pilot, rng),
            rng,
            runs=self.reference.runs,
            conditional_ess=self.effort.conditional_ess,
            moves=self.effort.moves,
            max_temperatures=self.effort.max_temperatures,
        )

    def importance(self, rng: Generator) -> LogZ:
        """Importance sampling from the reference."""
        y = self.reference.draw(self.effort.draws, rng)
        return from_weights(self.log_weights(y), "importance sampling")

    def forward(self, schedule: AnnealingSchedule, rng: Generator) -> Tensor:
        """Log weights of forward AIS, ``[runs, particles]``."""
        start = self.reference.draw(self.effort.particles, rng)
        kernel = self.kernel(self.path)
        passed = ais(kernel, start, schedule, rng, moves=self.effort.moves)
        return passed.log_weights + self.reference.log_normaliser

    def backward(self, y: Tensor, schedule: AnnealingSchedule, rng: Generator) -> Tensor:
        """Log weights of reverse AIS from ``y``, estimates of 1 / Z, ``[runs, n]``."""
        kernel = self.kernel(self.path)
        passed = ais(kernel, y, schedule, rng, moves=self.effort.moves, reverse=True)
        return passed.log_weights - self.reference.log_normaliser

    def sequential(
        self, schedule: AnnealingSchedule, rng: Generator
    ) -> tuple[AnnealedParticles, AnnealingSchedule]:
        """``effort.runs`` runs of SMC per repetition."""
        wide = AnnealingSchedule(
            schedule.betas.repeat_interleave(self.effort.runs, 1),
            schedule.step_sizes.repeat_interleave(self.effort.runs, 1),
        )
        start = self.reference.draw(self.effort.runs * self.effort.run_particles, rng)
        return smc(self.kernel(self.path), start, wide, rng, moves=self.effort.moves), wide

    def smc_estimate(self, annealed: AnnealedParticles) -> LogZ:
        """From the runs of `sequential`."""
        ratios = annealed.log_ratio.reshape(-1, self.effort.runs) + self.reference.log_normaliser
        return from_runs(ratios, "sequential Monte Carlo")

    def thermodynamic_estimate(self, annealed: AnnealedParticles, wide: AnnealingSchedule) -> LogZ:
        """From the gaps along the runs of `sequential`."""
        assert annealed.gap_mean is not None and annealed.gap_variance is not None
        estimate = thermodynamic(
            wide.betas, annealed.gap_mean, annealed.gap_variance, self.effort.runs
        )
        shift = self.reference.log_normaliser
        return replace(
            estimate,
            value=estimate.value + shift,
            low=estimate.low + shift,
            high=estimate.high + shift,
        )

    def estimates(
        self, names: Sequence[Estimator], samples: Tensor | None, exact: bool, rng: Generator
    ) -> dict[str, Estimate]:
        """The estimates asked for, each by its name, of a reference with one run."""
        found: dict[str, Estimate] = {}
        if "importance" in names:
            found["importance"] = self.importance(rng).estimate()
        if set(names) <= {"importance"}:
            return found
        schedule = self.schedule(rng)
        forward = self.forward(schedule, rng) if {"ais", "bridge"} & set(names) else None
        if "ais" in names and forward is not None:
            found["ais"] = from_weights(forward, "annealed importance sampling").estimate()
        start = None if samples is None else self.reference.from_data(samples)
        if {"smc", "thermodynamic"} & set(names) or start is None:
            annealed, wide = self.sequential(schedule, rng)
            if "smc" in names:
                found["smc"] = self.smc_estimate(annealed).estimate()
            if "thermodynamic" in names:
                found["thermodynamic"] = self.thermodynamic_estimate(annealed, wide).estimate()
            if start is None:
                start, exact = pick(annealed, self.effort.particles, rng), False
        if {"reverse-ais", "bridge"} & set(names):
            backward = self.backward(start, schedule, rng)
            if "reverse-ais" in names:
                how = f"reverse AIS from {'exact' if exact else 'approximate'} samples"
                reverse = from_weights(backward, how, reverse=True, exact_start=exact)
                found["reverse-ais"] = reverse.estimate()
            if "bridge" in names and forward is not None:
                found["bridge"] = bridge(forward, -backward).estimate()
        return found


def pick(annealed: AnnealedParticles, n: int, rng: Generator) -> Tensor:
    """Up to ``n`` of the last particles of SMC, by weight and none of them twice.

    Copies of one particle are no independent draws, and an error that takes them for such is too small.
    """
    runs = len(annealed.log_weights)
    log_weight = (torch.log_softmax(annealed.log_weights, 1) - math.log(runs)).flatten()
    chosen = resample_by_weight(log_weight, n, rng, "systematic").unique()
    return annealed.x[chosen.to(annealed.x.device)]
