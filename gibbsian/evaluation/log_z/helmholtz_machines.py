"""Likelihoods of a bidirectional Helmholtz machine (Bornschein et al. 2016): log p, log p* and log Z."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from gibbsian.core import Estimate, Interval
from gibbsian.core.numerics import log_mean_exp_with_error
from gibbsian.evaluation.log_z.directed import LogWeights, mean_weights, over_rows

OverlapTerms = Callable[[int, int, Generator], Tensor]
"""``(n, k, rng)`` to the logs of n unbiased estimates of Z^2 with k inner draws each, ``[n]``."""

AT_ONCE = 10_000


def overlap(terms: OverlapTerms, rng: Generator, *, n: int = 20_000, inner: int = 1) -> Interval:
    """log Z = minus the Bhattacharyya distance of p and q, from both sides, in nats.

    The mean of s_i is unbiased for Z^2, so that half its log lies below log Z in expectation; its
    standard error is sd(s) / (2 sqrt(n) mean(s)). Above, Z <= 1 by the inequality of Cauchy and
    Schwarz. Raises ValueError for n below 2.
    """
    parts = [min(AT_ONCE, n - done) for done in range(0, n, AT_ONCE)]
    logs = torch.cat([terms(count, inner, rng).cpu().double() for count in parts])
    value, error = (float(figure) / 2 for figure in log_mean_exp_with_error(logs))
    how = f"{n} draws of p, {inner} of q for each"
    lower = Estimate(value, error, "lower", "bound in expectation", how)
    upper = Estimate(0.0, 0.0, "upper", "bound", "Cauchy and Schwarz")
    return Interval(lower, upper, "log Z")


def bihm_log_likelihood(
    log_weights: LogWeights, log_z: Interval, x: Tensor, rng: Generator, *, k: int = 500
) -> Interval:
    """Mean of log p* over rows ``x [B, d]``, in nats, from ``k`` draws of q for each.

    Below, log p~*, a bound since Z <= 1 and estimated from below. The other side is log p~* - 2 log Z:
    the one part is biased down and the other up, so it is an estimate from no side. ``log_z`` is
    what `overlap` found.
    """
    found = mean_weights(log_weights, x, k, rng, power=0.5)
    ess = k * float(found.ess.median())
    how = f"log p~* with {k} samples"
    lower = over_rows(2.0 * found.log_mean, "lower", "bound in expectation", how, ess=ess)
    z = log_z.lower
    upper = dataclasses.replace(
        lower,
        value=lower.value - 2.0 * z.value,
        stderr=math.hypot(lower.stderr, 2.0 * z.stderr),
        side="both",
        standing="estimate",
        how=f"{how}, log Z from {z.how}",
    )
    return Interval(lower, upper, "log p*")
