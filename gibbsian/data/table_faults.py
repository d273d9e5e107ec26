"""What keeps the columns of a table from being modelled, in sentences with the remedy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gibbsian.core.names import first_few
from gibbsian.data.categories import MOST_VALUES
from gibbsian.data.cells import has_decimal_comma, is_number
from gibbsian.data.column_kinds import ABSENT, DAY, NUMBER, TEXT, WORD
from gibbsian.data.table_schema import Column

if TYPE_CHECKING:
    from gibbsian.data.table_rows import Spot, TableRows


_IN_QUOTES = re.compile(r"[^\s,;\"$`\\!-][^,;\"$`\\!\r\n]*")
"""Names that double quotes keep together on a command line."""
_BARE = re.compile(r"[^\s,;\"'$`\\!*?&|<>()\[\]{}#~-][^\s,;\"'$`\\!*?&|<>()\[\]{}#]*")
"""Names that need no quotes."""


def fault_of(table: TableRows, j: int, whole: bool) -> str:
    """What keeps a column from being modelled, "" if nothing does."""
    found, expected = table.found[j], table.expected[j]
    if expected is not None:
        return "" if expected.count else _unlike(table, j, expected)
    if found.kind == "category" and whole and len(found.texts) <= MOST_VALUES:
        misread = not found.is_category and any(map(has_decimal_comma, found.texts))
        return _no_numbers(table, j) if misread else ""
    if found.kind not in ("number", "boolean", "empty"):
        return _no_numbers(table, j)
    drop, marks = f"or drop that column by --drop-columns {as_option(table, [j])}", found.symbols
    if len(marks) > 1:
        what = " and ".join(marks)
    elif 0 < found.marks["%"] < found.counts[NUMBER]:
        what = "% and without"
    else:
        return ""
    return f"{table.path} holds numbers with {what} in {table.names[j]}; write them alike, {drop}"


def _no_numbers(table: TableRows, j: int) -> str:
    found, drop = table.found[j], f"drop that column by --drop-columns {as_option(table, [j])}"
    cell, what = _held(table, j, next(code for code in (TEXT, DAY, WORD) if found.counts[code]))
    if table.columns and cell == table.short[j]:
        return f"{what}: the header again; take that line out"
    if has_decimal_comma(cell) or (table.decimal == "," and is_number(cell)):
        return f"{what}; write all decimals of the file with a point"
    if found.kind == "mixed":
        total = sum(found.counts.values()) - found.counts[ABSENT]
        share = f"{found.counts[NUMBER]} of its {total} cells are numbers"
        if len(found.odd) == 1 and found.counts[TEXT] == total - found.counts[NUMBER] > 1:
            return (
                f"{what}, and in {found.counts[TEXT] - 1} more of the column, always the same: if it means a "
                f"missing value, leave these cells empty, otherwise {drop}: {share}"
            )
        if total - found.counts[NUMBER] > 1:
            return (
                f"{what}; leave such cells empty if they mean a missing value, or {drop}: {share}"
            )
        return f"{what}; {drop} or correct the cell: {share}"
    if found.kind == "category" and len(found.texts) > MOST_VALUES:
        most = f"at most {MOST_VALUES} can be modelled"
        return f"{what}; {drop}: it is a {found.said()}, and {most}"
    kind = f"a {found.said()}" if found.kind == "category" else found.said()
    return f"{what}; {drop} or code it as numbers: it is {kind}"


def _unlike(table: TableRows, j: int, expected: Column) -> str:
    """How a column differs from the one that the model was trained on, "" if it does not."""
    found, boolean = table.found[j], expected.kind == "boolean"
    for code in (TEXT, DAY, WORD):
        if found.counts[code] and not (boolean and code == WORD):
            was = "true and false" if boolean else "numbers"
            was += f" in {expected.unit}" if expected.unit else ""
            return f"{_held(table, j, code)[1]}; this model was trained on {was} there: correct it"
    new = [mark for mark in found.symbols if mark not in expected.marks]
    if new:
        was = " and ".join(expected.marks) or "no such mark"
        return (
            f"{table.path} holds numbers with {' and '.join(new)} in {table.names[j]}; this "
            f"model was trained on numbers with {was} there: write them alike"
        )
    return ""


def _held(table: TableRows, j: int, code: int) -> tuple[str, str]:
    """The first cell of a kind in a column, and the beginning of a sentence on it."""
    cell, place = said_of(table, table.spots[j, code])
    kind = "date" if code == DAY else "text"
    return cell, f"{table.path} holds the {kind} {cell[:40]!r} at {place}"


def said_of(table: TableRows, spot: Spot) -> tuple[str, str]:
    """A cell, and where it stands, in words."""
    cell, place = spot.locate(spot.row, spot.column)
    return cell, f"{place}, {table.names[spot.column]}"


def as_option(table: TableRows, places: Sequence[int]) -> str:
    """Columns as an option takes them: by name, or by number where a name is none for a command line."""
    names = [table.short[j] for j in places]
    if not all(map(_IN_QUOTES.fullmatch, names)):
        return first_few([str(j + 1) for j in places], ",")
    listed = first_few(names, ",")
    return listed if all(map(_BARE.fullmatch, names)) else f'"{listed}"'


def alike(table: TableRows, j: int, whole: bool) -> str:
    """The option that drops column ``j`` and all others that cannot be modelled, "" without others.

    Of a whole table it is said too if the rest has gaps that nothing fills.
    """
    kinds = ("category", "dates")
    kept = table.kept_places()
    others = [k for k in kept if table.found[k].kind in kinds and fault_of(table, k, whole)]
    if table.selection.schema is not None or j not in others:
        return ""
    said = f"all columns that are no numbers: --drop-columns {as_option(table, others)}"
    gaps = any(table.found[k].counts[ABSENT] for k in kept if k not in others)
    if whole and gaps and table.selection.missing == "refuse":
        filled = "the rest has empty cells: --missing-values impute fills them"
        return f" ({filled})" if len(others) == 1 else f" ({said}; {filled})"
    return f" ({said})" if len(others) > 1 else ""
