"""Does the interval for log Z that `log_partition` returns by default hold the truth?

Unlike `logz-coverage`, which looks at single estimators, this looks at what a user gets: the interval
after every choice among estimators. Fixed before running:

- Targets with known log Z, in `studies/logz_targets.py`: those looked at while the estimator was made
  (TUNING) are listed apart from those measured here (FINAL), none of which was looked at before.
- A run *misses* if the truth lies outside [lower - 1.96 stderr, upper + 1.96 stderr] by more than 1e-4 nats,
  which single precision may cost (added after the first look: exact values have no standard error); it misses
  *silently* if it does not warn either. "Not defined" for a proper target is a *refusal*.
- Reference points: `exact`, 500 exact draws; `foreign`, 5 % of them replaced by draws from a normal
  distribution three times as wide as the target; `scaled`, multiplied by 1.05; `few`, 100 exact draws.
  Binary vectors take no points. Seeds: the run's number plus 100,000 times the target's plus 10,000
  times the variant's place in its list.
- Must: silent misses at most 5 % of all runs, and at most 12 % on every target; warnings on at most 5 %
  of the runs that hold the truth with exact points, 20 % of those of the other variants pooled;
  refusals 0. Aim: each side holds in 93 to 97 % of the runs without a warning; the median width on
  Gaussians is at most 0.1 nats in at most 10 CPU seconds.
- Of every target, runs 0 to 9 with exact points and 0 to 2 of each other variant; then, as far as time
  goes, runs up to 20 and 8, up to 50 and 30, and 100 of each. The table says how many were run.
- Trained models, in `studies/logz_trained.py`: `gibbsian.train` trains six (800 rounds, seed 0), in the plane
  and, on tables of two independent pairs of columns, in four dimensions; the truth is a grid of the
  trained energy in double precision. Measured is log Z as `Model.evaluate` gives it (from training rows) and
  as `Model.log_z()` does (from samples of its own), 10 seeds each. The same limits hold for all of these
  runs together and for every model, for needless warnings 20 %. A model of which half of the grid gives
  another truth by more than 1e-3 nats has none and is not counted (added after the first look: contrastive
  divergence had diverged on one table, its energy at -78,000, and half of the grid was off by 30 nats).
- The final run was made once, not repeated: it was stopped and resumed, and what had been run was kept.
  The quick form takes one run per kind of points of one final target.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from statistics import fmean, median

import torch
from torch import Generator, Tensor

from gibbsian.core import Interval
from gibbsian.core.measures import Box, Counting
from gibbsian.evaluation import log_partition
from studies.harness import Result, Study, run_study
from studies.logz_targets import FINAL, TUNING, Truth
from studies.logz_trained import CALLS, GRID_ERROR, MODELS, SEEDS, measure_model

VARIANTS = ("exact", "foreign", "scaled", "few")
STAGES = {
    "": (range(10), range(3)),
    ", more": (range(10, 20), range(3, 8)),
    ", 20 to 49": (range(20, 50), range(8, 30)),
    ", 50 to 99": (range(50, 100), range(30, 100)),
}
"""Numbers of the runs, with exact points and of each other variant, by the end of their cell's name."""
POINTS, FEW = 500, 100
SILENT, SILENT_ON_ONE, WARNED, WARNED_OTHERS = 0.05, 0.12, 0.05, 0.20
WIDE = 0.1
ROUNDING = 1e-4
EFFORT_TARGETS = ("Gaussian, d = 30", "bananas, d = 6")
EFFORT_RUNS = {"quick": 10, "normal": 10, "high": 3}
Row = list[float]
"""Lower value and stderr, upper value and stderr, whether it warned, CPU seconds; empty: refused."""


def reference_points(truth: Truth, variant: str, rng: Generator) -> Tensor | None:
    """The points that `log_partition` is given."""
    if isinstance(truth.measure, Counting):
        return None
    x = truth.draw(FEW if variant == "few" else POINTS, rng)
    if variant == "scaled":
        x = 1.05 * x
    if variant == "foreign":
        count = len(x) // 20
        noise = torch.randn(count, x.shape[1], generator=rng)
        x = torch.cat([x.mean(0) + 3 * x.std(0) * noise, x[count:]])
    if isinstance(truth.measure, Box):
        x = x.clamp(truth.measure.low, truth.measure.high)
    return x


def one_run(truth: Truth, variant: str, seed: int, effort: str = "normal") -> Row:
    """What one user gets."""
    rng = Generator().manual_seed(seed)
    points = reference_points(truth, variant, rng)
    begun = time.process_time()
    found = log_partition(
        truth.energy, truth.measure, rng=rng, reference_points=points, effort=effort
    )
    seconds = time.process_time() - begun
    if not isinstance(found, Interval):
        return []
    low, high = found.lower, found.upper
    numbers = (low.value, low.stderr, high.value, high.stderr, float(bool(found.warnings)), seconds)
    return [round(number, 6) for number in numbers]


