"""A sweep of training runs: its settings on disk, its workers, one trial from values to figures."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from gibbsian.config.config import Config, from_json, to_json
from gibbsian.config.run_folder import Run
from gibbsian.core import DivergenceError, nearest
from gibbsian.core.locks import FileLock
from gibbsian.core.records import read_record, write_record
from gibbsian.evaluation.features.classifier import Classifier, load_classifier
from gibbsian.experiments.sweep.objectives import SWEEP_OBJECTIVES, Setting, possible
from gibbsian.experiments.sweep.plan import Search, SearchPlan, planned
from gibbsian.experiments.sweep.space import Space, Values, applied, parse_search_space, to_entries
from gibbsian.experiments.trials.database import InDatabase, Shared
from gibbsian.experiments.trials.journal import Claim, Journal, Result, import_optuna
from gibbsian.experiments.trials.storage_url import StorageURL
from gibbsian.experiments.trials.workers import Log, check_workers, in_processes, silent
from gibbsian.models.train import load_data, resume, train_config

FORMAT = 1


@dataclass(frozen=True)
class SweepSettings:
    """What makes two sweeps the same sweep; ``trials`` may grow when one is continued.

    ``trust_code``: import code that the space or the journal names. It is the user's and not the
    sweep's, and written nowhere.
    """

    config: Config
    space: Space
    search: Search
    objective: str
    samples: int = 2_000
    seed: int = 0
    classifier: str | None = None
    trials: int = 0
    trust_code: bool = False

    def __post_init__(self) -> None:
        if self.objective not in SWEEP_OBJECTIVES:
            raise nearest("objective", self.objective, SWEEP_OBJECTIVES)
        if self.samples < 2:
            raise ValueError(f"figures need at least 2 samples, not {self.samples}")
        planned(self.space, self.search, self.trials)
        self.probes()

    def probes(self) -> list[Config]:
        """Configurations that together have every option, every listed value and every range's ends."""
        lists = {
            n: e if isinstance(e, list) else [e["low"], e["high"]] for n, e in self.entries.items()
        }
        longest = max(len(values) for values in lists.values())
        points = (
            {name: values[min(i, len(values) - 1)] for name, values in lists.items()}
            for i in range(longest)
        )
        return [self.applied(point, "the space") for point in points]

    def applied(self, values: Values, origin: str) -> Config:
        """The configuration with ``values`` set; ValueError for code in it without consent."""
        return applied(self.config, values, origin, self.trust_code)

    def judge(self) -> Classifier | None:
        """The classifier that images are judged by."""
        return load_classifier(Path(self.classifier)) if self.classifier else None

    @property
    def entries(self) -> dict[str, Any]:
        """The space as JSON."""
        return to_entries(self.space)

    def to_json(self) -> dict[str, Any]:
        """What ``sweep.json`` holds."""
        plain = {k: v for k, v in vars(self).items() if k not in ("config", "space", "trust_code")}
        return {
            "format": FORMAT,
            **plain,
            "config": to_json(self.config),
            "space": self.entries,
        }

    @classmethod
    def from_json(cls, entries: dict[str, Any], trust_code: bool = False) -> SweepSettings:
        """The inverse of ``to_json``."""
        if not isinstance(entries, dict) or not {"config", "space"} <= entries.keys():
            raise ValueError("sweep.json is damaged: it lacks what every sweep has")
        rest = {k: v for k, v in entries.items() if k not in ("format", "config", "space")}
        config = from_json(entries["config"], "sweep.json", trust_code)
        try:
            return cls(config, parse_search_space(entries["space"]), **rest, trust_code=trust_code)
        except (TypeError, AttributeError) as error:
            raise ValueError(f"sweep.json is damaged ({error}); restore it from a copy") from error

    def journal(self, out: Path, storage: str | None = None, log: Log = silent) -> Journal:
        """The trials in ``out``, or in the database with the URL ``storage``."""
        maximise = SWEEP_OBJECTIVES[self.objective].maximise
        database = None if storage is None else self.database(out, storage, log)
        plan = SearchPlan(out, self.space, self.search, maximise, self.trials, self.seed)
        return Journal(out, plan, database)

    def database(self, out: Path, storage: str, log: Log = silent) -> InDatabase:
        """The database with the URL ``storage``, not yet connected to."""
        shared = Shared("sweep", "journal.log", self.to_json(), same_sweep)
        return InDatabase(out, StorageURL(storage), shared, log)


