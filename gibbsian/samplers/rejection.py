"""Rejection sampling in log space."""

from __future__ import annotations

import math

import torch
from torch import Generator

from gibbsian.core import Energy, Estimate
from gibbsian.samplers.draws import WeightedSamples
from gibbsian.samplers.metropolis import Proposal, check_proposal


def rejection_sampling(
    energy: Energy,
    proposal: Proposal,
    log_k: float,
    n: int,
    rng: Generator,
    *,
    batch: int = 4096,
    max_proposals: int = 100_000_000,
) -> WeightedSamples:
    """``n`` exact draws of exp(-E) / Z_p under the envelope k q(x) >= exp(-E(x)) (von Neumann, 1951).

    A proposal z ~ q is kept if log u <= -E(z) - log k - log q(z). The acceptance probability is
    Z_p / k, so ``log_z`` = log k + log acceptance, error by the delta method. For
    N(0, s_p^2 I) under N(0, s_q^2 I) in D dimensions the best k makes it (s_p / s_q)^D.

    Raises ValueError if the proposal has no density, if a proposal shows that the envelope lies
    below the density (saying by how much), or if ``max_proposals`` do not yield n draws.
    """
    check_proposal(proposal)
    kept, accepted, proposed = [], 0, 0
    while accepted < n:
        if proposed >= max_proposals:
            raise ValueError(
                f"{proposed} proposals gave {accepted} draws of {n}; lower log_k to the least "
                "envelope or take a proposal closer to the density"
            )
        with torch.no_grad():
            z = proposal.sample(batch, rng)
            log_ratio = -energy(z) - proposal.log_density(z) - log_k
        excess = float(log_ratio.max())
        if not excess <= rounding(log_ratio.dtype):
            raise ValueError(
                f"the envelope k q lies below the density by a factor of {math.exp(excess):.4g} at "
                f"a proposal; use log_k >= {log_k + excess:.6g}"
            )
        u = torch.rand(batch, generator=rng, device=z.device, dtype=log_ratio.dtype)
        keep = u < log_ratio.exp()
        kept.append(z[keep])
        accepted += len(kept[-1])
        proposed += batch
    a = accepted / proposed
    error = math.sqrt((1 - a) / (a * proposed))
    diagnostics = {"acceptance": a, "proposals": proposed}
    log_z = Estimate(
        log_k + math.log(a), error, "both", "estimate", "rejection sampling", diagnostics
    )
    return WeightedSamples(torch.cat(kept)[:n], float(n), "exact", log_z=log_z, acceptance=a)


def rounding(dtype: torch.dtype) -> float:
    """Nats by which rounding may lift a tight envelope's log-ratio above zero."""
    return 64 * torch.finfo(dtype).eps
