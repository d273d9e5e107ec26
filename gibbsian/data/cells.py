"""Cells of text tables: numbers, missing values, decimal commas, and whether a row of them is a header."""

from __future__ import annotations

import re
from collections.abc import Sequence

MISSING = frozenset({"", "na", "n/a", "?", "null", "none", "nan", "-"})
"""What stands for a missing value, in lower case."""
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")


def is_missing(cell: str) -> bool:
    """Whether ``cell`` is empty or a marker of a missing value."""
    return cell.lower() in MISSING


def is_number(cell: str) -> bool:
    """Whether ``cell`` reads as a number, infinity and NaN included."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def has_decimal_comma(cell: str) -> bool:
    """Whether ``cell`` would be a number with a point in place of its comma."""
    return _DECIMAL_COMMA.fullmatch(cell) is not None


def is_text(cell: str) -> bool:
    """Whether ``cell`` can be a name only: neither number nor missing value."""
    return not (is_number(cell) or is_missing(cell) or has_decimal_comma(cell))


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names columns.

    None of its cells is a number and some are text; or some are text, above numbers, and those that
    are numbers are plain integers (years). A missing value alone makes no header.
    """
    first = rows[0]
    if not any(map(is_text, first)):
        return False
    numbers = [cell for cell in first if not is_text(cell) and not is_missing(cell)]
    if not numbers:
        return True
    if len(rows) < 2:
        return False
    below = all(
        is_number(under) for cell, under in zip(first, rows[1], strict=True) if is_text(cell)
    )
    return below and all(cell.isdigit() for cell in numbers)


def counts_rows(cells: Sequence[str]) -> bool:
    """Whether ``cells``, a column of two rows or more, can number them: whole, from 0 on, none twice.

    The index of a data frame is 0, 1, 2, ... at first, and has gaps or another order once rows were
    filtered or sorted.
    """
    return len(cells) > 1 and all(c.isdecimal() for c in cells) and len(set(cells)) == len(cells)


def read_back(columns: Sequence[str]) -> bool:
    """Whether ``columns``, as the first line of numbers separated by commas, are read as their names."""
    whole = all(
        name and name == name.strip() and not set(name) & set(";\t\r\n") for name in columns
    )
    return whole and has_header([columns, ["0"] * len(columns)])
