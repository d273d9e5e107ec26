"""What a reader hands over, and how an array becomes observations of a kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from gibbsian.data.table_schema import TableSchema
from gibbsian.data.transforms import column_name

if TYPE_CHECKING:
    import polars as pl

FEWEST, LONG = 4, 12
"""Rows that a data set needs, and from which on a column that grows with them is spoken of."""
Kind = Literal["vector", "image", "binary", "mixed"]


@dataclass(frozen=True, eq=False)
class Cells:
    """All cells of a table as they stand in its file, stripped, null where empty: ``texts [n, width]``.

    ``separator``, ``decimal`` and ``encoding`` are those of a text file.
    """

    names: tuple[str, ...]
    texts: pl.DataFrame
    separator: str = ","
    decimal: str = "."
    encoding: str = "utf-8"


@dataclass(frozen=True, eq=False)
class Rows:
    """Observations ``x`` as read, ``[N, d]`` or ``[N, C, H, W]`` once arranged.

    The last ``tests`` rows are the set's official test split, the ``valids`` rows before them its
    official validation split. ``levels``: number of grey levels, where the source says it. ``table``: the
    columns of the table they come from; where that imputes, ``x`` has NaN for what is missing.
    ``ignored``: names of columns that the model of a schema does not know; ``cells``: what
    `Selection.detection` keeps. ``unreadable``: names of image files that were left out, and why;
    ``files``: those of the images.
    """

    x: np.ndarray
    columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    targets: np.ndarray | None = None
    valids: int = 0
    tests: int = 0
    levels: int | None = None
    table: TableSchema | None = None
    ignored: tuple[str, ...] = ()
    cells: Cells | None = None
    unreadable: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()


def arranged(rows: Rows, name: str, done: int = 0) -> Rows:
    """``rows`` with ``x`` numeric, finite, and ``[N, d]`` or ``[N, C, H, W]``; ValueError otherwise.

    ``done``: rows of the same file before these.
    """
    x = rows.x
    if x.dtype.kind not in "biuf":
        raise ValueError(f"{name} holds {x.dtype} values; observations must be real numbers")
    if x.ndim not in (1, 2, 3, 4):
        raise ValueError(
            f"{name} has shape {list(x.shape)}; observations must be [N], [N, d], images [N, H, W] "
            "or [N, C, H, W]"
        )
    if x.size == 0:
        raise ValueError(f"{name} is empty (shape {list(x.shape)}); it needs rows of numbers")
    if rows.targets is not None and len(rows.targets) != len(x):
        raise ValueError(f"{name} has {len(x)} rows but {len(rows.targets)} targets")
    if rows.table is None or rows.table.missing != "impute":
        _check_finite(x, rows.columns, name, done)
    x = x.astype(_plain(x.dtype), copy=False)
    if x.ndim in (1, 3):
        x = x[:, None]
    elif x.ndim == 4 and x.shape[3] in (1, 3, 4) and x.shape[1] not in (1, 3, 4):
        x = np.moveaxis(x, 3, 1)
    return replace(rows, x=x)


def _check_finite(x: np.ndarray, columns: tuple[str, ...], name: str, done: int) -> None:
    if x.dtype.kind != "f" or np.isfinite(x).all():
        return
    where = np.unravel_index(int(np.argmin(np.isfinite(x))), x.shape)
    place = f"row {done + where[0] + 1}"
    if x.ndim == 2:
        place += f", {column_name(int(where[1]), columns)}"
    elif x.ndim > 2:
        place += f", pixel {[int(i) for i in where[1:]]}"
    raise ValueError(f"{name} holds {x[where]} at {place}; drop or fill such values")


def _plain(dtype: np.dtype) -> type:
    """The type, in the machine's byte order, that tensors have for numbers of ``dtype``."""
    if dtype.kind == "f":
        return np.float64 if dtype.itemsize >= 8 else np.float32
    return np.uint8 if dtype.itemsize == 1 and dtype.kind in "bu" else np.int64


def numbering_notes(rows: Rows) -> tuple[str, ...]:
    """A sentence for each column that may only number the rows: whole numbers, each larger than the last."""
    x = rows.x
    if x.ndim != 2 or len(x) < LONG or x.shape[1] < 2:
        return ()
    how = " by --drop-columns" if rows.table is not None else ""
    texts = [column.count > 0 for column in rows.table.kept] if rows.table is not None else ()
    return tuple(
        f"{column_name(j, rows.columns)} holds whole numbers that only grow, as numbers of rows do; if it is "
        f"no measurement, leave it out{how}"
        for j, column in enumerate(x.T)
        if not (texts and texts[j])
        and bool((column[1:] > column[:-1]).all())
        and bool((column == np.floor(column)).all())
    )


@dataclass(frozen=True)
class Range:
    """Smallest and largest value, and whether all are 0 or 1 (``bits``), or whole numbers."""

    low: float
    high: float
    bits: bool
    whole: bool

    def joined(self, other: Range) -> Range:
        """That of the values of both."""
        return Range(
            min(self.low, other.low),
            max(self.high, other.high),
            self.bits and other.bits,
            self.whole and other.whole,
        )


def value_range(x: np.ndarray) -> Range:
    """The range of arranged rows ``x``; of vectors ``whole`` is not looked for."""
    low, high = float(x.min()), float(x.max())
    exact = x.dtype.kind != "f"
    bits = bool(low >= 0 and high <= 1 and (exact or ((x == 0) | (x == 1)).all()))
    return Range(low, high, bits, exact or (x.ndim > 2 and bool((x == np.round(x)).all())))


def kind_of(rows: Rows, name: str) -> tuple[Kind, int]:
    """Kind of arranged rows and, for images, the number of grey levels (0: floats on [0, 1]).

    ValueError for images that are neither integers from 0 to 255 nor floats on [0, 1].
    """
    if rows.table is not None and rows.table.categories:
        return "mixed", 0
    return kind_of_values(value_range(rows.x), rows.x.dtype, rows.x.ndim, name, rows.levels)


def kind_of_values(
    values: Range, dtype: np.dtype, dims: int, name: str, levels: int | None = None
) -> tuple[Kind, int]:
    """As `kind_of`, of rows with this range, type and number of dimensions."""
    if values.bits:
        return "binary", 0
    if dims == 2:
        return "vector", 0
    if values.low >= 0 and values.high <= 255 and values.whole:
        if levels is not None:
            return "image", levels
        return "image", 256 if dtype == np.uint8 or values.high > 127 else int(values.high) + 1
    if values.low >= 0 and values.high <= 1:
        return "image", 0
    raise ValueError(
        f"{name} holds images with values from {values.low:g} to {values.high:g}; bring them to integers "
        "from 0 to 255 or floats from 0 to 1"
    )


def counted(n: int, noun: str) -> str:
    """``n`` of something, in words: ``1 row``, ``2 rows``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
