"""The user's files by their ending: ``.npy``, ``.npz``, ``.csv``, ``.parquet``, images in a folder or zip."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from gibbsian.data.arrays import read_npy, read_npz
from gibbsian.data.pictures import SUFFIXES, read_images
from gibbsian.data.rows import Rows
from gibbsian.data.tables import read_csv, read_parquet

READERS: dict[str, Callable[[Path], Rows]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".csv": read_csv,
    ".csv.gz": read_csv,
    ".tsv": read_csv,
    ".txt": read_csv,
    ".parquet": read_parquet,
}


def looks_like_path(text: str) -> bool:
    """Whether ``text`` is meant as a file rather than as a built-in name."""
    separators = [os.sep] + ([os.altsep] if os.altsep else [])
    endings = (*READERS, ".zip", *SUFFIXES)
    return any(mark in text for mark in separators) or text.lower().endswith(endings)


def read(path: Path, size: int | None = None) -> Rows:
    """The rows in the file or folder at ``path``, as they stand; ``size`` is for images only.

    ValueError when it is missing, empty, unreadable, or of a kind that is not known.
    """
    if not path.exists():
        raise ValueError(f"{path} does not exist; check the path")
    try:
        if path.is_dir():
            return read_images(path, size)
        if path.stat().st_size == 0:
            raise ValueError(f"{path} is an empty file; it needs rows of numbers")
        name = path.name.lower()
        if name.endswith((".zip", *SUFFIXES)):
            return read_images(path, size)
        for ending, reader in READERS.items():
            if name.endswith(ending):
                return reader(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
    raise ValueError(
        f"{path} is of no kind that can be read; use {', '.join(READERS)}, or a folder or zip of images"
    )
