"""The journal's file: what the search library logs, a line each, so that damage to any is noticed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gibbsian.core.files import CorruptFileError
from gibbsian.core.records import line, parse_line
from gibbsian.experiments.trials.journal_lock import JournalLock

FIRST = "journal"


class JournalFile:
    """A storage backend of the search library on the file ``path``, shared by several processes.

    Each line ends in a checksum of itself and of the line before, so that a changed, lost, doubled or
    moved line is a CorruptFileError. A last line without its end was never said to be written.
    """

    def __init__(self, path: Path):
        self.path, self.lock = path, JournalLock(path)
        self.entries: list[dict[str, Any]] = []
        self.end, self.last = 0, FIRST

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The entries from that number on."""
        self._catch_up()
        yield from self.entries[log_number_from:]

    def append_logs(self, logs: Sequence[dict[str, Any]]) -> None:
        """Write entries behind those that are there, on the disk when this returns."""
        self.lock.acquire()
        try:
            self._catch_up()
            with self.path.open("ab") as file:
                last = self.last
                for entry in logs:
                    text = line(entry, last)
                    file.write(text)
                    last = _key(text)
                file.flush()
                os.fsync(file.fileno())
        finally:
            self.lock.release()

    def _catch_up(self) -> None:
        """Read what others have written since."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self.end)
            for text in file:
                if not text.endswith(b"\n"):
                    break
                entry = parse_line(text, self.last)
                if entry is None:
                    raise CorruptFileError(
                        f"{self.path} is damaged: line {len(self.entries) + 1} is not what was written "
                        "there; restore it from a copy, or start the sweep again with a new --out"
                    )
                self.entries.append(entry)
                self.end, self.last = self.end + len(text), _key(text)


def _key(text: bytes) -> str:
    """What the next line's checksum depends on: this one's."""
    return text[-len('00000000"}\n') :].decode()
