"""log Z from both sides of a mixture of Student t distributions fitted to given points.

The points are moved by Hamiltonian Monte Carlo and split in two halves. A mixture fitted to one half
is drawn from (importance sampling, the side below) and held against the other half by a bridge
between the two (Bennett, 1976); then the halves change places. Two estimates of each kind say by how
much they differ, which is part of their error, and the interval reaches from the lower of the two
kinds to the upper.

Whether importance weights are too uneven for that, pilot draws decide which are not used again (or
the draws themselves, where a few outweigh all others; then they are not used). Then annealed
importance sampling runs from the mixture to the target and, from the held-out points, back; the
bridge is between the two passes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from gibbsian.core import Energy, Interval, NotDefined, check_energy, progress
from gibbsian.core.measures import Box, Gaussian, RealSpace
from gibbsian.evaluation.log_z.coordinates import Coordinates, Potential, unfolded
from gibbsian.evaluation.log_z.effort import LogZEffort
from gibbsian.evaluation.log_z.estimators import (
    FEW,
    Z95,
    LogZ,
    bridge,
    disagreement,
    from_weights,
    hull,
)
from gibbsian.evaluation.log_z.folds import (
    UNSEEN,
    Chains,
    Fold,
    fold_of,
    log_weights,
    moved,
    unseen,
)
from gibbsian.evaluation.log_z.propriety import HEAVY, bottomless, improper, tail_power
from gibbsian.evaluation.log_z.student_mixture import StudentMixture, single
from gibbsian.samplers import adapt_annealing_schedule, ais, importance_ess, mala, pareto_k
from gibbsian.samplers.potential import AnnealingPath

LEAST, MOST = 20, 1000
"""Points that a mixture needs, and more than which it does not use."""
WHERE = (
    "give points where the mass is (samples=, --samples-from), or the box that holds it (box=, "
    "--domain-half-width)"
)
"""What to do where there is no density at the points that a search starts from."""
VERY_HEAVY = 1.0
"""Pareto k-hat above which the mean of the weights may not exist."""


def annealed(
    fold: Fold, potential: Potential, effort: LogZEffort, rng: Generator
) -> tuple[Tensor, Tensor]:
    """Log weights of AIS from the mixture, ``[n]``, and of reverse AIS from the held-out, ``[m]``."""
    kernel = mala(AnnealingPath(MinusLog(fold.mixture), potential), 0.1)
    pilot, _ = _live(fold, potential, effort.pilot, rng)
    schedule = adapt_annealing_schedule(
        kernel, pilot, rng, conditional_ess=effort.conditional_ess, moves=effort.moves,
        max_temperatures=effort.max_temperatures,
    )  # fmt: skip
    start, dead = _live(fold, potential, effort.particles, rng)
    there = ais(kernel, start, schedule, rng, moves=effort.moves).log_weights[0]
    last = fold.held.y[-1][: effort.particles]
    back = ais(kernel, last, schedule, rng, moves=effort.moves, reverse=True).log_weights[0]
    return there.masked_fill(dead.cpu(), -math.inf), back


@dataclass(frozen=True)
class MinusLog:
    """Minus the log-density of a mixture."""

    mixture: StudentMixture

    def __call__(self, y: Tensor) -> Tensor:
        """``[n, d] -> [n]``."""
        return -self.mixture.log_density(y)


def _live(fold: Fold, potential: Potential, n: int, rng: Generator) -> tuple[Tensor, Tensor]:
    """Draws to anneal, and which of them lie where there is no density and weigh nothing.

    Those stand at the place of another, since no chain can start where they are.
    """
    y, weight = log_weights(fold.mixture, potential, n, rng)
    dead = weight == -math.inf
    alive = y[~dead]
    y[dead] = alive[torch.arange(int(dead.sum()), device=y.device) % len(alive)]
    return y, dead


def both_folds(parts: Sequence[LogZ]) -> LogZ:
    """The mean of the folds' estimates; half their difference is part of its error."""
    a, b = parts
    value = 0.5 * (a.value + b.value)
    stderr = 0.5 * torch.hypot(a.stderr, b.stderr)
    stderr = torch.hypot(stderr, 0.5 * (a.value - b.value))
    worst = {
        name: torch.maximum(a.diagnostics[name], b.diagnostics[name])
        if name == "k_hat"
        else torch.minimum(a.diagnostics[name], b.diagnostics[name])
        for name in a.diagnostics
    }
    concerns = {text: a.concerns[text] | b.concerns[text] for text in a.concerns}
    half = Z95 * stderr
    return replace(
        a, value=value, stderr=stderr, low=value - half, high=value + half,
        diagnostics=worst, concerns=concerns,
    )  # fmt: skip


