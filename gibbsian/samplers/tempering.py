"""Annealed importance sampling and sequential Monte Carlo along an ``AnnealingPath`` from V to U.

Both start at exact draws from exp(-V) and estimate log Z_1 / Z_0, Z_0 and Z_1 the integrals of
exp(-V) and exp(-U). ``runs`` independent repetitions of n particles each share one batch of
``runs * n`` chains, run by run; every run has its own temperatures and step sizes.

The schedule comes from a pilot (``adapt_annealing_schedule``) and is fixed afterwards: the estimate of
Z_1 / Z_0 is then unbiased, which one that adapts to its own particles is not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from gibbsian.core import progress
from gibbsian.samplers.kernel import ChainState, MarkovKernel

WARM_UP = 10
GAIN = 2.0
"""Change of log step size per unit of missed acceptance."""
STEP_RANGE = 1e3
"""The adapted step size stays within this factor of the kernel's own."""


class ScheduleError(ValueError):
    """The way from V to U is too long for the temperatures allowed."""


@dataclass(frozen=True)
class AnnealingSchedule:
    """``betas [K + 1, runs]`` from 0 to 1 and ``step_sizes [K, runs]`` of the moves at betas[1:].

    Runs that need fewer temperatures than others repeat beta = 1 at the end.
    """

    betas: Tensor
    step_sizes: Tensor


@dataclass(frozen=True)
class AnnealedParticles:
    """What a pass along the path leaves behind.

    ``log_weights [runs, n]``: of AIS, each an estimate of log Z_1 / Z_0 with E[exp] = Z_1 / Z_0
    (in reverse: of log Z_0 / Z_1); of SMC, those of the last particles. ``log_ratio [runs]``: the
    log of the unbiased estimate. ``x [runs * n, *event]``: the last particles. ``acceptance
    [runs]``: mean over moves. ``gap_mean, gap_variance [K + 1, runs]``: moments of U - V at
    every temperature, for thermodynamic integration (None for AIS). ``evaluations``: energy
    evaluations per particle.
    """

    log_weights: Tensor
    log_ratio: Tensor
    x: Tensor
    acceptance: Tensor
    gap_mean: Tensor | None
    gap_variance: Tensor | None
    evaluations: int


def adapt_annealing_schedule(
    kernel: MarkovKernel[ChainState],
    x0: Tensor,
    rng: Generator,
    *,
    runs: int = 1,
    conditional_ess: float = 0.98,
    moves: int = 1,
    target_acceptance: float = 0.7,
    max_temperatures: int = 1000,
) -> AnnealingSchedule:
    """Temperatures and step sizes from a pilot of SMC.

    Each next beta makes the conditional effective sample size (Zhou, Johansen and Aston, 2016),
    E[u]^2 / E[u^2] with u = exp(-dbeta (U - V)) over the weighted particles, fall to the share
    ``conditional_ess``; that of the step back, 1 / (E[u] E[1 / u]), must not be lower, so that the
    schedule serves both directions. The step size follows the mean acceptance of the run.

    ``x0 [runs * n, *event]``: exact draws from exp(-V). ``moves``: kernel steps per temperature.
    Raises ScheduleError if beta = 1 is not reached in ``max_temperatures``.
    """
    if not 0 < conditional_ess < 1:
        raise ValueError(f"conditional_ess must lie in (0, 1); got {conditional_ess}")
    state = kernel.init(x0)
    n = len(x0) // runs
    first = state.step_size.expand(len(x0)).reshape(runs, n)[:, 0].cpu().double()
    h = first
    beta = torch.zeros(runs, dtype=torch.float64)
    for _ in range(WARM_UP):
        state, accepted = _move(kernel, state, rng, beta, h, 1, n)
        h = _adapt(h, first, accepted - target_acceptance)
    log_w = torch.zeros(runs, n, dtype=torch.float64)
    betas, step_sizes = [beta], []
    with progress.counter("temperatures") as bar:
        while bool((beta < 1).any()):
            if len(betas) > max_temperatures:
                raise ScheduleError(
                    f"the path needs more than {max_temperatures} temperatures (beta reached "
                    f"{float(beta.min()):.3g}): choose a base closer to the target, or a lower "
                    "conditional_ess"
                )
            gap = _gap(state, runs)
            new_beta = _next_beta(gap, log_w, beta, conditional_ess)
            log_w = log_w - (new_beta - beta)[:, None] * gap
            beta = new_beta
            state, log_w = _resample(state, log_w, rng)
            state, accepted = _move(kernel, state, rng, beta, h, moves, n)
            h = _adapt(h, first, accepted - target_acceptance)
            betas.append(beta)
            step_sizes.append(h)
            bar.numbers = (("share annealed", float(beta.min())),)  # it ends at 1
            bar.update()
    return AnnealingSchedule(torch.stack(betas), torch.stack(step_sizes))


