"""Convergence diagnostics of Markov chains, on draws ``[kept, chains, p]`` of p quantities.

R-hat, effective sample sizes and their Monte Carlo standard error follow Vehtari, Gelman, Simpson,
Carpenter, Buerkner, "Rank-normalization, folding, and localization" (Bayesian Analysis, 2021);
nested R-hat follows Margossian et al., "Nested R-hat" (Bayesian Analysis, 2024). Everything is
computed in float64; all functions raise ValueError for fewer than 4 kept draws where chains are
split.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def split(draws: Tensor) -> Tensor:
    """Each chain cut into halves, ``[kept, chains, p] -> [kept // 2, 2 chains, p]``."""
    half = len(draws) // 2
    if half < 2:
        raise ValueError(f"{len(draws)} kept draws per chain cannot be diagnosed; keep at least 4")
    return torch.cat([draws[:half], draws[-half:]], 1).double()


def rank_normalise(draws: Tensor) -> Tensor:
    """Normal scores of the pooled ranks (ties share their mean rank), shape kept (eq. 14)."""
    pooled = draws.flatten(0, 1)
    scores = torch.empty_like(pooled, dtype=torch.float64)
    for j, column in enumerate(pooled.T):
        _, place, counts = torch.unique(column, return_inverse=True, return_counts=True)
        rank = counts.cumsum(0) - (counts - 1) / 2
        share = (rank.double() - 3 / 8) / (len(column) + 1 / 4)
        scores[:, j] = torch.special.ndtri(share)[place]
    return scores.reshape(draws.shape)


def fold(draws: Tensor) -> Tensor:
    """Distance from the pooled median, which turns a difference of spread into one of place."""
    ordered = draws.flatten(0, 1).double().sort(0).values
    n = len(ordered)
    return (draws - (ordered[(n - 1) // 2] + ordered[n // 2]) / 2).abs()


def r_hat(draws: Tensor) -> Tensor:
    """Rank-normalised split R-hat, the larger of bulk and folded, ``[p]`` (section 4.2)."""
    halves = split(draws)
    folded = fold(halves)
    return torch.maximum(_r_hat(rank_normalise(halves)), _r_hat(rank_normalise(folded)))


def _r_hat(draws: Tensor) -> Tensor:
    n = len(draws)
    between = draws.mean(0).var(0)
    within = draws.var(0).mean(0)
    return ((between / within) + (n - 1) / n).sqrt()


def nested_r_hat(draws: Tensor, superchains: int) -> Tensor:
    """R-hat of ``superchains`` groups of chains that share their start, ``[p]``.

    R = sqrt(1 + B / W): B the variance of the groups' means, W the mean over groups of the variance
    between a group's chains plus that within them; rank-normalised, the larger of bulk and folded.
    It works on chains as short as one draw, where R-hat cannot: the chains of a group forget their
    common start at the rate at which B falls. Consecutive rows form a group.

    Raises ValueError unless chains split into at least two equal groups of at least two.
    """
    chains = draws.shape[1]
    if superchains < 2 or chains % superchains or chains == superchains:
        raise ValueError(
            f"{chains} chains do not split into {superchains} superchains; both the number of "
            "groups and the chains in each must be at least 2"
        )
    bulk, folded = rank_normalise(draws), rank_normalise(fold(draws))
    return torch.maximum(_nested(bulk, superchains), _nested(folded, superchains))


def _nested(draws: Tensor, superchains: int) -> Tensor:
    grouped = draws.unflatten(1, (superchains, -1))
    chain_means = grouped.mean(0)
    between = chain_means.mean(1).var(0)
    within = chain_means.var(1)
    if len(draws) > 1:
        within = within + grouped.var(0).mean(1)
    return (1 + between / within.mean(0)).sqrt()


def autocovariance(draws: Tensor) -> Tensor:
    """Mean over chains of the biased autocovariance, ``[kept, chains, p] -> [kept, p]``."""
    n = len(draws)
    centred = draws - draws.mean(0)
    spectrum = torch.fft.rfft(centred, 2 * n, dim=0).abs().square().mean(1)
    return torch.fft.irfft(spectrum, 2 * n, dim=0)[:n] / n


def ess(draws: Tensor) -> Tensor:
    """Effective number of draws for the mean, ``[p]``, by Geyer's initial monotone sequence.

    Eq. 10-12, without splitting or ranks. Where a quantity is constant it is the number of draws.
    """
    draws = draws.double()
    n, chains = draws.shape[:2]
    covariance = autocovariance(draws)
    within = covariance[0] * n / (n - 1)
    total = covariance[0] + (draws.mean(0).var(0) if chains > 1 else 0.0)
    rho = 1 - (within - covariance) / total
    rho[0] = 1.0
    # Sums of neighbouring pairs are positive and falling for a reversible chain: cut at the first
    # negative one, and never let them rise.
    pairs = max(1, (n - 3) // 2 + 1)
    even, odd = rho[0 : 2 * pairs : 2], rho[1 : 2 * pairs : 2]
    pair = even + odd
    index = torch.arange(pairs, device=draws.device)[:, None]
    cut = torch.where(pair < 0, index, pairs - 1).min(0).values
    monotone = pair.cummin(0).values
    tau = -1 + 2 * torch.where(index < cut, monotone, 0.0).sum(0)
    tau = tau + even.gather(0, cut[None]).squeeze(0).clamp_min(0.0)
    size = n * chains
    constant = draws.flatten(0, 1).amax(0) == draws.flatten(0, 1).amin(0)
    return torch.where(constant, float(size), size / tau.clamp_min(1 / math.log10(size)))


def ess_bulk(draws: Tensor) -> Tensor:
    """ESS of the rank-normalised split chains, ``[p]``: for location (section 4.3)."""
    return ess(rank_normalise(split(draws)))


def ess_tail(draws: Tensor) -> Tensor:
    """The smaller ESS of the indicators of the 5 % and 95 % quantiles, ``[p]`` (section 4.3)."""
    pooled = draws.flatten(0, 1).double().sort(0).values
    both = []
    for level in (0.05, 0.95):
        place = level * (len(pooled) - 1)
        low = int(place)
        quantile = torch.lerp(pooled[low], pooled[min(low + 1, len(pooled) - 1)], place - low)
        both.append(ess(split((draws.double() <= quantile).double())))
    return torch.minimum(*both)


def mcse_mean(draws: Tensor) -> Tensor:
    """Monte Carlo standard error of the mean, std / sqrt(ESS), ``[p]``."""
    return draws.double().flatten(0, 1).std(0) / ess(split(draws)).sqrt()
