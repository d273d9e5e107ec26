"""Five pages as notebooks, with what cells print and draw: ``python -m docs_build.notebooks [NAME ...]``.

A page is the source. Its ``python`` and ``bash`` blocks become cells, in order; a block behind
``<!-- slow -->`` stays text, one behind ``<!-- file: NAME -->`` is written to that file. A picture that
follows a block is what this block draws: here it is made and stored, beside the page and in the cell.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from PIL import Image

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("table", "images", "log-z", "samplers", "new-method")
PART = re.compile(
    r"(?:^<!-- (?:(?P<slow>slow)|file: (?P<file>[\w.]+)) -->\n)?"
    r"^```(?P<language>python|bash)\n(?P<code>.*?)^```\n"
    r"(?:\n!\[[^\]]*\]\((?P<picture>[^)]+)\)\n)?",
    re.MULTILINE | re.DOTALL,
)
MATHS = re.compile(r"^```math\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SELF = re.compile(r"^\[This page as a notebook\].*\n\n", re.MULTILINE)
LINES, COLOURS = 40, 32
"""Lines that a cell keeps of what it printed, and colours of a picture."""


@dataclass(frozen=True)
class Cell:
    """Markdown, or code with the place of the picture that it draws, relative to the page."""

    kind: str
    source: str
    picture: str | None = None


def cells_of(text: str) -> list[Cell]:
    """The cells of a page."""
    text = SELF.sub("", text)
    found, end = [], 0
    for part in PART.finditer(text):
        if part["slow"]:
            continue
        found.append(Cell("markdown", _prose(text[end : part.start()])))
        code = _code(part).rstrip("\n")
        if part["picture"] and not code.splitlines()[-1].startswith((" ", "!")):
            code += ";"  # or a notebook shows what the last line returns, a legend for one
        found.append(Cell("code", code, part["picture"]))
        end = part.end()
    found.append(Cell("markdown", _prose(text[end:])))
    return [cell for cell in found if cell.source]


def _prose(text: str) -> str:
    """Markdown for a notebook in ``docs/notebooks``: equations in dollars, links from there."""
    text = MATHS.sub(r"$$\n\1$$", text.replace("<!-- slow -->\n", ""))
    return re.sub(r"\]\((?=[\w-]+\.md)", "](../tutorials/", text).strip()


def _code(part: re.Match[str]) -> str:
    if part["language"] == "bash":
        return "\n".join(f"!{line}" for line in part["code"].splitlines() if line)
    return f"%%writefile {part['file']}\n{part['code']}" if part["file"] else part["code"]


def run(cell: Cell, names: dict[str, Any]) -> str:
    """What the cell prints, run in the current folder; an error of its code or commands is raised."""
    head, _, rest = cell.source.partition("\n")
    if head.startswith("%%writefile "):
        Path(head.split()[1]).write_text(rest + "\n")
        return f"Writing {head.split()[1]}\n"
    printed = io.StringIO()
    if not head.startswith("!"):
        with redirect_stdout(printed), redirect_stderr(io.StringIO()):
            exec(compile(cell.source, "cell", "exec"), names)
        return printed.getvalue()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for line in cell.source.splitlines():
        done = subprocess.run(
            line[1:], shell=True, capture_output=True, text=True, env=os.environ | {"PATH": path}
        )
        printed.write(done.stdout + done.stderr)
        done.check_returncode()
    return printed.getvalue()


def drawn() -> bytes | None:
    """The open figure as a small PNG, which is then closed; None where there is none."""
    if not plt.get_fignums():
        return None
    whole, small = io.BytesIO(), io.BytesIO()
    plt.gcf().savefig(whole, dpi=90)
    plt.close("all")
    Image.open(whole).convert("RGB").quantize(COLOURS).save(small, "PNG", optimize=True)
    return small.getvalue()


def entry(
    cell: Cell, number: int, printed: str = "", picture: bytes | None = None
) -> dict[str, Any]:
    """A cell in the notebook format 4.5."""
    source = cell.source.splitlines(keepends=True)
    common = {"cell_type": cell.kind, "id": f"cell-{number}", "metadata": {}, "source": source}
    if cell.kind == "markdown":
        return common
    outputs: list[dict[str, Any]] = []
    lines = printed.splitlines(keepends=True)
    if len(lines) > LINES:
        lines = [*lines[:LINES], "...\n"]
    if lines:
        outputs.append({"name": "stdout", "output_type": "stream", "text": lines})
    if picture is not None:
        data = {"image/png": base64.b64encode(picture).decode()}
        outputs.append({"data": data, "metadata": {}, "output_type": "display_data"})
    return common | {"execution_count": None, "outputs": outputs}


def make(name: str) -> Path:
    """Run the page ``name`` in an empty folder; write its notebook and its pictures."""
    page = DOCS / "tutorials" / f"{name}.md"
    names: dict[str, Any] = {"__name__": "__main__"}
    entries, before = [], Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        sys.path.insert(0, folder)
        try:
            for number, cell in enumerate(cells_of(page.read_text())):
                printed, picture = "", None
                if cell.kind == "code":
                    printed, picture = run(cell, names), drawn()
                if cell.picture is not None and picture is not None:
                    place = page.parent / cell.picture
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(picture)
                entries.append(entry(cell, number, printed, picture))
        finally:
            os.chdir(before)
            sys.path.remove(folder)
    about = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    book = {"cells": entries, "metadata": about, "nbformat": 4, "nbformat_minor": 5}
    path = DOCS / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n")
    return path


if __name__ == "__main__":
    plt.switch_backend("Agg")
    for one in sys.argv[1:] or PAGES:
        written = make(one)
        print(f"{written}: {written.stat().st_size} bytes", flush=True)
