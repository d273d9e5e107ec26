"""``gibbsian sweep``: many runs of one method over a space of settings."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from gibbsian.cli.console import parse, say
from gibbsian.cli.slurm import slurm_script
from gibbsian.config import recipes
from gibbsian.config.config import method_class
from gibbsian.core.text import printable
from gibbsian.experiments.sweep.objectives import SWEEP_OBJECTIVES
from gibbsian.experiments.sweep.results import summarise_sweep
from gibbsian.experiments.sweep.search import SweepSettings, run_sweep
from gibbsian.experiments.sweep.space import read_search_space
from gibbsian.experiments.trials.workers import check_workers

KNOWN = ", ".join(SWEEP_OBJECTIVES)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Train a method at many settings and compare them; the same command goes on after a kill.

    Args:
        method: which method (see `gibbsian list methods`).
        data: what it is trained on, as for `gibbsian train`.
        search_space: JSON file from options to lists of values or ranges.
        out: folder of the sweep, which several processes may share; runs/sweep-METHOD-DATA if none
            is given.
        hyperparameter_search: every combination, random ones, or ones that earlier results suggest.
        num_trials: how many, for random and bayes; may be raised when the sweep goes on.
        target_metric: the figure to compare, on validation rows.
        metric_classifier: that judges images, as `gibbsian classifier` writes one.
        workers: processes at once, one thread each.
        num_samples: drawn from each model to measure it.
        storage: URL of a database that several machines share, postgresql+psycopg://USER@HOST/DATABASE
            or sqlite:///FILE; without it the trials are in the folder.
        slurm: run nothing; print a script for Slurm with an array of `workers` tasks.
        seed: of the search and of the samples; that of training is an option to list.
        trust_code: import code that the space names as package.module:Class; it runs with all your
            rights.
    """

    method: Annotated[Positional[str], tyro.conf.arg(metavar="METHOD")]
    data: Annotated[str, tyro.conf.arg(metavar="DATA")]
    search_space: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    target_metric: Annotated[str, tyro.conf.arg(metavar="NAME", help=f"one of {KNOWN}")]
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    hyperparameter_search: Literal["grid", "random", "bayes"] = "grid"
    num_trials: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    metric_classifier: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    workers: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    num_samples: Annotated[int, tyro.conf.arg(metavar="N")] = 2_000
    storage: Annotated[str | None, tyro.conf.arg(metavar="URL")] = None
    slurm: bool = False
    seed: int = 0
    trust_code: bool = False


def sweep_(arguments: list[str]) -> int:
    """Search over settings: `sweep METHOD --data DATA --search-space FILE --target-metric NAME`."""
    args = parse(Sweep, arguments, "sweep")
    method_class(args.method)
    settings = SweepSettings(
        recipes.default_config(args.method, args.data),
        read_search_space(args.search_space),
        args.hyperparameter_search,
        args.target_metric,
        args.num_samples,
        args.seed,
        None if args.metric_classifier is None else str(args.metric_classifier),
        args.num_trials,
        args.trust_code,
    )
    name = Path(args.data).stem if "/" in args.data else args.data
    out = args.out or Path("runs") / f"sweep-{args.method}-{name}"
    if args.slurm:
        check_workers(args.workers)
        print(slurm_script(arguments, args.storage, args.workers), end="")
        return 0
    died = run_sweep(out, settings, args.workers, say, args.storage)
    print(printable(summarise_sweep(out, settings, args.storage)), end="")
    if died:
        say(f"error: {died} of {args.workers} workers ended early; the same command goes on")
    return int(died > 0)
