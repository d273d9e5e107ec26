"""Metropolis-Hastings without gradients: random walk and independence proposals."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Generator, Tensor

from gibbsian.core import Energy
from gibbsian.samplers.kernel import (
    ChainState,
    MarkovKernel,
    Noise,
    TransitionInfo,
    check_positive,
    kernel_of,
    metropolis,
    normal_like,
    per_chain,
    uniform_like,
)
from gibbsian.samplers.potential import AnnealingPath, Evaluate, refuse_bounded


@runtime_checkable
class Proposal(Protocol):
    """A distribution to draw from whose log-density is known, up to a constant."""

    def sample(self, n: int, rng: Generator) -> Tensor:
        """``[n, *event]`` independent draws."""
        ...

    def log_density(self, x: Tensor) -> Tensor:
        """``[B, *event] -> [B]``."""
        ...


def check_proposal(proposal: object) -> None:
    """ValueError unless ``proposal`` can be drawn from and has a density."""
    for name, purpose in (("sample", "drawn from"), ("log_density", "weighed")):
        if not callable(getattr(proposal, name, None)):
            raise ValueError(
                f"the proposal {type(proposal).__name__} has no {name}(...), so its draws cannot "
                f"be {purpose}; pass a distribution with sample(n, rng) and log_density(x), such as "
                "gibbsian.core.measures.Gaussian"
            )


def random_walk_metropolis(
    energy: Energy | AnnealingPath,
    step_size: float | Tensor,
    *,
    scale: float | Tensor = 1.0,
    beta: float | Tensor = 1.0,
) -> MarkovKernel[ChainState]:
    """Random-walk Metropolis (Metropolis et al., 1953): x' = x + h s xi. Exact.

    One energy evaluation a step, no gradient. Best acceptance is near 0.44 in one dimension and
    0.234 in many (Roberts, Gelman, Gilks, 1997). Raises ValueError if the step size is not positive.
    """
    check_positive("step_size", step_size)
    check_positive("scale", scale)
    refuse_bounded(energy)
    evaluate = Evaluate(energy, gradient=False)

    def init(x0: Tensor) -> ChainState:
        return evaluate.init(x0, step_size, scale, beta)

    def noise(state: ChainState, rng: Generator) -> Noise:
        return normal_like(state.x, rng), uniform_like(state.energy, rng)

    def move(state: ChainState, noise: Noise) -> tuple[ChainState, TransitionInfo]:
        length = per_chain(state.step_size, state.x) * state.scale
        proposal = evaluate(state, torch.addcmul(state.x, noise[0], length))
        end = proposal.potential
        return metropolis(
            state, proposal, state.potential - end, end > -torch.inf, noise[1], evaluations=1
        )

    return kernel_of(init, noise, move)


def independence_metropolis(
    energy: Energy | AnnealingPath, proposal: Proposal, *, beta: float | Tensor = 1.0
) -> MarkovKernel[ChainState]:
    """Independence Metropolis-Hastings (Hastings, 1970): x' ~ q whatever x is. Exact.

    Accepted with probability min(1, w(x') / w(x)), w = exp(-Phi) / q. One energy evaluation and two
    of q a step. The MH-GAN is this kernel on a ``latent_energy`` with the latent prior as proposal.

    Raises ValueError if the proposal has no density.
    """
    check_proposal(proposal)
    refuse_bounded(energy)
    evaluate = Evaluate(energy, gradient=False)

    def init(x0: Tensor) -> ChainState:
        return evaluate.init(x0, 1.0, 1.0, beta)

    def noise(state: ChainState, rng: Generator) -> Noise:
        return proposal.sample(len(state.x), rng).to(state.x), uniform_like(state.energy, rng)

    def move(state: ChainState, noise: Noise) -> tuple[ChainState, TransitionInfo]:
        there = evaluate(state, noise[0])
        gain = proposal.log_density(state.x) - proposal.log_density(there.x)
        end = there.potential
        return metropolis(
            state, there, state.potential - end + gain, end > -torch.inf, noise[1], evaluations=1
        )

    return kernel_of(init, noise, move)
