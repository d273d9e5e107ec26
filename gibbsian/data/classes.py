"""A column of a table that holds classes, which are not modelled: where it is, and their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gibbsian.core import did_you_mean
from gibbsian.data.cells import is_missing, is_number, is_text

MOST = 2**31
LISTED = 20
"""So many classes are named in the notes."""


@dataclass(frozen=True)
class Target:
    """The column called ``column``, or of that number from 1.

    ``others``: number of columns beside it, where it may be absent and its cells are not looked at;
    None where it must be there and hold classes.
    """

    column: str
    others: int | None = None

    def is_named_in(self, row: Sequence[str]) -> bool:
        """Whether ``row`` must be a header, because it has the name (text below it is no counter-proof)."""
        return is_text(self.column) and self.column in row

    def place(self, columns: tuple[str, ...], width: int, path: Path) -> int | None:
        """Its place from 0 among ``width`` columns, or None; ValueError where it must be there."""
        number = int(self.column) if self.column.isdecimal() and len(self.column) < 10 else 0
        if self.column in columns:
            return columns.index(self.column)
        if self.others is not None:
            return number - 1 if 1 <= number <= width == self.others + 1 else None
        if not 1 <= number <= width:
            if columns:
                raise ValueError(
                    f"{path} has no column {self.column!r}; name the one with the labels by --class-column: "
                    f"{did_you_mean(self.column, columns)}"
                )
            raise ValueError(
                f"{path} has no header row; give --class-column the number of a column, from 1 to {width}, "
                f"not {self.column!r}"
            )
        return number - 1


def as_classes(labels: Sequence[str], name: str, path: Path) -> tuple[np.ndarray, str]:
    """Class numbers ``[N]`` int64 of the cells of column ``name``, and a sentence on them.

    Whole numbers from 0 are class numbers; words are numbered in order of the alphabet. ValueError
    naming the row of a missing value or of a number that is no class.
    """
    for i, cell in enumerate(labels, 1):
        if is_missing(cell):
            what = f"the missing value {cell}" if cell else "an empty cell"
            raise ValueError(f"{path} has {what} at row {i}, {name}; drop or fill such rows")
    if not all(map(is_number, labels)):
        words, numbers = np.unique(np.array(labels), return_inverse=True)
        listed = ", ".join(f"{word} is {i}" for i, word in enumerate(words.tolist()))
        found = f": {listed}" if len(words) <= LISTED else ""
        return numbers.astype(np.int64), f"{name} holds {len(words)} classes{found}"
    values = np.array(labels, dtype=np.float64)
    bad = ~((values >= 0) & (values < MOST) & (values == np.floor(values)))
    if bad.any():
        i = int(bad.argmax())
        raise ValueError(
            f"{path} holds {labels[i]} at row {i + 1}, {name}; classes must be whole numbers from 0, or "
            "words"
        )
    return values.astype(np.int64), f"{name} holds classes from 0 to {int(values.max())}"
