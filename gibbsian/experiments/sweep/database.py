"""A sweep kept in a database that several machines share, through Optuna's RDB storage.

Claims are made under one lock of the database. Whether a running trial was killed is told on the
machine that runs it by the lock of its folder, at once, and to others by Optuna's heartbeat.
"""

from __future__ import annotations

import json
import platform
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gibbsian.core.locks import FileLock
from gibbsian.core.records import read_record, write_record
from gibbsian.experiments.sweep.folder import result_in
from gibbsian.experiments.sweep.storage_url import StorageError, StorageURL
from gibbsian.experiments.sweep.workers import Log

if TYPE_CHECKING:
    import optuna

T = TypeVar("T")
STUDY = "gibbsian-sweep"
HEARTBEAT, GRACE = 30, 120
"""Seconds between signs of life of a trial, and without any until another machine takes it over."""
WAITS = (1, 2, 4, 8, 15, 30)
"""Seconds between attempts on a database that has gone away."""
LOCK = 6_213_870_195
"""The number of the sweep's advisory lock in PostgreSQL."""


class InDatabase:
    """The trials in the database ``url``; the folder ``out`` has only runs of this machine.

    ``settings``: what makes two sweeps the same one. Raises StorageError for a database that cannot be
    used, and for one that holds another sweep.
    """

    def __init__(self, out: Path, url: StorageURL, settings: dict[str, Any], log: Log):
        self.out, self.url, self.name, self.log = out, url, str(url), log
        self.settings = json.loads(json.dumps(settings))
        self.lock = DatabaseLock(url)
        self.claims: dict[int, str] = {}
        if (out / "journal.log").exists():
            raise ValueError(f"{out} holds a sweep without --storage; choose another --out")

    def reach(self, optuna: Any) -> None:
        """Connect, make the tables if there are none and look which sweep is there."""
        with self.explained(), self.lock.held():
            storage = self._storage(optuna)
            for study in optuna.get_all_study_summaries(storage, include_best_trial=False):
                if study.study_name == STUDY and study.n_trials:
                    self._compare(study.user_attrs)

    def open(self, optuna: Any, direction: str, trials: int) -> tuple[optuna.Study, int]:
        """The study, made if there is none, and how many trials it is to have."""
        self.storage = self._storage(optuna)

        def made() -> optuna.Study:
            return optuna.create_study(
                study_name=STUDY, storage=self.storage, direction=direction, load_if_exists=True
            )

        study = made()
        if study.get_trials(deepcopy=False):
            self._compare(study.user_attrs)
        elif study.user_attrs.get("settings", self.settings) != self.settings:
            optuna.delete_study(study_name=STUDY, storage=self.storage)  # one that never began
            study = made()
        there = study.user_attrs
        trials = max(trials, there.get("trials", 0))
        wanted = {"settings": there.get("settings", self.settings), "trials": trials}
        wanted["id"] = there.get("id", uuid.uuid4().hex)
        for key, value in wanted.items():
            if there.get(key) != value:
                study.set_user_attr(key, value)
        self.id = self.storage.get_study_id_from_name(STUDY)
        self.machine = self._machine(wanted["id"])
        return study, trials

    def free(self, known: list[optuna.trial.FrozenTrial]) -> list[optuna.trial.FrozenTrial]:
        """Of the running trials those that this machine's locks decide on, or that nobody runs any more.

        To be asked under the sweep's lock: a trial without a holder was killed while it was claimed,
        one with a result while it was told of.
        """
        stale = set(self.storage._get_stale_trial_ids(self.id))

        def is_free(trial: optuna.trial.FrozenTrial) -> bool:
            holder = trial.user_attrs.get("holder")
            here = holder is None or holder["machine"] == self.machine
            return here or "result" in trial.user_attrs or trial._trial_id in stale

        return [trial for trial in known if is_free(trial)]

    def take(self, number: int) -> Callable[[], None]:
        """Say that this process runs the trial, again and again; what to call when it no longer does."""
        claim, ended, trial = uuid.uuid4().hex, threading.Event(), self._id(number)
        failures = self._failures()
        self.storage.record_heartbeat(trial)
        holder = {"machine": self.machine, "claim": claim}
        self.storage.set_trial_user_attr(trial, "holder", holder)
        self.claims[number] = claim

        def beat() -> None:
            while not ended.wait(HEARTBEAT):
                # Tried again soon; who finishes the trial tells of a database that is gone.
                with suppress(*failures):
                    self.storage.record_heartbeat(trial)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()

        def end() -> None:
            ended.set()
            thread.join(timeout=10)

        return end

    def is_mine(self, number: int) -> bool:
        """Whether no other machine has taken over a trial that this process runs."""
        trial = self.storage.get_trial(self._id(number))
        claim = trial.user_attrs.get("holder", {}).get("claim")
        return not trial.state.is_finished() and claim == self.claims.get(number)

    def result(self, trial: optuna.trial.FrozenTrial) -> dict[str, Any] | None:
        """What is known of a trial that was finished, here or elsewhere."""
        return trial.user_attrs.get("result") or result_in(self.out, trial.number)

    def record(self, number: int, result: dict[str, Any]) -> None:
        """Keep the result where every machine finds it."""
        self.storage.set_trial_user_attr(self._id(number), "result", result)

    def insist(self, act: Callable[[], T]) -> T:
        """What ``act`` returns, tried again for a minute while the database is away."""
        failures = self._failures()
        for wait in WAITS:
            try:
                return act()
            except failures as error:
                why = self.url.cleared(_cause(error))
                self.log(f"storage {self.name} does not answer ({why}); again in {wait} s")
                time.sleep(wait)
        try:
            return act()
        except failures as error:
            raise StorageError(
                f"storage {self.name} does not answer ({self.url.cleared(_cause(error))}); what was "
                "trained is saved, and the same command goes on"
            ) from None

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Around what opens the study: a sentence that says why the database cannot be used."""
        failures: tuple[type[Exception], ...] = (*self._failures(), RuntimeError)
        try:
            yield
        except failures as error:
            why = self.url.cleared(_cause(error))
            raise StorageError(f"storage {self.name} cannot be used: {why}") from None

    def _storage(self, optuna: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.storages.RDBStorage(
                self.url.text,
                engine_kwargs={
                    "pool_pre_ping": True,
                    "hide_parameters": True,
                    "connect_args": self.url.connection,
                },
                heartbeat_interval=HEARTBEAT,
                grace_period=GRACE,
            )

    def _compare(self, there: dict[str, Any]) -> None:
        found = there.get("settings", {})
        for name in sorted({*found, *self.settings} - {"trials"}):
            if found.get(name) != self.settings.get(name):
                raise StorageError(
                    f"storage {self.name} holds a sweep with another {name}; continue it with its own "
                    "settings or choose another database"
                )

    def _machine(self, sweep: str) -> str:
        """A name of this machine and folder; ValueError for a folder of another database's sweep."""
        path = self.out / "database.json"
        if not path.exists():
            write_record(path, {"sweep": sweep, "folder": uuid.uuid4().hex})
        there = read_record(path)
        if there["sweep"] != sweep:
            raise StorageError(
                f"{self.out} holds trials of a sweep in another database than {self.name}; choose "
                "another --out"
            )
        return f"{platform.node()} {there['folder']}"

    def _id(self, number: int) -> int:
        return int(self.storage.get_trial_id_from_study_id_trial_number(self.id, number))

    @staticmethod
    def _failures() -> tuple[type[Exception], ...]:
        import optuna
        from sqlalchemy.exc import SQLAlchemyError

        return SQLAlchemyError, optuna.exceptions.StorageInternalError


