"""Watching a run elsewhere: each logged row, as it comes, in the tracker that people look at.

A tracker is a function of the run's folder and its configuration (as JSON-able values) that returns
what sees the rows: ``tracker(run, config)(row)``. If that has a method ``close``, it is called at
the end, also of a run that fails. A resumed run calls it again with the same folder and goes on
from the rows of its last checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gibbsian.core import nearest
from gibbsian.core.imports import import_named
from gibbsian.training import TrainingCallback

Tracker = Callable[[Path, Mapping[str, Any]], TrainingCallback]


class TensorBoard:
    """Event files in ``RUN/tensorboard``: a curve per column of metrics over rounds, the configuration.

    What an interrupted run wrote after its last checkpoint is purged when it goes on, and what a run
    wrote after the round it went back to. Raises ImportError, naming the extra, where tensorboard is not
    installed.
    """

    def __init__(self, run: Path, config: Mapping[str, Any]):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "--log-with tensorboard needs the package tensorboard: pip install 'gibbsian[track]'"
            ) from error
        self.make, self.folder, self.config = SummaryWriter, run / "tensorboard", config
        self.writer: Any = None
        self.last = 0  # round of the last row

    def __call__(self, row: Mapping[str, float]) -> None:
        """Write one row; the file is there from the first one on."""
        step = int(row["round"])
        if step <= self.last:
            self.close()
            self.writer = None
        self.last = step
        if self.writer is None:
            self.writer = self.make(str(self.folder), purge_step=step)
            self.writer.add_text("config", f"```json\n{json.dumps(self.config, indent=2)}\n```", 0)
        for name, value in row.items():
            if name != "round":
                self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def close(self) -> None:
        """Close the file, if one was begun."""
        if self.writer is not None:
            self.writer.close()


TRACKERS: Mapping[str, Tracker] = {"tensorboard": TensorBoard}


@contextmanager
def watching(
    name: str | None, run: Path, config: Mapping[str, Any]
) -> Iterator[TrainingCallback | None]:
    """What sees the rows of the run in folder ``run``: a tracker by name, or one's own.

    ``name`` is a key of ``TRACKERS`` or ``package.module:function``, looked for in the current folder
    too; None watches nothing. ValueError if there is none of that name, or it is no tracker.
    """
    if name is None:
        yield None
        return
    try:
        watch = tracker(name)(run, config)
    except (TypeError, AttributeError, LookupError, ArithmeticError, RuntimeError) as error:
        what = str(error).partition("\n")[0]
        raise ValueError(
            f"the tracker {name} fails with {type(error).__name__}: {what}; it is called with the run's "
            "folder and its configuration"
        ) from error
    if not callable(watch):
        raise ValueError(
            f"the tracker {name} returns a {type(watch).__name__}; it must return what sees the rows, a "
            "function of one"
        )
    try:
        yield watch
    finally:
        close = getattr(watch, "close", None)
        if close is not None:
            close()


def tracker(name: str) -> Tracker:
    """The tracker called ``name``, or imported from ``package.module:function``; else ValueError."""
    if ":" not in name:
        if name not in TRACKERS:
            raise nearest("tracker", name, [*TRACKERS, "package.module:function"])
        return TRACKERS[name]
    found = import_named(name, "tracker", "function")
    if not callable(found):
        raise ValueError(f"{name} is no function to log with")
    return found
