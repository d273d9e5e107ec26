"""Data sets by name: scikit-learn's own, and those whose files lie under a data root."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gibbsian.core.names import beside
from gibbsian.core.paths import find, roots
from gibbsian.data.addresses import fetched
from gibbsian.data.densities import DENSITIES, is_density
from gibbsian.data.image_files import first_size
from gibbsian.data.patches import PHOTOS
from gibbsian.data.readers import ARRAYS, holds_images, looks_like_path, read_parts
from gibbsian.data.rows import Range, Rows, arranged, kind_of_values, value_range
from gibbsian.data.sets import NAMED, area_average


class Known(NamedTuple):
    """An entry of ``gibbsian list data``: ``present`` is False where a file is missing."""

    name: str
    description: str
    present: bool


ARRAY = "array"
"""What rows without a file are called."""
_SIZED = re.compile(r"(.+)-(\d+)")
_BINARY = "-binary"


def _parse(name: str) -> tuple[str, int | None] | None:
    """``mnist-14`` -> ("mnist", 14); None for a name that is not known."""
    if name in NAMED:
        return name, None
    match = _SIZED.fullmatch(name)
    if match and match[1] in NAMED and NAMED[match[1]].side:
        return match[1], int(match[2])
    return None


def _image_set(name: str) -> bool:
    parsed = _parse(name)
    return parsed is not None and NAMED[parsed[0]].side > 0


def holds_pictures(name: str) -> bool:
    """Whether data called ``name``, a built-in set or a path, are grey or coloured images.

    Of a ``.npy`` or ``.npz`` file what lies in it tells, if it can be read.
    """
    if name == PHOTOS or _image_set(name):
        return True
    built_in = name in ("", ARRAY) or is_density(name) or is_named(name)
    if built_in:
        return False
    try:
        with fetched(name) as path:
            path = path.expanduser()
            return holds_images(path) or _array_of_images(path)
    except ValueError:  # said by `load`, which asks for it again
        return False


def image_side(name: str) -> int:
    """The longer side in pixels of the images that data called ``name`` hold; 0 where none can be read.

    Of a folder or zip it is that of the first image.
    """
    if name == PHOTOS or not holds_pictures(name):
        return 0
    parsed = _parse(name)
    if parsed is not None:
        base, size = parsed
        return size or NAMED[base].side
    try:
        with fetched(name) as path:
            path = path.expanduser()
            if holds_images(path):
                return max(first_size(path))
            return max(arranged(next(read_parts(path)), path.name).x.shape[2:])
    except (ValueError, OSError):  # said by `load`, which asks for it again
        return 0


def holds_bits(name: str) -> bool:
    """Whether ``name`` is a built-in set of bits."""
    return name.endswith(_BINARY) or (name in NAMED and NAMED[name].description.endswith(" bits"))


def _array_of_images(path: Path) -> bool:
    if path.suffix.lower() not in ARRAYS or not path.is_file():
        return False
    found: Range | None = None
    try:
        for part in read_parts(path):  # until it is known: bits alone are no grey levels
            x = arranged(part, path.name).x
            if x.ndim == 2:
                return False
            found = value_range(x) if found is None else found.joined(value_range(x))
            if not found.bits:
                return kind_of_values(found, x.dtype, x.ndim, path.name)[0] == "image"
    except ValueError:  # said by `load`, which reads it again
        return False
    return False


def is_named(name: str) -> bool:
    """Whether ``read`` knows ``name``."""
    return _parse(name) is not None or _image_set(name.removesuffix(_BINARY))


def can_be_found(data: str) -> bool:
    """Whether data called so in a configuration are a built-in set or a file, not an array that was given."""
    if data == ARRAY:
        return False
    built_in = data == PHOTOS or is_density(data) or is_named(data)
    return built_in or looks_like_path(data) or Path(data).expanduser().exists()


def read(name: str, root: Path | None = None) -> Rows:
    """The rows of a named set; ValueError saying what to do when a file of it is missing."""
    if name.endswith(_BINARY) and _image_set(name.removesuffix(_BINARY)):
        return _thresholded(read(name.removesuffix(_BINARY), root))
    parsed = _parse(name)
    if parsed is None:
        raise ValueError(unknown(name))
    base, size = parsed
    rows = NAMED[base].read([find(file, f"data set {base!r}", root) for file in NAMED[base].files])
    if size is None:
        return rows
    if not 2 <= size <= min(rows.x.shape[2:]):
        raise ValueError(
            f"{base} has images of {rows.x.shape[3]}x{rows.x.shape[2]}; {name} must reduce them to "
            f"between 2 and {min(rows.x.shape[2:])} pixels"
        )
    note = f"area-averaged to {size}x{size} and rounded"
    small = np.round(area_average(rows.x, size)).astype(np.uint8)
    return replace(rows, x=small, notes=(*rows.notes, note))


def _thresholded(rows: Rows) -> Rows:
    """The bits of images: 1 where a pixel is at least half of the brightest level."""
    assert rows.levels is not None
    note = "binarised: 1 from half of the brightest level on"
    bits = (2 * rows.x.astype(int) >= rows.levels - 1).astype(np.uint8)
    return replace(rows, x=bits, levels=None, notes=(*rows.notes, note))


def dataset_names(root: Path | None = None) -> list[Known]:
    """Everything ``load`` knows by name, with a line on it and whether its files are there."""
    known = [Known(name, line, True) for name, (_, line) in DENSITIES.items()]
    for name, entry in NAMED.items():
        present = all(any((r / f).is_file() for r in roots(root)) for f in entry.files)
        known.append(Known(name, entry.description, present))
    there = any((place / PHOTOS).is_dir() for place in roots(root))
    known.append(Known(PHOTOS, "photographs of any sizes; use --patch-size 48 or so", there))
    return known


def unknown(name: str) -> str:
    """What to say about a name that is neither a data set nor a file."""
    if name == PHOTOS:
        return f"the {PHOTOS} have many sizes; say what to cut out of them, as in --patch-size 48"
    known = [*DENSITIES, *NAMED, *beside(Path(name))]
    close = difflib.get_close_matches(name, known, 3, 0.6)
    hint = f"did you mean {', '.join(close)}?" if close else "`gibbsian list data` names these"
    return f"{name!r} is neither a built-in data set nor a file or folder; {hint}"
