"""A page as one HTML file that asks for nothing outside, or as Markdown with images beside it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gibbsian.report.blocks import (
    Block,
    Fold,
    ImageStrip,
    Page,
    PageImage,
    Section,
    Table,
    TextBlock,
)

MEDIA = {"png": "image/png", "svg": "image/svg+xml"}
SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&])|^(?=[-+=])")
"""Characters that Markdown or HTML may read as markup, and the places where a line would become a list."""


def page_as_html(page: Page) -> str:
    """``page`` with style and images inside the file; every text is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["data_uri"] = data_uri
    return environment.get_template("page.html").render(page=page)


def data_uri(picture: PageImage) -> str:
    """The image as an address that holds the image itself."""
    return f"data:{MEDIA[picture.format]};base64,{base64.b64encode(picture.content).decode()}"


def page_as_markdown(page: Page, folder: str) -> tuple[str, dict[str, bytes]]:
    """``page`` as Markdown that shows images of ``folder``, and these: file name -> content."""
    files: dict[str, bytes] = {}
    parts = [f"# {escaped(page.title)}"]
    for block in page.verdict:
        parts += _block(block, folder, files)
    parts.append(escaped(page.lead))
    for section in page.sections:
        parts += _section(section, 2, folder, files)
    return "\n\n".join(parts) + "\n", files


def escaped(text: str) -> str:
    """``text`` on one line with nothing in it that Markdown or HTML would read as markup."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _section(section: Section, level: int, folder: str, files: dict[str, bytes]) -> Iterator[str]:
    yield f"{'#' * level} {escaped(section.title)}"
    for block in section.blocks:
        yield from _block(block, folder, files)
    for inner in section.sections:
        yield from _section(inner, level + 1, folder, files)


def _block(block: Block, folder: str, files: dict[str, bytes]) -> Iterator[str]:
    match block:
        case TextBlock():
            yield f"> **{escaped(block.text)}**" if block.warning else escaped(block.text)
            if block.command:
                yield "\n".join(f"    {line}" for line in block.command.splitlines())
        case Table():
            lines = [_row(block.columns), f"|{'---|' * len(block.columns)}"]
            yield f"{escaped(block.caption)}:"
            yield "\n".join([*lines, *(_row(row) for row in block.rows)])
        case ImageStrip():
            for picture in block.items:
                name = _free_name(picture, files)
                files[name] = picture.content
                yield f"![{escaped(picture.alt)}]({quote(f'{folder}/{name}')})"
            yield f"*{escaped(block.caption)}*"
        case Fold():
            yield f"<details><summary>{escaped(block.summary)}</summary>"
            for inner in block.blocks:
                yield from _block(inner, folder, files)
            yield "</details>"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(escaped(cell) for cell in cells)} |"


def _free_name(picture: PageImage, files: dict[str, bytes]) -> str:
    """The image's file name, numbered where another run's has taken it."""
    stem = re.sub(r"[^a-z0-9]+", "-", picture.name.lower()).strip("-") or "picture"
    name, number = f"{stem}.{picture.format}", 1
    while name in files:
        number += 1
        name = f"{stem}-{number}.{picture.format}"
    return name
