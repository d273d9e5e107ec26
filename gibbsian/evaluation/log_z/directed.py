"""log p(x) of a directed model p(z) p(x|z) from both sides, row by row.

Below: the K-sample importance bound (Burda, Grosse, Salakhutdinov 2016) and annealed importance
sampling from the prior (Wu, Burda, Salakhutdinov, Grosse 2017). Above: the estimator of Kingma and
Welling (2014), appendix D, in fewer than five latent dimensions, reverse annealing in more. With exact
draws of p(z|x) both would be bounds in expectation; Markov chains make them estimates.
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
from gibbsian.samplers import Path, adapt, adapt_schedule, ais, hmc, run

LogWeights = Callable[[Tensor, int, Generator], Tensor]
"""``(x [B, *event], k, rng)`` to log p(x, z) / q(z|x) of k draws of q for each row, ``[k, B]``."""

LogLikelihood = Callable[[Tensor, Tensor], Tensor]
"""``(x [B, *event], z [B, latent])`` to log p(x|z), ``[B]``."""

AT_ONCE = 20_000
"""Decoded rows held in memory at a time."""
LOW_DIMENSION = 5
"""From here on a Gaussian fitted to posterior draws is no longer trusted (appendix D)."""
LEAPFROG, WARM_UP = 4, 100


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


@dataclass(frozen=True)
class Chains:
    """The posterior of each row as an energy for ``each`` chains per row, row by row."""

    log_likelihood: LogLikelihood
    prior: Gaussian
    x: Tensor
    each: int

    def energy(self, z: Tensor) -> Tensor:
        """-log p(z) - log p(x|z), ``[B * each, latent] -> [B * each]``."""
        x = self.x.repeat_interleave(self.each, 0)
        return -self.prior.log_density(z) - self.log_likelihood(x, z)

    def base(self, z: Tensor) -> Tensor:
        """-log p(z)."""
        return -self.prior.log_density(z)

    def start(self, rng: Generator) -> Tensor:
        """Exact draws of the prior, ``[B * each, latent]``."""
        return self.prior.sample(len(self.x) * self.each, rng).to(self.x)


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
    the forward particles, drawn by weight, which are the posterior only approximately.
    """
    pilot = Chains(log_likelihood, prior, x, chains)
    path = Path(pilot.base, pilot.energy)
    kernel = hmc(path, 0.1, LEAPFROG)
    schedule = adapt_schedule(
        kernel, pilot.start(rng), rng, runs=len(x), conditional_ess=conditional_ess
    )
    forward = ais(kernel, pilot.start(rng), schedule, rng)
    weights = forward.log_weights.softmax(1).to(rng.device)
    drawn = torch.multinomial(weights, chains, replacement=True, generator=rng)
    index = drawn + chains * torch.arange(len(x), device=rng.device)[:, None]
    back = ais(kernel, forward.x[index.flatten()], schedule, rng, reverse=True)
    return log_mean_exp(forward.log_weights, 1), -log_mean_exp(back.log_weights, 1)


def by_fitted_posterior(
    log_likelihood: LogLikelihood,
    prior: Gaussian,
    x: Tensor,
    rng: Generator,
    *,
    draws: int = 50,
    chains: int = 10,
) -> Tensor:
    """Appendix D: 1 / mean of q(z) / p(x, z) over posterior draws z, from above, ``[B]``.

    HMC draws of p(z|x) (4 leapfrog steps, warmed up) fit a Gaussian q to each row; ``draws`` new ones
    give the estimate. E[q(z) / p(x, z)] = 1 / p(x), so that by Jensen the log lies above log p(x).
    Raises ValueError where there are too few draws to fit q.
    """
    latent, each = prior.shape[0], -(-draws // chains)
    if each * chains <= 2 * latent:
        raise ValueError(f"{draws} draws are too few to fit a Gaussian in {latent} dimensions")
    problem = Chains(log_likelihood, prior, x, chains)
    kernel = hmc(problem.energy, 0.1, LEAPFROG, jitter=0.2)
    state = adapt(kernel, problem.start(rng), WARM_UP, rng, groups=len(x))
    thin = 5
    fitted = run(kernel, state, thin * each, rng, thin=thin)
    fresh = run(kernel, fitted.state, thin * each, rng, thin=thin)
    rows = [
        c.draws.unflatten(1, (len(x), chains)).movedim(0, 1).flatten(1, 2) for c in (fitted, fresh)
    ]
    mean = rows[0].mean(1, keepdim=True)
    centred = rows[0] - mean
    covariance = centred.mT @ centred / (centred.shape[1] - 1)
    factor = torch.linalg.cholesky(covariance)
    solved = torch.linalg.solve_triangular(factor, (rows[1] - mean).mT, upper=False)
    log_det = factor.diagonal(dim1=1, dim2=2).log().sum(1, keepdim=True)
    log_q = -0.5 * (solved.square().sum(1) + latent * math.log(2 * math.pi)) - log_det
    z = rows[1].flatten(0, 1)
    with torch.no_grad():
        copies = x.repeat_interleave(rows[1].shape[1], 0)
        log_joint = prior.log_density(z) + log_likelihood(copies, z)
    return -log_mean_exp((log_q - log_joint.view_as(log_q)).double().cpu(), 1)


def over_rows(values: Tensor, side: Side, standing: Standing, how: str, **more: float) -> Estimate:
    """The mean of row values ``[B]`` with its standard error; ValueError for fewer than two rows."""
    if len(values) < 2:
        raise ValueError(f"a held-out likelihood needs at least two rows; got {len(values)}")
    error = float(values.std() / math.sqrt(len(values)))
    return Estimate(float(values.mean()), error, side, standing, how, {"rows": len(values), **more})


def directed_log_likelihood(
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
    are looked at with annealing (and appendix D): what they add to L_K there, where it is positive, is
    added to the lower side, and the upper side is what they add from above. Estimates both, the sides
    may cross by their error; they are left as they are, with a warning.
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
    below, above = annealed(*decoder, part, rng)
    name = "reverse annealing"
    if math.prod(decoder[1].shape) < LOW_DIMENSION:
        above, name = by_fitted_posterior(*decoder, part, rng), "a Gaussian fitted to the posterior"
    near_all, apart = lower, 0.0
    gain = over_rows(below - near, "lower", "bound in expectation", "annealing")
    if gain.value > 2 * gain.stderr:
        lower, apart = _moved(lower, gain, "annealing"), gain.stderr
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
