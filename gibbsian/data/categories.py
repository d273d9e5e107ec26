"""Texts of a column of categories, and the codes that stand for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from gibbsian.core.text import cell as as_cell, one_line
from gibbsian.data.cells import MISSING, is_number

if TYPE_CHECKING:
    import polars as pl

MOST_VALUES = 100
"""So many values of a category can be modelled."""
GAP = "(missing)"
"""The value of its own that a category has for cells without one, under ``--missing-values impute``."""
UNKNOWN, ABSENT_CODE = -2, -1
"""In place of a code: a text that is no value of the category, and a cell without one."""


def texts_of(cells: pl.Series) -> pl.Series:
    """Cells of any plain kind as stripped texts on one line, null where a value is missing.

    Whole numbers that are kept as floats are written without a point, whatever the other cells are: a
    part of a column must give the same texts as the whole.
    """
    import polars as pl

    if cells.dtype.is_float():
        kept = cells.fill_nan(None)
        whole = kept.round().cast(pl.Int64, strict=False)
        whole = whole.set(whole.cast(kept.dtype) != kept, None)
        cells = whole.cast(pl.String).zip_with(whole.is_not_null(), kept.cast(pl.String))
    texts = cells.cast(pl.String).str.strip_chars()
    absent = texts.str.to_lowercase().is_in(sorted(MISSING)).fill_null(True)
    texts = texts.set(absent, None)
    odd = [text for text in texts.unique().drop_nulls().to_list() if one_line(text) != text]
    return texts.replace(odd, list(map(one_line, odd))) if odd else texts


def in_order(texts: Sequence[str]) -> tuple[str, ...]:
    """Values in their order for good: by size where all are numbers, by the alphabet otherwise."""
    if all(map(is_number, texts)):
        return tuple(sorted(texts, key=_by_size))
    return tuple(sorted(texts))


def _by_size(text: str) -> tuple[float, str]:
    return float(text), text


def codes_of(texts: pl.Series, values: Sequence[str]) -> np.ndarray:
    """Places ``[n]`` in ``values`` of texts, as they were or as `gibbsian sample` writes them.

    ``ABSENT_CODE`` where there is none, ``UNKNOWN`` for another text.
    """
    import polars as pl

    known = {as_cell(value): place for place, value in enumerate(values)}
    known |= {value: place for place, value in enumerate(values)}
    codes = texts.replace_strict(
        list(known), list(known.values()), default=UNKNOWN, return_dtype=pl.Int32
    )
    return codes.set(texts.is_null(), ABSENT_CODE).to_numpy()


@dataclass
class Seen:
    """The texts of a column while its table is read: codes in order of appearance, part by part.

    Rows before ``first`` had no value. Beyond ``MOST_VALUES`` texts nothing more is noted.
    """

    first: int
    texts: list[str] = field(default_factory=list)
    parts: list[np.ndarray] = field(default_factory=list)

    def add(self, texts: pl.Series) -> np.ndarray:
        """Take note of the texts of a part; their codes ``[n]``."""
        new = set(texts.unique().drop_nulls().to_list()) - set(self.texts)
        if len(self.texts) + len(new) <= MOST_VALUES:
            self.texts += sorted(new)
        codes = codes_of(texts, self.texts)
        self.parts.append(codes)
        return codes

    def keep(self, rows: np.ndarray) -> None:
        """Of the last part only the rows where ``rows [n]`` is true stay."""
        self.parts[-1] = self.parts[-1][rows]

    def codes(self, values: Sequence[str], rows: int) -> np.ndarray:
        """Places in ``values`` of all ``rows`` rows, NaN where there is no value."""
        place = {value: float(i) for i, value in enumerate(values)}
        table = np.array([*(place[text] for text in self.texts), np.nan])
        found = np.full(rows, np.nan)
        codes = np.concatenate(self.parts)
        found[self.first : self.first + len(codes)] = table[codes]
        return found
