"""Arrays as people have them: tensors, NumPy arrays and data frames of any library, there and back."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from gibbsian.data.rows import Rows

Array = TypeVar("Array")
"""A tensor, a NumPy array, or a data frame that Narwhals knows (pandas, Polars, PyArrow)."""


def rows_of(x: Any, name: str) -> Rows:
    """The numbers of ``x`` and, of a data frame, the names of its columns.

    Raises ValueError for a data frame that is lazy, empty of columns, or has one without numbers.
    """
    if isinstance(x, Tensor):
        return Rows(x.detach().cpu().numpy())
    frame = _frame(x)
    if frame is None:
        return Rows(np.asarray(x))
    if not frame.columns:
        raise ValueError(f"{name} has no columns; give a data frame with a column for each number")
    columns = [_column(column, name) for column in frame.iter_columns()]
    named = all(isinstance(label, str) for label in frame.columns)
    return Rows(np.column_stack(columns), tuple(frame.columns) if named else ())


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


def table_like(values: Tensor, x: Array) -> Array:
    """``values [N, d]`` as the kind of array that ``x [N, d]`` is, of a data frame under its columns."""
    if isinstance(x, Tensor):
        return values  # type: ignore[return-value]  # it is the kind of x
    frame, array = _frame(x), values.cpu().numpy()
    if frame is None:
        return array  # type: ignore[return-value]
    import narwhals as nw

    columns = [
        nw.new_series(name, array[:, j].copy(), backend=frame.implementation)
        for j, name in enumerate(frame.columns)
    ]
    return frame.with_columns(*columns).to_native()


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
