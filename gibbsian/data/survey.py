"""What one pass over a file too large to be held finds: its kind, moments, grids, and rows to keep."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator

from gibbsian.data.large_arrays import ReadInOrder, within
from gibbsian.data.lattice import MOST_LEVELS, lattice
from gibbsian.data.rows import Range, value_range
from gibbsian.data.transforms import Scaling, Transform, columnwise_of_moments


@dataclass(eq=False)
class Moments:
    """Mean and summed squared deviations of columns, ``[d]`` each, of ``count`` rows; merged as by Chan."""

    mean: np.ndarray
    squares: np.ndarray
    count: int = 0

    def add(self, x: np.ndarray) -> None:
        """Take in rows ``x [n, d]``, a million values at a time in double precision."""
        for part in np.array_split(x, 1 + x.size // 2**20):
            part = part.astype(np.float64)
            if len(part) == 0:
                continue
            # As products, since NumPy sums narrow rows one by one.
            mean, total = np.ones(len(part)) @ part / len(part), self.count + len(part)
            gap = mean - self.mean
            part -= mean
            within_part = np.einsum("ij,ij->j", part, part)
            self.squares += within_part + gap**2 * (self.count * len(part) / total)
            self.mean += gap * (len(part) / total)
            self.count = total

    @property
    def std(self) -> np.ndarray:
        """Standard deviations."""
        return np.sqrt(self.squares / self.count)


class DistinctValues:
    """The values of columns while they are few enough for a grid (`lattice`), None where they are not."""

    def __init__(self, d: int):
        self.values: list[np.ndarray | None] = [np.empty(0)] * d

    def add(self, x: np.ndarray) -> None:
        """Take in rows ``x [n, d]``."""
        for j, known in enumerate(self.values):
            if known is not None:
                found = np.union1d(known.astype(x.dtype), x[:, j])
                self.values[j] = found if len(found) <= MOST_LEVELS else None


@dataclass(frozen=True, eq=False)
class Survey:
    """What one pass over a file finds: its range, ``picked`` rows, and of vectors what their columns hold.

    ``gaps``: of each block with gaps its first row, how many it has, and which have one, as bits.
    """

    range: Range
    picked: np.ndarray
    low: np.ndarray
    high: np.ndarray
    moments: Moments
    distinct: DistinctValues
    gaps: tuple[tuple[int, int, np.ndarray], ...]

    def complete(self, edges: np.ndarray, held_out: np.ndarray) -> np.ndarray:
        """Rows without gaps between each two of ``edges``, but for those with sorted numbers ``held_out``."""
        counts = np.diff(edges) - np.diff(np.searchsorted(held_out, edges))
        for first, n, bits in self.gaps:
            lacking = np.unpackbits(bits, count=n).astype(bool)
            lacking[within(held_out, first, n)] = False
            blocks = np.searchsorted(edges, np.flatnonzero(lacking) + first, side="right") - 1
            counts -= np.bincount(blocks, minlength=len(counts))
        return counts

    def transform(
        self,
        scaling: Scaling,
        dequantise: bool,
        columns: tuple[str, ...] = (),
        categories: tuple[int, ...] = (),
    ) -> Transform:
        """That of vectors: as `columnwise`, from moments in place of rows."""
        grids = [
            lattice(values) if dequantise and values is not None and not count else None
            for values, count in zip(
                self.distinct.values, categories or [0] * len(self.low), strict=True
            )
        ]
        moments = self.moments
        return columnwise_of_moments(
            moments.mean, moments.std, self.low, self.high, grids, scaling, columns, categories
        )


def survey(file: ReadInOrder, held_out: np.ndarray, picked: np.ndarray) -> Survey:
    """One pass over all rows of the file; ``picked``: the numbers of rows to keep, in any order.

    Moments are those of the training rows, all but those whose sorted numbers are ``held_out``. Rows of
    tables with gaps count for nothing but are picked, with NaN. ValueError for values that are no
    finite numbers.
    """
    order = np.argsort(picked)
    numbers = picked[order]
    found = Range(math.inf, -math.inf, bits=True, whole=True)
    kept, gaps = [], []
    for first, x in file.blocks():
        if first == 0:
            d = x.shape[1] if x.ndim == 2 else 0  # of images no columns are asked for
            moments, distinct = Moments(np.zeros(d), np.zeros(d)), DistinctValues(d)
            low, high = np.full(d, math.inf), np.full(d, -math.inf)
        kept.append(x[within(numbers, first, len(x))])
        training = np.ones(len(x), bool)
        training[within(held_out, first, len(x))] = False
        if x.dtype.kind == "f" and not (finite := np.isfinite(x.reshape(len(x), -1))).all():
            complete = finite.all(1)
            gaps.append((first, len(x), np.packbits(~complete)))
            x, training = x[complete], training[complete]
        if not len(x):
            continue
        found = found.joined(value_range(x))
        if d:
            moments.add(x[training])
            distinct.add(x)
            low = np.minimum(low, reduced(np.minimum, x))
            high = np.maximum(high, reduced(np.maximum, x))
    gathered = np.concatenate(kept)
    unsorted = np.empty_like(gathered)
    unsorted[order] = gathered
    return Survey(found, unsorted, low, high, moments, distinct, tuple(gaps))


def reduced(operation: np.ufunc, x: np.ndarray, together: int = 64) -> np.ndarray:
    """``operation`` over the rows of ``x [n, d]``: of many rows side by side at first, which is faster."""
    whole = len(x) // together * together
    wide = operation.reduce(x[:whole].reshape(-1, together * x.shape[1]), 0) if whole else x[:0]
    return operation.reduce(np.concatenate([wide.reshape(-1, x.shape[1]), x[whole:]]), 0)


def distinct_numbers(n: int, count: int, rng: Generator) -> np.ndarray:
    """``count`` different whole numbers below ``n``, in random order, in memory that grows with ``count``."""
    if 4 * count >= n:
        return torch.randperm(n, generator=rng)[:count].numpy()
    drawn: list[int] = []
    while len(drawn) < count:
        more = torch.randint(n, (count,), generator=rng).tolist()
        drawn = list(dict.fromkeys([*drawn, *more]))  # without repetitions, in the order drawn
    return np.array(drawn[:count])
