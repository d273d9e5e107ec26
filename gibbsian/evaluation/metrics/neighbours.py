"""Fidelity and diversity of samples apart from each other, by nearest neighbours.

A side's support is taken to be the union of balls around its rows, each reaching to the row's k-th
nearest neighbour on its own side. All numbers depend on k and on how many rows there are: compare
those of equal k, N and M only.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from gibbsian.core import Estimate
from gibbsian.evaluation.metrics.resampling import checked_pair, halved_error, share_interval

FEW = 1_000


class PrecisionRecall(NamedTuple):
    """Share of samples in the support of the data, and of data in the support of the samples."""

    precision: Estimate
    recall: Estimate


class DensityCoverage(NamedTuple):
    """Mean number of data balls over k that hold a sample; share of data balls that hold one."""

    density: Estimate
    coverage: Estimate


def precision_recall(x: Tensor, x_model: Tensor, rng: Generator, k: int = 3) -> PrecisionRecall:
    """Of samples ``x_model [M, d]`` for data ``x [N, d]`` (Kynkaanniemi et al. 2019, equations 1, 2).

    One outlier in the data makes a large ball that forgives many samples; ``density_coverage`` does
    not. Errors by comparing halves, drawn from ``rng``; ``diagnostics["interval"]`` holds 95 %,
    ``diagnostics["few"]`` says whether a side has fewer than 1000 rows. Memory grows as (N + M)^2,
    0.8 GB for 5000 rows a side. Raises ValueError for tables that do not match, values that are not
    finite, k < 1, or fewer than 2 (k + 1) rows (8 at least) on a side.
    """
    x, x_model = _checked(x, x_model, k)

    def shares(a: Tensor, b: Tensor) -> Tensor:
        distance = torch.cdist(a, b)
        in_data = distance <= _radii(a, k)[:, None]
        in_model = distance <= _radii(b, k)
        return torch.stack([_share(in_data.any(0)), _share(in_model.any(1))])

    values, errors = shares(x, x_model), halved_error(shares, x, x_model, rng)
    few = min(len(x), len(x_model)) < FEW
    precision, recall = (
        _of_share(float(value), float(error), f"{name} (k = {k})", few)
        for value, error, name in zip(values, errors, ("precision", "recall"), strict=True)
    )
    return PrecisionRecall(precision, recall)


def density_coverage(x: Tensor, x_model: Tensor, rng: Generator, k: int = 5) -> DensityCoverage:
    """Of samples ``x_model [M, d]`` for data ``x [N, d]`` (Naeem et al. 2020, equations 4, 5).

    Perfect samples have density 1 in expectation, and coverage ``diagnostics["perfect"]``, whatever
    the distribution (their equation 9, about 1 - 2^-k for N = M); density may exceed 1 where samples crowd.
    Errors, memory and ValueErrors as ``precision_recall``.
    """
    x, x_model = _checked(x, x_model, k)

    def shares(a: Tensor, b: Tensor) -> Tensor:
        in_data = torch.cdist(a, b) <= _radii(a, k)[:, None]
        return torch.stack([in_data.double().sum() / (k * len(b)), _share(in_data.any(1))])

    values, errors = shares(x, x_model).tolist(), halved_error(shares, x, x_model, rng).tolist()
    n, m = len(x), len(x_model)
    few = min(n, m) < FEW
    how = f"density (k = {k})"
    density = Estimate(values[0], errors[0], "both", "estimate", how, {"few": few})
    coverage = _of_share(values[1], errors[1], f"coverage (k = {k})", few)
    diagnostics = {**coverage.diagnostics, "perfect": perfect_coverage(n, m, k)}
    return DensityCoverage(
        density,
        Estimate(values[1], errors[1], "both", "estimate", coverage.how, diagnostics),
    )


def perfect_coverage(n: int, m: int, k: int) -> float:
    """Expected coverage of n rows by m samples of the same distribution: 1 - P(the k nearest are all data).

    >>> round(perfect_coverage(10_000, 10_000, 5), 4)
    0.9688
    """
    return 1.0 - math.prod((n - i) / (m + n - i) for i in range(1, k + 1))


def _checked(x: Tensor, x_model: Tensor, k: int) -> tuple[Tensor, Tensor]:
    if k < 1:
        raise ValueError(f"the number of neighbours k must be at least 1, not {k}")
    return checked_pair(x, x_model, max(8, 2 * (k + 1)))


def _radii(x: Tensor, k: int) -> Tensor:
    """Distance of each row to its k-th nearest other row, ``[N]`` (the nearest is the row itself)."""
    distance = torch.cdist(x, x)
    distance.fill_diagonal_(0.0)
    return distance.kthvalue(k + 1, 1).values


def _share(inside: Tensor) -> Tensor:
    return inside.double().mean()


def _of_share(value: float, error: float, how: str, few: bool) -> Estimate:
    diagnostics = {"interval": share_interval(value, error), "few": few}
    return Estimate(value, error, "both", "estimate", how, diagnostics)