def ais(
    kernel: MarkovKernel[ChainState],
    x0: Tensor,
    schedule: AnnealingSchedule,
    rng: Generator,
    *,
    moves: int = 1,
    reverse: bool = False,
) -> AnnealedParticles:
    """Annealed importance sampling (Neal, 2001), forward or in reverse.

    Forward, from exact draws of exp(-V): E[exp(log_weights)] = Z_1 / Z_0, so by Jensen the log
    mean lies below log Z_1 / Z_0 in expectation. In reverse, from exact draws of exp(-U):
    E[exp(log_weights)] = Z_0 / Z_1, so minus the log mean lies above (Grosse, Ghahramani and
    Adams, 2015). The kernel must leave the density invariant at every temperature, which no
    unadjusted one does. With a reversible kernel (any Metropolis one) the reverse pass is the
    forward one's time reversal.
    """
    betas = schedule.betas.double()
    runs = betas.shape[1]
    n, levels = len(x0) // runs, len(betas) - 1
    state = kernel.init(x0)
    log_w = torch.zeros(runs, n, dtype=torch.float64)
    acceptance, evaluations = torch.zeros(runs, dtype=torch.float64), 0
    order = range(levels, 0, -1) if reverse else range(1, levels + 1)
    for k in progress.steps(order, f"annealing {'back' if reverse else 'forward'}"):
        increment = (betas[k - 1] - betas[k])[:, None] * _gap(state, runs)
        log_w = log_w - increment if reverse else log_w + increment
        level = k - 1 if reverse else k
        if level == 0:
            break
        state, accepted = _move(
            kernel, state, rng, betas[level], schedule.step_sizes[level - 1], moves, n
        )
        acceptance += accepted / levels
        evaluations += moves
    ratio = torch.logsumexp(log_w, 1) - math.log(n)
    return AnnealedParticles(log_w, ratio, state.x, acceptance, None, None, evaluations)


def smc(
    kernel: MarkovKernel[ChainState],
    x0: Tensor,
    schedule: AnnealingSchedule,
    rng: Generator,
    *,
    moves: int = 1,
    resample_below: float = 0.5,
) -> AnnealedParticles:
    """A sequential Monte Carlo sampler (Del Moral, Doucet and Jasra, 2006).

    As AIS, but a run whose effective sample size falls below the share ``resample_below`` of its
    particles is resampled (systematically). Its estimate of Z_1 / Z_0 is unbiased too. The particles
    of one run depend on each other: take the error from several runs.
    """
    betas = schedule.betas.double()
    runs = betas.shape[1]
    n, levels = len(x0) // runs, len(betas) - 1
    state = kernel.init(x0)
    log_w = torch.zeros(runs, n, dtype=torch.float64)
    ratio, acceptance = torch.zeros(2, runs, dtype=torch.float64)
    means, variances = [], []
    for k in progress.steps(range(1, levels + 1), "sequential Monte Carlo"):
        gap = _gap(state, runs)
        mean, variance = _weighted_moments(gap, log_w)
        means.append(mean)
        variances.append(variance)
        before = torch.logsumexp(log_w, 1)
        log_w = log_w + (betas[k - 1] - betas[k])[:, None] * gap
        ratio = ratio + torch.logsumexp(log_w, 1) - before
        state, log_w = _resample(state, log_w, rng, resample_below)
        state, accepted = _move(kernel, state, rng, betas[k], schedule.step_sizes[k - 1], moves, n)
        acceptance += accepted / levels
    mean, variance = _weighted_moments(_gap(state, runs), log_w)
    gap_mean = torch.stack([*means, mean])
    gap_variance = torch.stack([*variances, variance])
    return AnnealedParticles(
        log_w, ratio, state.x, acceptance, gap_mean, gap_variance, moves * levels
    )


