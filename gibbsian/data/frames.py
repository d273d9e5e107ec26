"""Arrays as people have them: tensors, NumPy arrays and data frames of any library, there and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from torch import Tensor

from gibbsian.data.cells import decimal_mark
from gibbsian.data.rows import Rows
from gibbsian.data.table_schema import Missing, Selection, TableSchema, filled

HEAD = 1_000
"""Cells of a column that are looked at for the decimal mark."""
Array = TypeVar("Array")
"""A tensor, a NumPy array, or a data frame that Narwhals knows (pandas, Polars, PyArrow)."""


def rows_of(
    x: Any,
    name: str,
    table: TableSchema | None = None,
    texts: bool = True,
    unseen: bool = False,
) -> Rows:
    """The numbers of ``x`` and, of a data frame, the names of its columns.

    A frame with columns of text, if ``texts`` may be categories, or for a model whose ``table`` has some,
    is read like a table of a file; ``unseen``: texts that are none of a category's values are -1. Raises
    ValueError for a data frame that is lazy, empty of columns, or has one that cannot be modelled.
    """
    if isinstance(x, Tensor):
        return Rows(x.detach().cpu().numpy())
    frame = _frame(x)
    if frame is None:
        return Rows(np.asarray(x))
    if not frame.columns:
        raise ValueError(f"{name} has no columns; give a data frame with a column for each number")
    known = table is not None and (bool(table.categories) or table.has_units)
    if known or (texts and any(map(_is_text, frame.iter_columns()))):
        return _as_table(frame, name, table, unseen)
    columns = [_column(column, name) for column in frame.iter_columns()]
    named = all(isinstance(label, str) for label in frame.columns)
    return Rows(np.column_stack(columns), tuple(frame.columns) if named else ())


def called(x: Any) -> str:
    """What messages call ``x``."""
    return "the array" if isinstance(x, Tensor) or _frame(x) is None else "the data frame"


def like(values: Tensor, x: Array, name: str) -> Array:
    """``values [N]`` as the kind of array that ``x [N, ...]`` is.

    Of a data frame, a frame of the same library with the one column ``name`` and the same index.
    """
    if isinstance(x, Tensor):
        return values  # type: ignore[return-value]  # it is the kind of x
    frame, array = _frame(x), values.cpu().numpy()
    if frame is None:
        return array  # type: ignore[return-value]
    import narwhals as nw

    column = nw.new_series(name, array, backend=frame.implementation)
    return frame.with_columns(column).select(name).to_native()


def frame_of(
    x: Tensor,
    columns: Sequence[str],
    values: Sequence[Sequence[str]],
    backend: Literal["pandas", "polars", "pyarrow"],
) -> Any:
    """Rows ``x [n, d]`` as a data frame of ``backend``, with texts where a column has ``values``."""
    import narwhals as nw

    names = tuple(columns) or [f"column {j + 1}" for j in range(x.shape[1])]
    content: dict[str, Any] = {}
    for j, name in enumerate(names):
        numbers = x[:, j].cpu().numpy()
        known = values[j] if values else ()
        content[name] = [known[int(k)] for k in numbers] if known else numbers
    return nw.from_dict(content, backend=backend).to_native()


def _is_text(column: Any) -> bool:
    """Whether a Narwhals series holds texts: strings, categories, or objects that are none but texts."""
    import narwhals as nw

    kind = column.dtype
    if kind == nw.Object:
        return all(isinstance(cell, str) or _is_absent(cell) for cell in column.to_list())
    return bool(kind == nw.String or kind == nw.Categorical or kind == nw.Enum)


def _is_absent(cell: Any) -> bool:
    return cell is None or cell != cell  # NaN is the one that is not itself


def holds_texts(x: Any) -> bool:
    """Whether ``x`` is a data frame of which some columns hold texts."""
    frame = None if isinstance(x, Tensor) else _frame(x)
    return frame is not None and any(map(_is_text, frame.iter_columns()))


def _as_table(frame: Any, name: str, table: TableSchema | None, unseen: bool) -> Rows:
    """The rows of a Narwhals frame as those of a table in a file, checked against the model's ``table``."""
    import polars as pl

    from gibbsian.data.table_notes import notes_of
    from gibbsian.data.table_rows import Labels, TableRows

    cells = []
    for column in frame.iter_columns():
        if _is_text(column):
            texts = [None if _is_absent(cell) else str(cell) for cell in column.to_list()]
            cells.append(pl.Series(texts, dtype=pl.String))
        else:
            cells.append(pl.Series(_column(column, name)))
    cells = [c if c.dtype in (pl.String, pl.Boolean) else c.cast(pl.Float64) for c in cells]
    read = pl.DataFrame({str(j): column for j, column in enumerate(cells)})
    missing: Missing = "impute" if table is not None and table.missing == "impute" else "refuse"
    selection = Selection(missing=missing, schema=table, detection=unseen)
    named = all(isinstance(label, str) for label in frame.columns)
    names = tuple(frame.columns) if named else ()
    texts = [cell for column in cells if column.dtype == pl.String for cell in column.head(HEAD)]
    decimal = decimal_mark(filter(None, texts), "." if table is None else table.decimal, ".")
    rows = TableRows(Path(name), names, len(cells), decimal, None, selection, Labels())

    def locate(row: int, column: int) -> tuple[str, str]:
        cell = read[row, column]
        return "" if cell is None else str(cell), f"row {row + 1}"

    x = rows.add(read, locate)
    rows.finish()
    x = rows.recoded(x)
    if table is not None:
        x = filled(x, table) if missing == "impute" else x
        return Rows(x, rows.columns)
    return Rows(x, rows.columns, tuple(notes_of(rows)), table=rows.schema())


def table_like(values: Tensor, x: Array, names: Sequence[str]) -> Array:
    """``values [N, d]`` as the kind of array that ``x`` is, of a data frame under its columns ``names [d]``.

    Columns of a frame that are not among ``names`` are left out.
    """
    if isinstance(x, Tensor):
        return values  # type: ignore[return-value]  # it is the kind of x
    frame, array = _frame(x), values.cpu().numpy()
    if frame is None:
        return array  # type: ignore[return-value]
    import narwhals as nw

    kept = [name for name in names if name in frame.columns] or list(frame.columns)
    columns = [
        nw.new_series(name, array[:, j].copy(), backend=frame.implementation)
        for j, name in enumerate(kept)
    ]
    return frame.select(kept).with_columns(*columns).to_native()


def _frame(x: Any) -> Any:
    """``x`` as a Narwhals frame; None where it is no data frame."""
    if isinstance(x, np.ndarray):
        return None
    import narwhals as nw  # here, since most runs see no data frame

    try:
        frame = nw.from_native(x, pass_through=True)
    except nw.exceptions.DuplicateError as error:
        raise ValueError("two columns of this data frame have one name; rename one") from error
    if isinstance(frame, nw.LazyFrame):
        raise ValueError("this data frame is lazy; give what its collect() returns")
    return frame if isinstance(frame, nw.DataFrame) else None


def _column(column: Any, name: str) -> np.ndarray:
    """The numbers of a Narwhals series; missing ones are NaN, which a check further on names by row."""
    import narwhals as nw

    if not (column.dtype.is_numeric() or column.dtype == nw.Boolean):
        raise ValueError(
            f"{name} holds {column.dtype} values in column {column.name!r}; observations must be real "
            "numbers: drop that column or turn it into numbers"
        )
    exact = column.dtype.is_integer() or column.dtype == nw.Boolean
    if column.null_count() or not (exact or column.dtype.is_float()):
        column = column.cast(nw.Float64)
    return column.to_numpy()
