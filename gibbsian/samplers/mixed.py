"""A kernel on rows of numbers and categories: Langevin steps on the one, Gibbs steps on the others."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from gibbsian.core import Energy
from gibbsian.core.measures import Mixed
from gibbsian.samplers.kernel import (
    ChainState,
    MarkovKernel,
    TransitionInfo,
    check_positive,
    finite,
    metropolis,
    per_chain,
    sum_event,
    uniform_like,
)
from gibbsian.samplers.potential import AnnealingPath, Evaluate


def mixed_gibbs(
    energy: Energy | AnnealingPath,
    measure: Mixed,
    step_size: float | Tensor,
    *,
    beta: float | Tensor = 1.0,
) -> MarkovKernel[ChainState]:
    """One category drawn from its exact conditional, then a MALA step on the numbers. Exact.

    The category is the same for all chains of a step and is drawn uniformly (random scan; Geman,
    Geman, 1984): its conditional is the softmax of -Phi with every value of its one-hot block put in,
    one energy evaluation for each. The numbers then make one step of ``mala`` (Roberts, Tweedie,
    1996), with their gradients alone; ``acceptance`` is that of this step, 1 without numbers. The
    energy may be +inf, as outside a box, but for where chains start.

    Raises ValueError if the step size is not positive, or a start is no row of ``measure``.
    """
    check_positive("step_size", step_size)
    numbers, blocks = measure.numbers, measure.blocks
    here, values = Evaluate(energy, gradient=numbers > 0), Evaluate(energy, gradient=False)

    def init(x0: Tensor) -> ChainState:
        refuse_other_rows(x0, measure)
        return here.init(x0, step_size, 1.0, beta)

    def gibbs(state: ChainState, rng: Generator) -> ChainState:
        block = blocks[int(torch.randint(len(blocks), (), generator=rng, device=rng.device))]
        x = with_every_value(state.x, block)
        b = state.beta.repeat_interleave(x.shape[1]) if state.beta.ndim else state.beta
        potential = values(state.replace(beta=b), x.flatten(0, 1)).potential.reshape(x.shape[:2])
        potential = potential.masked_fill(~finite(potential), torch.inf)
        # The present value has a finite potential, so that one can always be drawn.
        u = uniform_like(potential, rng).clamp_min(1e-30)
        drawn = (-potential - (-u.log()).log()).argmax(1)
        return here(state, x[torch.arange(len(x), device=x.device), drawn])

    def langevin(state: ChainState, rng: Generator) -> tuple[ChainState, TransitionInfo]:
        h = per_chain(state.step_size, state.x)
        size = len(state.x), numbers
        xi = torch.empty(size, dtype=state.x.dtype, device=state.x.device).normal_(generator=rng)
        u, g = uniform_like(state.energy, rng), state.potential_grad[:, :numbers]
        moved = state.x[:, :numbers] - h * g + (2 * h).sqrt() * xi
        proposal = here(state, torch.cat([moved, state.x[:, numbers:]], 1))
        w = (g + proposal.potential_grad[:, :numbers]) * (h / 2).sqrt()
        way_back = sum_event(w * (xi - 0.5 * w))  # |xi|^2 / 2 - |xi'|^2 / 2 with xi' = w - xi
        end = proposal.potential
        sound = finite(way_back) & (end > -torch.inf)
        return metropolis(state, proposal, state.potential - end + way_back, sound, u, 1)

    def step(state: ChainState, rng: Generator) -> tuple[ChainState, TransitionInfo]:
        if blocks:
            state = gibbs(state, rng)
        if numbers:
            return langevin(state, rng)
        taken = torch.ones_like(state.energy)
        return state, TransitionInfo(taken, taken == 0, 1)

    return MarkovKernel(init, step)


def with_every_value(x: Tensor, block: slice) -> Tensor:
    """``x [B, D]`` with every one-hot vector of a block put in, ``[B, K, D]``."""
    count = block.stop - block.start
    rows = x[:, None].repeat(1, count, 1)
    rows[:, :, block] = torch.eye(count, dtype=x.dtype, device=x.device)
    return rows


def refuse_other_rows(x0: Tensor, measure: Mixed) -> None:
    """ValueError unless ``x0 [B, D]`` has a one-hot block for each category."""
    for block in measure.blocks:
        part = x0[:, block]
        if not bool((((part == 0) | (part == 1)).all(1) & (part.sum(1) == 1)).all()):
            raise ValueError(
                f"chains on mixed rows start at one-hot blocks; coordinates {block.start} to "
                f"{block.stop - 1} of x0 hold others"
            )
