"""log p(x) of a directed model p(z) p(x|z) from both sides, row by row.

Below: the K-sample importance bound (Burda, Grosse, Salakhutdinov 2016), and importance sampling from a
fitted posterior in fewer than five latent dimensions, annealing from the prior in more (Wu, Burda,
Salakhutdinov, Grosse 2017). Above: a bridge from that posterior, or reverse annealing. With exact draws of
p(z|x) reverse annealing would be a bound in expectation; Markov chains make it an estimate. The estimator of
Kingma and Welling (2014), appendix D, a Gaussian fitted to chains that start at the prior, is not here: where
the observation noise is small it is wrong by hundreds of nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from gibbsian.core import Estimate, Interval, Side, Standing
from gibbsian.core.measures import Gaussian
from gibbsian.core.numerics import log_mean_exp
from gibbsian.evaluation.log_z.posterior import (
    AT_ONCE,
    Joint,
    LogLikelihood,
    posterior_likelihood,
)
from gibbsian.samplers import AnnealingPath, adapt_annealing_schedule, adapt_step_size, ais, hmc

LogWeights = Callable[[Tensor, int, Generator], Tensor]
"""``(x [B, *event], k, rng)`` to log p(x, z) / q(z|x) of k draws of q for each row, ``[k, B]``."""

LOW_DIMENSION = 5
"""From here on modes and curvatures of the posterior are no longer looked for."""
LEAPFROG, REFINED = 4, 30
"""Steps of a leapfrog proposal; proposals that move drawn particles before the way back."""
BELOW_BOUND = 8.0
"""Nats by which an estimate of a row may lie below its importance bound before it is called wrong: by
Markov's inequality the bound exceeds log p(x) by as much with a probability of at most exp(-8)."""


@dataclass(frozen=True)
class MeanWeights:
    """Of K weights w per row: ``log_mean`` of w^power and ``ess``, the share of K that counts, ``[B]``."""

    log_mean: Tensor
    ess: Tensor


