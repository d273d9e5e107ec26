"""The log of a run's metrics: one JSON line per logged round, each with its checksum.

Nothing that is computed depends on it: a run goes on without it, or with what is left of it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path

from gibbsian.core.files import write_atomic
from gibbsian.core.records import line, parse_line


def append(path: Path, row: Mapping[str, float], run: str) -> None:
    """Add the line of one round; ``run`` is the run's identity."""
    with path.open("ab") as file:
        file.write(line(row, run))


def forget_after(path: Path, index: int, run: str) -> None:
    """Drop the lines of rounds after ``index``, which will be played again, and what is no line.

    A last line without its end was being written when the process died. A damaged line elsewhere,
    or one of another run, is warned of. ValueError where something else than a file has its name: writing
    to a pipe would wait for a reader.
    """
    if not os.path.lexists(path):
        return
    if not path.is_file():
        raise ValueError(f"{path} is no file; take it away: the run goes on without it")
    content = path.read_bytes()
    kept, damaged = [], []
    for number, text in enumerate(content.splitlines(keepends=True), 1):
        entry = parse_line(text, run)
        if not text.endswith(b"\n"):
            continue
        if entry is None:
            damaged.append(number)
        elif entry.get("round", 0) <= index:
            kept.append(text)
    if damaged:
        others = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        warnings.warn(
            f"line {damaged[0]}{others} of {path} is damaged or of another run, and was taken out; the "
            "run itself does not need it",
            stacklevel=2,
        )
    if b"".join(kept) != content:
        write_atomic(path, b"".join(kept))
