"""Errors for unknown names, which tell the nearest known ones."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(kind: str, name: str, known: Iterable[str]) -> ValueError:
    """The error for an unknown ``name`` of some ``kind``: names the nearest known ones."""
    return ValueError(f"unknown {kind} {name!r}; {did_you_mean(name, known)}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The ``known`` names nearest to ``name``; where none is near, all of a few or some of many."""
    known = list(known)
    close = difflib.get_close_matches(name, known, 3, 0.5)
    if not close and len(known) > 12:
        return f"there are {len(known)}, such as {', '.join(known[:6])}"
    return f"did you mean {', '.join(close or known)}?"
