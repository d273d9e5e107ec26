"""Every method that models x, on four data sets, by `gibbsian compare`: what its page says, side by side.

Fixed before it was run. All registered methods but super-resolution, with the settings that
`gibbsian train METHOD --data DATA` starts from and each method's own networks: 60 CPU-seconds of one thread
for the training of each run, the seeds 10, 11 and 12, which no setting was chosen on, 2 000 samples against
as many test rows or all there are. The densities ring8 and grid25, whose truth is known; digits (1797
pictures of 8x8; the judge is a classifier of their training rows); protein (45 730 rows, 9 columns).
`docs/compare.md` says what each figure is and how ranks are made. This study is no more than

    gibbsian compare --data DATA --methods all --num-seeds 3 --time-per-run 60s --out runs/compare-DATA

for the four, with those seeds. The rows of `nce`, `score-matching` and `energy-discrepancy` were made again
after these three had been given another sampler because of what the first had drawn here, and those of
`bihm` in the plane after its batch and number of draws had been tuned anew, on validation rows and the seeds
101 to 103, because of what they had been. A run *ran away* if training gave it up, or if in its last logged
round a value is not finite or lies outside what its method calls healthy (`HealthyRange`: mean energies of
data and samples 1000 nats apart, or 10 for each number of an observation; samples five times as wide as the
data; and more).
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from gibbsian.config.config import Source, method_class
from gibbsian.config.run_folder import Run
from gibbsian.core.files import read_json
from gibbsian.data import Dataset
from gibbsian.experiments.compare import ComparisonSettings
from gibbsian.experiments.compare.columns import COLUMNS
from gibbsian.experiments.compare.comparison_page import as_json
from gibbsian.experiments.compare.entries import run_cell
from gibbsian.experiments.compare.measuring import judge_of
from gibbsian.experiments.compare.ranking import ranked, row_of
from gibbsian.experiments.compare.settings import FLOOR, REFERENCES, TRIVIAL, variants_of
from gibbsian.experiments.compare.shared_runs import Cell, InFolder
from gibbsian.models.train import load_source
from studies.harness import RESULTS, Result, Study, run_study

DATA = ("ring8", "grid25", "digits", "protein")
BUDGET, SEEDS, FIRST_SEED, SAMPLES = 60.0, 3, 10, 2_000
SHOWN, POINTS, IMAGES = ("ring8", "grid25", "digits"), 400, 25
"""Data sets whose samples can be looked at in a small picture, and how many of a run are kept."""
FIRST = (
    "two-sample",
    "sliced-wasserstein",
    "frechet",
    "precision",
    "recall",
    "modes",
    "high-quality",
    "mode-kl",
    "kl",
    "log-likelihood",
    "log-likelihood-upper",
    "auroc",
)
"""The columns that stand here, where the data have them."""


def row(data: str, label: str, quick: bool) -> Result:
    """The runs of one row on one data set: what is missing of them, and then their figures."""
    variants = () if label in REFERENCES else variants_of(label)
    settings = ComparisonSettings(
        data,
        variants or variants_of("gan"),
        1 if quick else SEEDS,
        1.0 if quick else BUDGET,
        200 if quick else SAMPLES,
        first_seed=FIRST_SEED,
    )
    return runs_of(settings, label, Path("runs") / f"compare-{data}{'-quick' if quick else ''}")


def runs_of(
    settings: ComparisonSettings,
    label: str,
    out: Path,
    more: Callable[[Run, Dataset], Result] | None = None,
) -> Result:
    """The runs of ``label``, a reference or the variant of ``settings``; those that stand in ``out`` too.

    ``more``: what else is found of a run that was measured.
    """
    data, variants = settings.data, () if label in REFERENCES else settings.variants
    out.mkdir(parents=True, exist_ok=True)
    rows = load_source(data, Source())
    judge = judge_of(settings, rows, out)
    runs: list[Result] = []
    kept = data in SHOWN or rows.space.kind == "image"
    shown = thinned(rows.test) if label == FLOOR and kept else None
    for seed in settings.each_seed:
        cell = Cell(label, seed, variants[0] if variants else None)
        found = run_cell(cell, settings, rows, judge, out, InFolder(out, settings))
        if variants and "failed" not in found:
            run = Run(cell.folder(out) / "run")
            if why := ran_away(run, label, rows):
                found["away"] = why
            if more is not None:
                found |= more(run, rows)
            if shown is None and kept:
                arrays: Mapping[str, np.ndarray[Any, Any]] = np.load(
                    run.path / "evaluation.npz", allow_pickle=False
                )
                shown = thinned(torch.from_numpy(arrays["samples"]))
        runs.append(found)
        print(
            f"{data}, {label}, {seed}: {found.get('failed', 'done')}", file=sys.stderr, flush=True
        )
    return {"runs": runs} | ({} if shown is None else {"shown": shown})


def ran_away(run: Run, method: str, data: Dataset) -> str:
    """What is wrong with the last logged round; "" where it is healthy."""
    *_, line = run.metrics.read_text().splitlines()
    logged = {name: value for name, value in json.loads(line).items() if "/" in name}
    logs = {
        name: torch.tensor(float("nan") if value is None else float(value))
        for name, value in logged.items()
    }
    for name, value in logs.items():
        if not value.isfinite():
            return f"{name} is {float(value)}"
    for expected in method_class(method).healthy:
        value = expected.value(logs)
        if value is not None and expected.left(logs, math.prod(data.space.shape)):
            return f"{expected.name} is {float(value):.3g}"
    return ""


def thinned(x: Tensor) -> Result:
    """Points of the plane, or whole grey levels of images, few enough to be kept in a file: in one line."""
    kept = x[:POINTS] if x.ndim == 2 else x[:IMAGES, 0]
    digits = 2 if x.ndim == 2 else 0
    numbers = " ".join(f"{v:.{digits}f}" for v in kept.flatten().tolist())
    return {"shape": list(kept.shape), "numbers": numbers}


def drawn(result: Result | None) -> np.ndarray[Any, Any]:
    """The points or images in what ``thinned`` made; empty where there are none."""
    if result is None or "shown" not in result:
        return np.empty(0)
    numbers = np.array(result["shown"]["numbers"].split(), dtype=float)
    return numbers.reshape(result["shown"]["shape"])


def cells(quick: bool) -> dict[str, Callable[[], Result]]:
    """One row each."""
    labels = (FLOOR, "gan") if quick else (*REFERENCES, *(v.label for v in variants_of("all")))
    data = DATA[:1] if quick else DATA
    return {f"{d} / {label}": partial(row, d, label, quick) for d, label in product(data, labels)}


def rows_of(results: Mapping[str, Result], data: str) -> list[dict[str, Any]]:
    """One data set as `gibbsian compare` keeps its table, the rows that are there, in order."""
    found = {
        name.partition(" / ")[2]: result["runs"]
        for name, result in results.items()
        if name.startswith(f"{data} / ")
    }
    rows = ranked([row_of(label, runs, label in REFERENCES) for label, runs in found.items()])
    return as_json(rows)


def away(results: Mapping[str, Result]) -> list[str]:
    """A line for each run that ran away or failed."""
    return [
        f"- {name}, seed {FIRST_SEED + k}: {run.get('failed') or run['away']}"
        for name, result in results.items()
        for k, run in enumerate(result["runs"])
        if "failed" in run or "away" in run
    ]


def format_value(entry: Mapping[str, Any] | None) -> str:
    """Mean ± standard error [rank], or a dash."""
    if entry is None or "undefined" in entry:
        return "-"
    error = f" ± {entry['stderr']:.1g}" if entry.get("stderr") else ""
    rank = f" [{entry['rank']}]" if "rank" in entry else ""
    return f"{entry['value']:.3g}{error}{rank}"


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """One data set: a line per method, in the order of the comparison's page."""
    names = [
        name
        for name in FIRST
        if any("undefined" not in row["entries"].get(name, {"undefined": ""}) for row in rows)
    ]
    heads = [
        "method",
        *(COLUMNS[name].label.replace("|", r"\|") for name in names),
        "rounds",
        "parameters",
    ]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        line = [row["label"], *(format_value(row["entries"].get(name)) for name in names)]
        method = row["label"] not in REFERENCES
        line += [str(row["rounds"]), str(row["parameters"])] if method else ["", ""]
        if row["failed"]:
            line[0] += f" ({len(row['failed'])} failed)"
        lines.append(f"| {' | '.join(line)} |")
    return lines