def measure_target(name: str, runs: Mapping[str, Sequence[int]]) -> Result:
    """All runs of one target: variant -> run numbers."""
    truth = FINAL[name]()
    place = list(FINAL).index(name)
    rows = {
        variant: [
            one_run(truth, variant, 100_000 * place + 10_000 * VARIANTS.index(variant) + number)
            for number in numbers
        ]
        for variant, numbers in runs.items()
        if variant == "exact" or not isinstance(truth.measure, Counting)
    }
    return {"log_z": truth.log_z, "rows": rows}


def measure_effort(name: str, runs: Mapping[str, int]) -> Result:
    """Width and seconds of each amount of work."""
    truth = FINAL[name]()
    rows = {
        effort: [one_run(truth, "exact", 50_000_000 + number, effort) for number in range(count)]
        for effort, count in runs.items()
    }
    return {"log_z": truth.log_z, "rows": rows}


def cells(quick: bool) -> dict[str, Callable[[], Result]]:
    """The first runs of every target, the further ones, then the amounts of work."""
    if quick:
        runs = {variant: range(1) for variant in VARIANTS}
        return {name: partial(measure_target, name, runs) for name in ("shell, d = 5",)}
    found: dict[str, Callable[[], Result]] = {}
    for end, (exact, others) in STAGES.items():
        runs = {v: exact if v == "exact" else others for v in VARIANTS}
        found |= {f"{name}{end}": partial(measure_target, name, runs) for name in cheapest_first()}
        if not end:
            found |= {
                f"effort: {name}": partial(measure_effort, name, EFFORT_RUNS)
                for name in EFFORT_TARGETS
            }
    return found | {f"model: {name}": partial(measure_model, name, SEEDS) for name in MODELS}


def cheapest_first() -> list[str]:
    """The targets, so that a study that is cut short has as many as it can: by dimension, trained last."""

    def cost(name: str) -> tuple[bool, int]:
        numbers = [int(word) for word in name.replace(",", "").split() if word.isdigit()]
        return name.startswith("trained"), max(numbers, default=0)

    return sorted(FINAL, key=cost)


def bounds(row: Row) -> tuple[float, float]:
    """The ends of the 95 % interval, with room for rounding."""
    return row[0] - 1.96 * row[1] - ROUNDING, row[2] + 1.96 * row[3] + ROUNDING


def holds(row: Row, truth: float) -> bool:
    """Whether the truth lies between them."""
    low, high = bounds(row)
    return low <= truth <= high


def silent(row: Row, truth: float) -> bool:
    """A miss without a warning."""
    return not holds(row, truth) and not row[4]


def rows_of(results: Mapping[str, Result], variants: Iterable[str]) -> dict[str, list[Row]]:
    """Every target's runs of some variants, the further ones included."""
    return {
        name: [
            row
            for cell in (f"{name}{end}" for end in STAGES)
            if cell in results
            for variant in variants
            for row in results[cell]["rows"].get(variant, [])
        ]
        for name in FINAL
        if name in results
    }


def share(flags: Iterable[bool]) -> float:
    """Of true ones."""
    listed = list(flags)
    return fmean(listed) if listed else 0.0


def verdict(results: Mapping[str, Result]) -> dict[str, bool | float]:
    """The conditions, and the numbers they rest on."""
    truth = {name: results[name]["log_z"] for name in FINAL if name in results}
    every, exact = rows_of(results, VARIANTS), rows_of(results, ["exact"])
    others = rows_of(results, VARIANTS[1:])
    refused = sum(not row for rows in every.values() for row in rows)
    pairs = [(row, truth[name]) for name, rows in every.items() for row in rows if row]
    worst = {
        name: share(silent(row, truth[name]) for row in rows if row) for name, rows in every.items()
    }
    calm = [(row, z) for row, z in pairs if not row[4]]
    warned = [
        share(
            bool(row[4])
            for name, rows in some.items()
            for row in rows
            if row and holds(row, truth[name])
        )
        for some in (exact, others)
    ]
    widths = [
        bounds(row)[1] - bounds(row)[0]
        for name, rows in exact.items()
        for row in rows
        if row and name.startswith("Gaussian")
    ]
    seconds = [row[5] for name, rows in exact.items() for row in rows if row]
    return {
        "runs": float(len(pairs) + refused),
        "refusals": float(refused),
        "silent misses": share(silent(row, z) for row, z in pairs),
        "silent misses on the worst target": max(worst.values(), default=0.0),
        "warned though it holds, exact points": warned[0],
        "warned though it holds, other points": warned[1],
        "lower side holds where nothing warns": share(bounds(row)[0] <= z for row, z in calm),
        "upper side holds where nothing warns": share(bounds(row)[1] >= z for row, z in calm),
        "median width on Gaussians": median(widths) if widths else 0.0,
        "most CPU seconds of a run, exact points": max(seconds, default=0.0),
        "proper targets are never refused": refused == 0,
        "silent misses are rare": share(silent(row, z) for row, z in pairs) <= SILENT,
        "and rare on every target": max(worst.values(), default=0.0) <= SILENT_ON_ONE,
        "few needless warnings": warned[0] <= WARNED and warned[1] <= WARNED_OTHERS,
        "narrow on Gaussians": not widths or median(widths) <= WIDE,
    }


