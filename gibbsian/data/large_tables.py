"""Parquet tables that are too large to be held, read block by block.

A first pass finds what the columns are, as of a table that is held; what it learns, a schema, then turns the
cells of any block into the same numbers. A block is a run of rows: small row groups together, or a part of
a large one, which is read from the group's beginning because a column is packed from there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gibbsian.data import large_arrays
from gibbsian.data.classes import Target
from gibbsian.data.parquet import Located, table_rows
from gibbsian.data.parquet_table import (
    VALUE_BYTES,
    ParquetTable,
    holds_parquet,
    parquet_table,
)
from gibbsian.data.rows import Rows
from gibbsian.data.table_rows import Labels, Spot, TableRows
from gibbsian.data.table_schema import Selection, TableSchema
from gibbsian.data.tables import ROWS, whole


def large_table(path: Path) -> ParquetTable | None:
    """The Parquet table at ``path`` if it is not held: `large_arrays.LARGE` bytes, packed or as numbers.

    ValueError for what is wrong with it.
    """
    path = path.expanduser()
    is_file = path.name.lower().endswith(".parquet") and path.is_file()
    if not (is_file or holds_parquet(path)):
        return None
    table = parquet_table(path)
    return table if max(table.nbytes, table.size) >= large_arrays.LARGE else None


def chosen_rows(
    table: ParquetTable, numbers: np.ndarray, target: Target | None, selection: Selection
) -> Rows:
    """The rows with these sorted ``numbers``, in one pass, as those of a table of their own."""
    labels = Labels()
    reading = table_rows(table, target, selection, labels)
    parts, places, first = [], range(len(table.names)), 0
    for frame in table.in_order(table.blocks(_together(table)), places):
        here = frame[large_arrays.within(numbers, first, frame.height)]
        first += frame.height
        if here.height:
            locate = _Chosen(here, numbers[reading.rows : reading.rows + here.height])
            parts.append(reading.add(here, locate))
    return whole(np.concatenate(parts), reading, (), target, labels)


class _Chosen(Located):
    """Where the cells of rows stand that have these ``numbers`` in the file, from 0."""

    def __init__(self, frame: object, numbers: np.ndarray):
        super().__init__(frame, 0)  # type: ignore[arg-type]
        self.numbers = numbers

    def __call__(self, row: int, column: int) -> tuple[str, str]:
        return super().__call__(row, column)[0], f"row {int(self.numbers[row]) + 1}"


def _together(table: ParquetTable, width: int = 0) -> int:
    """The most rows of a block, each of ``width`` numbers for the networks."""
    row_bytes = max(VALUE_BYTES * len(table.names), large_arrays.HELD_BYTES * width)
    return max(1, large_arrays.BLOCK // row_bytes)


class TableBlocks:
    """The rows of ``table`` as numbers, with NaN for what is missing: see `large_arrays.BlockFile`.

    Columns are read as ``schema`` says; the first pass, `FirstPass`, finds it.
    """

    def __init__(self, table: ParquetTable, schema: TableSchema):
        self.path, self.table, self.schema = table.path, table, schema
        width = sum(max(1, column.count) for column in schema.kept)
        self.pieces = table.blocks(_together(table, width))
        counts = [sum(piece.count for piece in block) for block in self.pieces]
        self.edges = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        known = {column.name for column in schema.kept}
        self.places = [j for j, name in enumerate(table.names) if name in known]

    def block(self, number: int) -> np.ndarray:
        """Rows ``[n, d]`` of block ``number``; ValueError where the file is another one by now."""
        frame = self.table.block(self.pieces[number], self.places)
        names = tuple(self.table.names[j] for j in self.places)
        selection = Selection(missing=self.schema.missing, schema=self.schema)
        reading = TableRows(self.path, names, len(names), self.schema.decimal, None, selection)
        x = reading.every(frame, Located(frame, int(self.edges[number])))
        reading.check()
        return x


class FirstPass:
    """A pass over all columns of ``table``, which finds their kinds and the values of categories.

    Categories are numbered as their values appear until ``finish``.
    """

    def __init__(self, table: ParquetTable, selection: Selection):
        self.path, self.table = table.path, table
        self.pieces = table.blocks(_together(table))
        self.reading = table_rows(table, None, selection)

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Number of the first row and rows ``[n, d]`` of each block, NaN where a value is missing."""
        first = 0
        for frame in self.table.in_order(self.pieces, range(len(self.table.names))):
            # What tables that are held are told by, so that it is the same here.
            heads = [frame] if first else [frame[:ROWS], frame[ROWS:]]
            parts = []
            for part in heads:
                if part.height:
                    located = Located(part, self.reading.rows)
                    parts.append(self._provisional(self.reading.every(part, located)))
                    self._settle(located)
            x = np.concatenate(parts)
            yield first, x
            first += len(x)

    def _provisional(self, x: np.ndarray) -> np.ndarray:
        """``x [n, d]`` with codes of texts by appearance, which are then forgotten."""
        places = self.reading.kept_places()
        for j, seen in self.reading.seen.items():
            if seen.parts and j in places:
                codes = seen.parts.pop()
                x[:, places.index(j)] = np.where(codes < 0, np.nan, codes)
        return x

    def _settle(self, located: Located) -> None:
        """Look up the cells of a part that may be spoken of, so that the part need not be kept."""
        reading = self.reading
        for key, spot in reading.spots.items():
            if spot.locate is located:
                reading.spots[key] = _settled(spot)
        if reading.infinite is not None and reading.infinite.locate is located:
            reading.infinite = _settled(reading.infinite)

    def finish(self) -> TableSchema:
        """What the columns are, once all blocks were read; ValueError for the first fault in them."""
        self.reading.finish()
        return self.reading.schema()

    def recoded(self, x: np.ndarray, schema: TableSchema) -> np.ndarray:
        """Rows ``x [n, d]`` of ``blocks`` with the numbers that the values of categories have for good."""
        x = x.copy()
        for place, (j, column) in enumerate(
            zip(self.reading.kept_places(), schema.kept, strict=True)
        ):
            if column.count:
                known = {value: float(code) for code, value in enumerate(column.values)}
                codes = np.array([*(known[text] for text in self.reading.seen[j].texts), np.nan])
                held = x[:, place]
                x[:, place] = codes[np.where(np.isnan(held), -1, held).astype(int)]
        return x


def _settled(spot: Spot) -> Spot:
    cell = spot.locate(spot.row, spot.column)
    return Spot(lambda row, column: cell, spot.row, spot.column)
