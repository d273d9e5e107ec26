"""The user's files by their ending: ``.npy``, ``.npz``, ``.csv``, ``.parquet``, images in a folder or zip.

A folder of Parquet files is a table, any other folder one of images.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from gibbsian.core.names import beside
from gibbsian.data.arrays import npy_parts, read_npy, read_npz
from gibbsian.data.classes import Target
from gibbsian.data.decoding import SUFFIXES
from gibbsian.data.image_files import read_images
from gibbsian.data.parquet import parquet_parts, read_parquet
from gibbsian.data.parquet_table import holds_parquet
from gibbsian.data.rows import Rows
from gibbsian.data.table_rows import Labels
from gibbsian.data.table_schema import Selection
from gibbsian.data.tables import ALL, ROWS, csv_parts, read_csv
from gibbsian.data.text_blocks import STDIN

ARRAYS: dict[str, Callable[[Path], Rows]] = {".npy": read_npy, ".npz": read_npz}
TEXTS = (".csv", ".tsv", ".txt", ".tab", ".psv", ".dat", ".data")
"""Endings of delimited text, packed as ``.csv.gz`` or not; the separator is read off the file."""
TABLES: dict[str, Callable[[Path, Target | None, Selection], Rows]] = {
    **{ending + packed: read_csv for ending in TEXTS for packed in ("", ".gz")},
    ".parquet": read_parquet,
}
TABLES_IN_PARTS = {
    ending: parquet_parts if reader is read_parquet else csv_parts
    for ending, reader in TABLES.items()
}
ENDINGS = (*ARRAYS, *TABLES)


def looks_like_path(text: str) -> bool:
    """Whether ``text`` is meant as a file rather than as a built-in name."""
    separators = [os.sep] + ([os.altsep] if os.altsep else [])
    endings = (*ENDINGS, ".zip", *SUFFIXES)
    return (
        text == str(STDIN)
        or any(mark in text for mark in separators)
        or text.lower().endswith(endings)
    )


def holds_images(path: Path) -> bool:
    """Whether ``read`` takes ``path`` for images."""
    if path.is_dir():
        return not holds_parquet(path)
    return path.name.lower().endswith((".zip", *SUFFIXES))


def is_table(path: Path) -> bool:
    """Whether ``read`` takes ``path`` for a table with columns that can be chosen."""
    return _known(TABLES, path) is not None


def read(
    path: Path,
    size: int | None = None,
    target: Target | None = None,
    selection: Selection = ALL,
    skip_unreadable: bool = False,
    greyscale: bool = False,
) -> Rows:
    """The rows in the file or folder at ``path``, as they stand; ``-`` is a text table on standard input.

    ``size``, ``skip_unreadable`` and ``greyscale`` are for images only; ``target``, the column of classes,
    and ``selection`` for tables. ValueError when the file is missing, empty, unreadable, of a kind that is
    not known, or has no such columns.
    """
    path = path.expanduser()
    with _readable(path):
        table = _known(TABLES, path)
        if table is not None:
            return table(path, target, selection)
        check_no_choice(target, selection, path)
        array = _known(ARRAYS, path)
        if array is not None:
            return array(path)
        return read_images(path, size, skip_unreadable, greyscale)


def read_parts(
    path: Path,
    size: int | None = None,
    target: Target | None = None,
    rows: int = ROWS,
    selection: Selection = ALL,
    labels: Labels | None = None,
    skip_unreadable: bool = False,
    greyscale: bool = False,
) -> Iterator[Rows]:
    """The same as at most ``rows`` rows at a time where the kind of file allows it, else as a whole.

    Text tables, Parquet tables and .npy files are read in memory that does not grow with their rows. The
    cells of the column ``target`` of a table are added to ``labels``.
    """
    path = path.expanduser()
    with _readable(path):
        parts = _known(TABLES_IN_PARTS, path)
        if parts is not None:
            yield from parts(path, target, labels, rows, selection)
        elif path.name.lower().endswith(".npy") and not holds_images(path):
            check_no_choice(target, selection, path)
            yield from npy_parts(path, rows)
        else:
            yield read(path, size, target, selection, skip_unreadable, greyscale)


Reader = TypeVar("Reader")


def _known(readers: Mapping[str, Reader], path: Path) -> Reader | None:
    """What reads files of the ending that ``path`` has; None for images."""
    name = path.name.lower()
    if path == STDIN:
        return readers.get(".csv")
    if holds_images(path):
        return None
    if path.is_dir():
        return readers.get(".parquet")
    return next((reader for ending, reader in readers.items() if name.endswith(ending)), None)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Within the block, ValueError in place of what the system says of a file that cannot be read."""
    if path != STDIN and not path.exists():
        near = difflib.get_close_matches(str(path), beside(path), 1, 0.8)
        hint = f"did you mean {near[0]}?" if near else "check the path"
        raise ValueError(f"{path} does not exist; {hint}")
    if not holds_images(path) and _known({**ARRAYS, **TABLES}, path) is None:
        raise ValueError(
            f"{path} is of no kind that can be read; use .npy, .npz, .parquet, a text table ("
            f"{', '.join(TEXTS)}; packed as .csv.gz or not), a folder of "
            ".parquet files, or a folder or zip of images"
        )
    try:
        if path.is_file() and path.stat().st_size == 0:
            raise ValueError(f"{path} is an empty file; it needs rows of numbers")
        yield
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error


def check_no_choice(target: Target | None, selection: Selection, path: Path | str) -> None:
    """ValueError where columns were chosen of what has none."""
    chosen = {
        "--class-column": target is not None and target.others is None,
        "--columns": bool(selection.columns),
        "--drop-columns": bool(selection.drop),
        "--missing-values": selection.missing != "refuse",
        "--category-columns": bool(selection.category),
    }
    for option, is_given in chosen.items():
        if is_given and selection.schema is None:
            raise ValueError(f"{path} takes no {option}: that is for a .csv or .parquet file")