def verdict_of_models(results: Mapping[str, Result]) -> dict[str, bool | float]:
    """The conditions on what trained models say of themselves."""
    found = [results[key] for name in MODELS if (key := f"model: {name}") in results]
    cells = [cell for cell in found if cell["grid_error"] <= GRID_ERROR]
    own = [[(row, cell["log_z"]) for call in CALLS for row in cell["rows"][call]] for cell in cells]
    pairs = [(row, z) for rows in own for row, z in rows if row]
    refused = sum(not row for rows in own for row, _ in rows)
    worst = max((share(silent(row, z) for row, z in rows if row) for rows in own), default=0.0)
    warned = share(bool(row[4]) for row, z in pairs if holds(row, z))
    silently = share(silent(row, z) for row, z in pairs)
    return {
        "runs of trained models": float(len(pairs) + refused),
        "refusals of trained models": float(refused),
        "their silent misses": silently,
        "their silent misses on the worst model": worst,
        "warned though it holds, trained models": warned,
        "trained models are never refused": refused == 0,
        "silent misses of trained models are rare": silently <= SILENT and worst <= SILENT_ON_ONE,
        "few needless warnings of trained models": warned <= WARNED_OTHERS,
    }


def _line(name: str, variant: str, rows: Sequence[Row], truth: float) -> str:
    kept = [row for row in rows if row]
    if not kept:
        return f"| {name} | {variant} | {len(rows)} | | | | | | {len(rows)} |"
    width = median(bounds(row)[1] - bounds(row)[0] for row in kept)
    return (
        f"| {name} | {variant} | {len(rows)} | {share(silent(row, truth) for row in kept):.0%} "
        f"| {share(bounds(row)[0] <= truth for row in kept):.0%} "
        f"| {share(bounds(row)[1] >= truth for row in kept):.0%} "
        f"| {share(bool(row[4]) for row in kept):.0%} | {width:.3f} "
        f"| {median(row[5] for row in kept):.1f} | {len(rows) - len(kept)} |"
    )


def _conditions(found: Mapping[str, bool | float]) -> list[str]:
    """A verdict, one condition or number a line."""
    return [
        f"- {condition}: "
        + (("yes" if value else "**no**") if isinstance(value, bool) else f"{value:.3g}")
        for condition, value in found.items()
    ]


def _of_models(results: Mapping[str, Result]) -> list[str]:
    """Table and verdict of the trained models."""
    lines = [
        "| trained model | call | runs | silent misses | lower side holds | upper side holds | warned "
        "| median width (nats) | median CPU seconds | refused |",
        "|---" * 10 + "|",
    ]
    for name in MODELS:
        cell = results.get(f"model: {name}", {"rows": {}})
        for call, rows in cell["rows"].items():
            if cell["grid_error"] <= GRID_ERROR:
                lines.append(_line(name, call, rows, cell["log_z"]))
            else:
                warned = share(bool(row[4]) for row in rows if row)
                lines.append(
                    f"| {name} | {call} | {len(rows)} | no truth | | | {warned:.0%} | | | |"
                )
    errors = [results[key]["grid_error"] for name in MODELS if (key := f"model: {name}") in results]
    error = max((error for error in errors if error <= GRID_ERROR), default=0.0)
    lines += ["", *_conditions(verdict_of_models(results))]
    return [
        *lines,
        f"- every second point of the grids alone changes the truth by at most: {error:.1g}",
    ]


def render(results: Mapping[str, Result]) -> str:
    """The tables and the verdict."""
    lines = [
        "| target | points | runs | silent misses | lower side holds | upper side holds | warned "
        "| median width (nats) | median CPU seconds | refused |",
        "|---" * 10 + "|",
    ]
    for name in (name for name in FINAL if name in results):
        for variant in VARIANTS:
            rows = rows_of(results, [variant])[name]
            if rows:
                lines.append(_line(name, variant, rows, results[name]["log_z"]))
    lines += ["", *_conditions(verdict(results))]
    if any(f"model: {name}" in results for name in MODELS):
        lines += ["", *_of_models(results)]
    lines += ["", "Width falls with effort (exact points):", ""]
    lines += [
        "| target | effort | runs | silent misses | median width | CPU seconds |",
        "|---" * 6 + "|",
    ]
    for name in EFFORT_TARGETS:
        cell = results.get(f"effort: {name}", {"rows": {}, "log_z": 0.0})
        for effort, rows in cell["rows"].items():
            width = median(bounds(row)[1] - bounds(row)[0] for row in rows)
            missed = share(silent(row, cell["log_z"]) for row in rows)
            seconds = median(row[5] for row in rows)
            lines.append(
                f"| {name} | {effort} | {len(rows)} | {missed:.0%} | {width:.3f} | {seconds:.1f} |"
            )
    lines += ["", f"Looked at while the estimator was made: {'; '.join(TUNING)}."]
    return "\n".join(lines)


STUDY = Study("logz-intervals", __doc__ or "", cells, render)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the study; the exit status."""
    return run_study(STUDY, argv)


if __name__ == "__main__":
    sys.exit(main())
