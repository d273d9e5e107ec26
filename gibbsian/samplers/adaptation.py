"""Warm-up: the step size from a target acceptance, the scale of each coordinate from the draws."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from gibbsian.samplers.kernel import ChainState, MarkovKernel


@dataclass(frozen=True)
class DualAveraging:
    """Stochastic approximation of the step size (Nesterov, 2009; Hoffman and Gelman, 2014, eq. 6).

    log h_{t+1} = mu - sqrt(t) / gamma * mean_{i <= t} H_i (damped by t0), H = target - acceptance;
    the answer is the average of log h with weights t^-kappa. All tensors ``[groups]``; no host
    synchronisation.
    """

    mu: Tensor
    error: Tensor
    log_h: Tensor
    log_h_mean: Tensor
    t: int = 0

    @staticmethod
    def start(h: Tensor) -> DualAveraging:
        """From step sizes ``[groups]``; the search is drawn towards ten times them."""
        log_h = h.log()
        return DualAveraging(log_h + math.log(10.0), torch.zeros_like(h), log_h, log_h)

    def update(self, acceptance: Tensor, target: float) -> DualAveraging:
        """After a step with mean acceptance ``[groups]``; gamma 0.05, t0 10, kappa 0.75."""
        t = self.t + 1
        error = torch.lerp(self.error, target - acceptance, 1 / (t + 10))
        log_h = self.mu - math.sqrt(t) / 0.05 * error
        return DualAveraging(self.mu, error, log_h, torch.lerp(self.log_h_mean, log_h, t**-0.75), t)


def adapt_step_size(
    kernel: MarkovKernel[ChainState],
    x0: Tensor | ChainState,
    steps: int,
    rng: Generator,
    *,
    target_acceptance: float = 0.7,
    scale: bool = True,
    groups: int = 1,
) -> ChainState:
    """Warm up: ``steps`` steps that tune step size and scale; the state to ``run_chains`` from.

    The mean acceptance of all chains drives dual averaging to ``target_acceptance`` (near 0.57 for
    MALA, 0.65 to 0.8 for HMC, 0.23 to 0.44 for random walks). With ``scale`` the scale becomes the
    standard deviation of every coordinate over chains and draws of a window, in windows that double
    in length as in Stan; the last quarter of the steps tunes the step size alone. With
    ``groups`` > 1 the rows are that many equal blocks (the temperatures of parallel
    tempering), each with its own step size. The steps are not draws of the target: they adapt.

    Raises ValueError for fewer than 20 steps, a target outside (0, 1), unequal groups, or a kernel
    without a Metropolis step, whose acceptance says nothing.
    """
    if not kernel.exact:
        raise ValueError(
            "an unadjusted kernel accepts every step, so that its step size cannot be tuned by "
            "acceptance; tune mala or hmc, or set the step size by hand"
        )
    if steps < 20:
        raise ValueError(f"warm-up needs at least 20 steps; got {steps}")
    if not 0 < target_acceptance < 1:
        raise ValueError(f"target_acceptance must lie in (0, 1); got {target_acceptance}")
    state = kernel.init(x0) if isinstance(x0, Tensor) else x0
    chains = len(state.x)
    if groups < 1 or chains % groups:
        raise ValueError(f"{chains} chains do not split into {groups} equal groups")
    h = state.step_size.expand(chains).reshape(groups, -1)[:, 0]
    search, window = DualAveraging.start(h), Moments.empty(state.x)
    ends = window_ends(steps) if scale else frozenset()
    for i in range(1, steps + 1):
        state = state.replace(step_size=spread(search.log_h.exp(), chains))
        state, info = kernel.step(state, rng)
        search = search.update(info.acceptance.reshape(groups, -1).mean(1), target_acceptance)
        window = window.update(state.x)
        if i in ends:
            state = state.replace(scale=window.std())
            search, window = DualAveraging.start(search.log_h.exp()), Moments.empty(state.x)
    return state.replace(step_size=spread(search.log_h_mean.exp(), chains))


def spread(h: Tensor, chains: int) -> Tensor:
    """One step size per group as 0-d for one group, ``[chains]`` for several."""
    return h[0] if len(h) == 1 else h.repeat_interleave(chains // len(h))


def window_ends(steps: int) -> frozenset[int]:
    """Steps after which the scale is set anew: doubling windows from 10 to 3/4 of ``steps``."""
    ends, last, width = [], 0, 10
    while last + width <= 3 * steps // 4:
        # A last window too short for another doubling is merged into this one.
        last = last + width if last + 3 * width <= 3 * steps // 4 else 3 * steps // 4
        ends.append(last)
        width *= 2
    return frozenset(ends)


@dataclass(frozen=True)
class Moments:
    """Running mean and sum of squares per coordinate over batches of chains (Chan et al., 1983)."""

    n: int
    mean: Tensor
    square: Tensor

    @staticmethod
    def empty(x: Tensor) -> Moments:
        """Nothing seen yet; ``x [B, *event]`` gives the event shape."""
        return Moments(0, torch.zeros_like(x[0]), torch.zeros_like(x[0]))

    def update(self, x: Tensor) -> Moments:
        """With the rows of ``x [B, *event]`` added."""
        b, total = len(x), self.n + len(x)
        shift = x.mean(0) - self.mean
        square = self.square + (x - x.mean(0)).square().sum(0) + shift.square() * self.n * b / total
        return Moments(total, self.mean + shift * b / total, square)

    def std(self) -> Tensor:
        """``[*event]``, shrunk a little towards 1e-3 as Stan does for short windows."""
        variance = self.square / max(self.n - 1, 1)
        return ((self.n * variance + 5e-3) / (self.n + 5)).sqrt()
