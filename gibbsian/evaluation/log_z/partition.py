"""log Z of an energy from both sides, by several estimators that check each other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution

from gibbsian.core import Energy, Estimate, Interval, NotDefined
from gibbsian.core.measures import Counting, Measure, RealSpace, Undefined
from gibbsian.evaluation.log_z.annealing import (
    SAMPLING,
    Effort,
    Estimator,
    KernelFor,
    Problem,
    default_binary_kernel,
    default_kernel,
)
from gibbsian.evaluation.log_z.quadrature import log_partition_quadrature
from gibbsian.evaluation.log_z.references import annealing_path, reference_for
from gibbsian.evaluation.log_z.variational import join
from gibbsian.samplers.binary import RBM
from gibbsian.samplers.metropolis import Proposal, check_proposal
from gibbsian.samplers.tempering import ScheduleError

DISAGREE = 3.5
"""Standard errors apart at which two estimates are said to disagree: with 15 pairs a false alarm in
under 1 % of the cases."""


def log_partition(
    energy: Energy,
    measure: Measure | Undefined,
    *,
    rng: Generator,
    near: Tensor | None = None,
    samples: Tensor | None = None,
    exact: bool = False,
    proposal: Proposal | Distribution | None = None,
    kernel: KernelFor | None = None,
    methods: Sequence[Estimator] | None = None,
    effort: Effort | None = None,
    variational: Mapping[str, Estimate] | None = None,
) -> Interval | NotDefined:
    """log Z = log of the integral of exp(-E(x)) b(x), in nats, from below and from above.

    ``measure``: the base measure b. ``near [N, *event]``: points that show where the mass is (the
    data will do); a normal law fitted to them is where annealing starts on R^d. ``proposal``: a
    normalised law to start from instead, with ``sample(n, rng)`` and ``log_density(x)``, or a torch
    distribution (a flow). ``samples [N, *event]``: draws of the model itself, for the estimators
    that work from above; ``exact`` says that they are independent and exact. Without them the last
    particles of SMC stand in. ``kernel``: makes a sampler of a ``Path``; MALA, discrete MALA on
    binary vectors and block Gibbs for an ``RBM`` by default. ``methods``: quadrature alone
    where it works (one to three dimensions, few binary variables), otherwise all others.
    ``variational``: further estimates by name (`variational_lower`, `strongly_convex_upper`,
    `latent_log_sobolev_upper`), which `join` puts beside these.

    The lower side is the most precise of importance sampling, AIS and SMC that does not
    warn of itself, a bound in expectation; the upper one reverse AIS, a bound in expectation
    from exact samples and otherwise an estimate. All estimates stand in
    ``interval.lower.diagnostics["estimates"]``; each has ``interval95``, and those from below
    ``markov_lower_95``, a lower bound with probability 95 %. ``warnings``: where the two sides or two
    sound estimates disagree by more than 3.5 standard errors, or a side warns of itself.

    Raises ValueError for unknown methods, a proposal without a density, or when nothing says where
    to look on R^d.
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
    near, samples = (None if x is None else x.to(rng.device) for x in (near, samples))
    hint = near if near is not None else samples
    if "quadrature" in (methods or ()) or (methods is None and _is_small(measure)):
        dtype = torch.float32 if hint is None else hint.dtype
        answer = log_partition_quadrature(
            energy, measure, near=hint, dtype=dtype, device=rng.device
        )
        if isinstance(answer, Interval):
            return join(answer, variational or {})
        if set(methods or ()) <= {"quadrature"}:
            return answer
    if near is None and samples is not None:
        near, samples = samples[::2], samples[1::2]  # the fit and the estimate must not share draws
    names = tuple(m for m in (SAMPLING if methods is None else methods) if m != "quadrature")
    if methods is None and isinstance(energy, RBM) and kernel is None:
        names = tuple(m for m in names if m != "bridge")  # block Gibbs is not reversible
    reference = reference_for(measure, near, proposal, rng.device)
    if isinstance(measure, RealSpace):
        loose = does_not_confine(energy, reference.to_data(reference.draw(256, rng)))
        if loose is not None:
            return loose
    problem = Problem(
        annealing_path(energy, measure, reference),
        reference,
        kernel or (default_binary_kernel if isinstance(measure, Counting) else default_kernel),
        effort or Effort(),
    )
    try:
        found = combine(problem.estimates(names, samples, exact, rng))
    except ScheduleError as problem_in_words:
        return NotDefined(f"no estimate of log Z: {problem_in_words}")
    return join(found, variational or {})


def _is_small(measure: Measure) -> bool:
    """Whether quadrature or enumeration is worth trying first."""
    return math.prod(measure.shape) <= (16 if isinstance(measure, Counting) else 3)


def does_not_confine(energy: Energy, x: Tensor) -> NotDefined | None:
    """What is wrong if exp(-E) has no integral over R^d, as far as rays through ``x [B, ...]`` show.

    On a ray from radius a to b the energy must grow by more than d log(b / a), or the integral of
    exp(-E) r^(d-1) dr diverges; looked at between 1e2 and 1e4 times the spread of ``x``. A narrow
    cone that no ray meets is not found.
    """
    centre, d = x.mean(0, keepdim=True), math.prod(x.shape[1:])
    with torch.no_grad():
        near, far = (energy(centre + scale * (x - centre)) for scale in (1e2, 1e4))
    growth = float((far - near).nan_to_num(nan=math.inf).min())
    if growth > d * math.log(1e2):
        return None
    return NotDefined(
        f"the energy does not confine on R^{d}: along some ray it grows by {growth:.3g} nats from "
        f"1e2 to 1e4 standard deviations, and {d * math.log(1e2):.3g} are needed; declare a Box or a "
        "Gaussian base, or give the energy a quadratic envelope"
    )


def combine(found: dict[str, Estimate]) -> Interval:
    """The two sides from all estimates, with warnings in words. Raises ValueError for none."""
    if not found:
        raise ValueError("log_partition was asked for no estimator at all")
    from_below = [found[name] for name in ("ais", "smc", "importance") if name in found]
    lower = min(from_below or found.values(), key=_doubt)
    upper = found.get("reverse-ais") or found.get("bridge") or lower
    warnings = [
        f"the {side} side, {estimate.how}, warns: {concern}"
        for side, estimate in (("lower", lower), ("upper", upper))
        for concern in estimate.diagnostics["concerns"]
        if side == "lower" or estimate is not lower
    ]
    sound = [e for e in found.values() if not e.diagnostics["concerns"] or e in (lower, upper)]
    for a, b in itertools.combinations(sound, 2):
        error = math.hypot(a.stderr, b.stderr)
        if abs(a.value - b.value) > DISAGREE * error:
            warnings.append(
                f"{a.how} and {b.how} disagree: {a.value:.4g} against {b.value:.4g}, "
                f"{abs(a.value - b.value) / error:.1f} standard errors apart"
            )
    everything = {**lower.diagnostics, "estimates": dict(found)}
    lower = replace(lower, side="lower", diagnostics=everything)
    standing = upper.standing if upper.side == "upper" else "estimate"
    upper = replace(upper, side="upper", standing=standing)
    return Interval(lower, upper, warnings=tuple(warnings))


def _doubt(estimate: Estimate) -> tuple[int, float]:
    """Sorts estimates: those with fewer concerns first, then the more precise."""
    return len(estimate.diagnostics["concerns"]), estimate.stderr
