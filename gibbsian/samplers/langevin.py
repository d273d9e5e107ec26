"""Langevin kernels: unadjusted (ULA), Metropolis-adjusted (MALA) and kinetic (A-B-O-B-A).

Overdamped convention, for a potential Phi and step size h:  z' = z - h grad Phi(z) + sqrt(2 h) xi.
With a diagonal scale s the same holds for z / s, that is  z' = z - h s^2 grad Phi + s sqrt(2 h) xi.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from gibbsian.core import Energy
from gibbsian.samplers.kernel import (
    Evaluate,
    Info,
    Kernel,
    Path,
    State,
    accept_or_keep,
    check_positive,
    metropolis,
    per_chain,
    sum_event,
)


def gaussian_like(x: Tensor, rng: Generator) -> Tensor:
    """Standard normal noise of the shape, dtype and device of ``x``."""
    return torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)


def reflect(x: Tensor, low: float, high: float) -> Tensor:
    """``x`` folded back into [low, high] at the walls, as often as needed."""
    width = high - low
    return high - (torch.remainder(x - low, 2 * width) - width).abs()


def ula(
    energy: Energy | Path,
    step_size: float | Tensor,
    *,
    box: tuple[float, float] | None = None,
    scale: float | Tensor = 1.0,
    beta: float | Tensor = 1.0,
) -> Kernel:
    """Unadjusted Langevin (Roberts and Tweedie, 1996): z' = z - h grad Phi + sqrt(2 h) xi.

    Biased: on N(0, 1) the stationary variance is 1 / (1 - h / 2). One gradient a step. ``box``
    (low, high) reflects at the walls. A proposal that is not finite is not taken, and counted.

    Raises ValueError if the step size is not positive.
    """
    check_positive("step_size", step_size)
    check_positive("scale", scale)
    evaluate = Evaluate(energy)

    def init(x0: Tensor) -> State:
        return evaluate.init(x0, step_size, scale, beta)

    def step(state: State, rng: Generator) -> tuple[State, Info]:
        h, s = per_chain(state.step_size, state.x), state.scale
        x = torch.addcmul(state.x, state.potential_grad, h * s.square(), value=-1)
        x = torch.addcmul(x, gaussian_like(x, rng), (2 * h).sqrt() * s)
        if box is not None:
            x = reflect(x, *box)
        proposal = evaluate(state, x)
        sound = torch.isfinite(proposal.potential + sum_event(proposal.potential_grad))
        return accept_or_keep(sound, proposal, state), Info(sound.to(x.dtype), ~sound, 1)

    return Kernel(init, step)


def mala(
    energy: Energy | Path,
    step_size: float | Tensor,
    *,
    scale: float | Tensor = 1.0,
    beta: float | Tensor = 1.0,
) -> Kernel:
    """Metropolis-adjusted Langevin (Roberts and Tweedie, 1996). One gradient a step; exact.

    z' = z - h grad Phi(z) + sqrt(2 h) xi is accepted with probability min(1, exp(r)),
    r = Phi(z) - Phi(z') + |xi|^2 / 2 - |xi'|^2 / 2, where xi' = sqrt(h / 2) (grad Phi(z) +
    grad Phi(z')) - xi is the noise that would lead back.

    Raises ValueError if the step size is not positive.
    """
    check_positive("step_size", step_size)
    check_positive("scale", scale)
    evaluate = Evaluate(energy)

    def init(x0: Tensor) -> State:
        return evaluate.init(x0, step_size, scale, beta)

    def step(state: State, rng: Generator) -> tuple[State, Info]:
        h, s = per_chain(state.step_size, state.x), state.scale
        xi, grad = gaussian_like(state.x, rng), state.potential_grad
        x = torch.addcmul(state.x, grad, h * s.square(), value=-1)
        proposal = evaluate(state, torch.addcmul(x, xi, (2 * h).sqrt() * s))
        w = (grad + proposal.potential_grad) * ((h / 2).sqrt() * s)
        # |xi|^2 / 2 - |xi'|^2 / 2 with xi' = w - xi.
        reverse = sum_event(w * torch.sub(xi, w, alpha=0.5))
        end = proposal.potential
        sound = torch.isfinite(reverse) & (end > -torch.inf)
        return metropolis(state, proposal, state.potential - end + reverse, sound, rng, 1)

    return Kernel(init, step)
