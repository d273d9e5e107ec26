"""Who runs which trial: claims through a journal that several processes share.

A trial is a row of the journal and a folder. Its worker holds the folder's lock; a trial that is
running while nobody holds its lock was killed, and the next worker goes on with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gibbsian.core.locks import FileLock
from gibbsian.core.records import read_record, write_record
from gibbsian.experiments.sweep.log import JournalFile
from gibbsian.experiments.sweep.space import Choices, Range, Space, Values, decoded, grid, listed

if TYPE_CHECKING:
    import optuna

ERRORS_OF_REPLAY = (AttributeError, LookupError, TypeError, RecursionError)
"""What the search library raises for entries that are whole and none of its own."""
Search = Literal["grid", "random", "bayes"]
Result = dict[str, Any]
"""``value`` and ``figures`` of a trial, or the reason it ``failed``."""


@dataclass(frozen=True)
class Claim:
    """A trial to run: its number, its folder, what its options are set to."""

    number: int
    folder: Path
    values: Values


@dataclass(frozen=True)
class Trial:
    """A row of a sweep; ``state`` is running, done or failed, ``result`` what its folder holds."""

    number: int
    values: Values
    state: str
    result: Result | None


def planned(space: Space, search: Search, trials: int) -> tuple[list[Values], int]:
    """The points of a grid, none for other searches, and the number of trials.

    ValueError for a range in a grid, or another search without a number.
    """
    if search == "grid":
        points = grid(space)
        return points, len(points)
    if trials < 1:
        raise ValueError(f"a {search} search needs a number of trials: give --num-trials")
    return [], trials


class Journal:
    """The trials of one sweep in the folder ``out``, shared by whoever opens it.

    ``trials``: how many to make, which a grid knows itself. ``maximise``: whether a larger value is
    better. Raises ImportError naming the extra where the search library is missing.
    """

    def __init__(
        self,
        out: Path,
        space: Space,
        search: Search,
        maximise: bool,
        trials: int = 0,
        seed: int = 0,
    ):
        self.out, self.space, self.search = out, space, search
        self.points, self.trials = planned(space, search, trials)
        self.maximise, self.seed = maximise, seed
        self.lock = FileLock(out / "sweep.lock")
        self.optuna = _optuna()
        with self.lock.held():
            self.study = self._open()
        self._check()

    @contextmanager
    def next(self) -> Iterator[Claim | None]:
        """A trial that nobody runs, locked while the block lasts; None when there are no more.

        First what was left running by a killed process, then a new one, up to their number.
        """
        with self.lock.held():
            claim, lock = self._claim()
        try:
            yield claim
        finally:
            if lock is not None:
                lock.release()

    def finish(self, claim: Claim, result: Result) -> None:
        """Record the result, in the trial's folder first: found there, it is not run again."""
        write_record(claim.folder / "result.json", result)
        with self.lock.held():
            self._tell(claim.number, result)

    def rows(self) -> list[Trial]:
        """Every trial that has its values, by number."""
        names = {"COMPLETE": "done", "FAIL": "failed"}
        found = []
        for trial in self.study.get_trials(deepcopy=False):
            if set(trial.params) == set(self.space):
                result = self._result(trial.number)
                state = names.get(trial.state.name, "running")
                values = decoded(self.space, trial.params)
                found.append(Trial(trial.number, values, state, result))
        return found

    def _check(self) -> None:
        """ValueError where the journal sets an option to what the space does not list."""
        for trial in self.study.get_trials(deepcopy=False):
            for name, value in trial.params.items():
                if name not in self.space or not listed(self.space[name], value):
                    raise ValueError(
                        f"{self.out / 'journal.log'} is damaged: trial {trial.number} sets "
                        f"{name} to {value}, which is not in the space; choose another --out"
                    )

    def _claim(self) -> tuple[Claim | None, FileLock | None]:
        """Under the sweep's lock: adopt, or ask for a new trial."""
        study = self.study
        states = self.optuna.trial.TrialState
        known = study.get_trials(deepcopy=False)
        for trial in known:
            lock = FileLock(self._folder(trial.number) / "trial.lock")
            if trial.state != states.RUNNING or not lock.acquire(wait=False):
                continue
            if set(trial.params) != set(self.space):  # killed while its values were drawn
                study.tell(trial.number, state=states.FAIL)
            elif (result := self._result(trial.number)) is not None:  # killed before it was told
                self._tell(trial.number, result)
            else:
                return self._claimed(trial), lock
            lock.release()
        if not any(trial.state == states.WAITING for trial in known):
            begun = [dict(trial.params) for trial in known if set(trial.params) == set(self.space)]
            if len(begun) >= self.trials:
                return None, None
            if self.search == "grid":
                study.enqueue_trial(next(point for point in self.points if point not in begun))
        study.sampler = self._sampler(len(known))
        asked = study.ask(self._distributions())
        lock = FileLock(self._folder(asked.number) / "trial.lock")
        lock.acquire()
        return self._claimed(asked), lock

    def _claimed(self, trial: optuna.Trial | optuna.trial.FrozenTrial) -> Claim:
        values = decoded(self.space, trial.params)
        return Claim(trial.number, self._folder(trial.number), values)

    def _tell(self, number: int, result: Result) -> None:
        if "failed" in result:
            self.study.tell(number, state=self.optuna.trial.TrialState.FAIL)
        else:
            self.study.tell(number, result["value"])

    def _folder(self, number: int) -> Path:
        return self.out / "trials" / f"{number:05d}"

    def _result(self, number: int) -> Result | None:
        path = self._folder(number) / "result.json"
        return read_record(path) if path.is_file() else None

    def _open(self) -> optuna.Study:
        path = self.out / "journal.log"
        storages: Any = self.optuna.storages
        try:
            return self.optuna.create_study(
                study_name="sweep",
                storage=storages.journal.JournalStorage(JournalFile(path)),
                direction="maximize" if self.maximise else "minimize",
                load_if_exists=True,
            )
        except ERRORS_OF_REPLAY as error:
            raise ValueError(
                f"{path} is no journal of a sweep ({error!r}); start the sweep again with a new --out"
            ) from error

    def _sampler(self, begun: int) -> optuna.samplers.BaseSampler:
        """A sampler for the next trial: its draws depend on how many there are.

        One that began anew with the same seed would repeat its first points after a kill.
        """
        samplers, seed = self.optuna.samplers, self.seed * 1_000_003 + begun
        if self.search == "bayes":
            return samplers.TPESampler(seed=seed, constant_liar=True)
        return samplers.RandomSampler(seed=seed)

    def _distributions(self) -> dict[str, optuna.distributions.BaseDistribution]:
        kinds, found = self.optuna.distributions, {}
        for name, values in self.space.items():
            if isinstance(values, Choices):
                found[name] = kinds.CategoricalDistribution(values.texts)
            else:
                assert isinstance(values, Range)
                kind = kinds.IntDistribution if values.whole else kinds.FloatDistribution
                found[name] = kind(values.low, values.high, log=values.log)
        return found


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ImportError(
            "sweeps need the search library: pip install 'gibbsian[sweep]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
