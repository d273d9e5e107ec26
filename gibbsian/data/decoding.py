"""One image out of a file: its size is checked before its pixels are decoded, and it is turned upright."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from gibbsian.core import limits

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".tif", ".tiff", ".bmp")
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP")
"""What such files may hold, whatever their ending: of Pillow's other readers one starts a program."""
DAMAGED = (OSError, SyntaxError, ValueError, IndexError, KeyError, TypeError, struct.error)
"""What Pillow raises of a file that is no intact image."""
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes an orientation of EXIF (tag 274); 1 is upright."""
GREY = ("1", "L", "LA", "La")


@dataclass(frozen=True)
class Decoded:
    """The first image of a file, upright. ``deep``: of 16 bits a channel; ``several``: others follow it."""

    picture: Image.Image
    deep: bool
    several: bool

    @property
    def has_alpha(self) -> bool:
        """Whether it has an alpha channel or a transparent colour."""
        channel = self.picture.mode in ("LA", "La", "PA", "RGBA", "RGBa")
        return channel or "transparency" in self.picture.info


def decoded(file: Path | io.BytesIO) -> Decoded:
    """The image in ``file``: grey or colour, with alpha or a palette, of 8 or 16 bits a channel.

    Raises ValueError whose text goes on after the file's name: for what is no intact image, for pixels of
    other kinds, and for more pixels than `gibbsian.core.limits` allow, before they are decoded.
    """
    most = limits.limit("PIXELS")
    try:
        with _without_pillows_limit(), Image.open(file, formats=FORMATS) as opened:
            several = opened.format != "MPO" and bool(getattr(opened, "is_animated", False))
            layout = (opened.tile[0].args if opened.tile else None) or ""
            deep = "16" in str(layout if isinstance(layout, str) else layout[0])
            size = opened.width * opened.height
            picture = _upright(opened) if size <= most else None
    except DAMAGED as error:
        strange = isinstance(error, UnidentifiedImageError)
        why = f"it is none of {', '.join(FORMATS)}" if strange else error
        raise ValueError(
            f"cannot be read as an image ({why}); replace it by an intact .png or .jpg"
        ) from error
    if picture is None:
        raise limits.refusal("PIXELS", size, "holds")
    if picture.mode in ("I", "F"):
        raise ValueError(
            "has pixels of 32 bits, whose range is not known; save it with 8 or 16 bits"
        )
    if picture.mode == "LAB":
        raise ValueError("has colours of CIELAB; save it as RGB")
    return Decoded(picture, deep or picture.mode.startswith("I;16"), several)


@contextmanager
def _without_pillows_limit() -> Iterator[None]:
    """Within the block Pillow neither warns nor refuses large images: ours is the limit that is told."""
    most, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = most


def _upright(opened: Image.Image) -> Image.Image:
    opened.load()
    turn = UPRIGHT.get(opened.getexif().get(ExifTags.Base.Orientation, 1))
    return opened.copy() if turn is None else opened.transpose(turn)


def in_8_bits(found: Decoded) -> tuple[Image.Image, bool]:
    """The image as ``L`` or ``RGB`` on white, and whether any of that is seen."""
    picture = found.picture
    if picture.mode.startswith("I;16"):
        values = np.asarray(picture).astype(np.uint32)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8)), False
    grey = picture.mode in GREY
    if found.has_alpha:
        channels = np.asarray(picture.convert("LA" if grey else "RGBA")).astype(np.uint16)
        colours, alpha = channels[..., :-1], channels[..., -1:]
        if int(alpha.min()) < 255:
            mixed = ((colours * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
            # Files with alpha are rarely saved as grey, also where all of their pixels are.
            grey = grey or bool((mixed == mixed[..., :1]).all())
            return Image.fromarray(mixed[..., 0] if grey else mixed), True
    return picture.convert("L" if grey else "RGB"), False
