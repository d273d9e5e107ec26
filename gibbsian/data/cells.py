"""Cells of text tables: numbers in any notation, missing values, dates, and what makes a header."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from typing import Literal

Decimal = Literal[".", ","]
# fmt: off
MISSING = frozenset({
    "", "na", "n/a", "n.a.", "#n/a", "<na>", "?", "null", "\\n", "none", "nil", "-", "--", ".",
    "n. a.", "n.b.", "n. b.", "n/d", "n.d.", "n. d.", "k.a.", "k. a.", "keine angabe", "s/d", "s.d.",
    "n.v.", "not available", "not applicable", "missing", "nan", "-nan", "nan(ind)", "-nan(ind)", "1.#qnan",
    "-1.#ind", "nat", "#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!",
})
# fmt: on
"""What stands for a missing value, in lower case: in databases, statistics programs and offices."""
TRUE, FALSE = ("true", "yes", "t", "y"), ("false", "no", "f", "n")
CURRENCY = r"(?:[$€£¥₹₩₽₺]|USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD)"
MONTH = r"(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
DATE = (
    r"^(?:\d{4}[-/.]\d{1,2}(?:[-/.]\d{1,2})?|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2}))(?:[T ]+\d.*)?$"
    r"|^\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?: ?(?i:[ap]\.?m\.?))?$"
    rf"|^\d{{1,2}}[- ]{MONTH}[- ]\d{{2,4}}$|^{MONTH} \d{{1,2}},? \d{{4}}$"
)
"""Days, months and times of day."""
SIGNS = r"+\-\u2212\u2013"
"""Signs of numbers: of keyboards, and what is printed for a minus."""
SPACES = "' \u00a0\u2007\u2009\u202f\u2019"
"""What stands between thousands everywhere, beside the comma or the point."""


def marked_number(decimal: Decimal) -> str:
    """The pattern of a number with thousands separators, a currency, a percent sign, or in brackets.

    Groups before the last have two digits in India. A number in brackets is negative, as in accounts.
    """
    between = re.escape("." if decimal == "," else ",") + SPACES
    point, group = re.escape(decimal), f"[{between}]"
    pairs = r"|[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}(?:\.[0-9]*)?" if decimal == "." else ""
    number = (
        rf"(?:[0-9]{{1,3}}(?:{group}[0-9]{{3}})+(?:{point}[0-9]*)?{pairs}"
        rf"|[0-9]+{point}?[0-9]*|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?"
    )
    mark = rf"\s*{CURRENCY}?\s*"
    behind = rf"\s*(?:%|{CURRENCY})?"
    return rf"^(?:[{SIGNS}]?{mark}[{SIGNS}]?{number}{behind}|{mark}\({mark}{number}{behind}\){behind})$"


WITH_UNIT = (
    rf"^([{SIGNS}(]?\s*[0-9.,][0-9.,{SPACES})]*(?:[eE][+-]?[0-9]+)?)\s*"
    r"((?:[^\W\d_]|[°‰\"'′″])[^\d,;|\t]{0,14}[23]?)$"
)
"""The pattern of a number and of the unit behind it, which may end as in ``m2``."""
NO_UNIT = rf"^(?:{MONTH}|(?i:[ap]\.?m\.?)|{CURRENCY})$"
"""Words behind numbers that are none."""
_MARKED = {mark: re.compile(marked_number(mark)) for mark in (".", ",")}
_CURRENCY, _DATE = re.compile(CURRENCY), re.compile(DATE)
_WITH_UNIT, _NO_UNIT = re.compile(WITH_UNIT), re.compile(NO_UNIT)
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


def is_value(cell: str) -> bool:
    """Whether ``cell`` is a number in any notation, or a date."""
    marked = any(pattern.match(cell) for pattern in _MARKED.values())
    return marked or is_number(cell) or _DATE.match(cell) is not None


def is_mark(text: str) -> bool:
    """Whether ``text`` is the sign of a currency or of percent, not a unit."""
    return text == "%" or _CURRENCY.fullmatch(text) is not None


def number_and_unit(cell: str) -> tuple[str, str]:
    """The number in ``cell`` and the unit behind it, such as ``("12,5", "kg")``; ("", "") of other cells."""
    found = _WITH_UNIT.match(cell)
    if found is None or _NO_UNIT.match(found[2]):
        return "", ""
    number = found[1].strip()
    return (number, found[2]) if is_value(number) else ("", "")


def is_text(cell: str) -> bool:
    """Whether ``cell`` can be a name only: no value, no missing one, not True or False."""
    return not (is_value(cell) or is_missing(cell) or cell.lower() in ("true", "false"))


def decimal_mark(cells: Iterable[str], usual: Decimal, open_comma: Decimal) -> Decimal:
    """The decimal mark of the numbers among ``cells``.

    A comma before other than three digits, behind a point or a leading zero is a decimal mark; one before
    a point, or two of them, stand between thousands. Where 1,234 is all there is, ``open_comma``, and
    without commas ``usual`` where 1.234 leaves it open. Where both marks are found it is the point.
    """
    points = commas = open_commas = False
    for cell in cells:
        cell = number_and_unit(cell)[0] or cell
        point, comma = (_MARKED[mark].match(cell) is not None for mark in (".", ","))
        zero = re.match(r"\D*0+([.,])", cell)
        if "." in cell and point and (not comma or (zero is not None and zero[1] == ".")):
            points = True
        elif "," in cell and comma and (not point or (zero is not None and zero[1] == ",")):
            commas = True
        elif "," in cell and (comma or point):
            open_commas = True
    if points or commas:
        return "." if points else ","
    return open_comma if open_commas else usual


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names columns.

    None of its cells is a number and some are text; or some are text, above numbers, and those that
    are numbers are plain integers (years); or, beside labels of rows, the numbers are years in rising
    order above numbers that are none. A missing value alone makes no header.
    """
    first = rows[0]
    units = [[number_and_unit(cell)[1] for cell in row] for row in rows[:2]]
    if any(unit and {unit} == set(column) for unit, *column in zip(*units, strict=True) if column):
        return False  # a number and its unit, above another with the same
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
    if below:
        return all(cell.isdigit() for cell in numbers)
    under = [cell for name, cell in zip(first, rows[1], strict=True) if name in numbers]
    years = [int(cell) for cell in numbers if is_year(cell)]
    rising = len(years) > 1 and all(a < b for a, b in itertools.pairwise(years))
    return rising and len(years) == len(numbers) and not any(map(is_year, under))


def is_year(cell: str) -> bool:
    """Four digits from 1500 to 2199."""
    return len(cell) == 4 and cell.isdecimal() and 1500 <= int(cell) < 2200


def counts_rows(cells: Sequence[str]) -> bool:
    """Whether ``cells``, a column of two rows or more, can number them: whole, from 0 on, none twice.

    The index of a data frame is 0, 1, 2, ... at first, and has gaps or another order once rows were
    filtered or sorted.
    """
    return len(cells) > 1 and all(c.isdecimal() for c in cells) and len(set(cells)) == len(cells)


def read_back(columns: Sequence[str]) -> bool:
    """Whether ``columns``, as the first line of numbers separated by commas, are read as their names."""
    whole = all(
        name
        and name == name.strip()
        and not name.startswith("#")
        and not set(name) & set(";\t\r\n|")
        for name in columns
    )
    return (
        whole and len(set(columns)) == len(columns) and has_header([columns, ["0"] * len(columns)])
    )
