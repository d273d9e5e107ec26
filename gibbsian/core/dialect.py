"""How a table of text is written: what stands between its cells, and the decimal mark."""

from __future__ import annotations

from typing import NamedTuple


def separator_of_answers(separator: str) -> str:
    """What separates the answer to a table: as there, but commas where spaces or bars did."""
    return separator if separator in (";", "\t") else ","


class Dialect(NamedTuple):
    """``separator`` and ``decimal`` of a table; ``mark``: what its file begins with, b"" mostly."""

    separator: str = ","
    decimal: str = "."
    mark: bytes = b""

    def number(self, text: str) -> str:
        """A number, written with a point, as it stands in such a table."""
        return text.replace(".", self.decimal)
