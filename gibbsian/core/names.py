"""Names in messages: the nearest known ones of an unknown one, and the first few of many."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable
from pathlib import Path

LISTED = 12
"""Names that a message lists at most."""


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


def beside(path: Path) -> list[str]:
    """Files and folders where ``path`` would be, written as it is; a thousand at most."""
    try:
        found = itertools.islice(path.parent.iterdir(), 1_000)
        return [str(path.parent / entry.name) for entry in found]
    except OSError:
        return []


def first_few(names: Iterable[str], separator: str = ", ") -> str:
    """All of a dozen names, or the first few of more and how many there are besides.

    >>> first_few(["a", "b", "c"])
    'a, b, c'
    >>> first_few(f"x{j}" for j in range(10_000))
    'x0, x1, x2, x3, x4, x5 and 9 994 more'
    """
    names = list(names)
    if len(names) <= LISTED:
        return separator.join(names)
    few = LISTED // 2
    more = f"{len(names) - few:,}".replace(",", " ")
    return f"{separator.join(names[:few])} and {more} more"
