"""Langevin kernels: unadjusted (ULA), Metropolis-adjusted (MALA) and kinetic (A-B-O-B-A).

Overdamped convention, for a potential Phi and step size h:  z' = z - h grad Phi(z) + sqrt(2 h) xi.
With a diagonal scale s the same holds for z / s, that is  z' = z - h s^2 grad Phi + s sqrt(2 h) xi.
All three cost one gradient a step.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Generator, Tensor

from gibbsian.core import Energy
from gibbsian.samplers.kernel import (
    ChainState,
    MarkovKernel,
    Noise,
    TransitionInfo,
    accept_or_keep,
    check_positive,
    finite,
    kernel_of,
    metropolis,
    no_chain,
    normal_like,
    ones,
    per_chain,
    remembered,
    slope,
    sum_event,
    surely_finite,
    uniform_like,
)
from gibbsian.samplers.potential import AnnealingPath, Evaluate, refuse_bounded


def reflect(x: Tensor, low: float, high: float) -> Tensor:
    """``x`` folded back into [low, high] at the walls, as often as needed."""
    width = high - low
    return high - (torch.remainder(x - low, 2 * width) - width).abs()


def take_if_finite(proposal: ChainState, state: ChainState) -> tuple[ChainState, TransitionInfo]:
    """The proposal of a kernel without a Metropolis step, unless it is NaN or infinite."""
    energy = proposal.energy
    values = [v for v in (energy, proposal.base) if v is not None]
    grads = [g for g in (proposal.grad, proposal.base_grad) if g is not None]
    if all(map(surely_finite, values)) and all(map(surely_finite, grads)):
        return proposal, all_taken(energy.shape, energy.dtype)
    rows = energy
    for value in values[1:] + [sum_event(grad) for grad in grads]:
        rows = rows + value
    sound = finite(rows)
    return accept_or_keep(sound, proposal, state), TransitionInfo(sound.to(rows), ~sound, 1)


@lru_cache(maxsize=16)
def all_taken(chains: torch.Size, dtype: torch.dtype) -> TransitionInfo:
    """The information that every chain on the CPU moved, made once."""
    return TransitionInfo(
        ones(chains, dtype, torch.device("cpu")), no_chain(chains), 1, all_moved=True
    )


def coefficients(
    h: Tensor, s: Tensor, b: Tensor | None, event_dims: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Of drift and noise, and their ratio: b h s^2, s sqrt(2 h) and b s sqrt(h / 2).

    All are shaped to multiply ``x [B, *event]``.
    """
    shape = (-1, *[1] * event_dims)
    h = h.reshape(shape) if h.ndim else h
    drift = h * s.square()
    if b is not None:
        drift = drift * (b.reshape(shape) if b.ndim else b)
    diffusion = (2 * h).sqrt() * s
    return drift, diffusion, drift / diffusion


def ula(
    energy: Energy | AnnealingPath,
    step_size: float | Tensor,
    *,
    box: tuple[float, float] | None = None,
    scale: float | Tensor = 1.0,
    beta: float | Tensor = 1.0,
) -> MarkovKernel[ChainState]:
    """Unadjusted Langevin (Roberts and Tweedie, 1996): z' = z - h grad Phi + sqrt(2 h) xi.

    Biased: on N(0, 1) the stationary variance is 1 / (1 - h / 2). ``box`` (low, high) reflects at
    the walls. A proposal that is not finite is not taken, and counted. The ``last`` step of a run
    looks at the energy alone: nobody uses a gradient there, unless the run is continued.

    Raises ValueError if the step size is not positive, the box is empty, or a bounded energy has none.
    """
    check_positive("step_size", step_size)
    check_positive("scale", scale)
    if box is not None and not box[0] < box[1]:
        raise ValueError(f"box must be (low, high) with low < high; got {box}")
    if box is None:
        refuse_bounded(energy)
    evaluate, terms = Evaluate(energy), remembered(coefficients)
    value = Evaluate(energy, gradient=False)

    def init(x0: Tensor) -> ChainState:
        return evaluate.init(x0, step_size, scale, beta)

    def noise(state: ChainState, rng: Generator) -> Noise:
        return (normal_like(state.x, rng),)

    def propose(state: ChainState, noise: Noise) -> Tensor:
        g, b = slope(state)
        drift, diffusion, _ = terms(state.step_size, state.scale, b, state.x.ndim - 1)
        x = torch.addcmul(state.x, g, drift, value=-1)
        x.addcmul_(noise[0], diffusion)
        return x if box is None else reflect(x, *box)

    def move(state: ChainState, noise: Noise) -> tuple[ChainState, TransitionInfo]:
        state = evaluate.with_gradient(state)
        return take_if_finite(evaluate(state, propose(state, noise)), state)

    def last(state: ChainState, noise: Noise) -> tuple[ChainState, TransitionInfo]:
        state = evaluate.with_gradient(state)
        return take_if_finite(value(state, propose(state, noise)), state)

    return kernel_of(init, noise, move, exact=False, last=last)


