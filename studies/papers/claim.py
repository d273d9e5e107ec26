"""A claim of a paper, what a study's results say of it, and the verdict that follows from the numbers.

A claim is put as differences that it says are above 0. A difference is *seen* if it exceeds 2 standard
errors, *against* if it is below -2, or if the published difference lies more than 2 above it; the rest is
undecided: the smallest difference that the test could have seen is 2 standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from studies.mode_coverage import difference

Results = Mapping[str, Any]
"""The ``results`` of a study's JSON file."""

HOLDS = "holds"
FAILS = "does not hold at this scale"
WEAK = "our test was too weak"
OUTSIDE = "not testable here"
UNTESTED = "not tested yet"
MEMORY = "not decided: what the paper says is known from memory only"
ONE = "in one training a side"
"""Its error knows nothing of another training."""


@dataclass(frozen=True)
class Effect:
    """A difference that the claim says is above 0; ``published`` is the paper's, in the same unit.

    ``stderr`` is NaN where there is no error. ``runs`` is the smallest number of trainings behind a
    side, ``over`` what the error is over; an exact value is of no training.
    """

    name: str
    value: float
    stderr: float
    runs: int
    published: float | None = None
    over: str = "trainings"

    @property
    def seen(self) -> bool:
        return self.value > 2 * self.stderr

    @property
    def against(self) -> bool:
        above = self.value + 2 * self.stderr
        excluded = self.published is not None and above < self.published
        return above < 0 or (not self.seen and excluded)


@dataclass(frozen=True)
class Finding:
    """Our numbers in words, the differences, and what kept the design from showing them."""

    numbers: str
    effects: tuple[Effect, ...]
    weakness: str = ""


@dataclass(frozen=True)
class Claim:
    """One claim: ``published`` are the paper's numbers, ``measure`` turns a study's results into ours.

    ``proofs`` are tests (``file::name``) that check a mathematical statement; ``needs`` says what a
    test would take; ``outside`` that none is possible here; ``remembered`` that the statement itself
    is from memory. ``weakness`` is a defect of the test: with it only what is seen counts.
    """

    id: str
    text: str
    source: str
    published: str
    test: str
    page: str
    study: str = ""
    measure: Callable[[Results], Finding | None] | None = None
    proofs: tuple[str, ...] = ()
    needs: str = ""
    outside: bool = False
    remembered: bool = False
    weakness: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Paper:
    """A paper, which version was read and how much of it, and its claims."""

    title: str
    reference: str
    known: str
    claims: tuple[Claim, ...]


def series(results: Results, prefix: str, *path: str | int) -> list[float]:
    """The figure at ``path`` of every run ``prefix / seed`` that has it, by seed."""
    found = []
    for seed in range(100):
        value = results.get(f"{prefix} / {seed}")
        for step in path:
            known = isinstance(value, list) or (isinstance(value, Mapping) and step in value)
            value = value[step] if value is not None and known else None
        if value is not None:
            found.append(float(value))
    return found


def between(
    name: str, a: Sequence[float], b: Sequence[float], published: float | None = None
) -> Effect | None:
    """mean a - mean b of independent runs; None without runs."""
    if not a or not b:
        return None
    value, error = difference(a, b)
    if math.isnan(value):
        value = mean(a) - mean(b)
    return Effect(name, value, error, min(len(a), len(b)), published)


def paired(
    name: str,
    a: Sequence[float],
    b: Sequence[float],
    published: float | None = None,
    over: str = "trainings",
    runs: int | None = None,
) -> Effect | None:
    """mean (a - b), pair by pair; ``runs`` of training where pairs are no runs."""
    gains = [x - y for x, y in zip(a, b, strict=False)]
    if not gains:
        return None
    error = stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else math.nan
    return Effect(name, mean(gains), error, len(gains) if runs is None else runs, published, over)


def shares(name: str, a: tuple[int, int], b: tuple[int, int]) -> Effect | None:
    """Share a - share b of (count, of), with the error of Agresti and Caffo (2000)."""
    if not a[1] or not b[1]:
        return None
    (p, n), (q, m) = (((k + 1) / (of + 2), of + 2) for k, of in (a, b))
    error = math.sqrt(p * (1 - p) / n + q * (1 - q) / m)
    return Effect(name, a[0] / a[1] - b[0] / b[1], error, min(a[1], b[1]))


def finding(numbers: str, *effects: Effect | None, weakness: str = "") -> Finding | None:
    """None if the study has none of the runs."""
    known = tuple(effect for effect in effects if effect is not None)
    return Finding(numbers, known, weakness) if known else None


