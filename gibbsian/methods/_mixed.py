"""How samples of an energy on numbers and categories are made."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from gibbsian.core import Energy
from gibbsian.core.measures import Mixed
from gibbsian.methods._langevin import SamplerOptions
from gibbsian.samplers import energy_with_base_measure, mixed_gibbs, run_chains


@dataclass(frozen=True)
class MixedSampler:
    """Chains of exp(-E / noise_scale^2) on numbers and categories; exact (`mixed_gibbs`).

    Raises ValueError for steps that are for numbers alone or for bits.
    """

    measure: Mixed
    options: SamplerOptions = SamplerOptions()

    def __post_init__(self) -> None:
        if self.options.kernel not in ("auto", "mala"):
            raise ValueError(
                "rows with categories have one kernel, mala on their numbers between Gibbs steps on their "
                "categories; leave sampler.kernel at auto"
            )
        if self.options.metropolis_step_std != 0:
            raise ValueError(
                "sampler.metropolis_step_std is the width of a step on numbers alone; on rows with "
                "categories leave it at 0"
            )

    def start(self, n: int, rng: Generator) -> Tensor:
        """``[n, *event]``: uniform categories; numbers uniform on a box, otherwise standard normal."""
        return self.measure.sample(n, rng)

    def step(self, energy: Energy, x0: Tensor, rng: Generator) -> Tensor:
        """``x0 [n, *event]`` after ``steps`` steps, detached.

        Raises ValueError where a chain starts at an energy that is NaN or infinite.
        """
        return self.moved(energy, x0, self.options.steps, rng)

    def sample(self, energy: Energy, x0: Tensor, rng: Generator) -> Tensor:
        """``x0 [n, *event]`` after ``steps_per_sample`` steps."""
        return self.moved(energy, x0, self.options.steps_per_sample, rng)

    def moved(self, energy: Energy, x0: Tensor, steps: int, rng: Generator) -> Tensor:
        """``x0 [n, *event]`` after that many steps."""
        temperature = self.options.noise_scale**2
        kernel = mixed_gibbs(
            energy_with_base_measure(energy, self.measure),
            self.measure,
            self.options.step_size * temperature,
            beta=1.0 / temperature,
        )
        return run_chains(kernel, self.inside(x0), steps, rng, keep="last").state.x

    def inside(self, x: Tensor) -> Tensor:
        """``x`` with its numbers clamped to the box, if there is one."""
        if self.measure.box is None:
            return x
        numbers, categories = x.tensor_split([self.measure.numbers], 1)
        return torch.cat([numbers.clamp(*self.measure.box), categories], 1)
