"""log p(x) of a directed model p(z) p(x|z) from both sides, row by row.

Below: the K-sample importance bound (Burda, Grosse, Salakhutdinov 2016), and importance sampling from a
fitted posterior in fewer than five latent dimensions, annealing from the prior in more (Wu, Burda,
Salakhutdinov, Grosse 2017). Above: a bridge from that posterior, or reverse annealing. With exact draws of
p(z|x) reverse annealing would be a bound in expectation; Markov chains make it an estimate. Every row's
estimate is held against what bounds it: the evidence lower bound and the importance bound. The estimator of
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
    PosteriorLikelihood,
    posterior_likelihood,
)
from gibbsian.samplers import AnnealingPath, adapt_annealing_schedule, adapt_step_size, ais, hmc
from gibbsian.samplers.draws import importance_ess

LogWeights = Callable[[Tensor, int, Generator], Tensor]
"""``(x [B, *event], k, rng)`` to log p(x, z) / q(z|x) of k draws of q for each row, ``[k, B]``."""

LOW_DIMENSION = 5
"""From here on modes and curvatures of the posterior are no longer looked for."""
LEAPFROG, REFINED = 4, 30
"""Steps of a leapfrog proposal; proposals that move drawn particles before the way back."""
BELOW_BOUND = 8.0
"""Nats by which an estimate of a row may lie below its importance bound before it is called wrong: by
Markov's inequality the bound exceeds log p(x) by as much with a probability of at most exp(-8)."""
BELOW_ELBO = 5.0
"""Standard errors by which it may lie below its evidence lower bound, a mean of many log-weights."""
APART = 5.0
"""Nats between the two passes of an annealed row above which its estimate is not relied on."""


@dataclass(frozen=True)
class MeanWeights:
    """Of K weights w^power per row, ``[B]`` each: the log of their mean and the mean of their logs.

    ``ess``: the share of K that counts; ``elbo_stderr``: NaN for one weight.
    """

    log_mean: Tensor
    ess: Tensor
    elbo: Tensor
    elbo_stderr: Tensor

    def of_first(self, rows: int) -> MeanWeights:
        """Those of the first ``rows`` rows."""
        values = (self.log_mean, self.ess, self.elbo, self.elbo_stderr)
        return MeanWeights(*(value[:rows] for value in values))


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
    logs, squares = torch.zeros_like(first), torch.zeros_like(first)
    while left > 0:
        count = min(left, max(1, AT_ONCE // len(x)))
        log_w = power * log_weights(x, count, rng).double().cpu()
        logs, squares = logs + log_w.sum(0), squares + log_w.square().sum(0)
        first = torch.logaddexp(first, log_w.logsumexp(0))
        second = torch.logaddexp(second, (2 * log_w).logsumexp(0))
        left -= count
    spread = (squares - logs.square() / k).clamp_min(0.0)
    return MeanWeights(
        first - math.log(k),
        torch.exp(2 * first - second) / k,
        logs / k,
        (spread / (k * (k - 1))).sqrt() if k > 1 else torch.full_like(logs, math.nan),
    )


@dataclass(frozen=True)
class AnnealedLikelihood:
    """log p(x) per row ``[B]``: ``lower`` in expectation, ``upper`` an estimate; ``ess`` of ``chains``."""

    lower: Tensor
    upper: Tensor
    ess: Tensor
    chains: int

    @property
    def stderr(self) -> Tensor:
        """``[B]``, of ``lower``: the relative error of the mean weight."""
        return (1 / self.ess - 1 / self.chains).clamp_min(0.0).sqrt()

    @property
    def reliable(self) -> Tensor:
        """``[B]``: the passes agree; few chains may count and the sides still be near each other."""
        return (self.upper - self.lower).abs() <= APART


def annealed(
    log_likelihood: LogLikelihood,
    prior: Gaussian,
    x: Tensor,
    rng: Generator,
    *,
    chains: int = 16,
    conditional_ess: float = 0.95,
) -> AnnealedLikelihood:
    """Annealing of every row from p(z) to p(z) p(x|z), and back.

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
    lower, upper = log_mean_exp(forward.log_weights, 1), -log_mean_exp(back.log_weights, 1)
    return AnnealedLikelihood(lower, upper, importance_ess(forward.log_weights), chains)


RowLikelihood = PosteriorLikelihood | AnnealedLikelihood


def looked_at_closely(
    log_likelihood: LogLikelihood, prior: Gaussian, x: Tensor, rng: Generator
) -> RowLikelihood:
    """log p of each row by a fitted posterior where the latent space is small, by annealing elsewhere."""
    if math.prod(prior.shape) < LOW_DIMENSION:
        return posterior_likelihood(log_likelihood, prior, x, rng)
    return annealed(log_likelihood, prior, x, rng)


def below_their_bound(found: RowLikelihood, bound: MeanWeights) -> Tensor:
    """``[B]``: rows whose estimates both contradict what bounds log p(x) from below.

    That is their importance bound by more than ``BELOW_BOUND`` nats, or their evidence lower bound by
    more than ``BELOW_ELBO`` standard errors of the two.
    """
    best = torch.maximum(found.lower, found.upper)
    error = torch.hypot(bound.elbo_stderr, found.stderr)
    # NaN where the bound is one weight: a comparison with it is false.
    elbo_broken = best < bound.elbo - BELOW_ELBO * error
    return elbo_broken | (best < bound.log_mean - BELOW_BOUND)


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
    Rows whose estimate lies below their bound, or says of itself that it is not reliable, are left out and
    counted in a warning; where fewer than two remain, L_K alone stands. Estimates both, the sides may cross
    by their error; they are left as they are, with a warning.
    """
    found = mean_weights(log_weights, x, k, rng)
    ess = k * float(found.ess.median())
    how = f"importance bound with {k} samples"
    lower = over_rows(found.log_mean, "lower", "bound in expectation", how, ess=ess)
    scarce = f"half of the rows have fewer than {max(2, round(ess + 1))} effective samples of {k}"
    warnings = (scarce,) if ess < 5 else ()
    limit = over_rows(found.log_mean, "both", "estimate", f"{how}, as k grows", ess=ess)
    if decoder is None:
        return Interval(lower, limit, "log p", warnings)
    near = found.of_first(closer)
    looked = looked_at_closely(*decoder, x[:closer], rng)
    fitted = isinstance(looked, PosteriorLikelihood)
    way = "importance sampling" if fitted else "annealing"
    name = "a bridge from the fitted posterior" if fitted else "reverse annealing"
    wrong = below_their_bound(looked, near)
    kept = looked.reliable & ~wrong
    if not kept.all():
        count = f"of {len(kept)} rows looked at closely {int(wrong.sum())} came out below their own bound"
        doubtful = f"{int((~looked.reliable).sum())} with weights that cannot be relied on"
        warnings = (*warnings, f"{count}, {doubtful}; they are left out")
    if kept.sum() < 2:
        return Interval(lower, limit, "log p", warnings)
    lower_all, apart = lower, 0.0
    gains = (looked.lower - near.log_mean)[kept]
    gain = over_rows(gains, "lower", "bound in expectation", way)
    if gain.value > 2 * gain.stderr:
        lower, apart = _moved(lower, gain, way), gain.stderr
    rest = over_rows((looked.upper - near.log_mean)[kept], "upper", "estimate", name)
    upper = _moved(lower_all, rest, name)
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
