"""One observation from a file, and which part of it is kept while the rest is filled in."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from gibbsian.data import readers
from gibbsian.data.queries import read_points
from gibbsian.data.rows import arranged
from gibbsian.data.transforms import Transform

HALVES = ("top", "left", "bottom", "right")


def read_observation(path: str | Path, like: Transform) -> Tensor:
    """The one observation in a file, ``[*event]`` in the units of the data ``like`` describes.

    For a model of bits an image with grey levels is thresholded at half of its brightest. Raises
    ValueError where the file holds more than one observation, or one that does not fit.
    """
    rows = arranged(readers.read(Path(path)), str(path))
    if len(rows.x) != 1:
        raise ValueError(f"{path} holds {len(rows.x)} observations; give one of them to fill in")
    if like.mode != "binary" or rows.x.max() <= 1 or rows.x.min() < 0:
        return read_points(path, like)[0]
    x = torch.tensor(rows.x).flatten()
    if x.shape != like.shape:
        raise ValueError(
            f"this model is of {like.shape[0]} bits; {path} has {len(x)} pixels: bring it to that size"
        )
    return (2 * x.double() >= x.max()).to(like.dtype)


def read_mask(mask: str, like: Transform) -> Tensor:
    """True where the observation is kept, ``[*event]``: a half of an image, or a file's non-zero entries.

    Bits are taken for a square image, row by row. A file has one entry per number of the
    observation, or per pixel for all channels. Raises ValueError where it does not fit.
    """
    if mask in HALVES:
        return half(mask, like.shape)
    if not Path(mask).exists():
        raise ValueError(f"--mask must be one of {', '.join(HALVES)} or a file, not {mask!r}")
    x = torch.tensor(arranged(readers.read(Path(mask)), mask).x)
    size, pixels = math.prod(like.shape), math.prod(like.shape[1:])
    if x.numel() == size:
        kept = x.view(like.shape) != 0
    elif len(like.shape) == 3 and x.numel() == pixels:
        kept = (x.view(1, *like.shape[1:]) != 0).expand(like.shape)
    else:
        raise ValueError(f"the mask {mask} has {x.numel()} entries; an observation has {size}")
    return kept


def half(name: str, shape: tuple[int, ...]) -> Tensor:
    """True in that half of an image of ``shape`` (C, H, W), or of a square one of s^2 bits."""
    side = math.isqrt(shape[0])
    if len(shape) != 3 and (len(shape) != 1 or side**2 != shape[0]):
        raise ValueError(
            f"observations of shape {list(shape)} are no images with halves; give --mask a file"
        )
    channels, height, width = shape if len(shape) == 3 else (1, side, side)
    kept = torch.zeros(channels, height, width, dtype=torch.bool)
    parts = {
        "top": kept[:, : height // 2],
        "left": kept[:, :, : width // 2],
        "bottom": kept[:, height // 2 :],
        "right": kept[:, :, width // 2 :],
    }
    parts[name].fill_(True)
    return kept.view(shape)
