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
        content = self.journal.read_bytes() if self.journal.exists() else b""
        if content and not content.endswith(b"\n"):
            os.truncate(self.journal, content.rfind(b"\n") + 1)
        return True

    def release(self) -> None:
        """Let go."""
        self.lock.release()
