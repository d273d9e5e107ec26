"""``gibbsian compare``: methods side by side on one protocol."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Annotated

import tyro

from gibbsian.cli.console import parse, say
from gibbsian.config.config import DATA, Source
from gibbsian.core.text import printable
from gibbsian.data.rows import counted
from gibbsian.experiments.compare import ComparisonSettings, compare, summarise_comparison
from gibbsian.experiments.compare.settings import refuse_other, standing, variants_of
from gibbsian.experiments.compare.shared_runs import collect, unfinished
from gibbsian.models.train import device_of

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclasses.dataclass(frozen=True)
class Compare:
    """Train methods on the same rows for the same time, measure them alike, and write one page.

    The same command goes on after a kill; with more methods or seeds it adds to what is there. Other
    processes may work on the same folder. Every run lies in DIR/ROW/seed-N/run, for `gibbsian report`.

    Args:
        methods: with commas between them, or all (see `gibbsian list methods`).
        extra_methods_file: JSON file of further entries, methods with other options, such as
            {"Wasserstein GAN": {"method": "gan", "loss": "wasserstein"}}.
        num_seeds: runs of each method; errors are over them.
        time_per_run: CPU time of one thread for training each run, such as 60s or 5m; measuring comes on top.
        out: folder of the comparison; runs/compare-DATA if none is given.
        workers: processes at once, one thread each.
        num_samples: drawn of each model, and at most as many test rows are held against them.
        metric_feature_extractor: features in which images are compared: squeezenet, mobilenet, pixels, a
            file by `gibbsian classifier`, or package.module:Class. auto trains a classifier of the data's
            classes, or takes pixels where there are none.
        device: where to train and measure: cpu, cuda, cuda:1 or auto; on a GPU the budget is the clock's.
        storage: URL of a database that several machines share, postgresql+psycopg://USER@HOST/DATABASE
            or sqlite:///FILE; without it claims are in the folder.
        report_only: only write the page again about what is done so far.
        trust_code: import code that a row names as package.module:Class; it runs with all your rights.
    """

    data: Annotated[str, tyro.conf.arg(metavar="DATA", help=DATA)]
    methods: Annotated[str, tyro.conf.arg(metavar="A,B,...")] = "all"
    extra_methods_file: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    num_seeds: Annotated[int, tyro.conf.arg(metavar="K")] = 3
    time_per_run: Annotated[str, tyro.conf.arg(metavar="TIME")] = "60s"
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    workers: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    num_samples: Annotated[int, tyro.conf.arg(metavar="N")] = 2_000
    metric_feature_extractor: Annotated[str, tyro.conf.arg(metavar="NAME")] = "auto"
    device: Annotated[str, tyro.conf.arg(metavar="DEVICE")] = "cpu"
    storage: Annotated[str | None, tyro.conf.arg(metavar="URL")] = None
    report_only: bool = False
    trust_code: bool = False
    source: tyro.conf.OmitArgPrefixes[Source] = dataclasses.field(default_factory=Source)


def compare_(arguments: list[str]) -> int:
    """Compare methods: `compare --data DATA --methods a,b,c --num-seeds K --time-per-run 60s`."""
    args = parse(Compare, arguments, "compare")
    settings = ComparisonSettings(
        args.data,
        variants_of(args.methods, args.extra_methods_file),
        args.num_seeds,
        seconds(args.time_per_run),
        args.num_samples,
        args.metric_feature_extractor,
        args.source,
        str(device_of(args.device)),
        args.trust_code,
    )
    name = Path(args.data).stem if "/" in args.data else args.data
    out = args.out or Path("runs") / f"compare-{name}"
    died = 0
    try:
        if not args.report_only:
            died = compare(out, settings, args.workers, say, args.storage)
        elif args.storage is not None:
            refuse_other(out)
            collect(out, args.storage, say)
    finally:  # a look at what is done so far, also after an interruption
        if (out / "comparison.json").is_file():
            print(printable(str(summarise_comparison(out, standing(out)))), end="")
            say(f"the page is {out / 'comparison.html'}")
    if args.report_only and not (out / "comparison.json").is_file():
        raise ValueError(f"{out} holds no comparison to show; leave out --report-only to begin one")
    if not args.report_only and not died and (left := unfinished(out)):
        say(
            f"note: {counted(left, 'run')} of this comparison others are still at; the same command later, "
            "or with --report-only, writes the page with them"
        )
    if died:
        say(f"error: {died} of {args.workers} workers ended early; the same command goes on")
    return int(died > 0)


def seconds(text: str) -> float:
    """The seconds that ``text`` means, 90, 90s, 1.5m or 1h; ValueError otherwise."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", text)
    if found is None:
        raise ValueError(f"--time-per-run must be a time such as 60s, 5m or 1h, not {text!r}")
    return float(found[1]) * UNITS[found[2]]
