"""A page as one HTML file that asks for nothing outside, or as Markdown with images beside it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gibbsian.report.blocks import (
    Block,
    Curves,
    Fold,
    ImageStrip,
    Page,
    PageImage,
    Section,
    Table,
    TextBlock,
)
from gibbsian.report.drawn_curves import curves_data, curves_image, curves_told

TEMPLATES = Path(__file__).parent / "templates"
MEDIA = {"png": "image/png", "svg": "image/svg+xml"}
SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&])|^(?=[-+=])")
"""Characters that Markdown or HTML may read as markup, and the places where a line would become a list."""


def page_as_html(page: Page, state: str = "") -> str:
    """``page`` with style, images and charts inside the file; every text is escaped.

    ``state``: of a page that is served and refreshed, a name of what it shows; its curves are told in words
    and charts, without pictures, which take longer to draw than a run takes to log.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {"data_uri": data_uri, "as_data": _as_data}
    environment.filters |= {"picture": curves_image, "told": curves_told}
    scripts = list(_scripts(page, state))
    policy = [f"'sha256-{_digest(script)}'" for script in scripts]
    return environment.get_template("page.html").render(
        page=page, state=state, scripts=[Markup(s) for s in scripts], allowed=" ".join(policy)
    )


def _scripts(page: Page, state: str) -> Iterator[str]:
    """The code that a page with curves, or one that is refreshed, needs; none otherwise."""
    if state or any(map(_has_curves, page.sections)):
        licence = (TEMPLATES / "uPlot.LICENSE").read_text()
        yield f"/*! uPlot\n{licence}*/\n{(TEMPLATES / 'uPlot.iife.min.js').read_text()}"
        if state:
            yield (TEMPLATES / "refresh.js").read_text()  # sees the page before charts are drawn
        yield (TEMPLATES / "charts.js").read_text()


def _has_curves(section: Section) -> bool:
    items = (item for b in section.blocks if isinstance(b, ImageStrip) for item in b.items)
    return any(isinstance(item, Curves) for item in items) or any(
        map(_has_curves, section.sections)
    )


def _digest(script: str) -> str:
    """What a content policy knows a script by."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _as_data(curves: Curves) -> Markup:
    """JSON in which nothing is markup."""
    text = json.dumps(curves_data(curves), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


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
            for item in block.items:
                picture = curves_image(item) if isinstance(item, Curves) else item
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
