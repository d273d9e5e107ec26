"""Who runs which trial: claims through a journal that several processes share.

A trial is a row of the journal and a folder. Its worker holds the folder's lock; a trial that is
running while nobody holds its lock was killed, and the next worker goes on with it. Where the rows
are, and what tells of deaths on other machines, is the affair of ``InFolder`` and ``InDatabase``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gibbsian.core.locks import FileLock
from gibbsian.core.records import write_record
from gibbsian.experiments.sweep.database import InDatabase
from gibbsian.experiments.sweep.folder import InFolder, folder_of
from gibbsian.experiments.sweep.space import Choices, Range, Space, Values, decoded, grid, listed

if TYPE_CHECKING:
    import optuna

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
    """The trials of one sweep, run in the folder ``out``, shared by whoever opens it.

    ``trials``: how many to make, which a grid knows itself. ``maximise``: whether a larger value is
    better. ``database``: where the trials are, if not in the folder too. Raises ImportError naming the
    extra where the search library is missing.
    """

    def __init__(
        self,
        out: Path,
        space: Space,
        search: Search,
        maximise: bool,
        trials: int = 0,
        seed: int = 0,
        database: InDatabase | None = None,
    ):
        self.out, self.space, self.search = out, space, search
        self.points, trials = planned(space, search, trials)
        self.seed = seed
        self.optuna = import_optuna()
        self.kept: InFolder | InDatabase = database or InFolder(out)
        self.lock = self.kept.lock
        with self.kept.explained(), self.lock.held():
            direction = "maximize" if maximise else "minimize"
            self.study, self.trials = self.kept.open(self.optuna, direction, trials)
        self._check()

    @contextmanager
    def next(self) -> Iterator[Claim | None]:
        """A trial that nobody runs, locked while the block lasts; None when there are no more.

        First what was left running by a killed process, then a new one, up to their number.
        """
        claim, release = self.kept.insist(self._claim)
        try:
            yield claim
        finally:
            release()

    def finish(self, claim: Claim, result: Result) -> bool:
        """Record the result, in the trial's folder first: found there, it is not run again.

        False, and nothing in the journal, if another machine has taken the trial over meanwhile.
        """
        write_record(claim.folder / "result.json", result)
        return self.kept.insist(partial(self._finished, claim, result))

    def rows(self) -> list[Trial]:
        """Every trial that has its values, by number."""
        names = {"COMPLETE": "done", "FAIL": "failed"}
        found = []
        for trial in self._known():
            if set(trial.params) == set(self.space):
                result = self.kept.result(trial)
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
                        f"{self.kept.name} is damaged: trial {trial.number} sets "
                        f"{name} to {value}, which is not in the space; choose another --out"
                    )

    def _known(self) -> list[optuna.trial.FrozenTrial]:
        return self.kept.insist(partial(self.study.get_trials, deepcopy=False))

    def _claim(self) -> tuple[Claim | None, Callable[[], None]]:
        """A claim and what to call at its end; a lock that was taken for nothing is let go."""
        with ExitStack() as held:
            with self.lock.held():
                trial = self._chosen(held)
                if trial is None:
                    return None, held.pop_all().close
                held.callback(self.kept.take(trial.number))
            return self._claimed(trial), held.pop_all().close

    def _finished(self, claim: Claim, result: Result) -> bool:
        with self.lock.held():
            if not self.kept.is_mine(claim.number):
                return False
            self._tell(claim.number, result)
        return True

    def _chosen(self, held: ExitStack) -> optuna.Trial | optuna.trial.FrozenTrial | None:
        """Under the sweep's lock: adopt, or ask for a new trial; ``held`` keeps its lock."""
        study = self.study
        states = self.optuna.trial.TrialState
        known = study.get_trials(deepcopy=False)
        for trial in self.kept.free([t for t in known if t.state == states.RUNNING]):
            lock = FileLock(self._folder(trial.number) / "trial.lock")
            if not lock.acquire(wait=False):
                continue
            if set(trial.params) != set(self.space):  # killed while its values were drawn
                study.tell(trial.number, state=states.FAIL)
            elif (result := self.kept.result(trial)) is not None:  # killed before it was told
                self._tell(trial.number, result)
            else:
                held.callback(lock.release)
                return trial
            lock.release()
        if not any(trial.state == states.WAITING for trial in known):
            begun = [dict(trial.params) for trial in known if set(trial.params) == set(self.space)]
            if len(begun) >= self.trials:
                return None
            if self.search == "grid":
                study.enqueue_trial(next(point for point in self.points if point not in begun))
        study.sampler = self._sampler(len(known))
        with warnings.catch_warnings():  # the heart is beaten by ``take``, not by the study
            warnings.filterwarnings("ignore", "Heartbeat of storage")
            asked = study.ask(self._distributions())
        lock = FileLock(self._folder(asked.number) / "trial.lock")
        lock.acquire()
        held.callback(lock.release)
        return asked

    def _claimed(self, trial: optuna.Trial | optuna.trial.FrozenTrial) -> Claim:
        values = decoded(self.space, trial.params)
        return Claim(trial.number, self._folder(trial.number), values)

    def _tell(self, number: int, result: Result) -> None:
        self.kept.record(number, result)
        if "failed" in result:
            self.study.tell(number, state=self.optuna.trial.TrialState.FAIL)
        else:
            self.study.tell(number, result["value"])

    def _folder(self, number: int) -> Path:
        return folder_of(self.out, number)

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


def import_optuna() -> Any:
    """The search library; ImportError naming the extra where it is missing."""
    try:
        import optuna
    except ImportError as error:
        raise ImportError(
            "sweeps need the search library: pip install 'gibbsian[sweep]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