def same_sweep(there: dict[str, Any], here: dict[str, Any], holder: str, other: str) -> Any:
    """The settings that stand ``there``; ValueError where those of the sweep ``here`` are others."""
    for name in sorted({*there, *here} - {"trials"}):
        if there.get(name) != here.get(name):
            raise ValueError(
                f"{holder} holds a sweep with another {name}; continue it with its own "
                f"settings or choose another {other}"
            )
    return there


def settle(out: Path, settings: SweepSettings) -> None:
    """Write the sweep's settings, or compare them with those that stand there.

    Raises ValueError when ``out`` holds another sweep, or something else.
    """
    path = out / "sweep.json"
    if not path.exists() and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} exists and holds no sweep; choose another --out")
    with FileLock(out / "settings.lock").held():
        if path.exists():
            there, here = read_record(path), json.loads(json.dumps(settings.to_json()))
            if not isinstance(there, dict) or type(there.get("trials")) is not int:
                raise ValueError(f"{path} is damaged: it lacks what every sweep has")
            same_sweep(there, here, str(out), "--out")
            trials = max(there["trials"], settings.trials)
            settings = SweepSettings.from_json(here | {"trials": trials}, settings.trust_code)
        write_record(path, settings.to_json())


def run_sweep(
    out: Path, settings: SweepSettings, workers: int, log: Log, storage: str | None = None
) -> int:
    """Run what is left of a sweep, in ``workers`` processes of one thread each; how many of them died.

    Other processes may work on the same folder at the same time, and other machines, in folders of
    their own, on the same database ``storage`` (a URL, which is written nowhere). Raises ValueError,
    before anything is written, for data that cannot be loaded, an objective that no trial could
    have and settings that do not fit what stands in ``out``.
    """
    check_workers(workers)
    data, setting = load_data(settings.config), Setting(settings.samples, 0, settings.judge())
    possible(settings.objective, data, setting, settings.probes())
    if storage is not None:
        settings.database(out, storage, log).reach(import_optuna())
    settle(out, settings)
    settings.journal(out, storage, log)
    each = partial(work, trust_code=settings.trust_code, storage=storage)
    return in_processes(each, out, workers, log)


def work(out: Path, log: Log, trust_code: bool = False, storage: str | None = None) -> None:
    """Run trials until none is left, telling of each in a line."""
    torch.set_num_threads(1)
    settings = SweepSettings.from_json(read_record(out / "sweep.json"), trust_code)
    setting = Setting(settings.samples, settings.seed, settings.judge())
    journal = settings.journal(out, storage, log)
    while True:
        with journal.next() as claim:
            if claim is None:
                return
            result = run_trial(claim, settings, setting)
            kept = journal.finish(claim, result)
        if not kept:
            log(f"trial {claim.number}: another machine has taken it over; this result is left out")
            continue
        said = result.get("failed") or f"{settings.objective} {result['value']:.4g}"
        left = journal.trials - sum(row.state != "running" for row in journal.rows())
        log(f"trial {claim.number}: {said}; {left} to go")


def run_trial(claim: Claim, settings: SweepSettings, setting: Setting) -> Result:
    """Train with the claim's values and measure; go on with a run that stands in its folder.

    A run that is not finite, settings that do not fit and figures that do not exist are results.
    """
    begun, run = time.monotonic(), Run(claim.folder / "run")
    try:
        config = settings.applied(claim.values, "the journal")
        data = load_data(config)
        if (run.path / "config.json").is_file():
            model = resume(run.path, dataset=data, trust_code=settings.trust_code)
        else:
            model = train_config(config, run, data)
        figures = SWEEP_OBJECTIVES[settings.objective].measure(model, data, setting)
        value = figures.get(settings.objective, math.nan)
        if not math.isfinite(value):
            raise ValueError(f"{settings.objective} is not defined or not finite")
    except (DivergenceError, ValueError) as error:
        return {"failed": str(error), "seconds": round(time.monotonic() - begun, 1)}
    finite = {name: figure for name, figure in figures.items() if math.isfinite(figure)}
    return {"value": value, "figures": finite, "seconds": round(time.monotonic() - begun, 1)}
