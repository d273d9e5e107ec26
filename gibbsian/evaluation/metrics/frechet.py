"""The Frechet distance between two samples' features, with a bootstrap error.

Called FID only with the features of the network that FID is defined by; here they are the caller's.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from gibbsian.core import Estimate

FEW_PER_FEATURE = 10
BOOTSTRAPS = 50


def gaussian_frechet(
    mean_a: Tensor, covariance_a: Tensor, mean_b: Tensor, covariance_b: Tensor
) -> Tensor:
    """|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), scalar (Frechet 1957; Dowson, Landau 1982).

    ``mean [d]``, ``covariance [d, d]``, symmetric and positive semidefinite. The root's trace is
    that of (A S_b A)^(1/2) with A the symmetric root of S_a, whose eigenvalues are real.
    """
    values, vectors = torch.linalg.eigh(covariance_a)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    spectrum = torch.linalg.eigvalsh(root @ covariance_b @ root)
    cross = spectrum.clamp_min(0).sqrt().sum()
    trace = covariance_a.trace() + covariance_b.trace() - 2 * cross
    return (mean_a - mean_b).square().sum() + trace


def frechet_distance(a: Tensor, b: Tensor, rng: Generator) -> Estimate:
    """The distance between normal distributions fitted to features ``a [N, d]`` and ``b [M, d]``.

    It is biased upward by sampling, the more the fewer rows: compare numbers of equal N and M only.
    The error is the spread over 50 bootstraps of both samples. Raises ValueError for features of
    different widths or fewer than two rows; ``diagnostics["few"]`` says whether a sample has
    fewer than ten rows per feature.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"features must be two tables of equal width, not {list(a.shape)} and {list(b.shape)}"
        )
    if min(len(a), len(b)) < 2:
        raise ValueError("a covariance needs at least two rows on each side")
    a, b = a.double(), b.double()
    value = _fitted(a, b)
    again = torch.stack(
        [_fitted(_resampled(a, rng), _resampled(b, rng)) for _ in range(BOOTSTRAPS)]
    )
    few = min(len(a), len(b)) < FEW_PER_FEATURE * a.shape[1]
    return Estimate(
        float(value), float(again.std()), "both", "estimate", "Frechet distance", {"few": few}
    )


def _fitted(a: Tensor, b: Tensor) -> Tensor:
    (m_a, S_a), (m_b, S_b) = ((x.mean(0), torch.cov(x.T).view(x.shape[1], -1)) for x in (a, b))
    return gaussian_frechet(m_a, S_a, m_b, S_b)


def _resampled(x: Tensor, rng: Generator) -> Tensor:
    return x[torch.randint(len(x), (len(x),), generator=rng, device=rng.device)]
