"""log Z from below by Gibbs' principle, from above by log-Sobolev inequalities.

For every density q: log Z >= E_q[-E + log b] + H(q), and what is missing is KL(q || p). The upper
bounds cover that gap by a Fisher divergence where a constant is known to do so. All numbers in nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from gibbsian.core import Energy, Estimate, Interval, Side, Standing, check_energy
from gibbsian.core.measures import Measure
from gibbsian.core.numerics import as_double, input_gradient
from gibbsian.evaluation.log_z.estimators import ROUNDING, Z95

FALSE_ALARM = 3.5
"""Standard errors by which a bound must lie on its wrong side before it is said to."""


def mean_estimate(
    values: Tensor, side: Side, standing: Standing, how: str, figures: Mapping[str, object]
) -> Estimate:
    """The mean of independent ``values [N]``, with ``figures`` among its diagnostics."""
    if len(values) < 2:
        raise ValueError("a standard error needs at least two draws")
    value, stderr = float(values.mean()), float(values.std()) / math.sqrt(len(values))
    interval = (value - Z95 * stderr, value + Z95 * stderr)
    diagnostics = {"interval95": interval, "concerns": (), **figures}
    return Estimate(value, stderr, side, standing, how, diagnostics)


def log_z_lower_variational(
    energy: Energy,
    measure: Measure,
    draws: tuple[Tensor, Tensor],
    *,
    is_bound: bool,
    how: str,
) -> Estimate:
    """The mean of -E(x) + log b(x) + entropy over ``draws`` of q: Gibbs' lower side of log Z.

    ``draws``: x ``[N, *event]`` and terms ``[N]`` whose mean is H(q), or lies below it. ``is_bound``:
    whether it surely does: for a generator that is invertible by construction with its own
    log-volume, or one with output noise and a lower bound of the information. A generator that may
    fold has less entropy than its Jacobian says, and then the number is an estimate. ``how`` names q.

    Raises ValueError for shapes that do not fit, fewer than two draws, or draws outside the measure,
    where the bound is minus infinity.
    """
    x, entropy = draws
    with torch.no_grad():
        minus_energy = check_energy(energy(x), len(x)).neg()
        values = as_double(minus_energy) + as_double(measure.log_density(x))
        if entropy.shape != values.shape:
            raise ValueError(
                f"the entropy terms must be one per draw, [{len(x)}], not {list(entropy.shape)}"
            )
        outside = int(values.isneginf().sum())
        if outside:
            raise ValueError(
                f"{outside} of {len(x)} draws lie outside the measure, where a variational bound is "
                "minus infinity; squash the generator into the box"
            )
        means = {"energy": float(-values.mean()), "entropy": float(as_double(entropy).mean())}
        values = values + entropy.to(values.device)
    standing: Standing = "bound in expectation" if is_bound else "estimate"
    return mean_estimate(values, "lower", standing, f"variational bound, {how}", means)


def log_z_upper_strong_convexity(
    energy: Energy,
    measure: Measure,
    log_q: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    convexity: float,
    oscillation: float = 0.0,
    how: str,
) -> Estimate:
    """Gibbs' lower side plus exp(oscillation) FI / (2 convexity), which is at least KL(q || p).

    FI = E_q |grad E - grad log b + grad log q|^2 at draws ``x [N, *event]`` of q, whose normalised
    log-density is ``log_q``. ``convexity`` (rho): a number > 0 such that E - log b - rho |x|^2 / 2 is
    convex, up to a perturbation of oscillation (highest minus lowest value) at most ``oscillation``.
    By Bakry and Emery (1985) and Holley and Stroock (1987) p then satisfies a log-Sobolev inequality
    with constant rho exp(-oscillation), for which this is a bound in expectation. The caller vouches
    for both constants: between separated modes FI is blind to their weights, and rho is not there.

    Raises ValueError for constants that are not positive and finite, or shapes that do not fit.
    """
    if not 0 < convexity < math.inf:
        raise ValueError(f"convexity must be positive and finite, not {convexity}")
    if not 0 <= oscillation < math.inf:
        raise ValueError(f"oscillation must be finite and not negative, not {oscillation}")

    def log_ratio(x: Tensor) -> Tensor:
        return log_q(x) + check_energy(energy(x), len(x)) - measure.log_density(x)

    fisher = as_double(input_gradient(log_ratio, x).flatten(1).square().sum(1))
    with torch.no_grad():
        values = 0.5 * math.exp(oscillation) / convexity * fisher - as_double(log_ratio(x))
    fisher_mean = float(fisher.mean())
    figures = {
        "fisher": fisher_mean,
        "gap": 0.5 * math.exp(oscillation) / convexity * fisher_mean,
        "convexity": convexity,
        "oscillation": oscillation,
    }
    words = f"strong convexity {convexity:.3g}, {how}"
    return mean_estimate(values.detach(), "upper", "bound in expectation", words, figures)


def join(interval: Interval, offered: Mapping[str, Estimate]) -> Interval:
    """``interval`` with ``offered`` estimates of the same log Z beside its own.

    An exact interval keeps its sides. Otherwise a lower bound takes the lower side where it is the
    higher by more than 3.5 standard errors (annealing has missed mass), and an upper bound without
    concerns takes an upper side that is only an estimate, or a higher bound. What is no bound takes
    no side. A bound that contradicts the other side by more than 3.5 standard errors is warned of.
    """
    if not offered:
        return interval
    lower, upper = interval.lower, interval.upper
    exact, warnings = lower.standing == "exact", list(interval.warnings)
    everything = {**lower.diagnostics.get("estimates", {"quadrature": lower}), **offered}
    bounds = [e for e in offered.values() if e.standing != "estimate"]
    below = [e for e in bounds if e.side == "lower"]
    above = [e for e in bounds if e.side == "upper"]
    for bound in [] if exact else below:
        if _exceeds(bound, lower):
            warnings.append(f"{lower.how} lies below {bound.how}: it has missed some of the mass")
            lower = bound
    for bound in [] if exact else above:
        better = upper.standing == "estimate" or bound.value < upper.value
        if better and not bound.diagnostics["concerns"]:
            upper = bound
    pairs = [*((low, upper) for low in below), *((lower, high) for high in above)]
    warnings += [
        f"{low.how}, {low.value:.4g}, lies above {high.how}, {high.value:.4g}: one does not hold"
        for low, high in pairs
        if _exceeds(low, high)
    ]
    lower = replace(lower, diagnostics={**lower.diagnostics, "estimates": everything})
    upper = lower if exact else upper
    return replace(interval, lower=lower, upper=upper, warnings=tuple(warnings))


def _exceeds(a: Estimate, b: Estimate) -> bool:
    """Whether ``a`` lies above ``b`` by more than their errors."""
    error = math.hypot(a.stderr, b.stderr)
    slack = a.diagnostics.get("error", 0.0) + b.diagnostics.get("error", 0.0) + ROUNDING
    return a.value - b.value > FALSE_ALARM * error + slack
