"""Who writes a run: one process at a time, which others can name."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gibbsian.core.locks import FileLock

LOCK, HOLDER = ".writer.lock", ".writer.json"
FILES = (LOCK, HOLDER)
"""What a lock leaves in the folder of a run: no part of the run."""
PATIENCE = 5.0
"""Seconds to wait until a holder has written its name."""


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Hold the folder of a run, made if need be, for writing; readers are not held up.

    The system releases it when the process dies. ValueError naming the process that holds it.
    """
    lock = FileLock(folder / LOCK)
    if not lock.acquire(wait=False):
        raise ValueError(
            f"{folder} is being written by {holder(folder)}; wait until it has finished, or stop it"
        )
    try:
        name = {
            "pid": os.getpid(),
            "host": platform.node(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with suppress(OSError):  # a full disc: the lock holds without a name
            (folder / HOLDER).write_text(json.dumps(name))
        sweep(folder)
        yield
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


def holder(folder: Path) -> str:
    """Who holds the folder, in words; waits a little for a holder that has not yet written its name."""
    until = time.monotonic() + PATIENCE
    while not (found := writer(folder)):
        if time.monotonic() > until:
            return "another process"
        time.sleep(0.02)
    return found


def writer(folder: Path) -> str:
    """The process that has written its name in the folder and may still be there, in words, or ""."""
    found = _read(folder / HOLDER)
    if found is None or not _alive(found):
        return ""
    return f"process {found['pid']} on {found['host']} since {found['since']}"


def how_to_finish(run: Path) -> str:
    """What to do, or to wait for, where a run has not yet saved its model."""
    if who := writer(run):
        return f"it is being trained by {who}, which has yet to save it for the first time"
    return f"finish it with `gibbsian train --resume {run}`"


def sweep(folder: Path) -> None:
    """Remove what a killed writer left half written; the caller holds the folder.

    Other commands write in the folder itself without holding it: only what a writer writes goes.
    """
    for pattern in (
        ".config.json.*.part",
        ".metrics.jsonl.*.part",
        "model/.*.part",
        "state/.*.part",
    ):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    whole = isinstance(found, dict) and {"pid", "host", "since"} <= found.keys()
    return found if whole and isinstance(found["pid"], int) else None


def _alive(found: dict[str, Any]) -> bool:
    """Whether the process may still be there: another machine's is not looked for, nor on Windows."""
    if os.name != "posix" or found["host"] != platform.node():
        return True
    try:
        os.kill(found["pid"], 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
