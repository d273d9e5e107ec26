"""Texts of unknown origin on their way to a terminal or a spreadsheet."""

from __future__ import annotations

import unicodedata

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the start of a formula (OWASP, "CSV injection")."""


def printable(text: str) -> str:
    r"""``text`` with control and direction-changing characters, but for line ends, written as escapes.

    >>> printable("\x1b]0;title\x07 height")
    '\\x1b]0;title\\x07 height'
    """
    if text.isprintable():
        return text
    return "".join(
        mark.encode("unicode_escape").decode()
        if mark not in "\n" and unicodedata.category(mark) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else mark
        for mark in text
    )


def one_line(text: str) -> str:
    """``text`` as ``printable`` writes it, line ends written as escapes too."""
    return printable(text).replace("\n", "\\n")


def cell(name: str) -> str:
    """``name`` as the text of a spreadsheet's cell: an apostrophe before what would be a formula."""
    name = one_line(name)
    return f"'{name}" if name.startswith(FORMULA) else name
