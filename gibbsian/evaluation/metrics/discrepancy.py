"""Squared maximum mean discrepancies of two samples, unbiased, each with a standard error.

MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y) (Gretton et al. 2012). With the cubic kernel on a network's
features it is the kernel distance of Binkowski et al. (2018), called KID only with the Inception
network. The unbiased estimate can be negative: it is so about half of the time for equal distributions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from gibbsian.core import Estimate
from gibbsian.evaluation.metrics.resampling import checked_pair

Kernel = Callable[[Tensor, Tensor], Tensor]
"""``[n, d], [m, d] -> [n, m]``, symmetric and positive semidefinite."""

CHUNK = 1024
FEW = 100
MEDIAN_ROWS = 2_000
SCALES = (0.5, 1.0, 2.0)


def cubic_kernel(x: Tensor, y: Tensor) -> Tensor:
    """(x . y / d + 1)^3, ``[n, m]`` (Binkowski et al. 2018, equation 4)."""
    return (x @ y.T / x.shape[1] + 1.0) ** 3


def gaussian_kernel(x: Tensor, y: Tensor, bandwidths: Sequence[float]) -> Tensor:
    """The mean over bandwidths s of exp(-|x - y|^2 / (2 s^2)), ``[n, m]``."""
    square = torch.cdist(x, y).square()
    parts = [torch.exp(-square / (2.0 * s**2)) for s in bandwidths]
    return torch.stack(parts).mean(0)


def kernel_distance(x: Tensor, x_model: Tensor) -> Estimate:
    """Unbiased MMD^2 of features ``x [N, d]`` and ``x_model [M, d]`` with the cubic kernel.

    Sees the first three moments only. Errors raised, standard error and diagnostics as ``mmd``.
    """
    return mmd(x, x_model, cubic_kernel, "kernel distance (cubic)")


def gaussian_mmd(x: Tensor, x_model: Tensor, bandwidths: Sequence[float] | None = None) -> Estimate:
    """Unbiased MMD^2 of data ``x [N, d]`` and samples ``x_model [M, d]`` with Gaussian kernels.

    Zero only for equal laws. ``bandwidths``: by default a half, one and two times the median distance
    in the data, never the samples, so that models are measured by one ruler; give them where the data
    differ between calls. They are in ``diagnostics["bandwidths"]``. Errors as ``mmd``, and for widths
    that are not positive.
    """
    widths = median_bandwidths(x) if bandwidths is None else tuple(bandwidths)
    if not widths or not all(0.0 < s < math.inf for s in widths):
        raise ValueError(f"bandwidths must be positive numbers, at least one, not {widths}")
    found = mmd(x, x_model, partial(gaussian_kernel, bandwidths=widths), "MMD^2 (Gaussian)")
    diagnostics = {**found.diagnostics, "bandwidths": widths}
    return Estimate(found.value, found.stderr, "both", "estimate", found.how, diagnostics)


def median_bandwidths(x: Tensor) -> tuple[float, ...]:
    """A half, one and two times the median distance between rows of ``x [N, d]`` (its first 2000).

    Raises ValueError where that is 0: more than half of the pairs are equal.
    """
    median = float(torch.pdist(x[:MEDIAN_ROWS].double()).median()) if len(x) > 1 else 0.0
    if median == 0.0:
        raise ValueError("most rows of the data are equal; give the bandwidths of the kernel")
    return tuple(scale * median for scale in SCALES)


def mmd(x: Tensor, x_model: Tensor, kernel: Kernel, how: str) -> Estimate:
    """The U-statistic of MMD^2 for any ``kernel`` (Gretton et al. 2012, equation 3).

    The standard error is a jackknife's, less what a jackknife counts twice: the part of the variance
    that comes from pairs, all there is when the distributions are equal (Efron, Stein 1981). It needs no
    random numbers, and memory for 1024 rows of kernel values at a time. Near zero the estimate is
    not normal but skewed to the right: use a permutation test or a classifier to *decide*. Raises
    ValueError for fewer than four rows on a side, other shapes, or values that are not finite;
    ``diagnostics["few"]`` says whether a side has fewer than 100 rows.
    """
    x, x_model = checked_pair(x, x_model, 4)
    xx, yy = _sums(x, x, kernel, same=True), _sums(x_model, x_model, kernel, same=True)
    xy = _sums(x, x_model, kernel, same=False)
    n, m = len(x), len(x_model)
    value = xx.mean + yy.mean - 2.0 * xy.mean
    without_x = _without(xx, n, xy.rows, xy.total, m)
    without_y = _without(yy, m, xy.columns, xy.total, n)
    jackknife = (n - 1) * without_x.var(correction=0) + (m - 1) * without_y.var(correction=0)
    of_pairs = 2.0 * _pair_variance(xx, n) / (n * (n - 1))
    of_pairs = of_pairs + 2.0 * _pair_variance(yy, m) / (m * (m - 1))
    of_pairs = of_pairs + 4.0 * _crossed_variance(xy, n, m) / (n * m)
    variance = torch.maximum(jackknife - of_pairs, of_pairs)
    few = {"few": min(n, m) < FEW}
    return Estimate(float(value), float(variance.sqrt()), "both", "estimate", how, few)


@dataclass(frozen=True)
class _Sums:
    """Sums of kernel values over rows ``[n]``, columns ``[m]``, all; of squares; number of values."""

    rows: Tensor
    columns: Tensor
    squares: Tensor
    count: int

    @property
    def total(self) -> Tensor:
        return self.rows.sum()

    @property
    def mean(self) -> Tensor:
        return self.total / self.count


def _sums(x: Tensor, y: Tensor, kernel: Kernel, *, same: bool) -> _Sums:
    """``same``: y is x, and values of a row with itself are left out."""
    rows, columns, squares = [], x.new_zeros(len(y)), x.new_zeros(())
    for start in range(0, len(x), CHUNK):
        values = kernel(x[start : start + CHUNK], y)
        if same:
            values.diagonal(start).zero_()
        rows.append(values.sum(1))
        columns += values.sum(0)
        squares += values.square().sum()
    count = len(x) * (len(x) - 1) if same else len(x) * len(y)
    return _Sums(torch.cat(rows), columns, squares, count)


def _without(own: _Sums, n: int, crossed: Tensor, total: Tensor, m: int) -> Tensor:
    """MMD^2 without each row of one side, ``[n]``, up to a constant."""
    left = (own.total - 2.0 * own.rows) / ((n - 1) * (n - 2))
    return left - 2.0 * (total - crossed) / ((n - 1) * m)


def _pair_variance(sums: _Sums, n: int) -> Tensor:
    """Variance of e_ij in k_ij = mean + a_i + a_j + e_ij, by least squares over i != j."""
    effect = (sums.rows - (n - 1) * sums.mean) / (n - 2)
    residual = sums.squares - sums.count * sums.mean**2 - 2 * (n - 2) * effect.square().sum()
    return residual.clamp_min(0.0) / (n * (n - 3))


def _crossed_variance(sums: _Sums, n: int, m: int) -> Tensor:
    """Variance of e_ij in k_ij = mean + a_i + b_j + e_ij, by least squares."""
    row, column = sums.rows / m - sums.mean, sums.columns / n - sums.mean
    explained = sums.mean**2 * n * m + m * row.square().sum() + n * column.square().sum()
    return (sums.squares - explained).clamp_min(0.0) / ((n - 1) * (m - 1))
