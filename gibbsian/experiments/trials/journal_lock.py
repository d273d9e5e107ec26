"""The lock of a sweep's journal: it dies with its process, so that a killed worker leaves nothing locked."""

from __future__ import annotations

import os
from pathlib import Path

from gibbsian.core.locks import FileLock


class JournalLock:
    """The lock of a journal file, one record a line, which mends what a killed writer left.

    A line without its end was never said to be written; a later record would be glued to it, and
    nobody could read the journal any more.
    """

    def __init__(self, journal: Path):
        self.journal = journal
        self.lock = FileLock(journal.with_suffix(".lock"))

    def acquire(self) -> bool:
        """Take the lock, then cut off an unfinished last line."""
        self.lock.acquire()
        if self.journal.exists() and self._is_torn():
            os.truncate(self.journal, self.journal.read_bytes().rfind(b"\n") + 1)
        return True

    def _is_torn(self) -> bool:
        """Whether the last line has no end; the lock is taken often, and a journal grows long."""
        with self.journal.open("rb") as file:
            if file.seek(0, os.SEEK_END) == 0:
                return False
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"

    def release(self) -> None:
        """Let go."""
        self.lock.release()
