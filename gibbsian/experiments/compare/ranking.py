"""From the figures of runs to a table: means over seeds with errors, and ranks that own up to ties."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from scipy.stats import t as student_t

from gibbsian.experiments.compare.columns import COLUMNS, SHOWN_ONLY

CONFIDENCE = 0.95
Figures = Mapping[str, Mapping[str, Any]]
"""Name -> {"value", "stderr"} or {"undefined": why}."""


@dataclass(frozen=True)
class Entry:
    """A mean over ``seeds`` runs and its standard error, of one run that run's own; or why there is none."""

    value: float = math.nan
    stderr: float = math.nan
    seeds: int = 0
    why: str = ""

    @property
    def defined(self) -> bool:
        """Whether there is a number."""
        return self.seeds > 0


@dataclass(frozen=True)
class Difference:
    """a - b of one column with a 95 % interval, Welch's t where both have two seeds or more."""

    value: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Row:
    """A variant or reference: its entries by column, what its runs cost, and what went wrong."""

    label: str
    entries: Mapping[str, Entry]
    values: Mapping[str, Sequence[float]]
    failed: Sequence[str] = ()
    rounds: int = 0
    parameters: int = 0
    reference: bool = False
    cpu_seconds: float = 0.0

    @property
    def ranked(self) -> bool:
        """Whether it takes part: a variant all of whose runs were sound."""
        return not self.reference and not self.failed


def row_of(label: str, runs: Sequence[Mapping[str, Any]], reference: bool) -> Row:
    """The row of a variant's ``runs``, results as ``figures.json`` holds them."""
    sound = [run for run in runs if "failed" not in run]
    names = [name for name in COLUMNS if any(name in run["figures"] for run in sound)]
    found = {name: [run["figures"].get(name, {}) for run in sound] for name in names}
    entries = {name: entry_of(figures) for name, figures in found.items()}
    values = {
        name: [figure["value"] for figure in figures if "value" in figure]
        for name, figures in found.items()
    }
    failed = [run["failed"] for run in runs if "failed" in run]
    last = sound[-1] if sound else {}
    return Row(
        label,
        entries,
        values,
        failed,
        last.get("rounds", 0),
        last.get("parameters", 0),
        reference,
        mean(run.get("cpu_seconds", 0.0) for run in sound) if sound else 0.0,
    )


def entry_of(figures: Sequence[Mapping[str, Any]]) -> Entry:
    """Mean and standard error over runs; a figure that a run lacks is why there is none."""
    whys = [figure.get("undefined", "not measured") for figure in figures if "value" not in figure]
    values = [float(figure["value"]) for figure in figures if "value" in figure]
    if whys or not values:
        return Entry(why=whys[0] if whys else "no run")
    if len(values) == 1:
        return Entry(values[0], float(figures[0].get("stderr", math.nan)), 1)
    return Entry(mean(values), stdev(values) / math.sqrt(len(values)), len(values))


def difference(a: Row, b: Row, name: str) -> Difference | None:
    """The difference a - b of a column; None where either has no number or no error.

    With one seed each the runs' own errors stand in, which know nothing of another training.
    """
    x, y = a.entries.get(name, Entry()), b.entries.get(name, Entry())
    if not x.defined or not y.defined:
        return None
    error = math.hypot(x.stderr, y.stderr)
    if math.isnan(error):
        return None
    width = quantile(x, y) * error
    value = x.value - y.value
    return Difference(value, value - width, value + width)


def quantile(x: Entry, y: Entry) -> float:
    """Of Student's t with Welch's degrees of freedom; the normal distribution's for runs' own errors."""
    parts = [(e.stderr**2, e.seeds - 1) for e in (x, y)]
    total = sum(v for v, _ in parts)
    below = sum(v * v / n for v, n in parts if n > 0)
    freedom = total * total / below if below > 0 else math.inf
    return float(student_t.ppf(0.5 + CONFIDENCE / 2, freedom))


def half_width(entry: Entry) -> float:
    """Half of the mean's 95 % interval: Student's t over seeds, normal for a run's own error."""
    freedom = entry.seeds - 1 if entry.seeds > 1 else math.inf
    return entry.stderr * float(student_t.ppf(0.5 + CONFIDENCE / 2, freedom))


def ranks(rows: Sequence[Row], name: str) -> dict[str, int]:
    """Label -> 1 + how many variants are clearly better.

    Contestants without the figure, with a run that failed or with a single run have none; no one has where
    no difference between any two is clear, or none has an error.
    """
    if name in SHOWN_ONLY:
        return {}
    sign = COLUMNS[name].sign
    variants = [r for r in rows if r.ranked and r.entries.get(name, Entry()).seeds > 1]
    found = {}
    for row in variants:
        gaps = [difference(other, row, name) for other in variants if other is not row]
        found[row.label] = 1 + sum(g is not None and g.clear and sign * g.value > 0 for g in gaps)
    return found if max(found.values(), default=1) > 1 else {}


def ranked(rows: Sequence[Row]) -> list[Row]:
    """References first, then variants by the mean place of their means in the figures of samples.

    Those are what all methods have. Places, unlike ranks, make no ties, so that a row whose runs differ
    much does not come first for being beaten clearly by none. Rows with a failed run come last.
    """
    variants = [row for row in rows if not row.reference]
    places: dict[str, list[int]] = {row.label: [] for row in variants}
    for name, column in COLUMNS.items():
        having = [r for r in variants if r.ranked and r.entries.get(name, Entry()).defined]
        if column.about == "samples":
            sign = -column.sign
            values = [sign * row.entries[name].value for row in having]
            for row, value in zip(having, values, strict=True):
                places[row.label].append(1 + sum(other < value for other in values))

    def mean_place(row: Row) -> float:
        return mean(places[row.label]) if places[row.label] else math.inf

    return [*(r for r in rows if r.reference), *sorted(variants, key=mean_place)]
