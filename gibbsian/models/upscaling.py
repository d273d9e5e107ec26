"""Photographs enlarged by a trained model, in tiles, so that memory is bounded."""

from __future__ import annotations

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

from gibbsian.core.imaging import upscale as bicubic
from gibbsian.core.progress import open_bar
from gibbsian.data.photo import Picture, quantised
from gibbsian.data.transforms import Transform
from gibbsian.methods import SuperResolution
from gibbsian.models.model import Model

TILE, OVERLAP, TOGETHER = 48, 8, 8
"""Pixels of the small image along a tile, shared with its neighbour, and tiles inferred at a time."""
BT601 = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
"""RGB to brightness and two differences of colours, as in JPEG."""


def enlarge(
    model: Model, picture: Picture, rng: Generator, tile: int = TILE, progress: bool = False
) -> np.ndarray:
    """What ``image`` may have been, factor f larger: one sample, ``[C, f H, f W]`` of its own kind.

    A model of grey images enlarges a photograph's brightness and its colours are interpolated; a
    model of colours takes a grey image for a colour one. ``tile``: side in pixels of the small
    image. Tiles overlap and are blended; memory beside the result grows with the image's
    width alone. Raises ValueError for another method's model, or a tile too small to overlap.
    """
    method = model.method
    if not isinstance(method, SuperResolution):
        raise ValueError(
            f"this is a model of {model.config.method}; upscale needs one of super-resolution"
        )
    if tile < 2 * OVERLAP:
        raise ValueError(f"a tile needs a side of at least {2 * OVERLAP} pixels, not {tile}")
    f, (channels, height, width) = method.upscaling_factor, picture.values.shape
    spare = (0, max(0, tile - width), 0, max(0, tile - height))
    small = pad(picture.values[None], spare, mode="replicate")[0]
    rows, columns = places(small.shape[1], tile), places(small.shape[2], tile)
    weight = tent(f * tile, f * OVERLAP)
    band = torch.zeros(channels + 1, f * tile, f * small.shape[2])  # sums, and of weights
    large = np.empty(
        (channels, f * height, f * width), quantised(small[:, :1], picture.levels).dtype
    )
    total = len(rows) * len(columns)
    bar = open_bar("upscaling", asked=progress, total=total, unit="tile")
    for row, following in zip(rows, [*rows[1:], height], strict=True):
        for start in range(0, len(columns), TOGETHER):
            some = columns[start : start + TOGETHER]
            cut = torch.stack([small[:, row : row + tile, c : c + tile] for c in some])
            found = completed(method, model.transform, cut.to(model.device), rng).cpu()
            for column, y in zip(some, found, strict=True):
                where = band[:, :, f * column : f * (column + tile)]
                where[:channels] += weight * y
                where[channels] += weight
            bar.update(len(some))
        done = f * (following - row)
        finished = band[:channels, :done] / band[channels, :done]
        large[:, f * row : f * following] = quantised(finished[:, :, : f * width], picture.levels)
        band = torch.cat([band[:, done:], torch.zeros_like(band[:, :done])], 1)
    bar.close()
    return large


def places(extent: int, tile: int) -> list[int]:
    """Where tiles begin along ``extent`` pixels: at most tile - OVERLAP apart, the last at the end."""
    last = extent - tile
    return [*range(0, last, tile - OVERLAP), last]


def tent(side: int, overlap: int) -> Tensor:
    """Weights of a tile's pixels, ``[side, side]``: rising from the rim over ``overlap`` pixels to 1."""
    distance = torch.arange(side, dtype=torch.float32)
    rise = ((torch.minimum(distance, distance.flip(0)) + 1) / (overlap + 1)).clamp(max=1)
    return rise[:, None] * rise


def completed(method: SuperResolution, units: Transform, v: Tensor, rng: Generator) -> Tensor:
    """``v [B, C, h, w]`` in [0, 1], C 1 or 3, inferred: ``[B, C, f h, f w]``, whatever the model sees."""
    seen, channels = method.measure.shape[0], v.shape[1]
    if channels == seen:
        return from_units(method.complete(to_units(v, units), rng), units)
    if channels == 1:
        return from_units(
            method.complete(to_units(v.expand(-1, seen, -1, -1), units), rng), units
        ).mean(1, keepdim=True)
    matrix = torch.tensor(BT601, device=v.device)
    bright, colours = torch.einsum("ij,bjhw->bihw", matrix, v).split([1, 2], 1)
    y = from_units(method.complete(to_units(bright, units), rng), units)
    both = torch.cat([y, bicubic(colours, method.upscaling_factor)], 1)
    return torch.einsum("ij,bjhw->bihw", torch.linalg.inv(matrix), both)


def to_units(v: Tensor, units: Transform) -> Tensor:
    """[0, 1] to the networks' units."""
    return (v * white(units) - units.shift[0]) / units.scale[0]


def from_units(u: Tensor, units: Transform) -> Tensor:
    """The networks' units to [0, 1]."""
    return (units.shift[0] + units.scale[0] * u) / white(units)


def white(units: Transform) -> float:
    """The brightest value of the images that the model was trained on."""
    return units.levels[0] - 1.0 if units.levels[0] else 2.0 * units.scale[0]
