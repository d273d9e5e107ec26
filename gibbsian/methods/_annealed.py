"""How an energy is sampled that no chain was trained with: annealed from a distribution fitted to the data.

Chains from noise would have to find the data, and the weights of modes that nothing joins; where their steps
fit neither the energy nor the walls of a box they stand still. A sequential Monte Carlo sampler (Del Moral,
Doucet and Jasra 2006) on the way from the fitted distribution to the model weighs its particles instead, and
adapts its steps on the way. On a box everything happens in the logits, which know no walls.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from gibbsian.core import Energy
from gibbsian.core.measures import Measure, Undefined
from gibbsian.methods._langevin import LangevinSampler, SamplerOptions
from gibbsian.methods.noise_law import FittedNoise
from gibbsian.samplers import mala, random_walk_metropolis, run_chains
from gibbsian.samplers.importance import resample_by_weight
from gibbsian.samplers.potential import AnnealingPath
from gibbsian.samplers.tempering import ScheduleError, adapt_annealing_schedule, smc

PARTICLES, PILOT, BLOCK = 512, 512, 4096
"""Particles there are at least, those of the pilot that makes the schedule, and the most at once."""
CONDITIONAL_ESS, MOVES, FIRST_STEP = 0.95, 2, 0.1


@dataclass(frozen=True)
class InLogits:
    """E(x) / T and the noise's -log q(x) as energies of coordinates u without walls.

    u are the logits of x on a box, and x itself elsewhere.
    """

    plain: LangevinSampler
    noise: FittedNoise
    energy: Energy

    def __call__(self, u: Tensor) -> Tensor:
        """``[B, *event] -> [B]``: the model's energy under its measure, with the Jacobian of the logits."""
        temperature = self.plain.options.noise_scale**2
        x = self.noise.from_coordinates(u)
        return self.plain.target(self.energy)(x) / temperature - self.noise.log_jacobian(u)

    def reference(self, u: Tensor) -> Tensor:
        """``[B, *event] -> [B]``: minus the log-density of the fitted Gaussian."""
        return -self.noise.gaussian.log_density(u)

    def draw(self, n: int, rng: Generator) -> Tensor:
        """``[n, *event]`` draws of the reference."""
        return self.noise.gaussian.sample(n, rng)


@dataclass(frozen=True)
class AnnealedSampler:
    """Samples of exp(-E / noise_scale^2) under ``measure``, annealed from ``noise``.

    With ``sampler.kernel`` auto; a kernel that is named runs as plain chains from the noise, as
    `LangevinSampler` has them, with its step size. Raises ValueError as that does.
    """

    measure: Measure | Undefined
    options: SamplerOptions
    noise: FittedNoise

    def __post_init__(self) -> None:
        LangevinSampler(self.measure, self.options)  # which refuses what it cannot sample

    @property
    def plain(self) -> LangevinSampler:
        """The same options as chains of x."""
        return LangevinSampler(self.measure, self.options)

    def inside(self, x: Tensor) -> Tensor:
        """``x`` clamped to the box, if there is one."""
        return self.plain.inside(x)

    def draw(self, energy: Energy, n: int, rng: Generator) -> Tensor:
        """``[n, *event]`` samples."""
        if self.options.kernel != "auto":
            return self.plain.sample(energy, self.noise.sample(n, rng), rng)
        target = InLogits(self.plain, self.noise, energy)
        blocks = [min(BLOCK, n - begun) for begun in range(0, n, BLOCK)]
        return torch.cat([self._annealed(target, size, rng) for size in blocks])

    def sample(self, energy: Energy, x0: Tensor, rng: Generator) -> Tensor:
        """``x0 [n, *event]`` after ``steps_per_sample`` steps, whose size some first steps adapt."""
        if self.options.kernel != "auto":
            return self.plain.sample(energy, x0, rng)
        target = InLogits(self.plain, self.noise, energy)
        u = self.noise.to_coordinates(x0).to(x0)
        # A path that ends where it begins: its pilot does nothing but adapt the step size.
        kernel = mala(AnnealingPath(target, target), FIRST_STEP)
        pilot = adapt_annealing_schedule(kernel, u, rng, moves=MOVES)
        return self._moved(target, u, float(pilot.step_sizes[-1, 0]), rng)

    def _annealed(self, target: InLogits, n: int, rng: Generator) -> Tensor:
        """``[n, *event]`` of one run of the sequential sampler, moved on."""
        kernel = mala(AnnealingPath(target.reference, target), FIRST_STEP)
        try:
            schedule = adapt_annealing_schedule(
                kernel, target.draw(PILOT, rng), rng, conditional_ess=CONDITIONAL_ESS, moves=MOVES
            )
        except ScheduleError:
            warnings.warn(
                "this energy lies too far from the Gaussian fitted to the data to be annealed to: the "
                "samples are of plain chains from there, which need not have found it nor the weights of "
                "its modes",
                stacklevel=2,
            )
            return self._moved(target, target.draw(n, rng), self.options.step_size, rng)
        passed = smc(kernel, target.draw(max(n, PARTICLES), rng), schedule, rng, moves=MOVES)
        chosen = resample_by_weight(passed.log_weights[0], n, rng).to(passed.x.device)
        shuffled = chosen[torch.randperm(n, generator=rng, device=rng.device)]
        return self._moved(target, passed.x[shuffled], float(schedule.step_sizes[-1, 0]), rng)

    def _moved(self, target: InLogits, u: Tensor, step_size: float, rng: Generator) -> Tensor:
        """Points of the space: ``u`` after rounds of MALA and a wide Metropolis step, if there is one."""
        options = self.options
        langevin = mala(target, step_size)
        wide = random_walk_metropolis(target, options.metropolis_step_std or 1.0)
        for _ in range(-(-options.steps_per_sample // options.steps)):
            u = run_chains(langevin, u, options.steps, rng, keep="last").state.x
            if options.metropolis_step_std:
                u = run_chains(wide, u, 1, rng, keep="last").state.x
        return self.noise.from_coordinates(u)
