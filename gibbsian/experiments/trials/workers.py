"""Several processes that work through one folder, each on one thread."""

from __future__ import annotations

import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

from gibbsian.training import TrainingInterrupted

Log = Callable[[str], None]
Work = Callable[[Path, Log], None]


def silent(line: str) -> None:
    """A log that nobody reads."""


def check_workers(workers: int) -> None:
    """ValueError unless there is at least one worker."""
    if workers < 1:
        raise ValueError(f"the number of workers must be at least 1, not {workers}")


def in_processes(work: Work, out: Path, workers: int, log: Log) -> int:
    """Call ``work(out, log)`` in ``workers`` processes, here if it is one; how many ended early.

    What stops a worker that is not alone is told in a line. Raises ValueError for fewer than one.
    """
    check_workers(workers)
    if workers == 1:
        work(out, log)
        return 0
    context = get_context("spawn")
    processes = [
        context.Process(target=_quietly, args=(work, out, log), daemon=True) for _ in range(workers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return sum(process.exitcode != 0 for process in processes)


def _quietly(work: Work, out: Path, log: Log) -> None:
    """``work`` without tracebacks for what a user can cause; the exit status says that it failed."""
    try:
        work(out, log)
    except (ValueError, OSError) as error:
        log(f"error: a worker stopped: {error}")
        sys.exit(1)
    except (KeyboardInterrupt, TrainingInterrupted):
        sys.exit(130)
