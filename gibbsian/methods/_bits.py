"""How samples of an energy on bits are made: Gibbs chains, in blocks where the energy has any."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from gibbsian.core import Energy
from gibbsian.core.measures import Counting
from gibbsian.core.protocols import OnLattice
from gibbsian.methods._langevin import SamplerOptions
from gibbsian.samplers import (
    RBM,
    ChainState,
    MarkovKernel,
    block_gibbs,
    checkerboard_gibbs,
    discrete_mala,
    gibbs_with_gradients,
    run_chains,
)

SMALLEST_STEP = 0.05
"""Of discrete MALA: where flipping a bit changes nothing it is proposed once in 20 000 times."""


@dataclass(frozen=True)
class BitSampler:
    """Chains of exp(-E / noise_scale^2) on {0, 1}^d. All kernels are exact.

    The kernel gibbs takes the energy for what it is, a restricted Boltzmann machine (h given v, then
    v given h), a lattice (one colour of the checkerboard, then the other) or anything else, where it
    flips one bit a step, chosen by the gradient; mala is discrete MALA, which flips several.

    Raises ValueError for steps that need real numbers, and for a step size that flips nothing.
    """

    measure: Counting
    options: SamplerOptions = SamplerOptions()

    def __post_init__(self) -> None:
        options = self.options
        if options.metropolis_step_std != 0:
            raise ValueError(
                "sampler.metropolis_step_std is the width of a step on real numbers; on bits leave it at 0"
            )
        if options.kernel == "ula":
            raise ValueError(
                "unadjusted Langevin steps need real numbers; on bits use sampler.kernel gibbs or mala"
            )
        if options.kernel == "mala" and options.step_size < SMALLEST_STEP:
            raise ValueError(
                f"discrete MALA of sampler.step_size {options.step_size:g} flips no bits; take "
                f"{SMALLEST_STEP:g} or more, such as 0.3, or sampler.kernel gibbs, which has none"
            )

    def start(self, n: int, rng: Generator) -> Tensor:
        """``[n, *event]``: fair coins."""
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
        machine = RBM.behind(energy)
        if self.options.kernel != "mala" and machine is not None:
            v = x0.flatten(1)
            hidden = v.new_zeros(
                len(v), len(machine.hidden_bias)
            )  # drawn first, so what it is counts not
            kernel = block_gibbs(machine, beta=self.options.noise_scale**-2)
            joint = run_chains(kernel, torch.cat([v, hidden], 1), steps, rng, keep="last").state.x
            return machine.split(joint)[0].reshape(x0.shape)
        return run_chains(self.kernel_of(energy), x0, steps, rng, keep="last").state.x

    def kernel_of(self, energy: Energy) -> MarkovKernel[ChainState]:
        """The kernel on x alone."""
        beta = self.options.noise_scale**-2
        if self.options.kernel == "mala":
            return discrete_mala(energy, self.options.step_size, beta=beta)
        colours = colours_of(energy)
        if colours is not None:
            return checkerboard_gibbs(energy, colours, beta=beta)
        return gibbs_with_gradients(energy, beta=beta)


def colours_of(energy: object) -> Tensor | None:
    """Every second site of a lattice; None for another energy."""
    return energy.colours() if isinstance(energy, OnLattice) else None
