"""Parallel tempering: replicas at several temperatures that exchange their places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from gibbsian.samplers.kernel import ChainState, MarkovKernel, TransitionInfo


@dataclass(frozen=True)
class Replicas:
    """``chains`` chains at every temperature, stacked in one inner state, cold ones first."""

    inner: ChainState
    chains: int

    @property
    def x(self) -> Tensor:
        """``[chains, *event]``: the positions at beta = 1."""
        return self.inner.x[: self.chains]


def parallel_tempering(
    kernel: MarkovKernel[ChainState], betas: Sequence[float], *, step_power: float = 1.0
) -> MarkovKernel[Replicas]:
    """Replica exchange over any kernel (Swendsen and Wang, 1986; Geyer, 1991). Exact if that is.

    ``betas``: R inverse temperatures, falling from 1. One step moves every replica by ``kernel`` at
    its own beta, then exchanges the neighbours (0,1), (2,3), ... and after them (1,2), (3,4), ...
    Neighbours i, j exchange with probability min(1, exp((beta_i - beta_j) (g_i - g_j))), where
    g = ``energy_gap``. Along an ``AnnealingPath`` the hottest replicas sample its base, and beta may end at
    0. ``TransitionInfo.swaps [R - 1]``: mean acceptance per pair; aim at 0.2 or more everywhere.

    The step size at beta is the kernel's times beta^-step_power, at most 100 times: 1 suits
    Langevin, 1/2 HMC and random walks, 0 an ``AnnealingPath``. To tune one per temperature, warm up the inner
    state: ``adapt_step_size(kernel, start.inner, steps, rng, groups=R, scale=False)``.

    Raises ValueError unless betas fall strictly from 1 to a value >= 0.
    """
    ladder = torch.as_tensor(betas, dtype=torch.float64)
    falling = ladder.ndim == 1 and len(ladder) > 1 and bool((ladder.diff() < 0).all())
    if not falling or ladder[0] != 1 or ladder[-1] < 0:
        raise ValueError(f"betas must fall strictly from 1 to a value >= 0; got {list(betas)}")
    levels = len(ladder)

    def init(x0: Tensor) -> Replicas:
        state = kernel.init(x0.repeat(levels, *[1] * (x0.ndim - 1)))
        beta = ladder.to(state.energy).repeat_interleave(len(x0))
        h = state.step_size * beta.pow(-step_power).clamp_max(100.0)
        return Replicas(state.replace(beta=beta, step_size=h), len(x0))

    def step(state: Replicas, rng: Generator) -> tuple[Replicas, TransitionInfo]:
        inner, info = kernel.step(state.inner, rng)
        n = state.chains
        beta = inner.beta.reshape(levels, n)
        u = torch.rand(levels - 1, n, generator=rng, device=beta.device, dtype=beta.dtype)
        place = torch.arange(levels, device=beta.device)[:, None].repeat(1, n)
        swaps = beta.new_zeros(levels - 1)
        for first in (0, 1):
            gap = inner.energy_gap.reshape(levels, n).gather(0, place)
            # Pair k of neighbours is (k, k + 1); every second one is tried.
            pairs = slice(first, levels - 1, 2)
            log_ratio = ((beta[:-1] - beta[1:]) * (gap[:-1] - gap[1:]))[pairs]
            acceptance = log_ratio.exp().clamp(max=1.0)
            swaps[pairs] = acceptance.mean(1)
            accept = u[pairs] < acceptance
            low, high = place[:-1][pairs], place[1:][pairs]
            place[:-1][pairs], place[1:][pairs] = (
                torch.where(accept, high, low),
                torch.where(accept, low, high),
            )
        rows = (place * n + torch.arange(n, device=place.device)).flatten()
        moved = inner.select(rows).replace(step_size=inner.step_size, beta=inner.beta)
        cold = TransitionInfo(
            info.acceptance[:n], info.diverging[:n], levels * info.evaluations, swaps=swaps
        )
        return Replicas(moved, n), cold

    return MarkovKernel(init, step, exact=kernel.exact)
