"""From the cells of a table, part after part, to rows of numbers; what cannot be one is refused.

A part is a Polars frame whose columns are of float64, text, booleans or days; where its cells stood in
the file a function says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gibbsian.core.names import first_few
from gibbsian.data.categories import (
    ABSENT_CODE,
    GAP,
    UNKNOWN,
    Seen,
    codes_of,
    in_order,
    texts_of,
)
from gibbsian.data.cells import Decimal
from gibbsian.data.classes import Target
from gibbsian.data.column_kinds import (
    ABSENT,
    COUNTED,
    DAY,
    NUMBER,
    TEXT,
    WORD,
    Found,
    numbers_in,
    unit_of,
)
from gibbsian.data.left_out import why_left_out
from gibbsian.data.rows import FEWEST, Cells
from gibbsian.data.table_faults import alike, as_option, fault_of, said_of
from gibbsian.data.table_notes import notes_of
from gibbsian.data.table_schema import Column, Selection, TableSchema
from gibbsian.data.transforms import column_name

if TYPE_CHECKING:
    import polars as pl

Locate = Callable[[int, int], tuple[str, str]]
"""(row of a part, column) -> the cell as it stands in the file, and where: ``row 3 (line 4)``."""


@dataclass(frozen=True)
class Spot:
    """A cell of the file, looked up only when it is spoken of."""

    locate: Locate
    row: int
    column: int


class Labels:
    """The cells of a column of classes, and how it is called in messages."""

    def __init__(self) -> None:
        self.name = ""
        self.cells: list[str] = []


class TableRows:
    """The reading of one table with columns ``names`` (() without a header), ``width`` of them.

    ``target``: the column of classes, whose cells are added to ``labels``.
    """

    def __init__(
        self,
        path: Path,
        names: tuple[str, ...],
        width: int,
        decimal: Decimal,
        target: Target | None,
        selection: Selection,
        labels: Labels | None = None,
    ):
        self.path, self.decimal, self.labels = path, decimal, labels
        self.selection, self.width = selection, width
        self.place = None if target is None else target.place(names, width, path)
        if self.place is not None and width == 1:
            raise ValueError(f"{path} has one column, its --class-column, and none to model")
        self.names = [column_name(j, names) for j in range(width)]
        self.short = [names[j] if names else str(j + 1) for j in range(width)]
        if labels is not None and self.place is not None:
            labels.name = self.names[self.place]
        others = [j for j in range(width) if j != self.place]
        self.expected: list[Column | None] = [None] * width
        if selection.schema is not None:
            given = [names[j] for j in others] if names else ()
            columns = selection.schema.aligned(given, len(others), path, selection.more)
            for j, column in zip(others, columns, strict=True):
                self.expected[j] = column
        kept = [column is not None and column.kept for column in self.expected]
        if selection.schema is None:
            kept = selection.kept(names, width, path)
        self.kept = [keep and j != self.place for j, keep in enumerate(kept)]
        chosen = selection.categories(names, width, path)
        units = ["" if column is None else column.unit for column in self.expected]
        self.found = [Found(is_category=j in chosen, unit=units[j]) for j in range(width)]
        known = {j for j, column in enumerate(self.expected) if column is not None and column.count}
        self.as_text = chosen | known
        """Columns whose cells are texts even where they are numbers."""
        if not any(self.kept):
            raise ValueError(f"{path} has no column left to model; --columns says which to take")
        self.named = bool(names)
        self.left_out: dict[int, str] = {}  # of columns that are left out by themselves, why
        self.cells: list[pl.DataFrame] = []  # of `Selection.detection`, part after part
        self.seen: dict[int, Seen] = {}
        self.unknown: Spot | None = None  # the first text that is no value of its category
        self.spots: dict[tuple[int, int], Spot] = {}  # (column, kind of cell) -> the first of them
        self.infinite: Spot | None = None
        self.rows = self.incomplete = 0
        self.handed_on = 0  # rows, but for those that --missing-values drop leaves out

    def kept_places(self) -> list[int]:
        return [j for j, keep in enumerate(self.kept) if keep]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that are modelled, () without a header."""
        return tuple(self.short[j] for j in self.kept_places()) if self.named else ()

    @property
    def ignored(self) -> tuple[str, ...]:
        """The names of the columns that the selection's schema does not know."""
        if self.selection.schema is None:
            return ()
        places = (j for j in range(self.width) if j != self.place)
        return tuple(self.short[j] for j in places if self.expected[j] is None)

    @property
    def chooses(self) -> bool:
        """Whether columns that cannot be modelled are left out."""
        found = self.selection
        return found.detection and found.schema is None and not found.columns

    def leave_out(self, j: int, why: str) -> None:
        """Do not model column ``j``; ValueError where it was the last one."""
        self.kept[j], self.left_out[j] = False, why
        if not any(self.kept):
            raise ValueError(
                f"{self.path} has no column that can be modelled: {'; '.join(notes_of(self))}"
            )

    def add(self, frame: pl.DataFrame, locate: Locate) -> np.ndarray:
        """The numbers ``[n, d]`` of the kept columns in a part; NaN where a value is missing.

        Without the rows that ``--missing-values drop`` leaves out. Faults are kept for ``check``.
        """
        import polars as pl

        values = self.every(frame, locate)
        absent = np.isnan(values).any(axis=1)
        if self.place is not None and self.labels is not None:
            labels = frame.to_series(self.place).cast(pl.String).fill_null("").str.strip_chars()
            if self.selection.missing == "drop":
                labels = labels.filter(pl.Series(~absent))
            self.labels.cells += labels.to_list()
        if self.selection.missing == "drop" and absent.any():
            values = values[~absent]
            for seen in self.seen.values():
                seen.keep(~absent)
        self.handed_on += len(values)
        return values

    def every(self, frame: pl.DataFrame, locate: Locate) -> np.ndarray:
        """The same of all rows, whatever is missing in them; a column of classes is not looked at."""
        import polars as pl

        n = frame.height
        plain = self.place is None and not self.as_text and not self.seen
        if plain and all(kind == pl.Float64 for kind in frame.dtypes):
            values = frame.to_numpy(order="c")
            if np.isfinite(values).all():
                for found in self.found:
                    found.counts[NUMBER] += n
            else:
                for j in range(self.width):
                    self._count_floats(values[:, j], j, locate)
        else:
            values = np.empty((n, self.width))
            for j, cells in enumerate(frame.iter_columns()):
                values[:, j] = self._column(cells, j, locate)
        if not all(self.kept):
            values = values[:, self.kept]
        self.incomplete += int(np.isnan(values).any(axis=1).sum())
        self.rows += n
        return values

    def _column(self, cells: pl.Series, j: int, locate: Locate) -> np.ndarray:
        import polars as pl

        if j in self.as_text:
            return self._category(texts_of(cells), j, locate)
        if cells.dtype == pl.Float64:
            values = cells.to_numpy(writable=True)
            self._count_floats(values, j, locate)
            return values
        codes: np.ndarray
        if cells.dtype == pl.String:
            found = self.found[j]
            if self.expected[j] is None and not found.counts.total():
                found.unit = unit_of(cells, self.decimal)
            values, codes, marks = numbers_in(cells, self.decimal, found.unit)
            found.marks += marks
            is_text = (codes == TEXT) | (codes == WORD)
            found.note_odd(cells, is_text)
            if self.selection.schema is None and self.kept[j]:
                if j in self.seen or is_text.any():
                    self._see(texts_of(cells), j)
            elif is_text.any() and len(found.texts) <= COUNTED:
                texts = cells.str.strip_chars().filter(pl.Series(is_text)).unique()
                found.texts.update(texts.to_list())
            if (infinite := np.isinf(values)).any():
                self._infinite(int(infinite.argmax()), j, locate)
            values[(codes == TEXT) | (codes == DAY)] = 0.0  # no gap, whatever it will be
        else:
            if cells.dtype == pl.Boolean and self.selection.schema is None and self.kept[j]:
                self._see(texts_of(cells), j)
            absent = cells.is_null().to_numpy()
            is_word = cells.dtype == pl.Boolean
            numbers = (
                cells.cast(pl.Float64)
                if is_word
                else pl.Series([None] * len(cells), dtype=pl.Float64)
            )
            values = numbers.to_numpy(writable=True)
            codes = np.where(absent, ABSENT, WORD if is_word else DAY)
        self._count(codes, j, locate)
        return values

    def _category(self, texts: pl.Series, j: int, locate: Locate) -> np.ndarray:
        """Codes ``[n]`` of a column that is known to hold categories, NaN where there is no value."""
        expected = self.expected[j]
        codes = self._see(texts, j) if expected is None else codes_of(texts, expected.values)
        is_gap, is_unknown = codes == ABSENT_CODE, codes == UNKNOWN
        if expected is not None and is_unknown.any() and self.unknown is None:
            self.unknown = Spot(locate, int(is_unknown.argmax()), j)
        self._count(np.where(is_gap, ABSENT, TEXT), j, locate)
        return np.where(is_gap, np.nan, np.where(is_unknown, -1.0, codes))

    def _see(self, texts: pl.Series, j: int) -> np.ndarray:
        """Take note of the texts of a part of column ``j``; their codes for now."""
        if (
            len(self.found[j].texts) <= COUNTED
        ):  # more are not told apart, and would fill the memory
            self.found[j].texts.update(texts.unique().drop_nulls().head(COUNTED + 1).to_list())
        return self.seen.setdefault(j, Seen(self.handed_on)).add(texts)

    def _count_floats(self, values: np.ndarray, j: int, locate: Locate) -> None:
        if np.isfinite(values).all():
            self.found[j].counts[NUMBER] += len(values)
            return
        infinite = np.isinf(values)
        if infinite.any():
            self._infinite(int(infinite.argmax()), j, locate)
        self._count(np.where(np.isnan(values), ABSENT, NUMBER), j, locate)

    def _infinite(self, row: int, j: int, locate: Locate) -> None:
        if self.kept[j] and self.infinite is None:
            self.infinite = Spot(locate, row, j)

    def _count(self, codes: np.ndarray, j: int, locate: Locate) -> None:
        for code, count in enumerate(np.bincount(codes, minlength=TEXT + 1).tolist()):
            self.found[j].counts[code] += count
            if count and self.kept[j] and code != NUMBER and (j, code) not in self.spots:
                self.spots[j, code] = Spot(locate, int((codes == code).argmax()), j)

    def check(self, whole: bool = False) -> None:
        """ValueError for the first fault so far in the columns that are modelled.

        Categories are none only in a ``whole`` table or beside a schema that has their values.
        """
        for j in self.kept_places():
            if fault := fault_of(self, j, whole):
                raise ValueError(fault + alike(self, j, whole))
        if self.unknown is not None and not self.selection.detection:
            cell, place = said_of(self, self.unknown)
            values = self.expected[self.unknown.column].values  # type: ignore[union-attr]
            raise ValueError(
                f"{self.path} holds {cell[:40]!r} at {place}; this model was trained on the values "
                f"{_listed(values)} there: correct it or leave out the row; `gibbsian detect` lists such "
                "rows as strange"
            )
        if self.infinite is not None:
            cell, place = said_of(self, self.infinite)
            raise ValueError(f"{self.path} holds {float(cell)} at {place}; drop or fill such rows")
        gaps = [(j, code) for j, code in self.spots if code == ABSENT and self.kept[j]]
        if self.selection.missing == "impute" and self.selection.schema is not None:
            gaps = [(j, code) for j, code in gaps if self._has_no_gap(j)]
        elif self.selection.missing != "refuse":
            gaps = []
        if gaps:
            spots = [self.spots[gap] for gap in gaps]
            cell, place = min((said_of(self, spot) for spot in spots), key=_row_of)
            what = f"the missing value {cell}" if cell else "an empty cell"
            raise ValueError(
                f"{self.path} has {what} at {place}; drop or fill such rows{self._remedy()}"
            )

    def _has_no_gap(self, j: int) -> bool:
        """Whether column ``j`` is a category of a model that saw no gap in it."""
        column = self.expected[j]
        no_gap = column is not None and column.count > 0 and column.fill is None
        return no_gap and not self.selection.detection

    def _remedy(self) -> str:
        if self.selection.missing == "impute":
            return ": the rows this model was trained on had no gap there"
        if self.selection.schema is not None:
            return ": this model was trained on complete rows, not with --missing-values impute"
        if self.selection.detection:
            return ", or leave out --missing-values refuse"
        return (
            "; --missing-values impute fills gaps as `gibbsian detect` does by itself, --missing-values "
            f"drop leaves out {self.incomplete} of {self.rows} rows"
        )

    def without_unusable(self, x: np.ndarray) -> np.ndarray:
        """Of all rows ``x [N, d]`` the columns that are not left out by themselves."""
        if not self.chooses:
            return x
        places = self.kept_places()
        for j, values in zip(places, x.T, strict=True):
            if why := why_left_out(self.found[j], values):
                self.leave_out(j, why)
        x = x[:, [self.kept[j] for j in places]]
        self.incomplete = int(np.isnan(x).any(axis=1).sum())
        return x

    def finish(self) -> None:
        """``check`` of the whole table, and ValueError where nothing is left of it.

        In a table with categories a column of words for true and false is one too.
        """
        self.check(whole=True)
        kinds = {self.found[j].kind for j in self.kept_places()}
        if "category" in kinds and self.selection.schema is None:
            for found in self.found:
                found.is_category |= found.kind == "boolean"
            if (
                not self.selection.detection and self.rows >= FEWEST
            ):  # of fewer that is what is said
                self._check_constant()
        for j in self.kept_places():
            if self.found[j].kind == "empty":
                raise ValueError(
                    f"{self.path} has no value in {self.names[j]}; drop that column by --drop-columns "
                    f"{as_option(self, [j])}"
                )
        if self.selection.missing == "drop" and self.incomplete == self.rows:
            raise ValueError(
                f"{self.path} has no row without a missing value; use --missing-values impute, or "
                "--drop-columns"
            )

    def _check_constant(self) -> None:
        """ValueError naming the categories that have one value."""
        places = [j for j in self._categories() if len(self._values(j)) == 1]
        if places:
            names = first_few(self.names[j] for j in places)
            raise ValueError(
                f"{self.path} has the same value in every row of {names}, so nothing to model there; "
                f"use --drop-columns {as_option(self, places)}"
            )

    def _categories(self) -> list[int]:
        return [j for j in self.kept_places() if self.found[j].kind == "category"]

    def _values(self, j: int) -> tuple[str, ...]:
        """The values of a category, in order, the one for gaps last."""
        gap = (GAP,) if self.selection.missing == "impute" and self.found[j].counts[ABSENT] else ()
        return in_order([text for text in self.seen[j].texts if text not in gap]) + gap

    def recoded(self, x: np.ndarray) -> np.ndarray:
        """All rows ``x [N, d]`` with the places of categories among their values, NaN in gaps."""
        if self.selection.schema is not None:
            return x
        for j in self._categories():
            x[:, self.kept_places().index(j)] = self.seen[j].codes(self._values(j), len(x))
        return x

    def schema(self) -> TableSchema:
        """What is to be remembered of the table."""
        categories = () if self.selection.schema is not None else self._categories()
        columns = tuple(
            Column(
                self.short[j],
                self.found[j].kind,
                self.found[j].symbols,
                self.kept[j],
                values=self._values(j) if j in categories else (),
            )
            for j in range(self.width)
            if j != self.place
        )
        missing = self.selection.missing
        return TableSchema(columns, self.named, self.decimal, missing)


def cells_of(table: TableRows) -> Cells | None:
    """The texts of all cells of a table, None where they were not kept."""
    import polars as pl

    if not table.cells:
        return None
    names = table.short if table.named else [f"column {j + 1}" for j in range(table.width)]
    return Cells(tuple(names), pl.concat(table.cells))


def _listed(values: Sequence[str]) -> str:
    """The first few of the values of a category."""
    return ", ".join(values[:8]) + (", ..." if len(values) > 8 else "")


def _row_of(said: tuple[str, str]) -> tuple[int, int]:
    row, column = re.findall(r"(?:row|column) (\d+)", said[1])[:2]
    return int(row), int(column)
