"""Chains from given points, mixtures fitted to half of them, and the other half held out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from gibbsian.core import progress
from gibbsian.evaluation.log_z.coordinates import Potential
from gibbsian.evaluation.log_z.effort import LogZEffort
from gibbsian.evaluation.log_z.student_mixture import (
    FLOOR,
    StudentMixture,
    defended,
    fitted,
    updated,
)
from gibbsian.samplers import hmc, importance_ess, pareto_k

HEAVY, UNEVEN = 0.7, 0.12
"""Pareto k-hat of the pilot's weights above which, and share of effective draws below which,
importance sampling gives way to annealing."""
UNSEEN = 1e-3
"""p-value below which held-out points are said to have larger weights than the mixture's draws."""
PILOT = 1024
STEP_RANGE = (0.15, 1.3)
"""Every step of every chain draws its size anew between these multiples of the adapted one, so that
narrow and wide modes are both moved in."""
ACCEPTANCE = 0.8
CHAIN_SHARE = 0.3
"""Independent draws that one state of a chain is taken for when covariances are shrunk."""
COMPONENT_VALUES = 480
"""Most components times dimensions: a covariance costs d^2 numbers, and needs as many points."""
POLISH = 3
"""Steps of expectation-maximisation in every round of sharpening."""
SHARPENING = 4096
"""Draws of such a round at most."""
FAR = 10.0
CHUNK = 8192


@dataclass(frozen=True)
class Chains:
    """``y [states, chains, d]`` and the potential there, ``u [states, chains]``."""

    y: Tensor
    u: Tensor

    def part(self, chains: slice) -> Chains:
        """Some of the chains."""
        return Chains(self.y[:, chains], self.u[:, chains])


@dataclass(frozen=True)
class Fold:
    """A mixture fitted to one half of the chains, and the other half held out."""

    mixture: StudentMixture
    held: Chains
    reverse: Tensor
    """Log weights of the held-out states, ``[states, chains]``."""
    pilot: Tensor
    """Log weights of draws that only decide, ``[n]``."""

    @property
    def poor(self) -> bool:
        """Whether the mixture is too far from the target for weights alone."""
        if float(importance_ess(self.pilot)) < UNEVEN * len(self.pilot):
            return True
        return float(pareto_k(self.pilot)) > HEAVY or unseen(self.pilot, self.reverse) < UNSEEN


def moved(potential: Potential, y: Tensor, effort: LogZEffort, rng: Generator) -> Chains:
    """Chains of Hamiltonian Monte Carlo from ``y [n, d]``, whose energies there are finite.

    Exact draws stay exact; others come nearer to the target, each in the mode where it starts.
    """
    h = 0.7 / y.shape[1] ** 0.25
    kernel = hmc(potential, h, effort.leapfrogs)
    state = kernel.init(y)
    low, high = (math.log(factor) for factor in STEP_RANGE)
    kept, energies = [], []
    for step in progress.steps(range(effort.warm_up + effort.states), "chains"):
        share = torch.rand(len(y), generator=rng, dtype=y.dtype, device=y.device)
        state = state.replace(step_size=h * (low + share * (high - low)).exp())
        state, info = kernel.step(state, rng)
        if step < effort.warm_up:
            h *= math.exp(float(info.acceptance.mean()) - ACCEPTANCE)
        else:
            kept.append(state.x)
            energies.append(state.energy)
    return Chains(torch.stack(kept), torch.stack(energies))


def log_weights(
    mixture: StudentMixture, potential: Potential, n: int, rng: Generator
) -> tuple[Tensor, Tensor]:
    """``n`` draws of the mixture and their log weights; minus infinity where there is no density."""
    draws, weights = [], []
    for start in range(0, n, CHUNK):
        y = mixture.sample(min(CHUNK, n - start), rng)
        with torch.no_grad():
            weight = -potential(y) - mixture.log_density(y)
        refuse_nan(weight, y, potential)
        draws.append(y)
        weights.append(torch.where(weight.isnan(), -math.inf, weight))
    return torch.cat(draws), torch.cat(weights)


def refuse_nan(weight: Tensor, y: Tensor, potential: Potential) -> None:
    """Raise ValueError where the energy is NaN within ``FAR`` spreads of the points.

    Farther out, where only the widest component draws, inf - inf is what overflow leaves: no density.
    """
    bad = weight.isnan() & (y.abs().amax(1) < FAR)
    if bool(bad.any()):
        x = potential.coordinates.to_data(y[bad][:1]).flatten()[:6]
        where = ", ".join(f"{float(v):.4g}" for v in x)
        raise ValueError(
            f"the energy is NaN at x = [{where}{', ...' if y.shape[1] > 6 else ''}]; a density must be a "
            "number everywhere"
        )


def fold_of(
    potential: Potential, fit: Chains, held: Chains, effort: LogZEffort, rng: Generator
) -> Fold:
    """Fit, sharpen and hold against the other half."""
    y, log_target = fit.y.flatten(0, 1), -fit.u.flatten()
    independent = CHAIN_SHARE * len(y)
    pick = torch.randperm(len(y), generator=rng, device=y.device)[: effort.fit_points]
    y, log_target = y[pick], log_target[pick]
    worth = torch.full_like(log_target, min(len(y), independent) / len(y))
    others = held.y.flatten(0, 1)
    few = others[:: max(1, len(others) // 1000)]
    bare = fitted(
        y, log_target, worth, few, max(1, min(effort.components, COMPONENT_VALUES // y.shape[1]))
    )
    mixture = defended(bare, *potential.coordinates.widest())
    floor = torch.full_like(y[0], FLOOR**2)
    for _ in range(effort.rounds):
        # Population Monte Carlo (Cappe et al., 2004): the mixture learns from its own weighted draws,
        # with weights cut off where a few would outweigh the rest (Ionides, 2008).
        drawn, weight = log_weights(mixture, potential, min(effort.draws, SHARPENING), rng)
        share = torch.softmax(weight, 0).clamp_max(len(drawn) ** -0.6)
        share = share / share.sum()
        use = share > 1e-6
        points = torch.cat([y, drawn[use]])
        worths = torch.cat([worth, (share / share.square().sum())[use]])
        for _ in range(POLISH):
            bare = updated(bare, points, worths, floor)
        mixture = defended(bare, *potential.coordinates.widest())
    reverse = -held.u - mixture.log_density(others).reshape(held.u.shape)
    return Fold(mixture, held, reverse, log_weights(mixture, potential, PILOT, rng)[1])


def unseen(forward: Tensor, reverse: Tensor) -> float:
    """p-value of a one-sided Kolmogorov-Smirnov test of log weights.

    Draws of the mixture ``forward [n]``, taken by weight, have the same log weights as draws of the
    target, ``reverse [states, chains]``, unless the target has mass where the mixture has put no
    draws: then those of the target are larger. Chains count once each, draws by their effective number.
    """
    n, m = float(importance_ess(forward)), reverse.shape[1]
    other = reverse.flatten()
    both = torch.cat([forward, other])
    mass = torch.cat([forward.softmax(0), torch.full_like(other, -1 / len(other))])
    gap = float(mass[both.argsort()].cumsum(0).max())
    return math.exp(-2 * gap**2 * n * m / (n + m))
