"""Tables of numbers: delimited text (header and delimiter detected and said) and Parquet."""

from __future__ import annotations

import csv
import gzip
import zlib
from pathlib import Path

import numpy as np

from gibbsian.data.rows import Rows
from gibbsian.data.transforms import column_name

DELIMITERS = {"\t": "tabs", ";": "semicolons", ",": "commas"}
"""Tried in this order: a decimal comma must not hide the semicolons around it."""


def read_csv(path: Path) -> Rows:
    """A delimited text file, ``.gz`` included; ValueError naming line and column of what is wrong."""
    lines, numbers = _lines(path)
    if not lines:
        raise ValueError(f"{path} is empty; it needs rows of numbers")
    delimiter = next((mark for mark in DELIMITERS if mark in lines[0]), ",")
    try:
        cells = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise ValueError(f"{path} cannot be read as delimited text: {error}") from error
    if len(cells) != len(lines):
        raise ValueError(
            f"{path} has a quoted cell that runs over several lines; remove the quotes"
        )
    cells = [[cell.strip() for cell in row] for row in cells]
    width = len(cells[0])
    for row, number in zip(cells, numbers, strict=True):
        if len(row) != width:
            raise ValueError(
                f"{path} is ragged: line {number} has {len(row)} columns, line {numbers[0]} has {width}"
            )
    header = _has_header(cells)
    columns = tuple(cells[0]) if header else ()
    if header:
        cells, numbers = cells[1:], numbers[1:]
    if not cells:
        raise ValueError(f"{path} has a header but no rows")
    notes = (
        f"{path.name}: columns separated by {DELIMITERS[delimiter]}" if width > 1 else "one column",
        f"header row: {', '.join(columns)}" if header else "no header row",
    )
    return Rows(_numbers(cells, numbers, columns, path), columns, notes)


def _lines(path: Path) -> tuple[list[str], list[int]]:
    """Lines that are not blank, and their numbers from 1."""
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        text = content.decode("utf-8-sig")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not an intact gzip file ({error}); copy it again") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    kept = [(line, i) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    return [line for line, _ in kept], [i for _, i in kept]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _has_header(cells: list[list[str]]) -> bool:
    """Whether the first row names columns.

    All its cells are text; or some are, above numbers, and the others are plain integers (years).
    """
    text = [not _is_number(cell) for cell in cells[0]]
    if all(text):
        return any(cells[0])
    if not any(text) or len(cells) < 2:
        return False
    below = all(_is_number(cell) for cell, t in zip(cells[1], text, strict=True) if t)
    others = all(cell.isdigit() for cell, t in zip(cells[0], text, strict=True) if not t)
    return below and others


def _numbers(
    cells: list[list[str]], numbers: list[int], columns: tuple[str, ...], path: Path
) -> np.ndarray:
    """``[N, d]`` float64; ValueError naming the first cell that is not a finite number."""
    try:
        table = np.array(cells, dtype=np.float64)
    except ValueError:
        table = None
    if table is not None and np.isfinite(table).all():
        return table
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            if _is_number(cell) and np.isfinite(float(cell)):
                continue
            place = f"row {i + 1} (line {numbers[i]}), {column_name(j, columns)}"
            if _is_number(cell):
                raise ValueError(f"{path} holds {float(cell)} at {place}; drop or fill such rows")
            if cell == "":
                raise ValueError(f"{path} has an empty cell at {place}; drop or fill such rows")
            raise ValueError(
                f"{path} holds the text {cell[:40]!r} at {place}; drop that column or code it as "
                "numbers (decimals with a point, columns separated by , ; or tabs)"
            )
    raise AssertionError("unreachable: every cell is a finite number")


def read_parquet(path: Path) -> Rows:
    """A Parquet table of numbers; ValueError naming the extra when pyarrow is missing."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError(
            "reading .parquet needs pyarrow; install it with pip install 'gibbsian[parquet]'"
        ) from error
    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} is not an intact Parquet file ({error})") from error
    columns = tuple(table.column_names)
    if not columns or table.num_rows == 0:
        raise ValueError(f"{path} is empty; it needs rows of numbers")
    parts = []
    for j, column in enumerate(table.columns):
        kind = column.type
        if not (
            pyarrow.types.is_integer(kind)
            or pyarrow.types.is_floating(kind)
            or pyarrow.types.is_boolean(kind)
            or pyarrow.types.is_decimal(kind)
        ):
            raise ValueError(
                f"{path} holds {kind} values in {column_name(j, columns)}; drop that column or code "
                "it as numbers"
            )
        parts.append(column.cast(pyarrow.float64()).to_numpy(zero_copy_only=False))
    return Rows(np.stack(parts, 1), columns, (f"columns: {', '.join(columns)}",))