def mixture_log_z(
    energy: Energy,
    measure: Box | RealSpace | Gaussian,
    near: Tensor,
    rng: Generator,
    effort: LogZEffort,
    exact: Tensor | None = None,
) -> Interval | NotDefined:
    """log Z from both sides by mixtures fitted to ``near [n, *event]``, at least 20 points.

    The lower side is the lower of importance sampling (or forward AIS) and the bridge: a bound in
    expectation. The upper side is the higher of the two, an estimate; or reverse AIS from ``exact``
    independent draws of the target ``[m, *event]``, where there are any: a bound in expectation.

    NotDefined where `improper` says so. Raises ValueError for fewer points, points that are
    all equal, or energies that are NaN or have no density at most of them.
    """
    prepared = start(energy, measure, near, rng)
    if isinstance(prepared, NotDefined):
        return prepared
    potential, y, warnings = prepared
    chains = moved(potential, y, effort, rng)
    middle = chains.y.shape[1] // 2
    halves = chains.part(slice(0, middle)), chains.part(slice(middle, None))
    folds = [
        fold_of(potential, fit, held, effort, rng)
        for fit, held in progress.steps((halves, halves[::-1]), "mixtures")
    ]
    how, ends = _ends(folds, potential, effort, rng)
    count = len(folds[0].mixture.weights)
    from_below = both_folds(
        [from_weights(forward[None], f"{how} from a mixture of {count}") for forward, _ in ends]
    )
    between = both_folds(
        [
            bridge(forward[None], reverse[None], f"bridge sampling, {how}")
            for forward, reverse in ends
        ]
    )
    found = {"importance" if how == "importance sampling" else "ais": from_below, "bridge": between}
    warnings += doubts(ends, from_below, between)
    upper = None
    if exact is not None:
        reverse = _from_exact(folds[0], potential, exact, effort, rng)
        upper = from_weights(reverse[None], "reverse AIS from exact samples", reverse=True)
        found["reverse-ais"] = upper
    return _interval(found, upper, warnings)


def start(
    energy: Energy, measure: Box | RealSpace | Gaussian, near: Tensor, rng: Generator
) -> tuple[Potential, Tensor, list[str]] | NotDefined:
    """The potential in coordinates fitted to the points, the points there in random order, warnings."""
    with torch.no_grad():
        value = check_energy(energy(near), len(near))
    if bool(value.isnan().any()):
        row = int(value.isnan().int().argmax())
        raise ValueError(
            f"the energy is NaN at row {row} of the given points; a density must be a number everywhere"
        )
    inside = near[value < math.inf]
    lost = len(near) - len(inside)
    if len(inside) < LEAST:
        raise ValueError(
            f"at least {LEAST} points of finite energy are needed to fit a mixture to; there are "
            f"{len(inside)} of {len(near)}: {WHERE}"
        )
    warnings = (
        []
        if lost <= 0.02 * len(near)
        else [f"{lost} of the {len(near)} points to start from have no density and are left out"]
    )
    flat = unfolded(inside, measure)
    if isinstance(measure, RealSpace) and (power := tail_power(energy, inside)) < HEAVY:
        warnings.append(
            f"the density falls off like r^-(d + {power:.2g}) far out, so slowly that mass lies at any "
            "distance: both sides may lie below the truth"
        )
    if not bool((flat.std(0) > 0).any()) or not bool(flat.isfinite().all()):
        raise ValueError(
            "the points are all equal or not finite, so no mixture fits them; pass other points"
        )
    unsound = (
        improper(energy, inside, rng)
        if isinstance(measure, RealSpace)
        else bottomless(energy, inside)
    )
    if unsound is not None:
        return unsound
    shape = single(flat, torch.ones_like(flat[:, 0]))
    potential = Potential(
        energy, Coordinates(measure, shape.means[0], shape.factors[0]), near.dtype
    )
    order = torch.randperm(len(flat), generator=rng, device=flat.device)[:MOST]
    return potential, potential.coordinates.from_data(inside)[order], warnings


