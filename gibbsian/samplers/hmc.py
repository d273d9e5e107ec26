"""Hamiltonian Monte Carlo with the leapfrog integrator.

There is no no-U-turn sampler here. It stops each trajectory at its own length, a power of two
between 2 and 1024 gradients; in a batch of thousands of chains that move in lock step, every
iteration costs what the longest trajectory costs, and the bookkeeping of the tree (checkpoints,
U-turn tests, masks) is paid by all. Jittered trajectories of one length, chosen with the step size
for the whole batch, waste nothing (Hoffman, Radul, Sountsov, 2021, make the same case).
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from gibbsian.core import Energy
from gibbsian.samplers.kernel import (
    ChainState,
    MarkovKernel,
    Noise,
    TransitionInfo,
    check_positive,
    finite,
    kernel_of,
    metropolis,
    normal_like,
    per_chain,
    slope,
    sum_event,
    uniform_like,
)
from gibbsian.samplers.potential import AnnealingPath, Evaluate, refuse_bounded

MAX_ENERGY_ERROR = 1000.0
"""Nats the integrator may gain before a trajectory counts as diverging."""


def hmc(
    energy: Energy | AnnealingPath,
    step_size: float | Tensor,
    steps: int = 10,
    *,
    jitter: float = 0.0,
    scale: float | Tensor = 1.0,
    beta: float | Tensor = 1.0,
) -> MarkovKernel[ChainState]:
    """Hamiltonian Monte Carlo (Duane et al., 1987; Neal, 2011). Exact; ``steps`` gradients a step.

    Fresh momentum r ~ N(0, I), then ``steps`` leapfrog steps of size h in x / s:
    r <- r - h/2 s grad Phi,  x <- x + h s r,  r <- r - h/2 s grad Phi, and a Metropolis step on
    H = Phi(x) + |r|^2 / 2. ``jitter`` j draws each chain's step size uniformly from
    h [1 - j, 1 + j], which breaks the resonances of trajectories of fixed length.

    Raises ValueError if the step size is not positive, ``steps`` < 1 or jitter outside [0, 1).
    """
    check_positive("step_size", step_size)
    check_positive("scale", scale)
    if steps < 1:
        raise ValueError(f"a trajectory needs at least one leapfrog step; got steps={steps}")
    if not 0 <= jitter < 1:
        raise ValueError(f"jitter must lie in [0, 1); got {jitter}")
    refuse_bounded(energy)
    evaluate = Evaluate(energy)

    def init(x0: Tensor) -> ChainState:
        return evaluate.init(x0, step_size, scale, beta)

    def noise(state: ChainState, rng: Generator) -> Noise:
        base = normal_like(state.x, rng), uniform_like(state.energy, rng)
        return (*base, uniform_like(state.energy, rng)) if jitter else base

    def move(state: ChainState, noise: Noise) -> tuple[ChainState, TransitionInfo]:
        state, h = evaluate.with_gradient(state), state.step_size
        if jitter:
            h = h * (1 - jitter + 2 * jitter * noise[2])
        start = noise[0]
        end, r = leapfrog(evaluate, state, start, per_chain(h, state.x), steps)
        gain = sum_event(torch.addcmul(start * start, r, r, value=-1)) / 2
        potential = end.potential
        log_ratio = state.potential - potential + gain
        sound = finite(gain) & (potential > -torch.inf)
        sound = sound & ((log_ratio > -MAX_ENERGY_ERROR) | (potential == torch.inf))
        return metropolis(state, end, log_ratio, sound, noise[1], steps)

    return kernel_of(init, noise, move, evaluations=steps)


def leapfrog(
    evaluate: Evaluate, state: ChainState, momentum: Tensor, h: Tensor, steps: int
) -> tuple[ChainState, Tensor]:
    """The state and momentum after ``steps`` leapfrog steps; one gradient each.

    The gradient at the start is the state's, so it is not computed again. Time-reversible and
    volume-preserving; the energy error of a fixed time is of second order in h.
    """
    length, (g, b) = h * state.scale, slope(state)
    kick = length if b is None else length * per_chain(b, state.x)
    r = torch.addcmul(momentum, g, kick / 2, value=-1)
    for i in range(steps):
        state = evaluate(state, torch.addcmul(state.x, r, length))
        r.addcmul_(slope(state)[0], kick if i < steps - 1 else kick / 2, value=-1)
    return state, r
