"""How an energy's own samples are made: Langevin chains with a wide Metropolis step after every few."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal

from torch import Generator, Tensor, nn

from gibbsian.core import Energy
from gibbsian.core.measures import Box, Counting, Gaussian, Measure, RealSpace, Undefined
from gibbsian.core.signatures import RARE
from gibbsian.methods.checks import (
    check_between,
    check_choice,
    check_positive,
    check_weight,
)
from gibbsian.samplers import (
    ChainState,
    MarkovKernel,
    energy_with_base_measure,
    mala,
    random_walk_metropolis,
    run_chains,
    ula,
)

MOST_STEPS = 100_000
"""Steps of a round: a run can be stopped between two rounds, and would not end in the middle of more."""


@dataclass(frozen=True)
class SamplerOptions:
    """How chains of exp(-E / noise_scale^2) move. Raises ValueError for settings that are no such numbers.

    Args:
        steps: Langevin or Gibbs steps per round, before the wide Metropolis step.
        step_size: h of x' = x - h grad E + noise sqrt(2 h) xi; of discrete MALA on bits, such as 0.3.
        kernel: ula takes every step, mala accepts or rejects it (no bias from the step size); gibbs is
            for bits, in blocks for rbm and ising, else one bit a step, chosen by the gradient; auto is
            gibbs on bits and mala elsewhere, annealed where no chains were trained with.
        metropolis_step_std: standard deviation of one random-walk Metropolis step at the end of each round,
            which crosses between modes; 0 for none, as on bits.
        steps_per_sample: steps before a chain is handed out as a sample, in whole rounds.
        noise_scale: 1 samples exp(-E), other values exp(-E / noise_scale^2).
    """

    steps: int = 5
    step_size: float = 0.01
    kernel: Literal["auto", "ula", "mala", "gibbs"] = "auto"
    metropolis_step_std: float = 0.0
    steps_per_sample: int = 500
    noise_scale: Annotated[float, RARE] = 1.0

    def __post_init__(self) -> None:
        check_between("sampler.steps", self.steps, 1, MOST_STEPS)
        check_positive("sampler.step_size", self.step_size)
        check_choice("sampler.kernel", self.kernel, ("auto", "ula", "mala", "gibbs"))
        check_weight("sampler.metropolis_step_std", self.metropolis_step_std)
        check_positive("sampler.noise_scale", self.noise_scale)
        check_between("sampler.steps_per_sample", self.steps_per_sample, 1, 10 * MOST_STEPS)


@dataclass(frozen=True)
class LangevinSampler:
    """Chains under ``measure``: rounds of Langevin steps and a wide Metropolis step.

    On a box no chain leaves it: ula reflects at the walls, the others reject. Raises ValueError for
    binary data, and for Gibbs steps.
    """

    measure: Measure | Undefined
    options: SamplerOptions = SamplerOptions()

    def __post_init__(self) -> None:
        if isinstance(self.measure, Counting):
            raise ValueError(
                "this method walks by Langevin dynamics, which needs continuous data; binary data "
                "cannot be used with it"
            )
        if self.options.kernel == "gibbs":
            raise ValueError("sampler.kernel gibbs is for bits; use mala or ula on real numbers")

    def start(self, n: int, rng: Generator) -> Tensor:
        """``[n, *event]``: uniform on a box, otherwise standard normal."""
        measure = self.measure
        law = measure if isinstance(measure, Box) else Gaussian(measure.shape)
        return law.sample(n, rng)

    def step(self, energy: Energy, x0: Tensor, rng: Generator) -> Tensor:
        """``x0 [n, *event]`` after ``steps`` Langevin steps and the wide Metropolis step, detached.

        Points outside a box are first moved onto its walls. Raises ValueError where a chain starts at
        an energy that is NaN or infinite.
        """
        options = self.options
        # A network is known by its identity; other energies may not be told apart.
        made = _kernels if isinstance(energy, nn.Module) else _kernels.__wrapped__
        langevin, wide = made(self, energy)
        state = run_chains(langevin, self.inside(x0), options.steps, rng, keep="last").state
        if wide is None:
            return state.x
        # The energies are known: another start would evaluate them again, and look at them.
        state = state.replace(grad=None, step_size=options.metropolis_step_std)
        return run_chains(wide, state, 1, rng, keep="last", compile=False).state.x

    def sample(self, energy: Energy, x0: Tensor, rng: Generator) -> Tensor:
        """``x0 [n, *event]`` after ``steps_per_sample`` Langevin steps or a few more, in whole rounds."""
        x = x0
        for _ in range(-(-self.options.steps_per_sample // self.options.steps)):
            x = self.step(energy, x, rng)
        return x

    def inside(self, x: Tensor) -> Tensor:
        """``x`` clamped to the box, if there is one."""
        if not isinstance(self.measure, Box):
            return x
        return x.clamp(self.measure.low, self.measure.high)

    def langevin(self, energy: Energy) -> MarkovKernel[ChainState]:
        """The Langevin kernel of exp(-E / noise_scale^2) under the base measure.

        With temperature T = noise_scale^2 its drift is h T grad(E / T) and its noise sqrt(2 h T) xi.
        """
        temperature = self.options.noise_scale**2
        h, beta = self.options.step_size * temperature, 1.0 / temperature
        if self.options.kernel != "ula":
            return mala(self.target(energy), h, beta=beta)
        if isinstance(self.measure, Box):
            return ula(energy, h, box=(self.measure.low, self.measure.high), beta=beta)
        return ula(self.target(energy), h, beta=beta)

    def target(self, energy: Energy) -> Energy:
        """E(x) - log b(x); E itself where there is no base measure."""
        if isinstance(self.measure, Undefined | RealSpace):
            return energy
        return energy_with_base_measure(energy, self.measure)

    def wide_step(self, energy: Energy) -> MarkovKernel[ChainState] | None:
        """The random-walk Metropolis step at the end of a round, if there is one."""
        std = self.options.metropolis_step_std
        return random_walk_metropolis(self.target(energy), std) if std else None


@lru_cache(maxsize=4)
def _kernels(
    sampler: LangevinSampler, energy: Energy
) -> tuple[MarkovKernel[ChainState], MarkovKernel[ChainState] | None]:
    """Built once for a run, not in every round."""
    return sampler.langevin(energy), sampler.wide_step(energy)