def _ends(
    folds: Sequence[Fold], potential: Potential, effort: LogZEffort, rng: Generator
) -> tuple[str, list[tuple[Tensor, Tensor]]]:
    """How, and of each fold log weights of fresh draws ``[n]`` and held-out points ``[states, m]``."""
    if not any(fold.poor for fold in folds):
        drawn = [log_weights(fold.mixture, potential, effort.draws, rng)[1] for fold in folds]
        if not any(hopeless(weights) for weights in drawn):
            pairs = zip(drawn, folds, strict=True)
            return "importance sampling", [(w.cpu(), fold.reverse.cpu()) for w, fold in pairs]
    passes = [annealed(fold, potential, effort, rng) for fold in folds]
    return "annealed importance sampling", [(there, -back[None]) for there, back in passes]


def hopeless(log_weight: Tensor) -> bool:
    """Whether a few weights outweigh all others, so that nothing is lost by leaving them unused."""
    return float(importance_ess(log_weight)) < FEW or float(pareto_k(log_weight)) > VERY_HEAVY


def _from_exact(
    fold: Fold, potential: Potential, exact: Tensor, effort: LogZEffort, rng: Generator
) -> Tensor:
    """Log weights of reverse AIS from exact draws, estimates of 1 / Z."""
    held = Chains(potential.coordinates.from_data(exact)[None], torch.zeros(1, len(exact)))
    return annealed(replace(fold, held=held), potential, effort, rng)[1]


def doubts(ends: Sequence[tuple[Tensor, Tensor]], below: LogZ, between: LogZ) -> list[str]:
    """What there is to warn of, in words."""
    apart = disagreement(below.estimate(), between.estimate())
    found = [] if apart is None else [apart]
    chance = min(unseen(forward, reverse) for forward, reverse in ends)
    if chance < UNSEEN:
        found.append(
            f"held-out points have larger weights than the mixture's draws (p = {chance:.1g}): there "
            "is mass that the mixture does not cover"
        )
    few = min(float(importance_ess(forward)) for forward, _ in ends)
    heavy = max(float(pareto_k(forward)) for forward, _ in ends)
    if few < FEW:
        remedy = "; a higher effort, or samples to start from, helps" if not found else ""
        found.append(
            f"only {few:.0f} effective draws carry {below.how}: both sides may lie on one side of the truth"
            + (remedy if heavy <= VERY_HEAVY else "")
        )
    if heavy > VERY_HEAVY:
        found.append(
            f"the weights of {below.how} are heavy-tailed (Pareto k-hat {heavy:.2f}), so its error does not "
            "hold, at a higher effort neither; samples to start from help, or coordinates in which the "
            "density is nearer to a normal one"
        )
    return found


def _interval(found: dict[str, LogZ], upper: LogZ | None, warnings: list[str]) -> Interval:
    """The hull of the estimates, with all of them among the diagnostics of the lower side."""
    estimates = {name: each.estimate() for name, each in found.items()}
    lower, above = hull([each for name, each in estimates.items() if name != "reverse-ais"])
    lower = replace(lower, diagnostics={**lower.diagnostics, "estimates": estimates})
    if upper is not None:
        return Interval(lower, estimates["reverse-ais"], warnings=tuple(warnings))
    return Interval(lower, above, warnings=tuple(warnings))
