"""Which version wrote a run or a model, and whether this one reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

FORMAT = 2
"""Raised when an older program could no longer read what is written; 1 is that of 0.1."""


def check_folder(path: Path) -> None:
    """ValueError naming what is missing unless a run lies at ``path``."""
    if (path / "detector.json").is_file():
        raise ValueError(
            f"{path} holds saved detectors; score a table by `gibbsian detect FILE --model {path}`"
        )
    if not (path / "config.json").is_file():
        what = "is not a run folder (it has no config.json)" if path.exists() else "does not exist"
        raise ValueError(f"{path} {what}; give the folder that `gibbsian train --out` wrote")


def check_format(entries: Any, path: Path) -> None:
    """ValueError unless ``entries`` were written in the format of this version."""
    if not isinstance(entries, dict) or "format" not in entries or "config" not in entries:
        raise ValueError(f"{path} was not written by gibbsian; give the folder of a run")
    if type(entries["format"]) is not int or entries["format"] < 1:
        raise ValueError(f"{path} is damaged: its format is {entries['format']!r}, not a number")
    if entries["format"] < FORMAT:
        raise ValueError(
            f"{path} was written by gibbsian 0.1, which knew no checksums and other option names; train it "
            "again with this version, or use it with the copy of gibbsian that wrote it"
        )
    if entries["format"] > FORMAT:
        raise ValueError(
            f"{path} was written by a newer gibbsian (format {entries['format']}; this one reads up "
            f"to {FORMAT}); upgrade to read it"
        )
