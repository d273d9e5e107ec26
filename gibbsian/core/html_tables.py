"""A small table in plain HTML, as notebooks show objects by ``_repr_html_``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def html_table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    notes: Iterable[str] = (),
) -> str:
    """``rows`` of cells below ``columns`` (none where empty), the first cell of each its head.

    ``notes`` are paragraphs below the table. Every text is escaped.

    >>> html_table("a < b", (), [("x", "1")])
    '<table><caption>a &lt; b</caption><tbody><tr><th>x</th><td>1</td></tr></tbody></table>'
    """
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        f"<tr><th>{escape(first)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in rest)}</tr>"
        for first, *rest in rows
    )
    return "".join(
        [
            f"<table><caption>{escape(caption)}</caption>" if caption else "<table>",
            f"<thead><tr>{head}</tr></thead>" if columns else "",
            f"<tbody>{body}</tbody></table>",
            *(f"<p>{escape(note)}</p>" for note in notes),
        ]
    )