def mala(
    energy: Energy | AnnealingPath,
    step_size: float | Tensor,
    *,
    scale: float | Tensor = 1.0,
    beta: float | Tensor = 1.0,
) -> MarkovKernel[ChainState]:
    """Metropolis-adjusted Langevin (Roberts and Tweedie, 1996). Exact.

    z' = z - h grad Phi(z) + sqrt(2 h) xi is accepted with probability min(1, exp(r)),
    r = Phi(z) - Phi(z') + |xi|^2 / 2 - |xi'|^2 / 2, where xi' = w - xi is the noise that would lead
    back, w = sqrt(h / 2) (grad Phi(z) + grad Phi(z')).

    Raises ValueError if the step size is not positive.
    """
    check_positive("step_size", step_size)
    check_positive("scale", scale)
    refuse_bounded(energy)
    evaluate, terms = Evaluate(energy), remembered(coefficients)

    def init(x0: Tensor) -> ChainState:
        return evaluate.init(x0, step_size, scale, beta)

    def noise(state: ChainState, rng: Generator) -> Noise:
        return normal_like(state.x, rng), uniform_like(state.energy, rng)

    def move(state: ChainState, noise: Noise) -> tuple[ChainState, TransitionInfo]:
        state = evaluate.with_gradient(state)
        (xi, u), (g, b) = noise, slope(state)
        drift, diffusion, ratio = terms(state.step_size, state.scale, b, state.x.ndim - 1)
        x = torch.addcmul(state.x, g, drift, value=-1)
        x.addcmul_(xi, diffusion)
        proposal = evaluate(state, x)
        w = (g + slope(proposal)[0]) * ratio
        # |xi|^2 / 2 - |xi'|^2 / 2 with xi' = w - xi.
        way_back = sum_event(w * torch.sub(xi, w, alpha=0.5))
        end = proposal.potential
        log_ratio = state.potential - end + way_back
        known = surely_finite(log_ratio)
        sound = None if known else finite(way_back) & (end > -torch.inf)
        return metropolis(state, proposal, log_ratio, sound, u, 1)

    return kernel_of(init, noise, move)


def underdamped(
    energy: Energy | AnnealingPath,
    step_size: float | Tensor,
    *,
    friction: float,
    mass: float | Tensor = 1.0,
    beta: float | Tensor = 1.0,
) -> MarkovKernel[ChainState]:
    """Kinetic Langevin in the A-B-O-B-A splitting (Leimkuhler and Matthews, 2013).

    dz = v dt,  dv = -kappa v dt - grad Phi(z) / m dt + sqrt(2 kappa / m) dW, with kappa the
    friction (1 / time) and m the mass, 0-d or ``[*event]``; the scale of the state is m^(-1/2).
    No Metropolis step: the error is of second order in h; on N(0, 1) with m = 1 the position has
    variance 1 exactly and the velocity 1 / (1 - h^2 / 4). ``init`` starts at rest. The one gradient
    of a step is taken half way: ``energy`` and ``grad`` of the state are those of that point.

    Raises ValueError if step size, friction or mass is not positive.
    """
    check_positive("step_size", step_size)
    check_positive("friction", friction)
    check_positive("mass", mass)
    refuse_bounded(energy)
    evaluate = Evaluate(energy)
    scale = torch.as_tensor(mass).rsqrt()

    def init(x0: Tensor) -> ChainState:
        state = evaluate.init(x0, step_size, scale, beta)
        return state.replace(velocity=torch.zeros_like(state.x))

    def noise(state: ChainState, rng: Generator) -> Noise:
        return (normal_like(state.x, rng),)

    def move(state: ChainState, noise: Noise) -> tuple[ChainState, TransitionInfo]:
        h, s, v = per_chain(state.step_size, state.x), state.scale, state.velocity
        assert v is not None
        decay, kick = torch.exp(-friction * h), h / 2 * s.square()
        there = evaluate(state, torch.addcmul(state.x, v, h / 2))
        grad = there.potential_grad
        w = decay * torch.addcmul(v, grad, kick, value=-1)
        w = torch.addcmul(w, noise[0], (1 - decay.square()).sqrt() * s)
        w = torch.addcmul(w, grad, kick, value=-1)
        x = torch.addcmul(there.x, w, h / 2)
        # A chain that meets a wall of NaN turns round instead of meeting it again at every step.
        return take_if_finite(_at(there, x, w), _at(state, state.x, -v))

    return kernel_of(init, noise, move, exact=False)


def _at(state: ChainState, x: Tensor, velocity: Tensor) -> ChainState:
    return ChainState(
        x,
        state.energy,
        state.grad,
        state.step_size,
        state.beta,
        state.scale,
        velocity,
        state.base,
        state.base_grad,
    )
