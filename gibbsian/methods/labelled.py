"""The few rows whose classes may be used: kept when they come by, drawn again at every step."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy

from gibbsian.core import Batch


class LabelledRows(nn.Module):
    """The first ``count`` training rows with their classes, as far as batches have shown them.

    Buffers ``x [count + 1, *event]``, ``target`` and ``seen``; their last entry takes what is not kept.
    """

    def __init__(self, count: int, shape: tuple[int, ...]):
        super().__init__()
        self.count = count
        self.register_buffer("x", torch.zeros(count + 1, *shape))
        self.register_buffer("target", torch.zeros(count + 1, dtype=torch.int64))
        self.register_buffer("seen", torch.zeros(count + 1))
        self.x: Tensor
        self.target: Tensor
        self.seen: Tensor

    def keep(self, batch: Batch) -> None:
        """Remember the labelled rows of ``batch``; ValueError if it has no classes."""
        if batch.target is None or batch.target.dtype != torch.int64:
            raise ValueError(
                "num_labelled_rows needs data with classes; use num_labelled_rows 0 for these"
            )
        place = batch.index.clamp(max=self.count)
        self.x[place] = batch.x.to(self.x.dtype)
        self.target[place] = batch.target
        self.seen[place] = 1.0

    def draw(self, n: int, rng: Generator) -> tuple[Tensor, Tensor, Tensor]:
        """``n`` rows with replacement: x, classes, and 1 where the row has been seen, 0 elsewhere."""
        rows = torch.randint(self.count, (n,), generator=rng, device=rng.device)
        return self.x[rows], self.target[rows], self.seen[rows]


def classification_cost(logits: Tensor, target: Tensor, seen: Tensor) -> Tensor:
    """Mean cross-entropy in nats of the rows that were seen, 0 if none was; scalar."""
    return (seen * cross_entropy(logits, target, reduction="none")).sum() / seen.sum().clamp(min=1)
