"""What a page is made of: text, tables, images and folds in sections. Knows no run and no format.

``page_as_html`` and ``page_as_markdown`` write a ``Page`` out; build one of these to show anything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True)
class TextBlock:
    """A paragraph, and below it, if there is one, a command to type. ``warning`` sets it apart."""

    text: str
    command: str = ""
    warning: bool = False
    kind: ClassVar[str] = "prose"


@dataclass(frozen=True)
class Table:
    """Cells as text; the first column names the rows. ``caption`` says what is compared.

    Raises ValueError for a row whose length is not that of ``columns``.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    kind: ClassVar[str] = "table"

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"row {row[:1]} of the table {self.caption!r} has {len(row)} cells; its "
                    f"{len(self.columns)} columns need as many"
                )


@dataclass(frozen=True)
class PageImage:
    """An encoded image, ``width`` x ``height`` in CSS pixels; ``alt`` says in words what is seen.

    ``name``: lower-case words joined by ``-``, the stem of its file beside a Markdown page. Raises
    ValueError for an empty ``alt``.
    """

    name: str
    content: bytes
    format: Literal["png", "svg"]
    width: int
    height: int
    alt: str

    def __post_init__(self) -> None:
        if not self.alt.strip():
            raise ValueError(f"image {self.name!r} needs a text that says what is seen on it")


Points = tuple[tuple[float, float], ...]
"""Places and finite values of a curve, from left to right."""


@dataclass(frozen=True)
class Curves:
    """Lines on one axis: a picture, and in a browser a chart to zoom into.

    ``name``: as of a ``PageImage``; ``series``: label -> points. ValueError where nothing is to be drawn.
    """

    name: str
    title: str
    xlabel: str
    ylabel: str
    series: Mapping[str, Points]

    def __post_init__(self) -> None:
        if not self.series or not all(self.series.values()):
            raise ValueError(f"the curves {self.title!r} need points, of each label at least one")


@dataclass(frozen=True)
class ImageStrip:
    """Images and curves side by side where there is room, below one caption."""

    items: tuple[PageImage | Curves, ...]
    caption: str
    kind: ClassVar[str] = "pictures"


@dataclass(frozen=True)
class Fold:
    """Blocks that are shown on demand."""

    summary: str
    blocks: tuple[TextBlock | Table, ...]
    kind: ClassVar[str] = "fold"


Block = TextBlock | Table | ImageStrip | Fold


@dataclass(frozen=True)
class Section:
    """A heading with blocks and then sections of the next level below it."""

    title: str
    blocks: tuple[Block, ...] = ()
    sections: tuple[Section, ...] = ()


@dataclass(frozen=True)
class Page:
    """A title, a sentence or two on what the page is about, and sections.

    ``verdict``: what to think of it all, right below the title.
    """

    title: str
    lead: str
    sections: tuple[Section, ...]
    verdict: tuple[TextBlock, ...] = ()


Strange = tuple[tuple[str, ...], Sequence[str]]
"""Texts of a row and its reasons."""


def strangest_table(caption: str, columns: Sequence[str], rows: Iterable[Strange]) -> Table:
    """Rows with reasons, the strangest first: texts of ``columns``, then the reasons of each."""
    cells = tuple(
        (*texts, "; ".join(reasons) or "no single column explains it") for texts, reasons in rows
    )
    return Table(caption, (*columns, "reasons"), cells)
