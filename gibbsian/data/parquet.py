"""Parquet tables, read by PyArrow: the same kinds of columns as in text tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gibbsian.core import limits
from gibbsian.core.text import one_line
from gibbsian.data.classes import Target
from gibbsian.data.layout import names_of
from gibbsian.data.left_out import NUMBERS_ROWS
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
    """The same as at most ``rows`` rows at a time; the cells of ``target`` are added to ``labels``."""
    for table, x in _parts(path, target, selection, labels, rows):
        table.check()
        yield Rows(x, table.columns, table=selection.schema, ignored=table.ignored)


def _parts(
    path: Path, target: Target | None, selection: Selection, labels: Labels | None, rows: int
) -> Iterator[tuple[TableRows, np.ndarray]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError(
            "reading .parquet needs pyarrow; install it with pip install 'gibbsian[parquet]'"
        ) from error
    pl = polars()
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            limits.check("COLUMNS", file.metadata.num_columns, f"{path} has")
            unpacked = 8 * file.metadata.num_rows * file.metadata.num_columns  # as float64
            limits.check("BYTES", unpacked, f"{path} unpacks to")
            columns = names_of([one_line(name) for name in file.schema_arrow.names], path)
            if not columns or file.metadata.num_rows == 0:
                raise ValueError(f"{path} is empty; it needs rows of numbers")
            table = TableRows(path, columns, len(columns), ".", target, selection, labels)
            _check_index(table, columns)
            for batch in file.iter_batches(rows):
                part = pyarrow.Table.from_batches([batch])
                read = pl.from_arrow(part.rename_columns([str(j) for j in range(len(columns))]))
                frame = pl.DataFrame(
                    [_plain(column, columns[j], path) for j, column in enumerate(read)]
                )
                if selection.detection:
                    table.cells.append(read.cast(pl.String))
                yield table, table.add(frame, _Located(frame, table.rows))
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} is not an intact Parquet file ({error})") from error


class _Located:
    """Where the cells of a part of ``frame``, with ``done`` rows before it, stand."""

    def __init__(self, frame: pl.DataFrame, done: int):
        self.frame, self.done = frame, done

    def __call__(self, row: int, column: int) -> tuple[str, str]:
        cell = self.frame[row, column]
        return "" if cell is None else str(cell), f"row {self.done + row + 1}"


def _plain(cells: pl.Series, name: str, path: Path) -> pl.Series:
    """A column as one of float64, text, booleans or days; ValueError for lists and the like."""
    pl = polars()
    kind = cells.dtype
    if kind.is_numeric() or kind == pl.Null:
        return cells.cast(pl.Float64)
    if kind in (pl.Categorical, pl.Enum):
        return cells.cast(pl.String)
    if kind in (pl.String, pl.Boolean) or kind.is_temporal():
        return cells
    raise ValueError(f"{path} holds {kind} values in column {name!r}; write the file without it")


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
