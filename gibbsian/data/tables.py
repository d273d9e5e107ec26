"""Tables of numbers: delimited text (header and delimiter detected and said) and Parquet."""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
import zlib
from pathlib import Path

import numpy as np

from gibbsian.core import limits
from gibbsian.core.text import one_line
from gibbsian.data.cells import counts_rows, has_decimal_comma, has_header, is_missing, is_number
from gibbsian.data.classes import Target, as_classes
from gibbsian.data.rows import Rows
from gibbsian.data.transforms import column_name

DELIMITERS = {"\t": "tabs", ";": "semicolons", ",": "commas"}
"""Tried in this order: a decimal comma must not hide the semicolons around it."""


def read_csv(path: Path, target: Target | None = None) -> Rows:
    """A delimited text file, ``.gz`` included, without the column ``target``, whose classes are kept.

    ValueError naming line and column of what is wrong.
    """
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
    limits.check("COLUMNS", width, f"{path} has")
    for row, number in zip(cells, numbers, strict=True):
        if len(row) != width:
            raise ValueError(
                f"{path} is ragged: line {number} has {len(row)} columns, line {numbers[0]} has {width}"
            )
    columns: tuple[str, ...] = ()
    if has_header(cells) or (target is not None and target.is_named_in(cells[0])):
        header, cells, numbers = cells[0], cells[1:], numbers[1:]
        if not cells:
            raise ValueError(f"{path} has a header but no rows")
        columns = _named(header, cells, path)
    notes: tuple[str, ...] = (
        f"{path.name}: columns separated by {DELIMITERS[delimiter]}" if width > 1 else "one column",
        f"header row: {', '.join(columns)}" if columns else "no header row",
    )
    names = [column_name(j, columns) for j in range(width)]
    place = None if target is None else target.place(columns, width, path)
    classes = None
    if target is not None and place is not None:
        columns = _without(place, columns, width, path)
        labels, name = [row.pop(place) for row in cells], names.pop(place)
        if target.others is None:
            classes, said = as_classes(labels, name, path)
            notes += (said,)
    return Rows(_numbers(cells, numbers, names, path), columns, notes, classes)


def _without(place: int, columns: tuple[str, ...], width: int, path: Path) -> tuple[str, ...]:
    if width == 1:
        raise ValueError(f"{path} has one column, its --target, and none to model")
    return columns[:place] + columns[place + 1 :]


def _lines(path: Path) -> tuple[list[str], list[int]]:
    """Lines that are not blank, and their numbers from 1."""
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            most = limits.limit("BYTES")
            with gzip.open(io.BytesIO(content)) as file:
                content = file.read(most + 1)
            if len(content) > most:
                raise limits.refusal("BYTES", len(content), f"{path} unpacks to at least")
        text = content.decode("utf-8-sig")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not an intact gzip file ({error}); copy it again") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    kept = [(line, i) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    return [line for line, _ in kept], [i for _, i in kept]


def _named(header: list[str], cells: list[list[str]], path: Path) -> tuple[str, ...]:
    """The names of a header; a column without one is called by its place.

    ValueError where such a column only numbers the rows: the index of a data frame.
    """
    names = []
    for j, name in enumerate(map(one_line, header)):
        if name == "" and counts_rows([row[j] for row in cells]):
            raise ValueError(
                f"column {j + 1} of {path} has no name and only numbers the rows; write the file without "
                "its index (index=False in pandas), drop that column, or name it if it is data"
            )
        names.append(name or f"column {j + 1}")
    return tuple(names)


def _numbers(
    cells: list[list[str]], numbers: list[int], names: list[str], path: Path
) -> np.ndarray:
    """``[N, d]`` float64; ValueError naming the first cell that is not a finite number."""
    try:
        table = np.array(cells, dtype=np.float64)
    except ValueError:
        table = None
    if table is not None and np.isfinite(table).all():
        return table
    # Decimal commas first: they are the fault of the whole file, where a missing value is one cell's.
    bad = [
        (not has_decimal_comma(cell), i, j)
        for i, row in enumerate(cells)
        for j, cell in enumerate(row)
        if not is_number(cell) or not math.isfinite(float(cell))
    ]
    _, i, j = min(bad)
    cell, place = cells[i][j], f"row {i + 1} (line {numbers[i]}), {names[j]}"
    if cell == "":
        raise ValueError(f"{path} has an empty cell at {place}; drop or fill such rows")
    if is_missing(cell):
        raise ValueError(f"{path} has the missing value {cell} at {place}; drop or fill such rows")
    if is_number(cell):
        raise ValueError(f"{path} holds {float(cell)} at {place}; drop or fill such rows")
    raise ValueError(
        f"{path} holds the text {cell[:40]!r} at {place}; drop that column or code it as numbers "
        "(decimals with a point, columns separated by , ; or tabs)"
    )


def read_parquet(path: Path, target: Target | None = None) -> Rows:
    """A Parquet table of numbers, without the column ``target``, whose classes are kept.

    ValueError naming the column that is not of numbers or an index, or the extra when pyarrow is missing.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError(
            "reading .parquet needs pyarrow; install it with pip install 'gibbsian[parquet]'"
        ) from error
    try:
        metadata = pyarrow.parquet.read_metadata(path)
        limits.check("COLUMNS", metadata.num_columns, f"{path} has")
        unpacked = 8 * metadata.num_rows * metadata.num_columns  # as float64
        limits.check("BYTES", unpacked, f"{path} unpacks to")
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} is not an intact Parquet file ({error})") from error
    columns = tuple(one_line(name) for name in table.column_names)
    if not columns or table.num_rows == 0:
        raise ValueError(f"{path} is empty; it needs rows of numbers")
    for name in columns:
        if re.fullmatch(r"__index_level_\d+__", name):
            raise ValueError(
                f"column {name} of {path} is the index of a data frame; write the file without it "
                "(index=False in pandas)"
            )
    notes: tuple[str, ...] = (f"columns: {', '.join(columns)}",)
    place = None if target is None else target.place(columns, len(columns), path)
    classes, parts = None, []
    for j, column in enumerate(table.columns):
        if target is not None and j == place:
            if target.others is None:
                labels = ["" if value is None else str(value) for value in column.to_pylist()]
                classes, said = as_classes(labels, column_name(j, columns), path)
                notes += (said,)
            continue
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
    left = columns if place is None else _without(place, columns, len(columns), path)
    return Rows(np.stack(parts, 1), left, notes, classes)
