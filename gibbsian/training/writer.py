"""A thread that writes files while training goes on: one job at a time, whose errors come back."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch


class Writer:
    """Runs jobs one after another in a thread of its own; a context that ends when the last is done.

    ``threads``: CPU threads of PyTorch, which each thread has its own number of. An error of a job is
    raised by the next call of any method, or when the context ends; where it ends by another error,
    that one is raised and this one noted with it.
    """

    def __init__(self, threads: int):
        self.executor = ThreadPoolExecutor(1, "writer", torch.set_num_threads, (threads,))
        self.job: Future[None] | None = None

    def submit(self, job: Callable[[], None]) -> None:
        """Start ``job``, which must not touch what changes meanwhile, once the one before is done."""
        self.wait()
        self.job = self.executor.submit(job)

    def check(self) -> None:
        """Raise the error of a job that has failed; return at once where it still runs."""
        if self.job is not None and self.job.done():
            self.wait()

    def wait(self) -> None:
        """Return when nothing is left to be written."""
        job, self.job = self.job, None
        if job is not None:
            job.result()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.executor.shutdown()
        if error is None:
            self.wait()
        elif self.job is not None and (second := self.job.exception()) is not None:
            error.add_note(f"besides, a checkpoint could not be written: {second}")