def average(values: Sequence[float]) -> str:
    """The mean, to three figures."""
    return number(mean(values)) if values else "-"


def number(value: float) -> str:
    """Three figures, without an exponent where a reader needs none."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}" if digits < 6 else f"{value:.2e}"


def power(found: Finding | None) -> str:
    """Trainings a side, standard errors, and the smallest difference of 2 standard errors."""
    if found is None:
        return "-"
    runs = {effect.runs for effect in found.effects}
    known = [effect.stderr for effect in found.effects if not math.isnan(effect.stderr)]
    parts = [f"{_range(sorted(runs))} {'training' if runs == {1} else 'trainings'} a side"]
    if runs == {0}:
        parts = ["no training"]
    if known and not any(known):
        parts.append("exact" if runs == {0} else "all trainings have the same figure")
    elif known:
        over = sorted({e.over for e in found.effects if not math.isnan(e.stderr)})
        parts.append(f"standard error over {' and '.join(over)} {_range(sorted(known))}")
        parts.append(f"could have seen {_range(sorted(2 * error for error in known))}")
    elif runs != {0}:
        parts.append("no standard error")
    return "; ".join(parts)


def _range(values: Sequence[float]) -> str:
    low, high = (number(v) if isinstance(v, float) else str(v) for v in (values[0], values[-1]))
    return low if low == high else f"{low} to {high}"


def ours(found: Finding | None) -> str:
    """Our numbers and the differences with their standard errors."""
    if found is None:
        return "-"
    parts = [found.numbers] if found.numbers else []
    for effect in found.effects:
        sign = "+" if effect.value > 0 else ""
        error = (
            "" if math.isnan(effect.stderr) or not effect.runs else f" ± {number(effect.stderr)}"
        )
        parts.append(f"{effect.name}: {sign}{number(effect.value)}{error}")
    return "; ".join(parts)


def verdict(claim: Claim, found: Finding | None) -> str:
    """What the numbers say of the claim."""
    words = _verdict(claim, found)
    return f"{words}. {claim.remark}" if claim.remark else words


def _verdict(claim: Claim, found: Finding | None) -> str:
    if claim.remembered:
        return f"{MEMORY}; {claim.needs}" if claim.needs else MEMORY
    if claim.outside:
        return f"{OUTSIDE}: {claim.needs}"
    if found is None:
        if claim.proofs and claim.measure is None:
            return f"{HOLDS}: a test checks it"
        return f"{UNTESTED}: {claim.needs or 'the results of the study have no such runs'}"
    seen = [e for e in found.effects if e.seen]
    against = [e for e in found.effects if e.against]
    open_ = [e for e in found.effects if e not in seen and e not in against]
    weakness = "; ".join(w for w in (found.weakness, claim.weakness) if w)
    if weakness:
        against, open_ = [], open_ + against
    groups = ((HOLDS, seen), (FAILS, against), (WEAK, open_))
    several = sum(bool(effects) for _, effects in groups) > 1
    parts = []
    for words, effects in groups:
        if not effects:
            continue
        names = f" ({'; '.join(e.name for e in effects)})" if several else ""
        single = "" if words == WEAK else _single(effects)
        why = [_undecided(effects), weakness] if words == WEAK else [_size(words, effects)]
        reasons = "; ".join(reason for reason in why if reason)
        parts.append(f"{words}{single}{names}" + (f": {reasons}" if reasons else ""))
    return "; ".join(parts)


def _single(effects: Sequence[Effect]) -> str:
    """Which differences rest on one training a side."""
    names = [e.name for e in effects if e.runs == 1]
    if len(names) == len(effects):
        return f" {ONE}"
    return f" ({'; '.join(names)}: {ONE})" if names else ""


def _size(words: str, effects: Sequence[Effect]) -> str:
    """How differences that decide stand to the published ones."""
    if words == FAILS:
        far = all(e.value + 2 * e.stderr >= 0 for e in effects)
        return "a difference as published would have been seen" if far else ""
    known = [e for e in effects if e.published is not None and e.value + 2 * e.stderr < e.published]
    return "by less than published" if known else ""


def _undecided(effects: Sequence[Effect]) -> str:
    """Why differences say nothing either way."""
    inside = [e for e in effects if abs(e.value) <= 2 * e.stderr]
    if all(math.isnan(e.stderr) for e in effects):
        return "no standard error"
    if all(e.stderr == 0 == e.value for e in effects):
        return "all trainings have the same figure"
    if not inside:
        return ""
    return f"below the {_range(sorted(2 * e.stderr for e in inside))} that it could have seen"
