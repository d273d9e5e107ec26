"""A sweep kept in its folder, by files: for the processes of one machine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gibbsian.core.locks import FileLock
from gibbsian.experiments.trials.log import JournalFile

if TYPE_CHECKING:
    import optuna

T = TypeVar("T")
ERRORS_OF_REPLAY = (AttributeError, LookupError, TypeError, RecursionError)
"""What the search library raises for entries that are whole and none of its own."""


class InFolder:
    """The trials' journal and locks in the folder ``out``.

    Whoever dies lets go of the locks, so that a running trial whose folder is not locked was killed.
    """

    def __init__(self, out: Path):
        if (out / "database.json").exists():
            raise ValueError(f"the trials of {out} are in a database: give its --storage")
        self.out, self.name = out, str(out / "journal.log")
        self.lock = FileLock(out / "sweep.lock")

    def open(self, optuna: Any, direction: str, trials: int) -> tuple[optuna.Study, int]:
        """The study, made if there is none, and how many trials it is to have."""
        try:
            storage = optuna.storages.journal.JournalStorage(JournalFile(Path(self.name)))
            study = optuna.create_study(
                study_name="sweep", storage=storage, direction=direction, load_if_exists=True
            )
        except ERRORS_OF_REPLAY as error:
            raise ValueError(
                f"{self.name} is no journal of a sweep ({error!r}); start the sweep again with a new "
                "--out"
            ) from error
        return study, trials

    def free(self, known: list[optuna.trial.FrozenTrial]) -> list[optuna.trial.FrozenTrial]:
        """Of the running trials those that a lock decides on: all."""
        return known

    def take(self, number: int) -> Callable[[], None]:
        """Say that this process runs the trial; what to call when it no longer does."""
        return _nothing

    def is_mine(self, number: int) -> bool:
        """Whether nobody else has taken over a trial that this process runs: the lock says so."""
        return True

    def result(self, trial: optuna.trial.FrozenTrial) -> dict[str, Any] | None:
        """Nothing: the trial's file has what is known of it."""
        return None

    def record(self, number: int, result: dict[str, Any]) -> None:
        """Nothing: the trial's file has it."""

    def insist(self, act: Callable[[], T]) -> T:
        """What ``act`` returns; files do not go away."""
        return act()

    def explained(self) -> AbstractContextManager[None]:
        """Around what opens the study: its errors are sentences already."""
        return nullcontext()


def _nothing() -> None:
    pass
