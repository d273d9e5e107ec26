"""The columns of a table as a model remembers them, and those of another table beside them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from gibbsian.core import nearest
from gibbsian.core.names import first_few
from gibbsian.core.text import cell as as_cell
from gibbsian.data.categories import GAP
from gibbsian.data.cells import Decimal, is_mark

Kind = Literal["number", "boolean", "category", "dates", "mixed", "empty"]
Missing = Literal["refuse", "drop", "impute"]


@dataclass(frozen=True)
class Column:
    """A column of the table a model was trained on.

    ``marks``: what was taken off its numbers, such as ``$``, ``%`` or ``kg``; ``kept``: whether it is
    modelled; ``fill``: what stands in for its missing values, in the table's units. ``values``: of a
    category, in the order of the numbers from 0 that stand for them.
    """

    name: str
    kind: Kind
    marks: tuple[str, ...] = ()
    kept: bool = True
    fill: float | None = None
    values: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """The unit that its numbers were written with, such as ``kg``."""
        units = [mark for mark in self.marks if not is_mark(mark)]
        return units[0] if units else ""

    @property
    def count(self) -> int:
        """How many values a category has; 0 for a column of numbers."""
        return len(self.values)


@dataclass(frozen=True)
class TableSchema:
    """The columns of the table a model was trained on, in order, without a column of classes.

    ``named``: whether they had names of their own.
    """

    columns: tuple[Column, ...]
    named: bool
    decimal: Decimal = "."
    missing: Missing = "refuse"

    @property
    def kept(self) -> tuple[Column, ...]:
        """The columns that are modelled."""
        return tuple(column for column in self.columns if column.kept)

    @property
    def has_units(self) -> bool:
        """Whether numbers were written with units in some column that is modelled."""
        return any(column.unit for column in self.kept)

    @property
    def categories(self) -> tuple[int, ...]:
        """Of each modelled column how many values it has, 0 for numbers; () without any category."""
        counts = tuple(column.count for column in self.kept)
        return counts if any(counts) else ()

    def aligned(
        self, names: Sequence[str], width: int, path: Path, more: bool = False
    ) -> Sequence[Column | None]:
        """The columns at the ``width`` places of a table, whose ``names`` are () without a header.

        Those that are not modelled may be there or not; unknown ones, which have None, with ``more`` only.
        ValueError, one sentence, for a column that is missing, unknown or in another place.
        """
        if names and self.named:
            _check_names(names, self, path, more)
            known = {name: column for column in self.columns for name in _spellings(column.name)}
            return [known.get(name) for name in names]
        columns = self.columns if width == len(self.columns) else self.kept
        if width != len(columns):
            raise ValueError(
                f"this model was trained on {len(self.kept)} column{'s' * (len(self.kept) != 1)}; {path} has "
                f"{width}: give it the same columns in the same order"
            )
        return columns


@dataclass(frozen=True)
class Selection:
    """Which columns of a table are modelled, and what becomes of its gaps.

    ``columns``: these alone; ``drop``: all but these; names, or numbers from 1. ``missing``: refuse
    them, drop their rows, or impute the median of the training rows and, of a category, a value of its
    own. ``schema``: of a model's table, which the columns must be like. ``category``: columns that are
    categories even where their cells are numbers. ``more``: whether a table may have columns that ``schema``
    does not know. ``detection``: for a search of strange rows: columns that cannot be modelled, of a table
    without ``schema``, are left out unless ``columns`` names them; a category may have one value, and beside
    ``schema`` texts that are none of its values, -1 in place of a code; all cells are kept as texts.
    """

    columns: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    missing: Missing = "refuse"
    schema: TableSchema | None = None
    category: tuple[str, ...] = ()
    more: bool = False
    detection: bool = False

    def categories(self, names: tuple[str, ...], width: int, path: Path) -> set[int]:
        """Places of the columns named in ``category``; ValueError for names that are not there."""
        return {_place(name, "--category-columns", names, width, path) for name in self.category}

    def kept(self, names: tuple[str, ...], width: int, path: Path) -> list[bool]:
        """Whether each of ``width`` columns is modelled; ValueError for names that are not there."""
        if self.columns and self.drop:
            raise ValueError("--columns says which columns to take; leave out --drop-columns")
        chosen = {_place(name, "--columns", names, width, path) for name in self.columns}
        left = {_place(name, "--drop-columns", names, width, path) for name in self.drop}
        return [(j in chosen or not chosen) and j not in left for j in range(width)]


def listed(text: str | Sequence[str] | None) -> tuple[str, ...]:
    """The names in ``a,b,"c, d"``, or those of a sequence."""
    if text is None or text == "":
        return ()
    if not isinstance(text, str):
        return tuple(map(str, text))
    return tuple(name.strip() for name in next(csv.reader([text], skipinitialspace=True)) if name)


def _place(name: str, option: str, names: tuple[str, ...], width: int, path: Path) -> int:
    if name in names:
        return names.index(name)
    number = int(name) if name.isdecimal() and len(name) < 10 else 0
    if 1 <= number <= width:
        return number - 1
    if names:
        raise nearest(f"column for {option} in {path}:", name, names)
    raise ValueError(
        f"{path} has no header row; give {option} the number of a column, from 1 to {width}, not {name!r}"
    )


def filled(x: np.ndarray, schema: TableSchema) -> np.ndarray:
    """``x [n, d]`` with the schema's values where it has NaN."""
    fills = np.array([np.nan if column.fill is None else column.fill for column in schema.kept])
    return np.where(np.isnan(x), fills, x)


