"""A kernel that tunes itself from its own chains: MEADS (Hoffman and Sountsov, 2022).

Generalized Hamiltonian Monte Carlo keeps its momentum from step to step, so that one leapfrog step
at a time makes long trajectories. Step size, damping and the scale of every coordinate come from
the chains: each of two halves is moved with what the other half shows. Given the other half that
is a kernel with fixed settings, so that every step, from the first on, leaves the target of all
chains invariant: there is no warm-up, only the burn-in of chains that start elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from gibbsian.core import Energy
from gibbsian.samplers.hmc import MAX_ENERGY_ERROR, leapfrog
from gibbsian.samplers.kernel import (
    ChainState,
    MarkovKernel,
    Noise,
    TransitionInfo,
    accept_or_keep,
    finite,
    kernel_of,
    normal_like,
    sum_event,
    uniform_like,
)
from gibbsian.samplers.potential import AnnealingPath, Evaluate, refuse_bounded

FEWEST_CHAINS = 4


@dataclass(frozen=True, slots=True)
class SelfTuned:
    """What the next step needs.

    ``inner``: the chains, ``velocity`` their momenta r ~ N(0, I), ``step_size [B]`` the last ones
    used, in units of the scale, which is found anew in every step (that of ``inner`` stays 1).
    ``slice_variable [B]``: u in [-1, 1), |u| uniform. ``count``: 0-d, the steps taken.
    """

    inner: ChainState
    slice_variable: Tensor
    count: Tensor

    @property
    def x(self) -> Tensor:
        """``[B, *event]``."""
        return self.inner.x

    @property
    def step_size(self) -> Tensor:
        """``[B]``, in units of the scale."""
        return self.inner.step_size


class Tuning(NamedTuple):
    """What one half shows the other: h and alpha, 0-d, and the scale s ``[*event]``."""

    step_size: Tensor
    damping: Tensor
    scale: Tensor


def meads(energy: Energy | AnnealingPath, *, beta: float | Tensor = 1.0) -> MarkovKernel[SelfTuned]:
    """Generalized HMC with the settings that its chains suggest. Exact; one gradient a step.

    Hoffman and Sountsov, "Tuning-free generalized Hamiltonian Monte Carlo" (AISTATS 2022,
    algorithm 3), with two halves of the chains that take turns in place of their four folds, of
    which one rests. `tuning` says what the settings are. With u the slice variable (Neal, 2020) a
    step is

        r <- sqrt(1 - alpha) r + sqrt(alpha) xi;    u <- (u + 1 + alpha / 2) mod 2 - 1;
        (x', r') from (x, r) by one leapfrog step of size h in x / s;
        where |u| < exp(-dH):  (x, r) <- (x', r') and u <- u exp(dH);    elsewhere r <- -r.

    For a hundred chains and more. Draws of neighbouring steps lie close together: keep every tenth.

    ``init`` raises ValueError for fewer than four chains, and where half of them have no spread in a
    coordinate: the spread of the start points is the first scale.
    """
    refuse_bounded(energy)
    evaluate = Evaluate(energy)

    def init(x0: Tensor) -> SelfTuned:
        inner = evaluate.init(x0, 1.0, 1.0, beta)
        refuse_no_spread(inner.x)
        inner = inner.replace(
            velocity=torch.zeros_like(inner.x), step_size=torch.ones_like(inner.energy)
        )
        return SelfTuned(inner, torch.zeros_like(inner.energy), inner.energy.new_zeros(()))

    def noise(state: SelfTuned, rng: Generator) -> Noise:
        return normal_like(state.x, rng), uniform_like(state.inner.energy, rng)

    def move(state: SelfTuned, noise: Noise) -> tuple[SelfTuned, TransitionInfo]:
        rows = torch.arange(len(state.x), device=state.x.device)
        even, odd = rows[::2], rows[1::2]
        first = state.count == 0  # momenta and slice variables are still to be drawn
        u = torch.where(first, 2 * noise[1] - 1, state.slice_variable)
        a, b = state.inner.select(even), state.inner.select(odd)
        a, u_a, info_a = moved(a, tuning(b, state.count), noise[0][even], u[even], first)
        b, u_b, info_b = moved(b, tuning(a, state.count), noise[0][odd], u[odd], first)
        back = torch.cat([even, odd]).argsort()
        info = TransitionInfo(
            torch.cat([info_a.acceptance, info_b.acceptance])[back],
            torch.cat([info_a.diverging, info_b.diverging])[back],
            evaluations=1,
        )
        return SelfTuned(joined(a, b, back), torch.cat([u_a, u_b])[back], state.count + 1), info

    def moved(
        state: ChainState, tuned: Tuning, xi: Tensor, u: Tensor, first: Tensor
    ) -> tuple[ChainState, Tensor, TransitionInfo]:
        h, alpha, s = tuned
        alpha = torch.where(first, 1.0, alpha)
        assert state.velocity is not None
        r = (1 - alpha).sqrt() * state.velocity + alpha.sqrt() * xi
        u = torch.remainder(u + 1 + alpha / 2, 2) - 1
        end, r_end = leapfrog(evaluate, state.replace(scale=s), r, h, 1)
        gain = sum_event(r * r - r_end * r_end) / 2
        log_ratio = state.potential - end.potential + gain
        sound = finite(gain) & (end.potential > -torch.inf)
        sound = sound & ((log_ratio > -MAX_ENERGY_ERROR) | (end.potential == torch.inf))
        acceptance = log_ratio.exp().clamp(max=1.0).masked_fill(~sound, 0.0)
        accept = sound & (u.abs() < log_ratio.exp())
        stay = state.replace(velocity=-r, step_size=h.expand(len(u)))
        new = accept_or_keep(accept, end.replace(velocity=r_end), stay)
        return (
            new,
            torch.where(accept, u * (-log_ratio).exp(), u),
            TransitionInfo(acceptance, ~sound, 1),
        )

    return kernel_of(init, noise, move)


def tuning(state: ChainState, count: Tensor) -> Tuning:
    """The settings that the chains of ``state`` suggest for others, after ``count`` steps.

    In x / s, s the standard deviation of every coordinate: h = 1 / (2 sqrt(l)), at most 1, with l the
    largest eigenvalue of the gradients' second moment; alpha = 1 - exp(-2 gamma h), gamma = 1 / sqrt(m),
    m that of the positions' covariance, and at least 1 / (t h) in step t.
    """
    s = state.x.std(0).clamp_min(torch.finfo(state.x.dtype).tiny)
    h = 0.5 / largest_eigenvalue(state.potential_grad * s).sqrt()
    h = h.clamp(max=1.0)
    gamma = 1 / largest_eigenvalue((state.x - state.x.mean(0)) / s).sqrt()
    gamma = torch.maximum(gamma, 1 / ((count + 1) * h))
    return Tuning(h, 1 - torch.exp(-2 * gamma * h), s)


def largest_eigenvalue(rows: Tensor) -> Tensor:
    """That of the second moment of ``rows [n, *event]``, 0-d, as sum l^2 / sum l over its eigenvalues l.

    Without the terms of a row with itself the numerator has no bias. At least the mean
    eigenvalue, which no largest one is below.
    """
    x = rows.flatten(1)
    n, d = x.shape
    gram = x.T @ x if d < n else x @ x.T  # either way with the same sum of squares
    square = x.square().sum(1)
    total = (square.sum() / n).clamp_min(torch.finfo(x.dtype).tiny)
    return torch.maximum(
        (gram.square().sum() - square.square().sum()) / (n * (n - 1)) / total, total / d
    )


def joined(a: ChainState, b: ChainState, order: Tensor) -> ChainState:
    """The chains of ``a`` and then those of ``b``, taken in ``order [B]``."""

    def rows(one: Tensor | None, other: Tensor | None) -> Tensor | None:
        return None if one is None or other is None else torch.cat([one, other])[order]

    x, energy, step_size = rows(a.x, b.x), rows(a.energy, b.energy), rows(a.step_size, b.step_size)
    assert x is not None and energy is not None and step_size is not None
    beta = a.beta if a.beta.ndim == 0 else torch.cat([a.beta, b.beta])[order]
    return ChainState(
        x,
        energy,
        rows(a.grad, b.grad),
        step_size,
        beta,
        a.scale,
        rows(a.velocity, b.velocity),
        rows(a.base, b.base),
        rows(a.base_grad, b.base_grad),
    )


def refuse_no_spread(x: Tensor) -> None:
    """ValueError where half of the chains ``x [B, *event]`` are equal in some coordinate."""
    if len(x) < FEWEST_CHAINS:
        raise ValueError(
            f"meads finds its settings in its chains and needs at least {FEWEST_CHAINS} of them, "
            f"better a hundred; got {len(x)}"
        )
    for half in (x[::2], x[1::2]):
        if bool((half == half[:1]).all(0).any()):
            raise ValueError(
                "meads takes its first scale from the spread of the start points, and half of these "
                "do not differ in some coordinate; start the chains apart"
            )