def no_better(results: Mapping[str, Result]) -> list[str]:
    """A line for each row that is better than the simplest distribution in no figure of samples."""
    found = []
    for data in DATA:
        rows = rows_of(results, data)
        simplest: Mapping[str, Any] = next(
            (row["entries"] for row in rows if row["label"] == TRIVIAL), {}
        )
        for row in rows if simplest else ():
            if row["label"] not in REFERENCES and not any(
                better(name, row["entries"].get(name, {}), simplest.get(name, {}))
                for name, column in COLUMNS.items()
                if column.about == "samples"
            ):
                found.append(f"- {data}: {row['label']}")
    return found


def better(name: str, here: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
    """Whether the mean of a figure is better here than there; a figure that is missing is not."""
    if "value" not in here or "value" not in there:
        return False
    return COLUMNS[name].sign * (float(here["value"]) - float(there["value"])) > 0


def render(results: Mapping[str, Result]) -> str:
    """A table for each data set, then what ran away, then samples."""
    lines = [
        "Mean ± standard error over seeds; in brackets the rank, which those share who cannot be"
    ]
    lines += ["told apart. Rows in the order of their mean place in the figures of samples.", ""]
    for data in DATA:
        rows = rows_of(results, data)
        if rows:
            lines += [f"## {data}", "", *table(rows), ""]
    said = away(results)
    lines += ["## Runs that ran away", "", *(said or ["None."]), ""]
    lines += ["## Better than the simplest distribution in no figure of samples", ""]
    lines += [*(no_better(results) or ["None."]), ""]
    lines.append("![Samples of every method, test rows on the left](comparison.png)")
    return "\n".join(lines)


def draw(results: Mapping[str, Result], path: Path) -> None:
    """Test rows, then samples of each method's first sound run: points in the plane, or digits."""
    shown = [data for data in SHOWN if f"{data} / {FLOOR}" in results]
    names = [row["label"] for row in rows_of(results, shown[0]) if row["label"] not in REFERENCES]
    labels = [FLOOR, *names]
    figure = Figure((1.25 * len(labels), 1.45 * len(shown)), layout="constrained")
    grid = figure.subplots(len(shown), len(labels), squeeze=False)
    for axes, data in zip(grid, shown, strict=True):
        test = drawn(results[f"{data} / {FLOOR}"])
        for axis, label in zip(axes, labels, strict=True):
            axis.set(xticks=[], yticks=[])
            if data == shown[0]:
                axis.set_title("test rows" if label == FLOOR else label, fontsize=8)
            x = drawn(results.get(f"{data} / {label}"))
            if x.ndim == 2:
                axis.plot(x[:, 0], x[:, 1], ".", markersize=1.5, color="#1d4ed8")
                reach = 1.15 * abs(test).max()
                axis.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
            elif x.ndim == 3:
                side = x.shape[-1]
                sheet = x.reshape(5, 5, side, side).swapaxes(1, 2).reshape(5 * side, 5 * side)
                axis.imshow(sheet, cmap="gray")
        axes[0].set_ylabel(data, fontsize=8)
    figure.savefig(path, dpi=90)


STUDY = Study("comparison", __doc__ or "", cells, render)

if __name__ == "__main__":
    status = run_study(STUDY)
    written = RESULTS / f"comparison{'-quick' if '--quick' in sys.argv else ''}.json"
    if written.exists() and "--out" not in sys.argv:
        draw(read_json(written)["results"], written.with_suffix(".png"))
    sys.exit(status)
