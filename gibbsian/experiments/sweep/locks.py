"""Locks that die with their process, so that a killed worker leaves nothing locked."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class FileLock:
    """An advisory lock on a file; the system lets go of it when its process ends, however it ends.

    Between machines it works on file systems that pass ``flock`` on, as NFS does.
    """

    def __init__(self, path: Path):
        self.path = path
        self.handle: int | None = None

    def acquire(self, wait: bool = True) -> bool:
        """Take the lock; without ``wait``, False if another holds it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        except BaseException:
            os.close(handle)
            raise
        self.handle = handle
        return True

    def release(self) -> None:
        """Let go; ValueError if it was not held."""
        if self.handle is None:
            raise ValueError(f"{self.path} is not locked by this process")
        os.close(self.handle)
        self.handle = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock for the length of a block."""
        self.acquire()
        try:
            yield
        finally:
            self.release()


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
