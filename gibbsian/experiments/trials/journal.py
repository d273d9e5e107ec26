"""Who runs which trial: claims through a journal that several processes share.

What the trials are to be, points of a search or runs of a comparison, is the affair of a ``Plan``.

A trial is a row of the journal and a folder. Its worker holds the folder's lock; a trial that is
running while nobody holds its lock was killed, and the next worker goes on with it. Where the rows
are, and what tells of deaths on other machines, is the affair of ``InFolder`` and ``InDatabase``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from gibbsian.core.locks import FileLock
from gibbsian.core.records import read_record, write_record
from gibbsian.experiments.trials.database import InDatabase
from gibbsian.experiments.trials.folder import InFolder

if TYPE_CHECKING:
    import optuna

Result = dict[str, Any]
"""What is kept of a trial: what was found, or the reason it ``failed``."""
Values = dict[str, Any]
"""What sets a trial apart."""


@runtime_checkable
class Plan(Protocol):
    """Which trials there are to be.

    ``names``: the parameters of each; ``maximise``: whether a larger value of a trial is better;
    ``trials``: how many to make, which may grow when others share them.
    """

    names: frozenset[str]
    maximise: bool
    trials: int

    def next(self, begun: Sequence[Values], trials: int) -> Values | None:
        """What is fixed of the next trial, nothing where all is drawn; None when there are no more."""

    def has(self, values: Values) -> bool:
        """Whether a trial with these values belongs to the plan, as this process knows it."""

    def check(self, values: Values, origin: str, number: int) -> None:
        """ValueError where ``values`` in ``origin`` cannot be those of a trial."""

    def decoded(self, values: Values) -> Values:
        """The values as those who run the trial want them."""

    def value(self, result: Result) -> float:
        """The number that the search library keeps of a result."""

    def file(self, number: int, values: Values) -> Path:
        """Where a trial's result is kept; its folder is the trial's."""

    def sampler(self, optuna: Any, begun: int) -> optuna.samplers.BaseSampler:
        """What draws the values of the trial with the number ``begun``."""

    def distributions(self, optuna: Any) -> dict[str, optuna.distributions.BaseDistribution]:
        """What each parameter may be."""


@dataclass(frozen=True)
class Claim:
    """A trial to run: its number, the file for its result, what sets it apart."""

    number: int
    file: Path
    values: Values

    @property
    def folder(self) -> Path:
        """Where its run lies."""
        return self.file.parent


@dataclass(frozen=True)
class Trial:
    """A row of the journal; ``state`` is running, done or failed, ``result`` what its folder holds."""

    number: int
    values: Values
    state: str
    result: Result | None


class Journal:
    """The trials of one ``plan``, run in the folder ``out``, shared by whoever opens it.

    ``database``: where the trials are, if not in the folder too. Raises ImportError naming the
    extra where the search library is missing.
    """

    def __init__(self, out: Path, plan: Plan, database: InDatabase | None = None):
        self.out, self.plan = out, plan
        self.optuna = import_optuna()
        self.kept: InFolder | InDatabase = database or InFolder(out)
        self.lock = self.kept.lock
        with self.kept.explained(), self.lock.held():
            direction = "maximize" if plan.maximise else "minimize"
            self.study, self.trials = self.kept.open(self.optuna, direction, plan.trials)
        for trial in self.study.get_trials(deepcopy=False):
            plan.check(trial.params, self.kept.name, trial.number)

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
        """Record the result, in its file first: found there, the trial is not run again.

        False, and nothing in the journal, if another machine has taken the trial over meanwhile.
        """
        write_record(claim.file, result)
        return self.kept.insist(partial(self._finished, claim, result))

    def rows(self) -> list[Trial]:
        """Every trial that has its values, by number."""
        names = {"COMPLETE": "done", "FAIL": "failed"}
        found = []
        for trial in self._known():
            if set(trial.params) == self.plan.names:
                state = names.get(trial.state.name, "running")
                values = self.plan.decoded(trial.params)
                found.append(Trial(trial.number, values, state, self._result(trial)))
        return found

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
            whole = set(trial.params) == self.plan.names
            if whole and not self.plan.has(trial.params):  # others know of more than this process
                continue
            lock = self._lock(trial)
            if not lock.acquire(wait=False):
                continue
            if not whole:  # killed while its values were drawn
                study.tell(trial.number, state=states.FAIL)
            elif (result := self._result(trial)) is not None:  # killed before it was told
                self._tell(trial.number, result)
            else:
                held.callback(lock.release)
                return trial
            lock.release()
        new = self._new(known)
        if new is not None:
            lock = self._lock(new)
            lock.acquire()
            held.callback(lock.release)
        return new

    def _new(
        self, known: Sequence[optuna.trial.FrozenTrial]
    ) -> optuna.Trial | optuna.trial.FrozenTrial | None:
        """A trial that was not there, running; None when there are no more."""
        optuna, kinds = self.optuna, self.plan.distributions(self.optuna)
        if not any(trial.state == optuna.trial.TrialState.WAITING for trial in known):
            begun = [dict(trial.params) for trial in known if set(trial.params) == self.plan.names]
            fixed = self.plan.next(begun, self.trials)
            if fixed is None:
                return None
            if fixed:  # in one step, so that a death leaves all of it or nothing
                running = optuna.trial.TrialState.RUNNING
                made = optuna.trial.create_trial(state=running, params=fixed, distributions=kinds)
                self.study.add_trial(made)
                return self.study.get_trials(deepcopy=False)[-1]
        self.study.sampler = self.plan.sampler(optuna, len(known))
        with warnings.catch_warnings():  # the heart is beaten by ``take``, not by the study
            warnings.filterwarnings("ignore", "Heartbeat of storage")
            return self.study.ask(kinds)

    def _claimed(self, trial: optuna.Trial | optuna.trial.FrozenTrial) -> Claim:
        return Claim(trial.number, self._file(trial), self.plan.decoded(trial.params))

    def _file(self, trial: optuna.Trial | optuna.trial.FrozenTrial) -> Path:
        return self.plan.file(trial.number, trial.params)

    def _lock(self, trial: optuna.Trial | optuna.trial.FrozenTrial) -> FileLock:
        return FileLock(self._file(trial).with_name("trial.lock"))

    def _result(self, trial: optuna.trial.FrozenTrial) -> Result | None:
        """What is known of a trial that was finished, here or elsewhere."""
        if (result := self.kept.result(trial)) is not None:
            return result
        file = self._file(trial)
        return read_record(file) if file.is_file() else None

    def _tell(self, number: int, result: Result) -> None:
        self.kept.record(number, result)
        if "failed" in result:
            self.study.tell(number, state=self.optuna.trial.TrialState.FAIL)
        else:
            self.study.tell(number, self.plan.value(result))


def import_optuna() -> Any:
    """The search library; ImportError naming the extra where it is missing."""
    try:
        import optuna
    except ImportError as error:
        raise ImportError("this needs the search library: pip install 'gibbsian[sweep]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
