"""The runs of a comparison: each trained and measured once, by workers that share a folder."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from gibbsian.config.config import Config, replace
from gibbsian.config.run_folder import Run
from gibbsian.core import DivergenceError
from gibbsian.core.locks import FileLock
from gibbsian.core.records import read_record, write_record
from gibbsian.data import Dataset
from gibbsian.experiments.budgets import rounds_within
from gibbsian.experiments.compare.baselines import reference
from gibbsian.experiments.compare.measuring import Judge, judge_of, measured
from gibbsian.experiments.compare.settings import (
    REFERENCES,
    ComparisonSettings,
    MethodVariant,
    settle,
    standing,
)
from gibbsian.experiments.sweep.workers import Log, check_workers, in_processes
from gibbsian.models.train import device_of, load_source, resume, train_config

Result = dict[str, Any]
FEWEST = 10
"""Test rows that a comparison needs."""


@dataclass(frozen=True)
class Cell:
    """One run: a variant and a seed. Without a variant it is a reference."""

    label: str
    seed: int
    variant: MethodVariant | None

    def folder(self, out: Path) -> Path:
        """Where the run and its figures lie."""
        return out / self.label / f"seed-{self.seed}"

    def figures(self, out: Path) -> Path:
        """The file of what was found; it is there once the run is done."""
        return self.folder(out) / "figures.json"


def cells(settings: ComparisonSettings) -> list[Cell]:
    """Every run, references first and seed by seed, so that an early look compares all rows."""
    found = [Cell(label, seed, None) for label in REFERENCES for seed in settings.each_seed]
    return found + [
        Cell(variant.label, seed, variant)
        for seed in settings.each_seed
        for variant in settings.variants
    ]


def compare(out: Path, settings: ComparisonSettings, workers: int, log: Log) -> int:
    """Do what is left, in ``workers`` processes of one thread each; how many ended early.

    Other processes may work on the same folder at the same time. Raises ValueError
    before anything is written for data that cannot be loaded and settings that do not fit.
    """
    check_workers(workers)
    device_of(settings.device)
    data = load_source(settings.data, settings.source)
    for variant in settings.variants:
        if variant.options:
            settings.config(variant)
    if len(data.test) < FEWEST:
        raise ValueError(
            f"{settings.data} has {len(data.test)} test rows, a tenth of all; a comparison needs at "
            f"least {FEWEST}, so some {10 * FEWEST} rows"
        )
    if settings.extractor != "auto":
        judge_of(settings, data, out)  # says what is wrong with it, and writes nothing
    settings = settle(out, settings)
    judge_of(settings, data, out)
    return in_processes(partial(work, trust_code=settings.trust_code), out, workers, log)


def work(out: Path, log: Log, trust_code: bool = False) -> None:
    """Run cells until none is left that nobody works on, telling of each in a line."""
    torch.set_num_threads(1)
    settings = standing(out, trust_code)
    data = load_source(settings.data, settings.source)
    judge = judge_of(settings, data, out)
    for cell in cells(settings):
        with claimed(cell, out) as mine:
            if not mine or cell.figures(out).exists():
                continue
            begun = time.monotonic()
            result = run_cell(cell, settings, data, judge, out)
            result["seconds"] = round(time.monotonic() - begun, 1)
            write_record(cell.figures(out), result)
        left = sum(not other.figures(out).exists() for other in cells(settings))
        said = result.get("failed", f"{result['seconds']:.0f} s")
        log(f"{cell.label}, seed {cell.seed}: {said}; {left} to go")


@contextmanager
def claimed(cell: Cell, out: Path) -> Iterator[bool]:
    """Whether the cell is this worker's; the claim dies with the process."""
    lock = FileLock(cell.folder(out) / "claim.lock")
    mine = lock.acquire(wait=False)
    try:
        yield mine
    finally:
        if mine:
            lock.release()


def run_cell(
    cell: Cell, settings: ComparisonSettings, data: Dataset, judge: Judge, out: Path
) -> Result:
    """Train, or go on with a run that stands there, and measure.

    A method that does not suit the data and a run that is not finite are results.
    """
    if cell.variant is None:
        return {"figures": reference(cell.label, cell.seed, settings, data, judge)}
    run = Run(cell.folder(out) / "run")
    try:
        begun = time.process_time()
        if (run.path / "config.json").is_file():
            model = resume(run.path, dataset=data, trust_code=settings.trust_code)
        else:
            config = settings.config(cell.variant)
            rounds = rounds_of(cell.label, config, data, settings, out)
            training = {"rounds": rounds, "seed": cell.seed, "device": settings.device}
            begun = time.process_time()
            model = train_config(replace(config, training=training), run, data)
        taken = time.process_time() - begun
        figures = measured(model, data, settings, cell.seed, judge, run)
    except (DivergenceError, ValueError) as error:
        return {"failed": str(error)}
    parameters = sum(p.numel() for p in model.method.parameters())
    return {
        "figures": figures,
        "rounds": model.config.training.rounds,
        "parameters": parameters,
        "cpu_seconds": round(taken, 1),
    }


def rounds_of(
    label: str, config: Config, data: Dataset, settings: ComparisonSettings, out: Path
) -> int:
    """Rounds that fill the budget: found once by a trial and kept, the same for every seed."""
    path = out / label / "rounds.json"
    with FileLock(path.with_suffix(".lock")).held():
        known: Mapping[str, int] = read_record(path) if path.exists() else {}
        if "rounds" not in known:
            known = {"rounds": rounds_within(config, data, settings.budget, settings.device)}
            write_record(path, known)
        return known["rounds"]
