"""log Z from draws of a distribution that is known exactly, such as a flow that the model tilts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Generator, Tensor

from gibbsian.core import Estimate, Interval
from gibbsian.evaluation.log_z.effort import Amount
from gibbsian.evaluation.log_z.estimators import Z95, from_weights

DRAWS: Mapping[Amount, int] = {"quick": 16_384, "normal": 131_072, "high": 1_048_576}
AT_ONCE = 16_384
"""Draws that are in memory together."""


def log_partition_from_exact_draws(
    log_weights: Callable[[int, Generator], Tensor], rng: Generator, effort: Amount = "normal"
) -> Interval:
    """log Z, nats, of weights whose mean is Z: ``log_weights(n, rng)`` gives the logs of n of them, ``[n]``.

    The lower side is the log of their mean, a bound in expectation (Jensen); the upper one adds the
    second-order term of its bias, half the relative variance of the mean, and is an estimate. 1.96
    standard errors reach as far as the interval for skewed weights does. Exact where all weights are equal.
    """
    sizes = [AT_ONCE] * (DRAWS[effort] // AT_ONCE)
    weights = torch.cat([log_weights(size, rng) for size in sizes]).double().cpu()
    first = float(weights[0]) + 0.0  # -0 is 0
    if bool((weights == first).all()):
        exact = Estimate(first, 0.0, "both", "exact", "all draws of the flow have equal weights")
        return Interval(exact, exact)
    found = from_weights(weights[None], f"{len(weights)} draws of the exact flow")
    lower = found.estimate()
    low, high = lower.diagnostics["interval95"]
    value = lower.value + 0.5 * lower.stderr**2
    diagnostics = dict(lower.diagnostics) | {"share": lower.diagnostics["ess"] / len(weights)}
    down = max(lower.stderr, (lower.value - low) / Z95)
    up = max(lower.stderr, (high - value) / Z95)
    concerns = tuple(str(text) for text in lower.diagnostics["concerns"])
    assert math.isfinite(value)
    return Interval(
        Estimate(lower.value, down, "lower", lower.standing, lower.how, diagnostics),
        Estimate(value, up, "upper", "estimate", lower.how, diagnostics),
        warnings=concerns,
    )
