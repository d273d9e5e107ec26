"""Columns that say nothing of how strange a row is: `gibbsian detect` leaves them out by itself."""

from __future__ import annotations

import numpy as np

from gibbsian.data.categories import MOST_VALUES
from gibbsian.data.column_kinds import ABSENT, COUNTED, NUMBER, Found

NUMBERS_ROWS = "left out, it numbers the rows"
FEWEST = 12
"""Rows from which on a column of numbers is taken to number them, and texts to differ by nature."""
DENSE = 2
"""Whole numbers, none twice, of a range of fewer than so many times the rows: a numbering in any order.

Of as many draws from such a range two are the same, but for one case in 28 of twelve rows, 3e-7 of 50."""


def why_left_out(found: Found, values: np.ndarray) -> str:
    """Why a column with ``values [n]`` cannot be modelled or should not be, "" otherwise.

    A column of numbers with texts in some cells is no such case: the texts may be the strange ones.
    """
    cells = sum(found.counts.values()) - found.counts[ABSENT]
    if found.kind in ("empty", "dates"):
        return "left out"
    if found.kind == "mixed" and 2 * found.counts[NUMBER] < cells:
        return "left out"
    if found.kind == "category":
        return _of_texts(len(found.texts), cells)
    if found.kind == "number" and len(values) >= FEWEST and _numbers_rows(values):
        return NUMBERS_ROWS
    return ""


def _of_texts(values: int, cells: int) -> str:
    if values == cells >= FEWEST and values <= COUNTED:
        return "left out, every value different"
    if values > MOST_VALUES:
        return f"left out, at most {MOST_VALUES} can be modelled"
    if cells >= FEWEST and 2 * values > cells:
        return "left out, most values are there once"
    return ""


def _numbers_rows(values: np.ndarray) -> bool:
    """Whether ``values [n]`` are whole numbers that only grow, or that can number rows in another order."""
    if not bool(np.isfinite(values).all()) or bool((values != np.floor(values)).any()):
        return False
    if bool((values[1:] > values[:-1]).all()):
        return True
    if float(values.max() - values.min()) + 1 >= DENSE * len(values):
        return False
    return len(np.unique(values)) == len(values)
