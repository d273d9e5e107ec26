"""Trials kept in a database that several machines share, through Optuna's RDB storage.

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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gibbsian.core.locks import FileLock
from gibbsian.core.records import read_record, write_record
from gibbsian.experiments.trials.storage_url import StorageError, StorageURL
from gibbsian.experiments.trials.workers import Log

if TYPE_CHECKING:
    import optuna

T = TypeVar("T")
HEARTBEAT, GRACE = 30, 120
"""Seconds between signs of life of a trial, and without any until another machine takes it over."""
WAITS = (1, 2, 4, 8, 15, 30)
"""Seconds between attempts on a database that has gone away."""
LOCK = 6_213_870_195
"""The number of the advisory lock in PostgreSQL."""


@dataclass(frozen=True)
class Shared:
    """What machines share besides trials.

    ``kind``: what it is, in a word; ``alone``: the file of a folder that has one without a database;
    ``settings``: what makes two of them the same one, as JSON; ``merge``: of settings that stand
    there and those of this process, those of both, or a ValueError that says in what they differ
    (of the database in its third argument, its fourth is what else to choose).
    """

    kind: str
    alone: str
    settings: dict[str, Any]
    merge: Callable[[dict[str, Any], dict[str, Any], str, str], dict[str, Any]]


class InDatabase:
    """The trials in the database ``url``; the folder ``out`` has only runs of this machine.

    Raises StorageError for a database that cannot be used, and for one that holds another sweep, or
    whatever ``shared`` is.
    """

    def __init__(self, out: Path, url: StorageURL, shared: Shared, log: Log):
        self.out, self.url, self.name, self.log = out, url, str(url), log
        self.shared, self.study_name = shared, f"gibbsian-{shared.kind}"
        self.settings: dict[str, Any] = json.loads(json.dumps(shared.settings))
        self.lock = DatabaseLock(url)
        self.claims: dict[int, str] = {}
        if (out / shared.alone).exists() and not (out / "database.json").exists():
            raise ValueError(f"{out} holds a {shared.kind} without --storage; choose another --out")

    def reach(self, optuna: Any) -> None:
        """Connect, make the tables if there are none and look what is there: ``settings`` of both."""
        with self.explained(), self.lock.held():
            storage = self._storage(optuna)
            for study in optuna.get_all_study_summaries(storage, include_best_trial=False):
                if study.study_name == self.study_name and study.n_trials:
                    self._merge(study.user_attrs)

    def open(self, optuna: Any, direction: str, trials: int) -> tuple[optuna.Study, int]:
        """The study, made if there is none, and how many trials it is to have."""
        self.storage = self._storage(optuna)

        def made() -> optuna.Study:
            return optuna.create_study(
                study_name=self.study_name,
                storage=self.storage,
                direction=direction,
                load_if_exists=True,
            )

        study = made()
        if "settings" in study.user_attrs:
            try:
                self._merge(study.user_attrs)
            except StorageError:
                if study.get_trials(deepcopy=False):
                    raise
                optuna.delete_study(study_name=self.study_name, storage=self.storage)
                study = made()  # instead of one that never began
        there = study.user_attrs
        trials = max(trials, there.get("trials", 0))
        wanted: dict[str, Any] = {"settings": self.settings, "trials": trials}
        wanted["id"] = there.get("id", uuid.uuid4().hex)
        for key, value in wanted.items():
            if there.get(key) != value:
                study.set_user_attr(key, value)
        self.id = self.storage.get_study_id_from_name(self.study_name)
        self.machine = self._machine(wanted["id"])
        return study, trials

    def free(self, known: list[optuna.trial.FrozenTrial]) -> list[optuna.trial.FrozenTrial]:
        """Of the running trials those that this machine's locks decide on, or that nobody runs any more.

        To be asked under the lock: a trial without a holder was killed while it was claimed,
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
        """What was recorded of a trial, here or elsewhere."""
        return trial.user_attrs.get("result")

    def record(self, number: int, result: dict[str, Any]) -> None:
        """Keep the result where every machine finds it."""
        self.storage.set_trial_user_attr(self._id(number), "result", result)

    def agreed(self, name: str, find: Callable[[], T]) -> T:
        """What all machines take ``name`` to be: what the first of them found."""

        def known() -> dict[str, Any]:
            return self.storage.get_study_user_attrs(self.id)

        def settled() -> T:
            with self.lock.held():
                if name not in known():
                    self.storage.set_study_user_attr(self.id, name, found)
                return known()[name]

        there = self.insist(known)
        if name in there:
            return there[name]
        found = find()
        return self.insist(settled)

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

    def _merge(self, there: dict[str, Any]) -> None:
        found = there.get("settings", {})
        try:
            merged = self.shared.merge(found, self.settings, f"storage {self.name}", "database")
        except ValueError as error:
            raise StorageError(str(error)) from None
        self.settings = json.loads(json.dumps(merged))

    def _machine(self, known: str) -> str:
        """A name of this machine and folder; ValueError for a folder of another database's trials."""
        path = self.out / "database.json"
        if not path.exists():
            write_record(path, {"sweep": known, "folder": uuid.uuid4().hex})
        there = read_record(path)
        if there["sweep"] != known:
            raise StorageError(
                f"{self.out} holds trials of a {self.shared.kind} in another database than "
                f"{self.name}; choose another --out"
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
