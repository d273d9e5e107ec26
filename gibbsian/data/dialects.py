"""What a table of text has between its cells, and for a decimal mark, so that answers have the same."""

from __future__ import annotations

import codecs
from pathlib import Path

from gibbsian.core.dialect import Dialect, separator_of_answers
from gibbsian.data.layout import layout_of
from gibbsian.data.readers import TEXTS
from gibbsian.data.text_blocks import TextFile


def dialect_of(path: Path) -> Dialect:
    """The dialect of the table in a file; commas and points for anything else, and for what it cannot be.

    Columns that spaces separate are answered with commas, as `gibbsian detect` does.
    """
    if not path.is_file() or not path.name.lower().removesuffix(".gz").endswith(TEXTS):
        return Dialect()
    try:
        text = TextFile(path)
        layout = next((found for b in text.blocks() if (found := layout_of(b, path, []))), None)
    except ValueError:  # its reader says what is wrong with it
        return Dialect()
    if layout is None:
        return Dialect()
    separator = separator_of_answers(layout.separator)
    decimal = layout.decimal if separator != "," else "."
    return Dialect(separator, decimal, mark_of(path, text.encoding))


def mark_of(path: Path, encoding: str) -> bytes:
    """The byte-order mark, by which spreadsheets know UTF-8, unless the table was UTF-8 without one."""
    if encoding != "utf-8":
        return codecs.BOM_UTF8
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return codecs.BOM_UTF8 if file.read(3) == codecs.BOM_UTF8 else b""
