"""Tables of numbers: delimited text (header and delimiter detected and said) and Parquet."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gibbsian.core import limits
from gibbsian.core.text import one_line
from gibbsian.data.cells import counts_rows, has_decimal_comma, has_header, is_missing, is_number
from gibbsian.data.classes import Target, as_classes
from gibbsian.data.rows import Rows
from gibbsian.data.transforms import column_name

DELIMITERS = {"\t": "tabs", ";": "semicolons", ",": "commas"}
"""Tried in this order: a decimal comma must not hide the semicolons around it."""
ROWS = 4096
"""Rows that are read at a time."""


def read_csv(path: Path, target: Target | None = None) -> Rows:
    """A delimited text file, ``.gz`` included, without the column ``target``, whose classes are kept.

    ValueError naming line and column of what is wrong.
    """
    labels = Labels()
    return _joined(list(csv_parts(path, target, labels)), target, labels, path)


@dataclass
class Labels:
    """The cells of a column of classes, and how it is called in messages."""

    name: str = ""
    cells: list[str] = field(default_factory=list)


def _joined(parts: list[Rows], target: Target | None, labels: Labels, path: Path) -> Rows:
    """All parts of a table as one, with the classes in its column ``target``."""
    first, classes = parts[0], None
    notes = first.notes
    if target is not None and target.others is None:
        classes, said = as_classes(labels.cells, labels.name, path)
        notes += (said,)
    return Rows(np.concatenate([part.x for part in parts]), first.columns, notes, classes)


def csv_parts(
    path: Path, target: Target | None = None, labels: Labels | None = None, rows: int = ROWS
) -> Iterator[Rows]:
    """The same as at most ``rows`` rows at a time, in memory that does not grow with their number.

    The cells of the column ``target``, where it is there, are added to ``labels``. Header, delimiter
    and whether a column without a name is an index are read off the first part.
    """
    table: _Table | None = None
    done = 0
    for lines, numbers in _line_parts(path, rows):
        if table is None:
            table, cells = _table(lines, numbers, path, target)
            numbers = numbers[len(numbers) - len(cells) :]
        else:
            cells = _cells(lines, numbers, table.delimiter, path)
        for row, number in zip(cells, numbers, strict=True):
            if len(row) != table.width:
                raise ValueError(
                    f"{path} is ragged: line {number} has {len(row)} columns, line {table.line} has "
                    f"{table.width}"
                )
        if table.place is not None:
            found = [row.pop(table.place) for row in cells]
            if labels is not None:
                labels.name = table.target
                labels.cells += found
        if cells:
            x = _numbers(cells, numbers, done, table.names, path)
            done += len(cells)
            yield Rows(x, table.columns, table.notes)
    if table is None:
        raise ValueError(f"{path} is empty; it needs rows of numbers")
    if not done:
        raise ValueError(f"{path} has a header but no rows")


@dataclass(frozen=True)
class _Table:
    """What the first lines say of a text table.

    ``width``: cells in a row, and ``line``, the number of the one that says so; ``place`` and ``target``:
    where the column of classes is, and how it is called; ``columns`` and ``names``: of the others, as they
    are called there and in messages.
    """

    delimiter: str
    width: int
    line: int
    place: int | None
    target: str
    columns: tuple[str, ...]
    names: tuple[str, ...]
    notes: tuple[str, ...]


def _table(
    lines: list[str], numbers: list[int], path: Path, target: Target | None
) -> tuple[_Table, list[list[str]]]:
    """What ``lines`` say of the whole table, and their cells without a header."""
    delimiter = next((mark for mark in DELIMITERS if mark in lines[0]), ",")
    cells = _cells(lines, numbers, delimiter, path)
    width = len(cells[0])
    limits.check("COLUMNS", width, f"{path} has")
    columns: tuple[str, ...] = ()
    same = [row for row in cells[:2] if len(row) == width]
    if has_header(same) or (target is not None and target.is_named_in(cells[0])):
        header, cells = cells[0], cells[1:]
        columns = _named(header, [row for row in cells if len(row) == width], path)
    notes = (
        f"{path.name}: columns separated by {DELIMITERS[delimiter]}" if width > 1 else "one column",
        f"header row: {', '.join(columns)}" if columns else "no header row",
    )
    names = [column_name(j, columns) for j in range(width)]
    place = None if target is None else target.place(columns, width, path)
    called = ""
    if place is not None:
        columns, called = _without(place, columns, width, path), names.pop(place)
    return _Table(delimiter, width, numbers[0], place, called, columns, tuple(names), notes), cells


def _cells(lines: list[str], numbers: list[int], delimiter: str, path: Path) -> list[list[str]]:
    try:
        cells = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise ValueError(f"{path} cannot be read as delimited text: {error}") from error
    if len(cells) != len(lines):
        raise ValueError(
            f"{path} has a quoted cell that runs over several lines; remove the quotes"
        )
    return [[cell.strip() for cell in row] for row in cells]


def _without(place: int, columns: tuple[str, ...], width: int, path: Path) -> tuple[str, ...]:
    if width == 1:
        raise ValueError(f"{path} has one column, its --class-column, and none to model")
    return columns[:place] + columns[place + 1 :]


def _line_parts(path: Path, rows: int) -> Iterator[tuple[list[str], list[int]]]:
    """Lines that are not blank, and their numbers from 1, about ``rows`` at a time."""
    last = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            raw = _raw_lines(file, path)
            while content := b"".join(itertools.islice(raw, rows)):
                text = content.decode("utf-8" if last else "utf-8-sig")
                numbered = list(enumerate(text.splitlines(), last + 1))
                last = numbered[-1][0] if numbered else last
                kept = [(line, number) for number, line in numbered if line.strip()]
                if kept:
                    yield [line for line, _ in kept], [number for _, number in kept]
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not an intact gzip file ({error}); copy it again") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8") from error


def _raw_lines(file: io.BufferedIOBase, path: Path) -> Iterator[bytes]:
    """Lines with their ends; ValueError where a packed file goes on beyond the limit."""
    most = limits.limit("BYTES") if path.suffix == ".gz" else path.stat().st_size
    left = most
    while line := file.readline(left + 1):
        left -= len(line)
        if left < 0 and path.suffix == ".gz":
            raise limits.refusal("BYTES", most + 1, f"{path} unpacks to at least")
        yield line


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
    cells: list[list[str]], numbers: list[int], done: int, names: Sequence[str], path: Path
) -> np.ndarray:
    """``[N, d]`` float64; ValueError naming the first cell that is not a finite number.

    ``done``: rows before these.
    """
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
    cell, place = cells[i][j], f"row {done + i + 1} (line {numbers[i]}), {names[j]}"
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
    labels = Labels()
    return _joined(list(parquet_parts(path, target, labels)), target, labels, path)


def parquet_parts(
    path: Path, target: Target | None = None, labels: Labels | None = None, rows: int = ROWS
) -> Iterator[Rows]:
    """The same as at most ``rows`` rows at a time; the cells of ``target`` are added to ``labels``."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError(
            "reading .parquet needs pyarrow; install it with pip install 'gibbsian[parquet]'"
        ) from error
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            limits.check("COLUMNS", file.metadata.num_columns, f"{path} has")
            unpacked = 8 * file.metadata.num_rows * file.metadata.num_columns  # as float64
            limits.check("BYTES", unpacked, f"{path} unpacks to")
            columns = tuple(one_line(name) for name in file.schema_arrow.names)
            if not columns or file.metadata.num_rows == 0:
                raise ValueError(f"{path} is empty; it needs rows of numbers")
            place = None if target is None else target.place(columns, len(columns), path)
            _check_columns(file.schema_arrow.types, columns, place, path)
            notes = (f"columns: {', '.join(columns)}",)
            left = columns if place is None else _without(place, columns, len(columns), path)
            for batch in file.iter_batches(rows):
                numbers = list(batch.columns)
                if place is not None:
                    found = numbers.pop(place)
                    if labels is not None:
                        labels.name = column_name(place, columns)
                        labels.cells += ["" if v is None else str(v) for v in found.to_pylist()]
                x = [c.cast(pyarrow.float64()).to_numpy(zero_copy_only=False) for c in numbers]
                yield Rows(np.stack(x, 1), left, notes)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} is not an intact Parquet file ({error})") from error


def _check_columns(
    kinds: Sequence[Any], columns: tuple[str, ...], place: int | None, path: Path
) -> None:
    """ValueError where a column, other than the one at ``place``, is not of numbers or is an index."""
    from pyarrow import types

    for j, (kind, name) in enumerate(zip(kinds, columns, strict=True)):
        if re.fullmatch(r"__index_level_\d+__", name):
            raise ValueError(
                f"column {name} of {path} is the index of a data frame; write the file without it "
                "(index=False in pandas)"
            )
        known = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal)
        if j != place and not any(is_kind(kind) for is_kind in known):
            raise ValueError(
                f"{path} holds {kind} values in {column_name(j, columns)}; drop that column or code "
                "it as numbers"
            )
