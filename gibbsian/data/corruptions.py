"""Graded corruptions of held-out data: what an energy that knows the data must find strange."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from gibbsian.core import DataSpace

NOISES = (0.1, 0.3, 1.0)
FLIPS = (0.01, 0.05, 0.2)


def corrupted_copies(
    x: Tensor,
    space: DataSpace,
    rng: Generator,
    std: Tensor,
    categories: tuple[int, ...] = (),
) -> dict[str, Tensor]:
    """Name -> corrupted copy of ``x [B, *event]``; ``std [*event]`` is that of the training data.

    Gaussian noise of 0.1, 0.3 and 1 times ``std``, for images kept within the range of ``x``; for
    binary data flips of 1, 5 and 20 % of the bits. One column shuffled among the rows: for vectors a
    feature drawn at random, for images the middle column of pixels. For images, left and right
    halves swapped. ``x`` and ``std`` in the same units, whichever; of mixed rows in the user's, where
    ``categories`` says of each column how many values it has: noise is added to its numbers, and of its
    categories 1, 5 and 20 % of the cells come from another row.
    """
    result: dict[str, Tensor] = {}
    if categories:
        return _mixed(x, rng, std, torch.tensor(categories) > 0) | {
            "column shuffled": _shuffled(x, space, rng)
        }
    if space.kind == "binary":
        for share in FLIPS:
            u = torch.rand(x.shape, generator=rng, device=x.device)
            result[f"flip {share:g}"] = torch.where(u < share, 1 - x, x)
    else:
        for size in NOISES:
            noise = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
            noisy = x + size * std.to(x) * noise
            if space.kind == "image":
                noisy = noisy.clamp(x.min(), x.max())  # else a value beyond white gives it away
            result[f"noise {size:g}"] = noisy
    result["column shuffled"] = _shuffled(x, space, rng)
    if space.kind == "image":
        result["halves swapped"] = x.roll(x.shape[-1] // 2, dims=-1)
    return result


def _mixed(x: Tensor, rng: Generator, std: Tensor, is_category: Tensor) -> dict[str, Tensor]:
    found = {}
    if not bool(is_category.all()):
        for size in NOISES:
            noise = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
            found[f"noise {size:g}"] = x + size * std.to(x) * noise * ~is_category
    for share in FLIPS:
        chosen = torch.rand(x.shape, generator=rng, device=x.device) < share
        order = torch.rand(x.shape, generator=rng, device=x.device).argsort(0)
        found[f"redrawn {share:g}"] = torch.where(chosen & is_category, x.gather(0, order), x)
    return found


def _shuffled(x: Tensor, space: DataSpace, rng: Generator) -> Tensor:
    width = x.shape[-1]
    if space.kind == "image":
        column = width // 2
    else:
        column = int(torch.randint(width, (), generator=rng, device=x.device))
    order = torch.randperm(len(x), generator=rng, device=x.device)
    copy = x.clone()
    copy[..., column] = x[order][..., column]
    return copy
