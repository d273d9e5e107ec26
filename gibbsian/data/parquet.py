"""Parquet tables, read by PyArrow: the same kinds of columns as in text tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gibbsian.core import limits
from gibbsian.data.classes import Target
from gibbsian.data.left_out import NUMBERS_ROWS
from gibbsian.data.parquet_table import ParquetTable, parquet_table
from gibbsian.data.rows import Rows
from gibbsian.data.table_rows import Labels, TableRows
from gibbsian.data.table_schema import Selection
from gibbsian.data.tables import ALL, ROWS, polars, whole

if TYPE_CHECKING:
    import polars as pl


def read_parquet(path: Path, target: Target | None = None, selection: Selection = ALL) -> Rows:
    """A Parquet table, without the column ``target``, whose classes are kept.

    ValueError naming the column that is not of numbers or an index, or the extra when pyarrow is missing.
    """
    labels = Labels()
    tables, parts = zip(*_parts(path, target, selection, labels, ROWS), strict=True)
    return whole(np.concatenate(parts), tables[0], (), target, labels)


def parquet_parts(
    path: Path,
    target: Target | None = None,
    labels: Labels | None = None,
    rows: int = ROWS,
    selection: Selection = ALL,
) -> Iterator[Rows]:
    """The same as ``rows`` rows at a time, in memory that does not grow with their number.

    The cells of ``target`` are added to ``labels``, which holds them all.
    """
    left: np.ndarray | None = None
    table: TableRows | None = None
    for table, x in _parts(path, target, selection, labels, rows, holds=labels is not None):
        table.check()
        x = x if left is None or len(left) == 0 else np.concatenate([left, x])
        end = len(x) - len(x) % rows
        for first in range(0, end, rows):
            yield _rows_of(x[first : first + rows], table)
        left = x[end:]
    if left is not None and len(left) and table is not None:
        yield _rows_of(left, table)


def _rows_of(x: np.ndarray, table: TableRows) -> Rows:
    return Rows(x, table.columns, table=table.selection.schema, ignored=table.ignored)


def _parts(
    path: Path,
    target: Target | None,
    selection: Selection,
    labels: Labels | None,
    rows: int,
    holds: bool = True,
) -> Iterator[tuple[TableRows, np.ndarray]]:
    """``holds``: whether all of them will be held, which has a limit."""
    file = parquet_table(path)
    if holds and selection.detection and file.nbytes > limits.limit("BYTES"):
        raise ValueError(
            f"{path} takes {file.nbytes:.3g} bytes, and detect holds all rows; train an energy on it and "
            f"score its rows, which is done in blocks, or set GIBBSIAN_MAX_BYTES={file.nbytes}"
        )
    if holds:
        limits.check("BYTES", file.nbytes, f"{path} unpacks to")
    table = table_rows(file, target, selection, labels)
    for batch in file.batches(rows):
        read = file.as_it_stands([batch])
        if selection.detection:
            table.cells.append(read.cast(polars().String))
        frame = file.plain(read, range(len(file.names)))
        yield table, table.add(frame, Located(frame, table.rows))


def table_rows(
    file: ParquetTable, target: Target | None, selection: Selection, labels: Labels | None = None
) -> TableRows:
    """The reading of all columns of ``file``; ValueError where one is the index of a data frame."""
    table = TableRows(file.path, file.names, len(file.names), ".", target, selection, labels)
    _check_index(table, file.names)
    return table


class Located:
    """Where the cells of a part of a table, with ``done`` rows before it, stand."""

    def __init__(self, frame: pl.DataFrame, done: int):
        self.frame, self.done = frame, done

    def __call__(self, row: int, column: int) -> tuple[str, str]:
        cell = self.frame[row, column]
        return "" if cell is None else str(cell), f"row {self.done + row + 1}"


def _check_index(table: TableRows, columns: tuple[str, ...]) -> None:
    for j, name in enumerate(columns):
        if not table.kept[j] or not re.fullmatch(r"__index_level_\d+__", name):
            continue
        if table.chooses:
            table.leave_out(j, NUMBERS_ROWS)
        else:
            raise ValueError(
                f"column {name} of {table.path} is the index of a data frame; write the file without it "
                f"(index=False in pandas), or drop it by --drop-columns {name}"
            )
