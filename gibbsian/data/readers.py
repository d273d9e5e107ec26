"""The user's files by their ending: ``.npy``, ``.npz``, ``.csv``, ``.parquet``, images in a folder or zip."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from gibbsian.data.arrays import read_npy, read_npz
from gibbsian.data.classes import Target
from gibbsian.data.image_files import SUFFIXES, read_images
from gibbsian.data.rows import Rows
from gibbsian.data.tables import read_csv, read_parquet

ARRAYS: dict[str, Callable[[Path], Rows]] = {".npy": read_npy, ".npz": read_npz}
TABLES: dict[str, Callable[[Path, Target | None], Rows]] = {
    ".csv": read_csv,
    ".csv.gz": read_csv,
    ".tsv": read_csv,
    ".txt": read_csv,
    ".parquet": read_parquet,
}
ENDINGS = (*ARRAYS, *TABLES)


def looks_like_path(text: str) -> bool:
    """Whether ``text`` is meant as a file rather than as a built-in name."""
    separators = [os.sep] + ([os.altsep] if os.altsep else [])
    endings = (*ENDINGS, ".zip", *SUFFIXES)
    return any(mark in text for mark in separators) or text.lower().endswith(endings)


def holds_images(path: Path) -> bool:
    """Whether ``read`` takes ``path`` for pictures."""
    return path.is_dir() or path.name.lower().endswith((".zip", *SUFFIXES))


def read(path: Path, size: int | None = None, target: Target | None = None) -> Rows:
    """The rows in the file or folder at ``path``, as they stand.

    ``size`` is for images only; ``target``, the column of classes, for tables. ValueError when the file
    is missing, empty, unreadable, of a kind that is not known, or has no columns to be ``target``.
    """
    if not path.exists():
        raise ValueError(f"{path} does not exist; check the path")
    try:
        if path.is_file() and path.stat().st_size == 0:
            raise ValueError(f"{path} is an empty file; it needs rows of numbers")
        name = path.name.lower()
        if not holds_images(path):
            for ending, table in TABLES.items():
                if name.endswith(ending):
                    return table(path, target)
        _check_no_target(target, path)
        if holds_images(path):
            return read_images(path, size)
        for ending, array in ARRAYS.items():
            if name.endswith(ending):
                return array(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
    raise ValueError(
        f"{path} is of no kind that can be read; use {', '.join(ENDINGS)}, or a folder or zip of images"
    )


def _check_no_target(target: Target | None, path: Path) -> None:
    if target is not None and target.others is None:
        raise ValueError(f"{path} takes no --target: that is a column of a .csv or .parquet file")
