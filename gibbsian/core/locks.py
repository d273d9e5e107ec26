"""Locks on files that the system releases when their process ends, however it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock


class FileLock:
    """An exclusive lock on the file ``path``, which stays where it is when the lock is released.

    Between machines it works on file systems that pass such locks on, as NFS 3 and later do.
    """

    def __init__(self, path: Path):
        self.path = path
        self.lock = filelock.FileLock(str(path))

    def acquire(self, wait: bool = True) -> bool:
        """Take the lock; without ``wait``, False if another holds it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.lock.acquire(blocking=wait)
        except filelock.Timeout:
            return False
        return True

    def release(self) -> None:
        """Let go; ValueError if it was not held."""
        if not self.lock.is_locked:
            raise ValueError(f"{self.path} is not locked by this process")
        self.lock.release()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock for the length of a block."""
        self.acquire()
        try:
            yield
        finally:
            self.release()