def mean_weights(
    log_weights: LogWeights, x: Tensor, k: int, rng: Generator, power: float = 1.0
) -> MeanWeights:
    """log (1/K) sum_k w_k^power of every row, in as many passes as memory asks for.

    With power 1 the K-sample bound L_K: L_1 is the evidence lower bound, L_K <= L_{K+1} <= log p(x)
    in expectation. ``ess`` = (mean w)^2 / mean w^2. Raises ValueError for k below 1.
    """
    if k < 1:
        raise ValueError(f"the bound needs at least one sample per row, not k={k}")
    first = torch.full((len(x),), -math.inf, dtype=torch.float64)
    second, left = first.clone(), k
    while left > 0:
        count = min(left, max(1, AT_ONCE // len(x)))
        log_w = power * log_weights(x, count, rng).double().cpu()
        first = torch.logaddexp(first, log_w.logsumexp(0))
        second = torch.logaddexp(second, (2 * log_w).logsumexp(0))
        left -= count
    return MeanWeights(first - math.log(k), torch.exp(2 * first - second) / k)


def annealed(
    log_likelihood: LogLikelihood,
    prior: Gaussian,
    x: Tensor,
    rng: Generator,
    *,
    chains: int = 16,
    conditional_ess: float = 0.95,
) -> tuple[Tensor, Tensor]:
    """Annealing of every row from p(z) to p(z) p(x|z), and back: lower and upper sides, ``[B]`` each.

    Forward, the log of the mean weight lies below log p(x) in expectation. The way back starts at
    the forward particles, drawn by weight and moved on by adapted HMC, which are the posterior only
    approximately.
    """
    joint = Joint(log_likelihood, prior, x)
    path = AnnealingPath(joint.base, joint.energy)
    kernel = hmc(path, 0.1, LEAPFROG)
    pilot = joint.draw(chains, rng)
    schedule = adapt_annealing_schedule(
        kernel, pilot, rng, runs=len(x), conditional_ess=conditional_ess
    )
    forward = ais(kernel, joint.draw(chains, rng), schedule, rng)
    weights = forward.log_weights.softmax(1).to(rng.device)
    drawn = torch.multinomial(weights, chains, replacement=True, generator=rng)
    index = drawn + chains * torch.arange(len(x), device=rng.device)[:, None]
    at_posterior = hmc(joint.energy, 0.1, LEAPFROG, jitter=0.2)
    moved = adapt_step_size(at_posterior, forward.x[index.flatten()], REFINED, rng, groups=len(x)).x
    back = ais(kernel, moved, schedule, rng, reverse=True)
    return log_mean_exp(forward.log_weights, 1), -log_mean_exp(back.log_weights, 1)


def over_rows(values: Tensor, side: Side, standing: Standing, how: str, **more: float) -> Estimate:
    """The mean of row values ``[B]`` with its standard error; ValueError for fewer than two rows."""
    if len(values) < 2:
        raise ValueError(f"a held-out likelihood needs at least two rows; got {len(values)}")
    error = float(values.std() / math.sqrt(len(values)))
    return Estimate(float(values.mean()), error, side, standing, how, {"rows": len(values), **more})


def directed_model_log_likelihood(
    log_weights: LogWeights,
    x: Tensor,
    rng: Generator,
    *,
    k: int = 500,
    decoder: tuple[LogLikelihood, Gaussian] | None = None,
    closer: int = 50,
) -> Interval:
    """Mean of log p(x) over rows ``x [B, *event]``, in nats.

    Below, L_K over all rows. Given the decoder's log p(x|z) and its prior, the first ``closer`` rows
    are looked at by importance sampling from a fitted posterior, or by annealing: what they add to L_K
    there, where it is positive, is added to the lower side, and the upper side is what they add from above.
    Rows whose estimate lies below their bound, or says of itself that it is not reliable, are counted in a
    warning. Estimates both, the sides may cross by their error; they are left as they are, with a warning.
    """
    found = mean_weights(log_weights, x, k, rng)
    ess = k * float(found.ess.median())
    how = f"importance bound with {k} samples"
    lower = over_rows(found.log_mean, "lower", "bound in expectation", how, ess=ess)
    scarce = f"half of the rows have fewer than {max(2, round(ess + 1))} effective samples of {k}"
    warnings = (scarce,) if ess < 5 else ()
    if decoder is None:
        limit = over_rows(found.log_mean, "both", "estimate", f"{how}, as k grows", ess=ess)
        return Interval(lower, limit, "log p", warnings)
    part, near = x[:closer], found.log_mean[:closer]
    if math.prod(decoder[1].shape) < LOW_DIMENSION:
        fitted = posterior_likelihood(*decoder, part, rng)
        below, above, doubtful = fitted.lower, fitted.upper, int((~fitted.reliable).sum())
        way, name = "importance sampling", "a bridge from the fitted posterior"
    else:
        below, above = annealed(*decoder, part, rng)
        doubtful, way, name = 0, "annealing", "reverse annealing"
    wrong = int((torch.maximum(below, above) < near - BELOW_BOUND).sum())
    if wrong or doubtful:
        count = f"of {len(part)} rows looked at closely {wrong} came out below their own bound"
        warnings = (*warnings, f"{count}, {doubtful} with weights that cannot be relied on")
    near_all, apart = lower, 0.0
    gain = over_rows(below - near, "lower", "bound in expectation", way)
    if gain.value > 2 * gain.stderr:
        lower, apart = _moved(lower, gain, way), gain.stderr
    rest = over_rows(above - near, "upper", "estimate", name)
    upper = _moved(near_all, rest, name)
    if upper.value < lower.value:
        error = math.hypot(rest.stderr, apart)
        crossed = f"the sides cross by {lower.value - upper.value:.2g} ± {error:.2g} nats"
        warnings = (*warnings, f"{crossed}: no more is known than that")
    return Interval(lower, upper, "log p", warnings)


def _moved(at: Estimate, by: Estimate, name: str) -> Estimate:
    """``at`` of all rows plus a difference known on some of them."""
    how = f"{name} on {by.diagnostics['rows']} rows, {at.how} on {at.diagnostics['rows']}"
    error = math.hypot(at.stderr, by.stderr)
    return Estimate(at.value + by.value, error, by.side, by.standing, how, at.diagnostics)
