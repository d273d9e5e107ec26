"""One photograph in and out of a file, whatever its kind of pixels."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from gibbsian.core.files import write_atomic
from gibbsian.data.decoding import GREY, decoded


@dataclass(frozen=True)
class Picture:
    """``values [C, H, W]`` in [0, 1], C 1 or 3; ``alpha [1, H, W]`` where there is one; grey ``levels``."""

    values: Tensor
    alpha: Tensor | None
    levels: int


def read_picture(path: Path) -> Picture:
    """The image in a file: grey or colour, 8 bits, 16 where grey, with transparency or a palette.

    Turned upright as its camera says. Raises ValueError for what is no image or has numbers of
    another kind; warns where 16-bit colours are read as 8.
    """
    try:
        found = decoded(path)
    except ValueError as error:
        raise ValueError(f"{path} {error}") from error
    picture = found.picture
    if picture.mode.startswith("I;16"):
        array = np.asarray(picture).astype(np.float32)[None] / 65535
        return Picture(torch.from_numpy(array), None, 65536)
    if found.deep:
        warnings.warn(f"{path} has 16 bits per colour, of which 8 are used", stacklevel=2)
    grey = picture.mode in GREY
    mode = ("LA" if grey else "RGBA") if found.has_alpha else ("L" if grey else "RGB")
    channels = torch.from_numpy(np.atleast_3d(np.asarray(picture.convert(mode))).copy())
    values = channels.permute(2, 0, 1).float() / 255
    if found.has_alpha:
        return Picture(values[:-1], values[-1:], 256)
    return Picture(values, None, 256)


def opacity(picture: Picture, size: tuple[int, ...]) -> np.ndarray | None:
    """The image's alpha resized to ``size`` (height, width) by bicubic interpolation, uint8."""
    if picture.alpha is None:
        return None
    large = interpolate(picture.alpha[None], size, mode="bicubic", antialias=True)
    return quantised(large[0], 256)


def write_picture(path: Path, picture: np.ndarray, alpha: np.ndarray | None = None) -> None:
    """Write ``image [C, H, W]``, uint8 or grey uint16, with ``alpha [1, H, W]`` uint8 if there is one."""
    if alpha is not None:
        picture = np.concatenate([picture, alpha])
    array = picture[0] if len(picture) == 1 else np.ascontiguousarray(np.moveaxis(picture, 0, 2))
    buffer = io.BytesIO()
    if path.suffix.lower() == ".png":
        Image.fromarray(array).save(buffer, "png")
    else:
        Image.fromarray(array).save(buffer, "jpeg", quality=95)
    write_atomic(path, buffer.getvalue())


def quantised(values: Tensor, levels: int) -> np.ndarray:
    """``values`` in [0, 1] as whole numbers below ``levels``, uint8 or uint16."""
    numbers = (values.clamp(0, 1) * (levels - 1)).round().cpu().numpy()
    return numbers.astype(np.uint8 if levels == 256 else np.uint16)
