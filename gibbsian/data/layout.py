"""How a text table is laid out: separator, header, comments, decimal mark, read off its first lines."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gibbsian.core import limits
from gibbsian.core.names import first_few
from gibbsian.core.text import one_line
from gibbsian.data.cells import (
    Decimal,
    counts_rows,
    decimal_mark,
    has_header,
    is_missing,
    is_text,
    is_value,
    number_and_unit,
)
from gibbsian.data.text_blocks import Block, end_of_lines

SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas", " ": "blanks"}
"""Of equally good ones the first is taken: a decimal comma must not hide the semicolons around it."""
SAMPLE = 2**18
"""Bytes of the first block that are looked at, up to the end of a line."""
COMMENT = re.compile(r"[ \t]*#(?!N/A|REF!|DIV/0!|VALUE!|NAME\?|NUM!|NULL!)")
"""How a comment begins, which a spreadsheet's errors do not."""


@dataclass(frozen=True)
class Layout:
    """What the first lines say of a text table.

    ``names``: of all columns, () without a header; ``index``: places of those without a name that only number
    the rows; ``width``: cells in a row, of which the last ``extra``
    are empty everywhere; ``line``: number of the line that says so; ``first``: of the first row below it.
    """

    separator: str
    names: tuple[str, ...]
    index: tuple[int, ...]
    width: int
    extra: int
    line: int
    first: int
    decimal: Decimal
    notes: tuple[str, ...]


def records(block: Block, separator: str, path: Path) -> Iterator[tuple[list[str], int]]:
    """Rows of stripped cells and the numbers of their lines; without comments and rows of empty cells.

    Exact and slow. ValueError for quotes that are not closed.
    """
    lines = _plain_lines(block.text.decode(), separator)
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
    done = 0
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield cells, block.line + done
            done = reader.line_num
    except csv.Error as error:
        raise ValueError(
            f"{path} cannot be read as delimited text from line {block.line + done} on: {error}; mend "
            "its quotation marks"
        ) from error


def _plain_lines(text: str, separator: str) -> Iterator[str]:
    """Lines, of which comments are left empty and blanks, where they separate, are single."""
    for line in io.StringIO(text, newline="\n"):
        if COMMENT.match(line):
            yield "\n"
        else:
            yield " ".join(line.split()) + "\n" if separator == " " else line


def layout_of(
    block: Block,
    path: Path,
    named: Sequence[str] = (),
    width: int | None = None,
    decimal: Decimal | None = None,
) -> Layout | None:
    """The layout that the first block shows; None where it holds no row.

    ``named``: columns that were asked for, so that a row with one of them is a header; ``width`` and
    ``decimal``: what the table of a trained model had, which decides where the file leaves it open.
    """
    head = block.text[:SAMPLE]
    text = block.text[: end_of_lines(head) or len(block.text)].decode()
    block = Block(text.encode(), block.line)
    said = re.match(r"sep=(.)\r?\n", text)  # as Excel writes it
    if said:
        text = "\n" + text[said.end() :]
        block = Block(text.encode(), block.line)
    separator = said[1] if said else _separator(text, path)
    rows, numbers = [], []
    for row, number in records(block, separator, path):
        rows.append(row)
        numbers.append(number)
    if not rows:
        return None
    limits.check("COLUMNS", len(rows[0]), f"{path} has")
    header = _commented_header(block, numbers[0], separator, len(rows[0]))
    line = numbers[0]
    same = [row for row in rows[:2] if len(row) == len(rows[0])]
    if has_header(same) or any(is_text(name) and name in rows[0] for name in named):
        header, rows, numbers = rows[0], rows[1:], numbers[1:]
    full, extra = _width(header, rows, width)
    header = (header + [""] * full)[:full] if header else []
    names = names_of(header[: full - extra], path)
    below = [row for row in rows if len(row) == full]
    nameless = (j for j, name in enumerate(header[: full - extra]) if not name)
    index = tuple(j for j in nameless if counts_rows([row[j] for row in below]))
    usual = decimal if decimal and separator != "," else "."
    cells = [cell for row in rows for cell in row]
    mark: Decimal = "."
    if usual == "," or any("," in cell for cell in cells):
        mark = decimal_mark(cells, usual, decimal or ("," if separator == ";" else "."))
    notes = [
        f"{path.name}: columns separated by {SEPARATORS.get(separator, repr(separator))}"
        if full - extra > 1
        else "one column",
        f"header row: {first_few(names)}" if names else "no header row",
    ]
    if mark == ",":
        notes.append("decimals with a comma")
    first = numbers[0] if numbers else line + 1
    return Layout(separator, names, index, full, extra, line, first, mark, tuple(notes))


def _separator(text: str, path: Path) -> str:
    """The mark that parts the first lines into rows of one length, with values in their cells."""
    lines = itertools.islice((line for line in text.splitlines() if line.strip()), 200)
    head = Block("\n".join(line for line in lines).encode(), 1)
    scores = {}
    for mark in SEPARATORS:
        try:
            rows = [row for row, _ in records(head, mark, path)]
        except ValueError:  # cut within quotes, or none of this separator
            rows = [line.split(mark) for line in head.text.decode().splitlines()]
        widths = [len(row) for row in rows]
        width = max(set(widths), key=widths.count, default=1)
        if width > 1:
            cells = [cell.strip() for row in rows[1:] or rows for cell in row]
            values = sum(map(_is_no_text, cells)) / len(cells)
            scores[mark] = round(widths.count(width) / len(widths) * (0.2 + values), 3)
    if " " in scores and scores[" "] < 0.9:
        del scores[" "]  # words of a text
    return max(scores, key=lambda mark: scores[mark]) if scores else ","


def _is_no_text(cell: str) -> bool:
    return is_value(cell) or is_missing(cell) or number_and_unit(cell) != ("", "")


def _commented_header(block: Block, below: int, separator: str, width: int) -> list[str]:
    """The names in a comment right above the first row, as NumPy writes them; [] if there are none."""
    lines = block.text.decode().splitlines()[: below - block.line]
    if not lines or not COMMENT.match(lines[-1]):
        return []
    line = lines[-1].strip("# \t")
    cells = line.split() if separator == " " else [cell.strip() for cell in line.split(separator)]
    return cells if len(cells) == width > 1 and all(map(is_text, cells)) else []


def _width(header: list[str], rows: list[list[str]], expected: int | None) -> tuple[int, int]:
    """Cells in a row, and how many at its end are empty in all rows and have no name."""
    below = len(rows[0]) if rows else len(header)
    full = len(header) or below
    alike = [row for row in rows if len(row) == below]
    if below > full and not any(any(row[full:]) for row in alike):
        full = below  # rows end with a separator, the header does not
    elif below < full and rows and not any(header[below:]):
        full = below
    alike = [row for row in rows if len(row) == full]
    extra = 0
    while (
        extra < full - 1
        and alike
        and (len(alike) > 1 or expected == full - extra - 1)
        and not any(header[full - extra - 1 : full - extra])
        and not any(row[full - extra - 1] for row in alike)
    ):
        extra += 1
    return full, extra


def names_of(header: Sequence[str], path: Path) -> tuple[str, ...]:
    """The names of a header; a column without one is called by its place. ValueError for one name twice."""
    names = [one_line(name) or f"column {j}" for j, name in enumerate(header, 1)]
    for j, name in enumerate(names):
        if name in names[:j]:
            raise ValueError(
                f"columns {names.index(name) + 1} and {j + 1} of {path} are both called {name!r}; rename "
                "one of them"
            )
    return tuple(names)
