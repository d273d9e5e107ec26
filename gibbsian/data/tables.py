"""Tables of delimited text, read by Polars; layout and kinds of columns are detected and said."""

from __future__ import annotations

import functools
import itertools
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from gibbsian.data.cells import is_value
from gibbsian.data.classes import Target, as_classes
from gibbsian.data.layout import COMMENT, Layout, layout_of, records
from gibbsian.data.left_out import NUMBERS_ROWS
from gibbsian.data.rows import Rows, counted
from gibbsian.data.table_notes import notes_of
from gibbsian.data.table_rows import Labels, TableRows, cells_of
from gibbsian.data.table_schema import Selection
from gibbsian.data.text_blocks import Block, TextFile

if TYPE_CHECKING:
    import polars as pl

ROWS = 4096
"""Rows that are handed on at a time."""
ALL = Selection()
_COMMENT = re.compile(rb"(?m)^" + COMMENT.pattern.encode() + rb".*\n?")


@functools.cache
def polars() -> ModuleType:
    """The library that reads tables.

    ValueError where it was not built for this processor, MemoryError where its code finds no room: then
    its import ends in a SystemError, or leaves out the compiled half, and every call would end in a
    NameError.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Missing required CPU features", RuntimeWarning)
            import polars
        polars.Series([0.0])
    except RuntimeWarning as warning:
        raise ValueError(
            "Polars, which reads tables, needs a processor with AVX2; install its build for older "
            "ones with pip install 'polars[rtcompat]'"
        ) from warning
    except (NameError, SystemError) as error:
        raise MemoryError("Polars cannot be loaded") from error
    return polars


def read_csv(path: Path, target: Target | None = None, selection: Selection = ALL) -> Rows:
    """A delimited text file, ``.gz`` included, without the column ``target``, whose classes are kept.

    ValueError naming line and column of what is wrong.
    """
    labels = Labels()
    reading = CsvReading(path, target, selection, labels)
    x = reading.all()
    assert reading.table is not None and reading.layout is not None
    rows = whole(x, reading.table, reading.notes(), target, labels)
    if rows.cells is None:
        return rows
    layout, encoding = reading.layout, reading.file.encoding
    cells = replace(
        rows.cells, separator=layout.separator, decimal=layout.decimal, encoding=encoding
    )
    return replace(rows, cells=cells)


def whole(
    x: np.ndarray,
    table: TableRows,
    notes: tuple[str, ...],
    target: Target | None,
    labels: Labels,
) -> Rows:
    """All rows of a table with what is known of it; ValueError for the first fault in it."""
    x = table.without_unusable(x)
    table.finish()
    classes = None
    notes = (*notes, *notes_of(table))
    if target is not None and target.others is None:
        classes, said = as_classes(labels.cells, labels.name, table.path)
        notes += (said,)
    return Rows(
        table.recoded(x),
        table.columns,
        notes,
        classes,
        table=table.schema(),
        ignored=table.ignored,
        cells=cells_of(table),
    )


def csv_parts(
    path: Path,
    target: Target | None = None,
    labels: Labels | None = None,
    rows: int = ROWS,
    selection: Selection = ALL,
) -> Iterator[Rows]:
    """The same as ``rows`` rows at a time, in memory that does not grow with their number.

    The cells of the column ``target``, where it is there, are added to ``labels``. The layout is read off
    the first part; kinds of columns are checked part by part.
    """
    reading = CsvReading(path, target, selection, labels)
    yield from in_parts(reading.parts(check=True), reading, rows)


def in_parts(found: Iterator[np.ndarray], reading: CsvReading, rows: int) -> Iterator[Rows]:
    """The rows in ``found`` as ``rows`` at a time, the last of them fewer."""
    left: np.ndarray | None = None
    for x in found:
        x = x if left is None or len(left) == 0 else np.concatenate([left, x])
        end = len(x) - len(x) % rows
        for first in range(0, end, rows):
            yield reading.rows(x[first : first + rows])
        left = x[end:]
    if left is not None and len(left):
        yield reading.rows(left)


class CsvReading:
    """One pass over a delimited text file."""

    def __init__(
        self, path: Path, target: Target | None, selection: Selection, labels: Labels | None
    ):
        self.path, self.target = path, target
        self.selection, self.labels = selection, labels
        self.file = TextFile(path)
        self.layout: Layout | None = None
        self.table: TableRows | None = None
        self._as_text: set[int] = set()
        self._comments = 0
        self._blank, self._blank_at_end = 0, 0

    def rows(self, x: np.ndarray) -> Rows:
        """``x`` as rows of this table."""
        assert self.table is not None
        table = self.table
        schema = self.selection.schema
        return Rows(x, table.columns, self.notes(), table=schema, ignored=table.ignored)

    def notes(self) -> tuple[str, ...]:
        """How the file is laid out."""
        assert self.layout is not None
        notes = self.layout.notes
        if self.file.encoding != "utf-8":
            notes += (f"text in {self.file.encoding}",)
        if self._comments:
            left = counted(self._comments, "line")
            notes += (f"left out as comments, which begin with #: {left}",)
        if self._blank:
            left = counted(self._blank, "row")
            notes += (f"left out, rows without any cell, which numbers of rows pass over: {left}",)
        return notes

    def all(self) -> np.ndarray:
        """All rows ``[N, d]``, each written once where the file's size tells how many there will be."""
        x: np.ndarray | None = None
        done = 0
        for part in self.parts():
            if x is None or done + len(part) > len(x):
                expected = (done + len(part)) / max(self.file.share, 1e-3)
                grown = np.empty((int(max(1.02 * expected, 1.5 * done)) + 1, part.shape[1]))
                if x is not None:
                    grown[:done] = x[:done]
                x = grown
            x[done : done + len(part)] = part
            done += len(part)
        assert x is not None
        return x[:done]

    def parts(self, check: bool = False) -> Iterator[np.ndarray]:
        """Rows ``[n, d]`` as they come; faults that cells have are told at once only with ``check``."""
        polars()
        for block in self.file.blocks():
            if self.layout is None:
                self.layout = self._layout(block)
                if self.layout is None:
                    continue
                self.table = self._table(self.layout)
                block = _from_line(block, self.layout.first)
            assert self.table is not None
            frame = self._frame(block, self.layout)
            if frame.height:
                done = self.table.rows
                if self.selection.detection:
                    self.table.cells.append(frame)
                x = self.table.add(frame, functools.partial(self._locate, block, done))
                if check:
                    self.table.check()
                yield x
        if self.layout is None or self.table is None:
            raise ValueError(f"{self.path} is empty; it needs rows of numbers")
        if not self.table.rows:
            raise ValueError(f"{self.path} has a header but no rows")

    def _layout(self, block: Block) -> Layout | None:
        schema, selection = self.selection.schema, self.selection
        named = [*selection.columns, *selection.drop, *selection.category]
        named += [] if self.target is None else [self.target.column]
        if schema is None:
            return layout_of(block, self.path, named)
        named += [column.name for column in schema.columns if schema.named]
        return layout_of(block, self.path, named, len(schema.columns), schema.decimal)

    def _table(self, layout: Layout) -> TableRows:
        width = layout.width - layout.extra
        table = TableRows(
            self.path, layout.names, width, layout.decimal, self.target, self.selection, self.labels
        )
        for j in layout.index:
            if table.kept[j] and table.chooses:
                table.leave_out(j, NUMBERS_ROWS)
            elif table.kept[j]:
                raise ValueError(
                    f"column {j + 1} of {self.path} has no name and only numbers the rows; write the file "
                    f"without its index (index=False in pandas), drop that column by --drop-columns {j + 1}, "
                    "or name it if it is data"
                )
        if table.place is not None:
            self._as_text.add(table.place)
        self._as_text.update(table.as_text)
        if layout.decimal == "," or self.selection.detection:  # which keeps cells as they stand
            self._as_text.update(range(width))
        return table

    def _frame(self, block: Block, layout: Layout) -> pl.DataFrame:
        """The cells of a block, as numbers where a column is plain and as text elsewhere."""
        pl = polars()
        text = block.text
        if layout.separator == " ":
            text = re.sub(rb"(?m)^ +| +(?=\r?$)", b"", re.sub(rb"[ \t]+", b" ", text))
        quoted = b'"' in text
        if b"#" in text:
            text, comments = _COMMENT.subn(b"", text)
            self._comments += comments
            if comments and quoted:
                return self._exact(block, layout)
        if quoted and text.count(b'"') % 2:
            return self._exact(block, layout)
        try:
            frame = self._parsed(text, layout)
        except pl.exceptions.PolarsError:
            return self._exact(block, layout)
        if pl.String in frame.dtypes:
            frame = frame.with_columns(pl.col(pl.String).str.strip_chars().replace("", None))
        last = frame.to_series(layout.width - 1)
        if last.null_count() == 0:
            return self._exact(block, layout) if layout.extra else frame
        blank = frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
        doubtful = (last.is_null() & ~blank).arg_true().to_list()
        if doubtful and quoted:
            return self._exact(block, layout)
        lines, commas = text.split(b"\n") if doubtful else [], layout.width - 1
        if any(lines[row].count(layout.separator.encode()) != commas for row in doubtful):
            return self._exact(block, layout)  # which says where cells are lacking
        self._count_blank(blank)
        frame = frame.filter(~blank)
        extra = frame[:, layout.width - layout.extra :]
        if sum(extra.null_count().row(0)) < extra.width * extra.height:
            return self._exact(block, layout)
        return frame[:, : layout.width - layout.extra]

    def _count_blank(self, blank: pl.Series) -> None:
        """Rows without any cell that others follow: those at the end of a file are nobody's."""
        full = (~blank).arg_true()
        if len(full):
            inside = int(blank[: full[-1]].sum())
            self._blank, self._blank_at_end = self._blank + self._blank_at_end + inside, 0
        self._blank_at_end += int(blank.sum()) - (inside if len(full) else 0)

    def _parsed(self, text: bytes, layout: Layout) -> pl.DataFrame:
        """The cells by Polars: plain columns as float64, those that were not plain before as text."""
        pl = polars()
        kinds = {
            str(j): pl.String if j in self._as_text else pl.Float64 for j in range(layout.width)
        }
        read = functools.partial(pl.read_csv, text, has_header=False, separator=layout.separator)
        if text.strip() == b"":
            return pl.DataFrame(schema=kinds)
        if pl.Float64 in kinds.values():
            try:
                return read(schema=kinds)
            except pl.exceptions.ComputeError:
                pass  # one of them is not plain here
        frame = read(schema=dict.fromkeys(kinds, pl.String))
        for j, cells in enumerate(frame.iter_columns()):
            if j not in self._as_text:
                try:
                    frame = frame.with_columns(cells.cast(pl.Float64))
                except pl.exceptions.PolarsError:
                    self._as_text.add(j)
        return frame

    def _exact(self, block: Block, layout: Layout) -> pl.DataFrame:
        """The same, all as text, by the slow and exact way; ValueError naming a row of another length."""
        pl = polars()
        rows = []
        width = layout.width - layout.extra
        for row, number in records(block, layout.separator, self.path):
            if len(row) != layout.width or any(row[width:]):
                if layout.extra and len(row) == width:
                    rows.append(row)
                    continue
                every = itertools.chain.from_iterable(
                    cells for cells, _ in records(block, layout.separator, self.path)
                )
                prose = (
                    "" if any(map(is_value, every)) else " (no number was found; is this a table?)"
                )
                raise ValueError(
                    f"{self.path} is ragged: line {number} has {len(row)} columns, line {layout.line} has "
                    f"{width}{prose}; give each row as many cells"
                )
            rows.append(row[:width])
        columns = zip(*rows, strict=True) if rows else [()] * width
        names = map(str, range(width))
        return pl.DataFrame(
            [pl.Series(name, cells, pl.String) for name, cells in zip(names, columns, strict=True)]
        )

    def _locate(self, block: Block, done: int, row: int, column: int) -> tuple[str, str]:
        """The cell of a block that has ``done`` rows before it, and where it stands."""
        assert self.layout is not None
        for i, (cells, number) in enumerate(records(block, self.layout.separator, self.path)):
            if i == row:
                return cells[column], f"row {done + row + 1} (line {number})"
        raise AssertionError("rows of a block are its records")


def _from_line(block: Block, line: int) -> Block:
    """The block from line number ``line`` on."""
    start = 0
    for _ in range(line - block.line):
        start = block.text.find(b"\n", start) + 1 or len(block.text)
    return Block(block.text[start:], line)
