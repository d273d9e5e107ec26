"""Tables whose strange rows are looked for: their numbers, categories and gaps, beside all of their cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gibbsian.core.names import first_few
from gibbsian.data.categories import GAP
from gibbsian.data.readers import holds_images, read
from gibbsian.data.rows import Cells, Rows, arranged, counted, numbering_notes
from gibbsian.data.table_schema import Missing, Selection, TableSchema, filled, listed, with_medians

FEWEST = 12


@dataclass(frozen=True, eq=False)
class NumericTable:
    """Rows ``x [n, d]`` float64, the names of the columns, and what was noted of them.

    A category stands in ``x`` as the place of its text in ``values``, () for a column of numbers, and as -1
    where the text is none of them. ``gaps [n, d]``: the cells that had no value, in whose place ``x`` has the
    median or the category's value for gaps. ``cells``: those of all columns of the file, modelled or not.
    """

    x: Tensor
    names: tuple[str, ...]
    notes: tuple[str, ...]
    schema: TableSchema | None
    gaps: Tensor
    cells: Cells

    @property
    def values(self) -> tuple[tuple[str, ...], ...]:
        """Of each column the texts of a category, () for numbers."""
        if self.schema is None:
            return ((),) * len(self.names)
        return tuple(column.values for column in self.schema.kept)

    @property
    def categories(self) -> tuple[int, ...]:
        """Of each column how many values a category has, 0 for numbers."""
        return tuple(map(len, self.values))

    @property
    def texts(self) -> tuple[int, ...]:
        """The same without the value for gaps, which is the last one."""
        return tuple(len(values) - (GAP in values[-1:]) for values in self.values)

    @property
    def unseen(self) -> Tensor:
        """Which entries of ``x`` are texts that are none of the category's values, ``[n, d]``."""
        return (self.x < 0) & (torch.tensor(self.categories) > 0)

    def like(self, path: Path) -> NumericTable:
        """Another file's rows, its gaps filled as here.

        Texts that a category has not are taken as such, columns that are not here left out with a note.
        ValueError unless the others are these.
        """
        imputes = self.schema is not None and self.schema.missing == "impute"
        selection = Selection(missing="impute" if imputes else "refuse")
        if self.schema is not None:
            selection = replace(selection, schema=self.schema, more=True, detection=True)
        rows = read(path, None, None, selection)
        gaps = np.isnan(rows.x) if imputes else None
        if imputes and self.schema is not None and rows.x.shape[1:] == (len(self.names),):
            x = filled(rows.x, self.schema)
            rows = replace(rows, x=np.where(np.isnan(x), 0.0, x), table=None)
        other = _table(arranged(rows, str(path)), path, gaps)
        if other.x.shape[1] != len(self.names):
            raise ValueError(
                f"the rows to learn from have {counted(len(self.names), 'column')}; {path} has "
                f"{other.x.shape[1]}: give it the same columns in the same order"
            )
        notes: tuple[str, ...] = ()
        if self.schema is not None and not (self.schema.named and rows.columns):
            which = "it has" if self.schema.named else "the first table had"
            notes += (
                f"{path}: columns are taken in the order of the first table's, since {which} no header",
            )
        if rows.ignored:
            more = first_few(rows.ignored)
            notes += (f"{path}: left out, columns that the models do not know: {more}",)
        if gaps is not None and gaps.any():
            notes += (f"{path}: {counted(int(gaps.sum()), 'gap')}, which are no reason",)
        other = replace(other, schema=self.schema)
        return replace(other, notes=(*notes, *_of_unseen(other, path)))


