"""Rows of a table in coordinates of unit covariance, and which rows and cells say what that covariance is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

EIGENVALUE_FLOOR = 1e-3
"""Added to the variances along the axes, in units of their mean: columns may depend on each other."""
FAR_OUT, FAR_OUT_SHARE, MOST_FAR_OUT, PASSES = 10.0, 0.1, 0.01, 8
"""A row is far out where, in a column or along an axis, it lies this many standard deviations of the others
from their mean and has this share of the sum of squares. At most the third's share of the rows, in so many
passes."""
FILLING_PASSES = 3


@dataclass(frozen=True, eq=False)
class Whitening:
    """x -> ((x - mean) / std) @ factor, of covariance I on the rows it was fitted to.

    ``mean``, ``std`` ``[d]``; ``factor [d, d]``; float64. In place of the std of a constant column stands
    the unit that other rows give it.
    """

    mean: Tensor
    std: Tensor
    factor: Tensor

    @property
    def width(self) -> int:
        """The numbers of a row."""
        return len(self.mean)

    @classmethod
    def fit(cls, x: Tensor, every: Tensor | None = None) -> Whitening:
        """Of rows ``x [n, d]``, n at least 2; ``every [m, d]``: these and others of the same table.

        The others give columns a unit that are constant in ``x``.
        """
        x = x.double()
        size = x.abs().amax(0)  # by which the squares of large values are kept finite
        size = torch.where(size > 0, size, torch.ones_like(size))
        mean, std = (x / size).mean(0) * size, (x / size).std(0, correction=0) * size
        std = torch.where(std > 0, std, _unit(x[0], x if every is None else every.double()))
        y = (x - mean) / std
        if len(y) < y.shape[1]:
            return cls(mean, std, _factor_of_few(y))
        variance, axes = torch.linalg.eigh(y.T @ y / len(y))
        variance = variance.clamp(min=0)
        variance = variance + EIGENVALUE_FLOOR * variance.mean().clamp(min=1e-12)
        factor = (
            axes / variance.sqrt()
        ).contiguous()  # as it is read back, products to the same bits
        return cls(mean, std, factor)

    def __call__(self, x: Tensor) -> Tensor:
        """``[B, d] -> [B, d]``, float64."""
        return ((x.double() - self.mean) / self.std) @ self.factor


def _unit(constant: Tensor, every: Tensor) -> Tensor:
    """Of columns ``constant [d]`` the median distance of the rows of ``every [m, d]`` that differ, ``[d]``.

    It grows with the column as a standard deviation does, where an absolute one would let the column's unit
    decide how strange these rows are; the median, that a gross error among them does not hide the rest.
    1 where none differs.
    """
    distance = (every - constant).abs()
    distance = torch.where(distance > 0, distance, torch.nan).nanmedian(0).values
    return distance.nan_to_num(1.0)


def _factor_of_few(y: Tensor) -> Tensor:
    """The inverse root ``[d, d]`` of the floored covariance of ``y [n, d]``, n < d, from its n axes.

    Along all others the variance is the floor.
    """
    variance, left = torch.linalg.eigh(y @ y.T / len(y))
    floor = EIGENVALUE_FLOOR * (variance.sum() / y.shape[1]).clamp(min=1e-12)
    kept = variance > 1e-9 * variance.amax().clamp(min=1e-12)
    variance, left = variance[kept], left[:, kept]
    axes = y.T @ left / (len(y) * variance).sqrt()
    scale = (variance + floor).rsqrt() - floor.rsqrt()
    return (axes * scale) @ axes.T + floor.rsqrt() * torch.eye(y.shape[1], dtype=y.dtype)


def expanded(x: Tensor, categories: tuple[int, ...]) -> Tensor:
    """Rows ``[B, d]`` with each category as a block of 0 and 1, one per value; numbers stay. float64.

    The code -1 is a block of 0: none of the values.
    """
    x = x.double()
    if not any(categories):
        return x
    blocks = []
    for column, count in zip(x.unbind(1), categories, strict=True):
        column = column[:, None]
        block = (column == torch.arange(count)).double() if count else column
        blocks.append(block)
    return torch.cat(blocks, 1)


def rows_to_learn_from(
    x: Tensor, gaps: Tensor, categories: tuple[int, ...] = ()
) -> tuple[Tensor, Tensor]:
    """What a detector learns from: rows with their gaps filled, and which of them.

    Of ``x [n, d]`` with ``gaps [n, d]`` bool: ``x`` with the gaps of numbers filled by what the rest of
    their rows says, float64, and, ``[n]`` bool, the rows that are not far out. A few gross errors would set
    the scale of their columns and hide all else, and a gap filled without regard to its row would break the
    rules that hold between columns. Numbers only: a category's value that is there once is far from nothing.
    Columns first; then, with gaps filled, the axes of the numbers' covariance, along which a rule between
    columns is broken.
    """
    x = x.double()
    numbers = [j for j in range(x.shape[1]) if not (categories and categories[j])]
    kept = torch.ones(len(x), dtype=torch.bool)
    if not numbers:
        return x, kept
    kept = _near(x[:, numbers], kept, rotated=False)
    x = _filled(x, gaps, kept, categories)
    return x, _near(x[:, numbers], kept, rotated=True)


def _near(x: Tensor, kept: Tensor, rotated: bool) -> Tensor:
    """Those ``kept [n]`` of the rows ``x [n, d]`` that are not far out, in columns or along rotated axes.

    In passes, since a row that is far out hides others. A pass that would find more than ``MOST_FAR_OUT``
    allows has found long tails rather than errors, and ends the search.
    """
    most, tiny = max(1, int(MOST_FAR_OUT * len(x))), torch.finfo(torch.float64).tiny
    for _ in range(PASSES):
        rows = x[kept]
        if len(rows) < 3:
            break
        whitening = Whitening.fit(rows)
        u = whitening(rows) if rotated else (rows - whitening.mean) / whitening.std
        share = u.square() / u.square().sum(0).clamp(min=tiny)
        # (x - mean)^2 in variances of the others, if one row has this share of the sum of n squares.
        deviations = share * len(rows) / (1 - share).clamp(min=tiny)
        far = ((share > FAR_OUT_SHARE) & (deviations > FAR_OUT**2)).any(1)
        if not bool(far.any()) or int((~kept).sum() + far.sum()) > most:
            break
        kept = kept.clone()
        kept[kept.nonzero()[:, 0][far]] = False
    return kept


def _filled(x: Tensor, gaps: Tensor, kept: Tensor, categories: tuple[int, ...]) -> Tensor:
    """``x [n, d]`` with the ``gaps`` of numbers at their mean given the rest of the row, as of a Gaussian.

    Its mean and covariance are those of the rows ``kept``, found again as gaps are filled; column after
    column, E[x_j | rest] = m_j - sum over k != j of P_jk (x_k - m_k) / P_jj, P the inverse covariance.
    """
    counts = torch.tensor(categories or (0,) * x.shape[1])
    holes = [j for j in gaps.any(0).nonzero()[:, 0].tolist() if counts[j] == 0]
    if not holes or int(kept.sum()) < 3:
        return x
    first = counts.clamp(min=1).cumsum(0) - counts.clamp(min=1)
    wide = expanded(x, categories)
    for _ in range(FILLING_PASSES):
        whitening = Whitening.fit(wide[kept], wide)
        y = (wide - whitening.mean) / whitening.std
        precision = whitening.factor @ whitening.factor.T
        for j in holes:
            rows, place = gaps[:, j].nonzero()[:, 0], int(first[j])
            y[rows, place] -= y[rows] @ precision[:, place] / precision[place, place]
        wide = torch.where(_at(gaps, first, holes, wide), y * whitening.std + whitening.mean, wide)
    x = x.clone()
    x[:, holes] = wide[:, first[holes]]
    return x


def _at(gaps: Tensor, first: Tensor, holes: list[int], wide: Tensor) -> Tensor:
    """Where ``wide`` holds the gaps of the columns ``holes``."""
    found = torch.zeros_like(wide, dtype=torch.bool)
    found[:, first[holes]] = gaps[:, holes]
    return found