def with_medians(schema: TableSchema, x: np.ndarray, train: np.ndarray) -> tuple[TableSchema, str]:
    """The schema with the (lower) medians of rows ``train`` of ``x [N, d]``, and a sentence on them.

    The lower one of two middle values, so that whole numbers stay whole; a category has a value of its
    own for gaps if the table had any. ValueError for a column
    that has no value among these rows.
    """
    fills: list[Column] = []
    said, medians = [], iter(x[train].T)
    for column in schema.columns:
        if not column.kept:
            fills.append(column)
            continue
        values = next(medians)
        if column.count:
            gap = column.values.index(GAP) if GAP in column.values else None
            fills.append(replace(column, fill=None if gap is None else float(gap)))
            continue
        values = values[~np.isnan(values)]
        if len(values) == 0:
            raise ValueError(
                f"column {column.name} has no value in any training row, so no median; drop it by "
                f"--drop-columns {column.name}"
            )
        median = float(np.quantile(values, 0.5, method="lower"))
        fills.append(replace(column, fill=median))
    gaps = np.isnan(x).sum(axis=0)
    for column, count in zip((c for c in fills if c.kept), gaps.tolist(), strict=True):
        if count:
            fill = repr(GAP) if column.count else f"{column.fill:g}"
            said.append(f"{count} of {column.name} by {fill}")
    text = first_few(said, "; ") or "none"
    how = "by the medians of the training rows"
    if schema.categories:
        how += f", of categories by a value of their own, {GAP}"
    return replace(
        schema, columns=tuple(fills)
    ), f"--missing-values impute: gaps filled {how}: {text}"


def _spellings(name: str) -> tuple[str, str]:
    """A name as it was, and as `gibbsian sample` writes it."""
    return name, as_cell(name)


def _check_names(names: Sequence[str], schema: TableSchema, path: Path, more: bool) -> None:
    """ValueError unless the modelled columns are among ``names``, in order; unknown ones need ``more``."""
    known = {name for column in schema.columns for name in _spellings(column.name)}
    kept = [column.name for column in schema.kept]
    unknown = [name for name in names if name not in known]
    lacking = [name for name in kept if not set(_spellings(name)) & set(names)]
    given = [name for name in names if any(name in _spellings(k) for k in kept)]
    if unknown and len(unknown) == len(lacking) and len(names) == len(kept):
        given = list(names)  # renamed, as far as their places tell
    elif lacking:
        raise ValueError(
            f"{path} lacks the column {lacking[0]!r}, which this model was trained on; give it the same "
            f"columns: {first_few(kept)}"
        )
    elif unknown and not more:
        raise ValueError(
            f"{path} has the column {unknown[0]!r}, which this model was not trained on; leave it out"
        )
    for old, new in zip(kept, given, strict=True):
        if new not in _spellings(old):
            raise ValueError(
                f"column {names.index(new) + 1} of {path} is called {new!r}; this model was trained on "
                f"{old!r} there: give it the same columns in the same order"
            )
