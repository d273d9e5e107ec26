"""Rows of a file that is too large to be held, read block by block: ``.npy`` here, Parquet in `large_tables`.

A block is a run of neighbouring rows, read at once. Training takes the blocks in a fresh order each epoch,
a window of them at a time, and the rows of a window in a random order: rows of one batch come from as many
places of the file as a window has blocks. Memory is that of one window whatever the file has.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from gibbsian.core import Batch
from gibbsian.core.numerics import uploaded
from gibbsian.data.arrays import npy_layout
from gibbsian.data.rows import Rows, arranged
from gibbsian.data.streams import NOISE, ORDER, cells_of, derived, within_cells
from gibbsian.data.transforms import Transform

LARGE = 2**29
"""Bytes from which on a ``.npy`` file or a Parquet table is read in blocks."""
BLOCK, WINDOW = 2**23, 16
"""Bytes of a block, and blocks of a window."""
HELD_BYTES = 4
"""Of a value in a window, which holds rows as networks see them, in single precision."""


@runtime_checkable
class BlockFile(Protocol):
    """A file whose rows are read in blocks, each a run of rows of the file.

    ``edges [blocks + 1]``: number of the first row of each block, and last of all how many rows there are.
    """

    @property
    def path(self) -> Path: ...

    @property
    def edges(self) -> np.ndarray: ...

    def block(self, number: int) -> np.ndarray:
        """Rows ``[n, *event]`` of a block, arranged; NaN where a table has a gap."""
        ...


@runtime_checkable
class ReadInOrder(Protocol):
    """A file that is read from its beginning to its end."""

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Number of the first row and rows of each block, in the order of the file."""
        ...


@dataclass(frozen=True)
class ArrayFile:
    """The array of a ``.npy`` file, row after row: ``shape`` and ``dtype`` there, first byte ``start``."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    start: int

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return self.dtype.itemsize * math.prod(self.shape[1:])

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return self.row_bytes * self.shape[0]

    @property
    def rows_per_block(self) -> int:
        """Rows of every block but the last, which may have fewer."""
        size = math.prod(self.shape[1:])
        return max(1, BLOCK // max(1, self.row_bytes, HELD_BYTES * size))

    @property
    def edges(self) -> np.ndarray:
        """The first row of each block, and behind them how many rows there are."""
        return np.append(np.arange(0, self.shape[0], self.rows_per_block), self.shape[0])

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Number of the first row and rows of each block, in the order of the file."""
        for first in range(0, self.shape[0], self.rows_per_block):
            yield first, self.read(first, min(self.rows_per_block, self.shape[0] - first))

    def block(self, number: int) -> np.ndarray:
        """Rows of block ``number``, as `read`."""
        first = number * self.rows_per_block
        return self.read(first, min(self.rows_per_block, self.shape[0] - first))

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """The rows with these sorted ``numbers``, in one pass."""
        return np.concatenate([x[within(numbers, first, len(x))] for first, x in self.blocks()])

    def read(self, first: int, count: int) -> np.ndarray:
        """Rows ``first`` to ``first + count``, arranged; ValueError for what is no finite number in them."""
        size = math.prod(self.shape[1:])
        offset = self.start + first * self.row_bytes
        flat = np.fromfile(self.path, self.dtype, count * size, offset=offset)
        if len(flat) < count * size:
            raise ValueError(
                f"{self.path} became shorter while it was read; leave it as it is until training is over"
            )
        rows = Rows(flat.reshape(count, *self.shape[1:]))
        return arranged(rows, str(self.path), first).x


def large_array(path: Path) -> ArrayFile | None:
    """The array at ``path`` if it is read in blocks: a ``.npy`` file of `LARGE` bytes, row after row."""
    path = path.expanduser()
    if not (path.name.lower().endswith(".npy") and path.is_file()):
        return None
    if path.stat().st_size < LARGE:
        return None
    shape, columns_first, dtype, start = npy_layout(path)
    if shape == () or (columns_first and len(shape) > 1):
        return None
    return ArrayFile(path, shape, dtype, start)


@dataclass(frozen=True, eq=False)
class TrainingBlocks:
    """The training rows of a file: all but those whose sorted numbers are ``held_out``.

    ``complete [blocks]``: training rows without gaps, where those with gaps are left out.
    """

    file: BlockFile
    held_out: np.ndarray
    complete: np.ndarray | None = None

    def __len__(self) -> int:
        return int(self.counts().sum())

    def counts(self) -> np.ndarray:
        """Training rows of each block, in the order of the file."""
        if self.complete is not None:
            return self.complete
        edges = self.file.edges
        return np.diff(edges) - np.diff(np.searchsorted(self.held_out, edges))

    def read(self, block: int) -> tuple[np.ndarray, np.ndarray]:
        """Training rows of ``block`` and their numbers in the file."""
        first, end = self.file.edges[block : block + 2].tolist()
        out = within(self.held_out, first, end - first)
        x, numbers = np.delete(self.file.block(block), out, 0), np.arange(first, end)
        numbers = np.delete(numbers, out)
        if self.complete is None:
            return x, numbers
        has_all = ~np.isnan(x).any(1)
        return x[has_all], numbers[has_all]


