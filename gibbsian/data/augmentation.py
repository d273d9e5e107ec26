"""More images out of those that are there: mirrored and shifted batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Generator, Tensor

from gibbsian.core import Batch, DataSpace
from gibbsian.data.large_arrays import BlockStream
from gibbsian.data.streams import BatchStream, derived

FARTHEST = 14
"""The side of an image over the pixels that a shift is at most: 1 of 8x8, 2 of 28x28."""
AUGMENTATION = 2
"""What a derived generator is for, beside those of streams."""


class AugmentedStream(Iterator[Batch]):
    """The batches of ``stream`` with each image mirrored with chance 1/2, shifted, or both.

    Which is derived from the seed and the number of batches drawn, so that a run resumes to the bit.
    """

    def __init__(self, stream: BatchStream | BlockStream, kind: str, space: DataSpace):
        """``kind``: flips, shifts or flips-and-shifts. ValueError for data that are no images."""
        if space.kind != "image":
            raise ValueError(f"--augment {kind} is for images; these data are not")
        self.stream, self.kind = stream, kind

    def __next__(self) -> Batch:
        drawn = self.stream.drawn
        x, index, target = next(self.stream)
        rng = derived("cpu", self.stream.seed, AUGMENTATION, drawn, self.stream.rank)
        if self.kind != "shifts":
            x = mirrored(x, rng)
        if self.kind != "flips":
            x = shifted(x, rng)
        return Batch(x, index, target)

    def state_dict(self) -> dict[str, int]:
        """That of the stream."""
        return self.stream.state_dict()

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue after ``state["drawn"]`` batches."""
        self.stream.load_state_dict(state)


def mirrored(x: Tensor, rng: Generator) -> Tensor:
    """``x [B, C, H, W]`` with each image mirrored left to right with chance 1/2."""
    which = torch.rand(len(x), 1, 1, 1, generator=rng) < 0.5
    return torch.where(which.to(x.device), x.flip(-1), x)


def shifted(x: Tensor, rng: Generator) -> Tensor:
    """``x [B, C, H, W]`` with each image moved by whole pixels; what comes in is as its edge.

    Up to a ``FARTHEST`` part of the side, at least one pixel, in both directions and drawn for themselves.
    """
    for axis in (-2, -1):
        side = x.shape[axis]
        most = max(1, side // FARTHEST)
        step = torch.randint(-most, most + 1, (len(x), 1), generator=rng)
        place = (torch.arange(side) + step).clamp(0, side - 1).to(x.device)
        view = (len(x), 1, side, 1) if axis == -2 else (len(x), 1, 1, side)
        x = x.gather(axis, place.view(view).expand_as(x))
    return x