def _gap(state: ChainState, runs: int) -> Tensor:
    """U - V ``[runs, n]`` in float64 on the CPU, like all bookkeeping; +inf where it is no number."""
    return state.energy_gap.cpu().double().nan_to_num(nan=math.inf).reshape(runs, -1)


def _move(
    kernel: MarkovKernel[ChainState],
    state: ChainState,
    rng: Generator,
    beta: Tensor,
    h: Tensor,
    moves: int,
    n: int,
) -> tuple[ChainState, Tensor]:
    """``moves`` steps at inverse temperature ``beta [runs]``; mean acceptance ``[runs]``."""
    state = state.replace(beta=beta.repeat_interleave(n), step_size=h.repeat_interleave(n))
    accepted = torch.zeros_like(beta)
    for _ in range(moves):
        state, info = kernel.step(state, rng)
        accepted += info.acceptance.cpu().double().reshape(len(beta), n).mean(1) / moves
    return state, accepted


def _adapt(h: Tensor, first: Tensor, excess: Tensor) -> Tensor:
    """Step sizes grown where too much was accepted, within a range of the kernel's own."""
    return (h * (GAIN * excess).exp()).clamp(first / STEP_RANGE, first * STEP_RANGE)


def _next_beta(gap: Tensor, log_w: Tensor, beta: Tensor, target: float) -> Tensor:
    """Per run, the beta at which the effective sample size of the step falls to ``target``."""
    weights = torch.log_softmax(log_w, 1)
    # A particle outside the target's support never comes back: it is no part of the reverse step.
    reverse_weights = weights.masked_fill(gap.isinf(), -math.inf)
    support = torch.logsumexp(reverse_weights, 1)

    def effective(new: Tensor) -> Tensor:
        log_u = (beta - new)[:, None] * gap
        mean = torch.logsumexp(weights + log_u, 1)
        forward = 2 * mean - torch.logsumexp(weights + 2 * log_u, 1)
        inverse = torch.logsumexp(reverse_weights - log_u.nan_to_num(neginf=0.0), 1)
        return torch.minimum(forward, 2 * support - mean - inverse).exp()

    low, high = beta, torch.ones_like(beta)
    done = effective(high) >= target
    for _ in range(40):
        middle = 0.5 * (low + high)
        enough = effective(middle) >= target
        low, high = torch.where(enough, middle, low), torch.where(enough, high, middle)
    return torch.where(done, 1.0, high)


def _resample(
    state: ChainState, log_w: Tensor, rng: Generator, below: float = 0.5
) -> tuple[ChainState, Tensor]:
    """Systematic resampling of the runs whose effective sample size is below ``below * n``."""
    runs, n = log_w.shape
    weights = torch.softmax(log_w, 1)
    poor = 1 / weights.square().sum(1) < below * n
    if not bool(poor.any()):
        return state, log_w
    u = torch.rand(runs, 1, generator=rng, device=rng.device, dtype=weights.dtype).cpu()
    positions = (torch.arange(n) + u) / n
    chosen = torch.searchsorted(weights.cumsum(1), positions).clamp(max=n - 1)
    stay = torch.arange(n).expand(runs, n)
    rows = torch.where(poor[:, None], chosen, stay) + n * torch.arange(runs)[:, None]
    return state.select(rows.flatten().to(state.x.device)), log_w.masked_fill(poor[:, None], 0.0)


def _weighted_moments(gap: Tensor, log_w: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of the gap under the normalised weights, ``[runs]`` each."""
    weights = torch.softmax(log_w, 1)
    finite = torch.where(weights > 0, gap, 0.0)
    mean = (weights * finite).sum(1)
    return mean, (weights * (finite - mean[:, None]).square()).sum(1)