def within(numbers: np.ndarray, first: int, count: int) -> np.ndarray:
    """Those of sorted ``numbers`` that lie in a run of ``count`` from ``first`` on, counted from there."""
    low, high = np.searchsorted(numbers, [first, first + count])
    return numbers[low:high] - first


class BlockStream(Iterator[Batch]):
    """Batches in the networks' units, for ever, of rows that are read from a file block by block.

    Each epoch is a fresh order of the blocks; of `WINDOW` neighbours in that order the rows are permuted
    and cut into batches, of which process ``rank`` of ``world`` takes its slice. Rows that fill no global
    batch wait for another epoch. Order and dequantisation noise derive from ``seed`` and the number of
    batches drawn, so that ``load_state_dict`` resumes to the bit. ``Batch.index`` are row numbers of the
    file.
    """

    def __init__(
        self,
        rows: TrainingBlocks,
        transform: Transform,
        batch_size: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world: int = 1,
    ):
        """ValueError where no window has as many rows as a batch of all processes."""
        if batch_size < 1:
            raise ValueError(f"the batch size must be at least 1, not {batch_size}")
        self.rows, self.transform, self.batch_size, self.seed = rows, transform, batch_size, seed
        self.device, self.rank, self.world = torch.device(device), rank, world
        self.drawn = 0
        counts = rows.counts()
        held = int(np.sort(counts)[:WINDOW].sum())
        if batch_size * world > held:
            raise ValueError(
                f"a batch of {batch_size} on each of {world} processes is larger than the {held} rows of "
                f"{rows.file.path} that are read at a time; use a batch of at most {held // world}"
            )
        self._counts = counts
        self._epoch, self._begins = 0, 0
        self._blocks, self._ends = self._plan(0)
        self._loaded: tuple[int, int] | None = None
        self._low = self._width = self._index = self._order = torch.empty(0)

    def _plan(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Blocks in the order of ``epoch``, and the batches drawn in it by the end of each window."""
        rng = derived("cpu", self.seed, ORDER, epoch)
        blocks = torch.randperm(len(self._counts), generator=rng).numpy()
        rows = np.add.reduceat(self._counts[blocks], np.arange(0, len(blocks), WINDOW))
        return blocks, np.cumsum(rows // (self.batch_size * self.world))

    def _find(self) -> tuple[int, int]:
        """The window that the next batch is in, and the batch's number there."""
        if self.drawn < self._begins:
            self._epoch, self._begins = 0, 0
            self._blocks, self._ends = self._plan(0)
        while self.drawn - self._begins >= self._ends[-1]:
            self._begins += int(self._ends[-1])
            self._epoch += 1
            self._blocks, self._ends = self._plan(self._epoch)
        place = self.drawn - self._begins
        window = int(np.searchsorted(self._ends, place, side="right"))
        return window, place - (int(self._ends[window - 1]) if window else 0)

    def _load(self, window: int) -> None:
        """Read the blocks of ``window`` and permute their rows."""
        self._low = self._width = torch.empty(0)  # free before the next are read
        blocks = self._blocks[window * WINDOW : (window + 1) * WINDOW]
        counts = self._counts[blocks].tolist()
        x, index = np.empty(0), np.empty(sum(counts), np.int64)
        filled = 0
        for block, count in zip(blocks, counts, strict=True):
            part, numbers = self.rows.read(int(block))
            if filled == 0:
                x = np.empty((sum(counts), *part.shape[1:]), part.dtype)
            x[filled : filled + count], index[filled : filled + count] = part, numbers
            filled += count
        rng = derived("cpu", self.seed, ORDER, self._epoch, window)
        self._order = torch.randperm(len(x), generator=rng)
        rows = torch.from_numpy(x).reshape(len(x), *self.transform.shape)
        self._low, self._width = cells_of(rows, self.transform)
        self._index = torch.from_numpy(index)
        self._loaded = (self._epoch, window)

    def __next__(self) -> Batch:
        window, place = self._find()
        if self._loaded != (self._epoch, window):
            self._load(window)
        first = (place * self.world + self.rank) * self.batch_size
        chosen = self._order[first : first + self.batch_size]
        x = self._low.index_select(0, chosen)
        if self.transform.dequantises:
            rng = derived("cpu", self.seed, NOISE, self.drawn, self.rank)
            x = within_cells(x, self._width, chosen, rng)
        self.drawn += 1
        index = self._index.index_select(0, chosen)
        return Batch(uploaded(x, self.device), uploaded(index, self.device))

    def state_dict(self) -> dict[str, int]:
        """``{"drawn": batches drawn so far}``."""
        return {"drawn": self.drawn}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue after ``state["drawn"]`` batches."""
        self.drawn = int(state["drawn"])
