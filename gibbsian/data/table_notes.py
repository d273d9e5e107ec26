"""What the columns of a table are and what was left out of it, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gibbsian.core.names import first_few
from gibbsian.data.column_kinds import described

if TYPE_CHECKING:
    from gibbsian.data.table_rows import TableRows


def notes_of(table: TableRows) -> list[str]:
    """What the columns are, what was left out, and what to do to have it looked at."""
    others = [j for j in range(table.width) if j != table.place]
    how = "left out by --drop-columns" if table.selection.drop else "not among --columns"
    names = [table.short[j] if table.named else f"column {j + 1}" for j in others]
    left = ["" if table.kept[j] else table.left_out.get(j, how) for j in others]
    notes = [f"columns: {described(names, [table.found[j] for j in others], left)}"]
    lost = [
        (name, table.found[j])
        for name, j in zip(names, others, strict=True)
        if j in table.left_out and not table.kept[j]
    ]
    if units := [name for name, found in lost if found.has_units]:
        notes.append(
            f"left out although its cells begin with numbers: {first_few(units)}; write them as numbers, "
            "or with one unit, to have it looked at"
        )
    dates = [name for name, found in lost if found.kind == "dates"]
    if len(dates) > 1:
        notes.append(
            f"dates are left out ({first_few(dates)}); a column of days from one to another would be "
            "looked at"
        )
    if table.selection.missing == "drop" and table.incomplete:
        gaps = f"{table.incomplete} of {table.rows} rows lack a value and are left out"
        notes.append(f"--missing-values drop: {gaps}")
    return notes
