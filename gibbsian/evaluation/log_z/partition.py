"""log Z of an energy from both sides: which estimators serve, and the interval that is returned."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution

from gibbsian.core import Energy, Estimate, Interval, NotDefined
from gibbsian.core.measures import Box, Counting, Gaussian, Measure, Mixed, RealSpace, Undefined
from gibbsian.evaluation.log_z.annealing import (
    SAMPLING,
    Estimator,
    KernelFor,
    MixedKernel,
    Problem,
    default_binary_kernel,
    default_kernel,
    pick,
)
from gibbsian.evaluation.log_z.category_sums import flat_start, product_fit, summed
from gibbsian.evaluation.log_z.coordinates import brought_to_cpu
from gibbsian.evaluation.log_z.effort import Amount, LogZEffort, effort_of
from gibbsian.evaluation.log_z.enumeration import exact_log_partition
from gibbsian.evaluation.log_z.estimators import disagreement, hull
from gibbsian.evaluation.log_z.grids import coarse_draws
from gibbsian.evaluation.log_z.mixture_bridge import LEAST, mixture_log_z
from gibbsian.evaluation.log_z.mode_search import find_modes
from gibbsian.evaluation.log_z.propriety import improper
from gibbsian.evaluation.log_z.quadrature import log_partition_quadrature
from gibbsian.evaluation.log_z.references import annealing_path, reference_for
from gibbsian.evaluation.log_z.variational import join
from gibbsian.samplers.binary import RBM
from gibbsian.samplers.metropolis import Proposal, check_proposal
from gibbsian.samplers.tempering import ScheduleError

EXPLORED = 500
"""Points that sequential Monte Carlo finds from the base measure where none are given."""


def log_partition(
    energy: Energy,
    measure: Measure | Undefined,
    *,
    rng: Generator,
    reference_points: Tensor | None = None,
    samples: Tensor | None = None,
    exact: bool = False,
    proposal: Proposal | Distribution | None = None,
    kernel: KernelFor | None = None,
    methods: Sequence[Estimator] | None = None,
    effort: LogZEffort | Amount = "normal",
    variational: Mapping[str, Estimate] | None = None,
) -> Interval | NotDefined:
    """log Z = log of the integral of exp(-E(x)) b(x), in nats, from below and from above.

    ``measure``: the base measure b. ``reference_points [N, *event]``: points that show where the mass
    is (the data will do). ``samples [N, *event]``: draws of the model itself, which serve as such
    points too; ``exact`` says that they are independent and exact, and makes the upper side a bound in
    expectation. ``effort``: quick, normal or high, or its numbers. ``variational``: further estimates
    by name (`log_z_lower_variational`, `log_z_upper_strong_convexity`,
    `log_z_upper_log_sobolev`), which `join`
    puts beside these.

    One to three dimensions, few binary variables, small restricted Boltzmann machines and narrow
    lattices: quadrature, enumeration or transfer matrix; with categories their sum. Beyond, a mixture
    of Student t distributions is fitted to the points and bridged with the target (`mixture_log_z`);
    where none are given, sequential Monte Carlo finds some from a Box or a Gaussian base. Binary
    vectors, numbers beside categories (from a product distribution fitted to the points), a ``proposal``
    (a normalised distribution to start from, with ``sample(n, rng)`` and ``log_density(x)``, or a torch
    distribution), a ``kernel`` (makes a sampler of an ``AnnealingPath``) or ``methods`` by name: the
    estimators named, all but quadrature by default, as `combine` joins them.

    The lower side is a bound in expectation, the upper one an estimate unless samples are exact. All
    estimates stand in ``interval.lower.diagnostics["estimates"]``; each has ``interval95``. Where a grid was
    tried in vain, ``interval.lower.diagnostics["no_quadrature"]`` says why.
    ``warnings`` are sentences that say why an interval may not hold the truth.

    Raises ValueError for unknown methods, a proposal without a density, energies that are NaN at
    the points, or when nothing says where to look on R^d.
    """
    if isinstance(measure, Undefined):
        return NotDefined(measure.why)
    unknown = set(methods or ()) - {"quadrature", *SAMPLING}
    if unknown:
        raise ValueError(
            f"unknown estimators {sorted(unknown)}; choose from {['quadrature', *SAMPLING]}"
        )
    if proposal is not None and not isinstance(proposal, Distribution):
        check_proposal(proposal)
    work, no_grid = effort_of(effort), ""
    reference_points, samples = (
        None if x is None else x.to(rng.device) for x in (reference_points, samples)
    )
    given = [points for points in (reference_points, samples) if points is not None]
    if isinstance(measure, Mixed):
        by_name = methods is not None or proposal is not None or kernel is not None
        if not by_name or "quadrature" in (methods or ()):
            known = summed(energy, measure, torch.cat(given) if given else None, rng.device)
            if known is not None:
                return join(known, variational or {})
        if methods is not None and set(methods) <= {"quadrature"}:
            return NotDefined(
                "there are too many combinations of categories, or numbers, to sum over"
            )
        start = product_fit(torch.cat(given), measure) if given else flat_start(measure, rng.device)
        try:
            mixed = _by_annealing(
                energy,
                measure,
                reference_points,
                samples,
                exact,
                start if proposal is None else proposal,
                kernel or MixedKernel(measure),
                methods,
                work,
                rng,
            )
        except ScheduleError as problem_in_words:
            return NotDefined(f"no estimate of log Z: {problem_in_words}")
        return mixed if isinstance(mixed, NotDefined) else join(mixed, variational or {})
    if "quadrature" in (methods or ()) or (methods is None and _is_small(measure)):
        answer = log_partition_quadrature(
            energy,
            measure,
            near=torch.cat(given) if given else None,
            dtype=given[0].dtype if given else torch.float32,
            device=rng.device,
        )
        if isinstance(answer, Interval):
            return join(answer, variational or {})
        if methods is not None and set(methods) <= {"quadrature"}:
            return answer
        if methods is None:
            if isinstance(measure, Counting):
                return answer
            # Too narrow or too heavy-tailed for a grid: a mixture may still cover it.
            near, local = brought_to_cpu(energy, rng)
            points = _points_by_descent(near, measure, [x.cpu() for x in given], local)
            if len(points) < LEAST:
                return answer
            if isinstance(measure, RealSpace) and improper(near, points, local) is not None:
                return answer
            reference_points, samples = points, samples if exact else None
            no_grid = answer.why
    by_name = methods is not None or proposal is not None or kernel is not None
    if isinstance(measure, Counting) and not by_name:
        known = exact_log_partition(energy)
        if known is not None:
            return join(known, variational or {})
    try:
        if isinstance(measure, Counting) or by_name:
            found = _by_annealing(
                energy,
                measure,
                reference_points,
                samples,
                exact,
                proposal,
                kernel,
                methods,
                work,
                rng,
            )
        else:
            near, local = brought_to_cpu(energy, rng)
            here = [None if x is None else x.cpu() for x in (reference_points, samples)]
            found = _by_mixture(near, measure, here[0], here[1], exact, work, local)
    except ScheduleError as problem_in_words:
        return NotDefined(f"no estimate of log Z: {problem_in_words}")
    if isinstance(found, NotDefined):
        return found
    if no_grid:
        diagnostics = {**found.lower.diagnostics, "no_quadrature": no_grid}
        found = replace(found, lower=replace(found.lower, diagnostics=diagnostics))
    return join(found, variational or {})


def _is_small(measure: Measure) -> bool:
    """Whether quadrature or enumeration is worth trying first."""
    return math.prod(measure.shape) <= (16 if isinstance(measure, Counting) else 3)


def _points_by_descent(
    energy: Energy, measure: Box | RealSpace | Gaussian, given: Sequence[Tensor], rng: Generator
) -> Tensor:
    """The given points, points at every minimum that descents find and of coarse grids, ``[n, *event]``."""
    dtype = given[0].dtype if given else torch.float32

    def potential(x: Tensor) -> Tensor:
        return energy(x) - measure.log_density(x)

    modes = find_modes(potential, measure, given, rng, dtype).heavy(1e-6)
    drawn = modes.draw(EXPLORED, rng).reshape(-1, *measure.shape).to(dtype)
    if not len(modes.x):
        return torch.cat([*given, drawn])

    def log_density(x: Tensor) -> Tensor:
        return -potential(x)

    coarse = coarse_draws(log_density, modes.x[0], EXPLORED, measure, rng, dtype)
    coarse = coarse.reshape(-1, *measure.shape).to(drawn)
    return torch.cat([*given, drawn, coarse])


def _by_mixture(
    energy: Energy,
    measure: Box | RealSpace | Gaussian,
    points: Tensor | None,
    samples: Tensor | None,
    exact: bool,
    work: LogZEffort,
    rng: Generator,
) -> Interval | NotDefined:
    """The default on R^d and boxes of more than three dimensions."""
    held = samples if exact else None
    if points is None and samples is not None:  # the fit and a bound must not share draws
        points, held = (samples[::2], samples[1::2]) if exact else (samples, None)
    elif points is not None and samples is not None and not exact:
        points = torch.cat([points, samples])
    explored = None
    if points is None:
        points, explored = _explored(energy, measure, work, rng)
    found = mixture_log_z(energy, measure, points, rng, work, held)
    return found if explored is None or isinstance(found, NotDefined) else _beside(found, explored)


def _explored(
    energy: Energy, measure: Box | RealSpace | Gaussian, work: LogZEffort, rng: Generator
) -> tuple[Tensor, Estimate]:
    """Points of the target that sequential Monte Carlo reaches from the base measure, and its log Z.

    Raises ValueError on R^d, where there is nowhere to start.
    """
    reference = reference_for(measure, None, None, rng.device)
    path = annealing_path(energy, measure, reference)
    problem = Problem(path, reference, default_kernel, work)
    annealed, _ = problem.sequential(problem.schedule(rng), rng)
    estimate = problem.smc_estimate(annealed).estimate()
    return reference.to_data(pick(annealed, EXPLORED, rng)), estimate


def _beside(found: Interval, other: Estimate) -> Interval:
    """``found`` with one more estimate, and a warning where that contradicts both its sides."""
    estimates = {**found.lower.diagnostics["estimates"], "smc": other}
    lower = replace(found.lower, diagnostics={**found.lower.diagnostics, "estimates": estimates})
    warnings = list(found.warnings)
    if not other.diagnostics["concerns"]:
        sides = (found.lower, found.upper)
        texts = [text for side in sides if (text := disagreement(side, other)) is not None]
        warnings += texts[:1] if len(texts) == 2 else []
    return replace(found, lower=lower, warnings=tuple(warnings))


def _by_annealing(
    energy: Energy,
    measure: Measure,
    points: Tensor | None,
    samples: Tensor | None,
    exact: bool,
    proposal: Proposal | Distribution | None,
    kernel: KernelFor | None,
    methods: Sequence[Estimator] | None,
    work: LogZEffort,
    rng: Generator,
) -> Interval | NotDefined:
    """Estimators by name along the path from a simple distribution."""
    if points is None and samples is not None:
        # the fit and the estimate must not share draws
        points, samples = samples[::2], samples[1::2]
    names = tuple(m for m in (SAMPLING if methods is None else methods) if m != "quadrature")
    if methods is None and isinstance(energy, RBM) and kernel is None:
        names = tuple(m for m in names if m != "bridge")  # block Gibbs is not reversible
    reference = reference_for(measure, points, proposal, rng.device)
    if isinstance(measure, RealSpace):
        near, local = brought_to_cpu(energy, rng)
        loose = improper(near, reference.to_data(reference.draw(256, rng)).cpu(), local)
        if loose is not None:
            return loose
    problem = Problem(
        annealing_path(energy, measure, reference),
        reference,
        kernel or (default_binary_kernel if isinstance(measure, Counting) else default_kernel),
        work,
    )
    return combine(problem.estimates(names, samples, exact, rng))


def combine(found: dict[str, Estimate]) -> Interval:
    """The two sides from all estimates, with warnings in words. Raises ValueError for none.

    Lower: AIS and SMC in equal parts, whatever their values, or that of the two which does not warn
    of itself; importance sampling where neither was asked for. Half their difference is the least of
    the error. Upper: reverse AIS where it starts at exact draws; otherwise the bridge or, without one,
    reverse AIS, and the sides are the `hull` of lower and upper.
    """
    if not found:
        raise ValueError("log_partition was asked for no estimator at all")
    lower = _from_below(found)
    reverse, between = found.get("reverse-ais"), found.get("bridge")
    bounded = reverse is not None and reverse.standing != "estimate"
    upper = (reverse if bounded else between or reverse) or lower
    warnings = [
        f"the {side} side, {estimate.how}, warns: {concern}"
        for side, estimate in (("lower", lower), ("upper", upper))
        for concern in estimate.diagnostics["concerns"]
        if side == "lower" or estimate is not lower
    ]
    sound = [e for e in found.values() if not e.diagnostics["concerns"] or e in (lower, upper)]
    pairs = itertools.combinations(sound, 2)
    warnings += [text for a, b in pairs if (text := disagreement(a, b)) is not None]
    everything = {**lower.diagnostics, "estimates": dict(found)}
    if upper.standing != "bound in expectation" or upper is lower:
        lower, upper = hull([lower, upper])
        everything["interval95"] = lower.diagnostics["interval95"]  # reaches as far as both do
    lower = replace(lower, side="lower", diagnostics=everything)
    return Interval(lower, upper, warnings=tuple(warnings))


def _from_below(found: Mapping[str, Estimate]) -> Estimate:
    """AIS and SMC joined, the one that does not warn of itself, or what else there is."""
    pair = [found[name] for name in ("ais", "smc") if name in found]
    sound = [e for e in pair if not e.diagnostics["concerns"]] or pair
    if len(sound) == 2:
        a, b = sound
        value = float(torch.tensor([a.value, b.value]).double().logsumexp(0)) - math.log(2)
        stderr = max(0.5 * math.hypot(a.stderr, b.stderr), 0.5 * abs(a.value - b.value))
        both = {
            "interval95": (value - 1.96 * stderr, value + 1.96 * stderr),
            "concerns": tuple({*a.diagnostics["concerns"], *b.diagnostics["concerns"]}),
            "markov_lower_95": value - math.log(20),
        }
        how = f"{a.how} and {b.how} in equal parts"
        return Estimate(value, stderr, "lower", "bound in expectation", how, both)
    others = [found["importance"]] if "importance" in found else list(found.values())
    return (sound or others)[0]
