"""Importance sampling and resampling with unknown constants.

p = exp(-E) / Z_p and q = q~ / Z_q; r_l = exp(-E(z_l)) / q~(z_l) for z_l ~ q. Then Z_p / Z_q is
estimated without bias by the mean of r, and E_p[f] by sum_l w_l f(z_l), w = r / sum r, with a bias
of order 1/n (Bishop, Pattern Recognition and Machine Learning, 2006, section 11.1.4).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Generator, Tensor

from gibbsian.core import Energy, Estimate
from gibbsian.core.numerics import as_double, log_mean_exp_with_error, widest_float
from gibbsian.samplers.draws import WeightedSamples, importance_ess, pareto_k, reliability
from gibbsian.samplers.metropolis import Proposal, check_proposal

Scheme = Literal["multinomial", "stratified", "systematic"]


def importance_sampling(
    energy: Energy, proposal: Proposal, n: int, rng: Generator
) -> WeightedSamples:
    """``n`` draws of the proposal weighed to stand for exp(-E) / Z_p.

    ``log_z`` is log (Z_p / Z_q), by Jensen a lower bound in expectation; it is log Z_p where the
    proposal's log_density is normalised. Raises ValueError if the proposal has no density.
    """
    check_proposal(proposal)
    with torch.no_grad():
        x = proposal.sample(n, rng)
        log_weight = -energy(x) - proposal.log_density(x)
    if bool(log_weight.isnan().any()):
        raise ValueError("the energy or the proposal's density is NaN at a draw of the proposal")
    if not bool((log_weight > -torch.inf).any()):
        raise ValueError(
            "no draw of the proposal has a finite energy; take a proposal that covers the support"
        )
    value, error = log_mean_exp_with_error(log_weight)
    ess = float(importance_ess(log_weight))
    diagnostics = {"ess": ess} | ({"k_hat": float(pareto_k(log_weight))} if n >= 25 else {})
    how = "importance sampling"
    log_z = Estimate(float(value), float(error), "lower", "bound in expectation", how, diagnostics)
    return WeightedSamples(x, ess, reliability(log_weight), log_weight, log_z)


def resample_by_weight(
    log_weight: Tensor, n: int, rng: Generator, scheme: Scheme = "systematic"
) -> Tensor:
    """``n`` indices drawn with probabilities proportional to exp(log_weight ``[m]``), ``[n]``.

    All three schemes are unbiased. ``multinomial``: independent draws; ``stratified``: one in each
    of n equal slices of the unit interval; ``systematic``: one offset for all slices, so that an
    index comes floor(n w) or ceil(n w) times (Douc, Cappe, Moulines, 2005).
    """
    u = torch.rand(
        1 if scheme == "systematic" else n,
        generator=rng,
        device=rng.device,
        dtype=widest_float(rng.device),
    )
    if scheme != "multinomial":
        u = (torch.arange(n, dtype=u.dtype, device=u.device) + u) / n
    cdf = as_double(log_weight).softmax(0).cumsum(0)
    index = torch.searchsorted(cdf / cdf[-1], u.to(cdf), right=True).clamp_max(len(cdf) - 1)
    return index.to(log_weight.device)


def sir(
    energy: Energy,
    proposal: Proposal,
    candidates: int,
    n: int,
    rng: Generator,
    scheme: Scheme = "multinomial",
) -> WeightedSamples:
    """Sampling-importance-resampling (Rubin, 1988): n of the candidates, by weight.

    As the number of candidates grows the draws become exact; ``candidates`` of at least 10 n is
    usual. They are not independent where candidates repeat. ``log_z`` is that of ``importance_sampling``.
    """
    weighted = importance_sampling(energy, proposal, candidates, rng)
    assert weighted.log_weight is not None
    index = resample_by_weight(weighted.log_weight, n, rng, scheme)
    ess = 1 / (1 / n + 1 / weighted.ess)
    verdict = f"{weighted.verdict} (approximate draws)"
    return WeightedSamples(weighted.x[index], ess, verdict, log_z=weighted.log_z)
