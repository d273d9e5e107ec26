"""Pages into files, and the check that what is asked for can be written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gibbsian.core.files import write_atomic
from gibbsian.report.blocks import Page
from gibbsian.report.render import page_as_html, page_as_markdown


def check_output(path: Path, endings: Sequence[str], option: str = "--output") -> None:
    """ValueError, naming ``option``, unless ``path`` has one of ``endings`` and its folder can hold it."""
    if path.suffix not in endings:
        raise ValueError(f"{option} must end in {' or '.join(endings)}, not be {path}")
    if path.is_dir():
        raise ValueError(f"{option} {path} is a folder; name a file")
    if not path.parent.is_dir():
        why = "is not a folder" if path.parent.exists() else "does not exist"
        raise ValueError(f"{option} {path} cannot be written: {path.parent} {why}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ValueError(
            f"{option} {path} cannot be written: {path.parent} is not writable; {option} FILE "
            "names another place"
        )


def write_page(path: Path, page: Page) -> None:
    """Write ``page`` as one .html file, or as .md with its images in ``STEM_figures/`` beside it."""
    if path.suffix == ".html":
        write_atomic(path, page_as_html(page).encode())
        return
    folder = path.with_name(f"{path.stem}_figures")
    text, pictures = page_as_markdown(page, folder.name)
    for name, content in pictures.items():
        write_atomic(folder / name, content)
    write_atomic(path, text.encode())
