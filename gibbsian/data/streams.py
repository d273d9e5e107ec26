"""Endless batches from data resident on the device; the whole state is one integer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Generator, Tensor

from gibbsian.core import Batch
from gibbsian.core.numerics import uploaded
from gibbsian.data.transforms import Transform, noise_like

CHUNK = 8192
ORDER, NOISE = 0, 1
"""What a derived generator is for."""


def derived(device: torch.device | str, *key: int) -> Generator:
    """A generator that depends on nothing but ``key`` (whole numbers >= 0)."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return Generator(device).manual_seed(int(state))


class BatchStream(Iterator[Batch]):
    """Batches of ``x [N, *event]`` (user units) in model units, for ever.

    Each epoch is a fresh permutation of the rows, of which process ``rank`` of ``world`` takes its
    own slice of every global batch; rows that fill no global batch wait for another epoch. Order and
    dequantisation noise derive from ``seed`` and the number of batches drawn, so that
    ``load_state_dict`` resumes to the bit. ``Batch.index`` are row numbers of ``x``.
    """

    def __init__(
        self,
        x: Tensor,
        transform: Transform,
        batch_size: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
        targets: Tensor | None = None,
        rank: int = 0,
        world: int = 1,
    ):
        """Put the data on ``device``; ValueError when a global batch is empty or exceeds the data."""
        if batch_size < 1:
            raise ValueError(f"the batch size must be at least 1, not {batch_size}")
        if batch_size * world > len(x):
            processes = f" on each of {world} processes" if world > 1 else ""
            raise ValueError(
                f"a batch of {batch_size}{processes} is larger than the {len(x)} training rows; "
                f"use a batch of at most {len(x) // world}"
            )
        self.transform = transform
        self.batch_size = batch_size
        self.seed = seed
        self.rank, self.world = rank, world
        self.drawn = 0
        low, width = cells_of(x, transform)
        self._low, self._width = low.to(device), width.to(device)
        self._targets = None if targets is None else targets.to(device)
        self._order = torch.empty(0, dtype=torch.long)
        self._epoch = -1

    @property
    def epoch_length(self) -> int:
        """Batches in one pass over the data."""
        return len(self._low) // (self.batch_size * self.world)

    def __next__(self) -> Batch:
        epoch, position = divmod(self.drawn, self.epoch_length)
        if epoch != self._epoch:
            rng = derived("cpu", self.seed, ORDER, epoch)
            self._order = uploaded(torch.randperm(len(self._low), generator=rng), self._low.device)
            self._epoch = epoch
        start = (position * self.world + self.rank) * self.batch_size
        index = self._order[start : start + self.batch_size]
        x = self._low.index_select(0, index)
        if self.transform.dequantises:
            rng = derived(x.device, self.seed, NOISE, self.drawn, self.rank)
            x = within_cells(x, self._width, index, rng)
        target = None if self._targets is None else self._targets.index_select(0, index)
        self.drawn += 1
        return Batch(x, index, target)

    def state_dict(self) -> dict[str, int]:
        """``{"drawn": batches drawn so far}``."""
        return {"drawn": self.drawn}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue after ``state["drawn"]`` batches."""
        self.drawn = int(state["drawn"])


def within_cells(x: Tensor, width: Tensor, index: Tensor, rng: Generator) -> Tensor:
    """Lower edges ``x [B, *event]`` of rows ``index`` with uniform noise as wide as their cells."""
    width = width if len(width) == 1 else width.index_select(0, index)
    return torch.addcmul(x, width, noise_like(x, rng))


def cells_of(x: Tensor, transform: Transform) -> tuple[Tensor, Tensor]:
    """Lower edges ``[N, *event]`` of the rows' cells, and widths: of each row, or ``[1, *event]`` for all."""
    first, widths = (part[:1] for part in transform.cells(x[:1]))
    low = first.new_empty(len(x), *first.shape[1:])
    for start in range(0, len(x), CHUNK):
        edges, width = transform.cells(x[start : start + CHUNK])
        low[start : start + CHUNK] = edges
        if len(widths) == 1 and not bool((width == widths).all()):
            widths = widths.expand_as(low).clone()  # what came before had the first row's
        if len(widths) > 1:
            widths[start : start + CHUNK] = width
    return low, widths