def read_table(
    path: Path, columns: str = "", drop: str = "", missing: Missing = "impute"
) -> NumericTable:
    """The numbers and categories of a file, its gaps filled or refused.

    ``columns``, ``drop``: names or numbers from 1, as ``"age,income"``. Without ``columns`` those that cannot
    be modelled (dates, texts that differ from row to row, numbers of rows) are left out, which the notes say.
    Raises ValueError, one sentence, for what cannot be read, columns named that are neither numbers nor
    categories, images, and fewer than 12 rows.
    """
    if path.is_dir() and holds_images(path):
        raise ValueError(
            f"{path} is a folder without tables in it; detect takes one table. For a folder of images: "
            f"`gibbsian train cd --data {path}`, then `gibbsian score RUN {path}`"
        )
    selection = Selection(listed(columns), listed(drop), missing, detection=True)
    rows = arranged(read(path, None, None, selection), str(path))
    if len(rows.x) < FEWEST:
        raise ValueError(
            f"{path} has {counted(len(rows.x), 'row')}; to say which are strange takes at least {FEWEST}"
        )
    gaps = np.isnan(rows.x)
    if rows.table is not None and missing == "impute" and rows.x.ndim == 2:
        schema, _ = with_medians(rows.table, rows.x, np.arange(len(rows.x)))
        notes = (*rows.notes, *_gaps(gaps, schema))
        rows = replace(rows, x=filled(rows.x, schema), table=schema, notes=notes)
    table = _table(rows, path, gaps)
    if len(table.x) and bool((table.x == table.x[:1]).all()):
        raise ValueError(f"{path} has the same in every row, so that none is stranger than another")
    more = (*numbering_notes(rows), *_constant(table), *_too_wide(table))
    return replace(table, notes=(*table.notes, *more))


def _gaps(gaps: np.ndarray, schema: TableSchema) -> tuple[str, ...]:
    """A sentence on the ``gaps [n, d]``, where there are any."""
    counts = zip(gaps.sum(axis=0).tolist(), schema.kept, strict=True)
    found = [f"{count} of {column.name}" for count, column in counts if count]
    if not found:
        return ()
    return (
        f"gaps: {first_few(found)}; they are filled by what the rest of the row says, in a category they are "
        "a value of its own, and none is a reason",
    )


def _constant(table: NumericTable) -> tuple[str, ...]:
    """A sentence on the columns that hold one number or text alone."""
    same = (table.x == table.x[:1]).all(0).tolist()
    names = [name for name, is_same in zip(table.names, same, strict=True) if is_same]
    if not names:
        return ()
    return (f"the same in every row, so never a reason there: {first_few(names)}",)


def _too_wide(table: NumericTable) -> tuple[str, ...]:
    """A sentence where there are too few rows to tell how columns go together."""
    rows, columns = table.x.shape
    if rows >= columns:
        return ()
    return (
        f"{rows} rows of {columns} columns are too few to tell how columns go together: take what follows as "
        "rough, or name fewer columns by --columns",
    )


def _table(rows: Rows, path: Path, gaps: np.ndarray | None) -> NumericTable:
    if rows.x.ndim != 2:
        raise ValueError(f"{path} holds images; detect takes a table with columns of numbers")
    places = tuple(map(str, range(1, rows.x.shape[1] + 1)))
    if rows.table is not None:
        places = tuple(column.name for column in rows.table.kept)
    names = rows.columns or tuple(f"column {place}" for place in places)
    x = torch.tensor(rows.x, dtype=torch.float64)
    absent = torch.zeros_like(x, dtype=torch.bool) if gaps is None else torch.from_numpy(gaps)
    return NumericTable(x, names, rows.notes, rows.table, absent, _cells(rows, names))


def _cells(rows: Rows, names: tuple[str, ...]) -> Cells:
    """The cells of the file, or the numbers as texts where it is no table."""
    import polars as pl

    if rows.cells is not None:
        return rows.cells
    texts = {str(j): pl.Series(column).cast(pl.String) for j, column in enumerate(rows.x.T)}
    return Cells(names, pl.DataFrame(texts))


def _of_unseen(table: NumericTable, path: Path) -> Iterator[str]:
    """A note for each column with texts that the first table never had there."""
    for j in table.unseen.any(0).nonzero()[:, 0].tolist():
        rows = table.unseen[:, j].nonzero()[:, 0].tolist()
        column = table.cells.names.index(table.names[j])
        texts = sorted({str(table.cells.texts[row, column]) for row in rows})
        yield (
            f"{path}: {counted(len(rows), 'row')} with {first_few(map(repr, texts))} as {table.names[j]}, "
            "never seen in the first table"
        )
