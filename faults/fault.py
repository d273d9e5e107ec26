"""What a fault is."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """In ``file`` the text ``old``, found exactly once, becomes ``new``; ``tests`` must then fail.

    ``file`` is relative to the root of the repository; ``tests`` are pytest's names of files or
    single tests, as few as know the fault.
    """

    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.file}: {self.old.strip()!r} -> {self.new.strip()!r}"


def faults(file: str, test: str, *changes: tuple[str, str]) -> list[Fault]:
    """One fault for each ``(old, new)``, all noticed by the same test."""
    return [Fault(file, old, new, (test,)) for old, new in changes]
