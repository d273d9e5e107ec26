"""The runs of a comparison: each trained and measured once, by workers that share a folder."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

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
from gibbsian.experiments.compare.settings import ComparisonSettings, refuse_other, settle
from gibbsian.experiments.compare.shared_runs import Cell, Result, Turns, collect, join, turns
from gibbsian.experiments.trials.workers import Log, check_workers, in_processes
from gibbsian.models.train import device_of, load_source, resume, train_config

FEWEST = 10
"""Test rows that a comparison needs."""


def compare(
    out: Path, settings: ComparisonSettings, workers: int, log: Log, storage: str | None = None
) -> int:
    """Do what is left, in ``workers`` processes of one thread each; how many ended early.

    Other processes may work on the same folder at the same time, and other machines, in folders of
    their own, on the same database ``storage`` (a URL, which is written nowhere), from which ``out``
    then has every result. Raises ValueError before anything is written for data that cannot be loaded
    and settings that do not fit.
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
    if storage is None:
        settings = settle(out, settings)
    else:
        refuse_other(out)
        settings = join(out, settings, storage, log)
    _, who = turns(out, settings.trust_code, storage, log)
    agree_on_judge(judge_of(settings, data, out), who, out)
    each = partial(work, trust_code=settings.trust_code, storage=storage)
    died = in_processes(each, out, workers, log)
    if storage is not None:
        collect(out, storage, log)
    return died


def agree_on_judge(judge: Judge, who: Turns, out: Path) -> None:
    """ValueError where another machine has trained another classifier to compare images by.

    Training is seeded, yet its last bits are the machine's.
    """
    file = out / "classifier.safetensors"

    def digest() -> str:
        return judge.features.digest

    if file.exists() and who.agreed("classifier", digest) != digest():
        raise ValueError(
            f"{file} is another classifier than the one by which the other runs are measured; copy that "
            "one here from the folder of the machine that began"
        )


def work(out: Path, log: Log, trust_code: bool = False, storage: str | None = None) -> None:
    """Run cells until none is left that nobody works on, telling of each in a line."""
    torch.set_num_threads(1)
    settings, who = turns(out, trust_code, storage, log)
    data = load_source(settings.data, settings.source)
    judge = judge_of(settings, data, out)
    while True:
        with who.next() as cell:
            if cell is None:
                return
            begun = time.monotonic()
            result = run_cell(cell, settings, data, judge, out, who)
            result["seconds"] = round(time.monotonic() - begun, 1)
            kept = who.finish(cell, result)
        name = f"{cell.label}, seed {cell.seed}"
        if not kept:
            log(f"{name}: another machine has taken it over; this result is left out")
            continue
        said = result.get("failed", f"{result['seconds']:.0f} s")
        log(f"{name}: {said}; {who.left()} to go")


def run_cell(
    cell: Cell,
    settings: ComparisonSettings,
    data: Dataset,
    judge: Judge,
    out: Path,
    who: Turns,
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
            rounds = rounds_of(cell.label, config, data, settings, out, who)
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
    label: str, config: Config, data: Dataset, settings: ComparisonSettings, out: Path, who: Turns
) -> int:
    """Rounds that fill the budget: found once by a trial and kept, the same for every seed."""
    path = out / label / "rounds.json"
    with FileLock(path.with_suffix(".lock")).held():
        known: Mapping[str, int] = read_record(path) if path.exists() else {}
        if "rounds" not in known:

            def find() -> int:
                return rounds_within(config, data, settings.budget, settings.device)

            known = {"rounds": who.agreed(f"rounds of {label}", find)}
            write_record(path, known)
        return known["rounds"]