class DatabaseLock:
    """The lock under which trials are claimed: it dies with its process.

    An advisory lock of PostgreSQL, or a file beside that of SQLite, which serves one machine.
    """

    def __init__(self, url: StorageURL):
        self.url = url

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock for the length of a block."""
        if self.url.kind == "sqlite":
            with FileLock(self.url.lock_file).held():
                yield
            return
        import sqlalchemy

        engine = sqlalchemy.create_engine(
            self.url.url,
            poolclass=sqlalchemy.NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args=self.url.connection,
        )
        with engine.connect() as connection:
            # The server notices within a minute that a machine with the lock is gone.
            for name, seconds in (("idle", 30), ("interval", 10), ("count", 3)):
                connection.execute(sqlalchemy.text(f"SET tcp_keepalives_{name} = {seconds}"))
            connection.execute(sqlalchemy.text(f"SELECT pg_advisory_lock({LOCK})"))
            yield
            # Fails where the connection, and with it the lock, was lost meanwhile.
            connection.execute(sqlalchemy.text(f"SELECT pg_advisory_unlock({LOCK})"))


def _cause(error: BaseException) -> object:
    """The driver's own words, without the statement."""
    while error.__cause__ is not None and not hasattr(error, "orig"):
        error = error.__cause__
    return getattr(error, "orig", None) or error
