"""Progress of long computations: on standard error, where a command asks for it.

A loop says what it is by ``steps`` or ``counter``, a part without steps by ``phase``; whether that is seen,
the one who called it says by ``shown``. Nothing that is computed depends on it.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tqdm import tqdm

_SHOWN: ContextVar[bool] = ContextVar("progress bars are shown", default=False)

NARROWEST, WIDEST = 10, 40
"""Columns of a bar; where there are fewer to spare there is none."""
USUAL = 80
"""Columns of what does not say how many it has."""

Numbers = Sequence[tuple[str, float]]
"""Names and values, the most important first."""


class Bar(tqdm):
    """A bar of ``tqdm`` that fits its terminal: whole numbers or none, and what matters most."""

    numbers: Numbers = ()

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.name = str(options.get("desc", ""))

    @property
    def format_dict(self) -> dict[str, Any]:
        return {**super().format_dict, "numbers": self.numbers}

    @staticmethod
    def format_meter(n: float, total: float | None, elapsed: float, **more: Any) -> str:
        """One line about ``n`` of ``total`` steps; `status_line` of what tqdm knows."""
        rate = more.get("rate")
        if rate is None and elapsed and n > more.get("initial", 0):
            rate = (n - more.get("initial", 0)) / elapsed
        what, unit = str(more.get("prefix") or "").removesuffix(": "), str(more.get("unit", "step"))
        width = (more.get("ncols") or USUAL + 1) - 1  # the last column makes some terminals go on
        return status_line(width, what, int(n), total, rate, unit, more.get("numbers", ()))


_PHASE: ContextVar[Bar | None] = ContextVar("the phase that bars belong to", default=None)


def status_line(
    width: int,
    what: str,
    done: int,
    total: float | None,
    rate: float | None,
    unit: str = "step",
    numbers: Numbers = (),
) -> str:
    """At most ``width`` columns on ``done`` of ``total`` steps, ``rate`` a second.

    Nothing is cut: names get shorter, then parts are left out, the most important last: the share done,
    time left, the first of ``numbers``, the rate, the second.

    >>> status_line(40, "training", 1200, 4000, 45.0, "round", [("energy gap", 0.12), ("moved", 0.99)])
    '30% 45/s 1:02 gap 0.12 moved 0.99'
    """
    left = tqdm.format_interval((total - done) / rate).lstrip("0") if total and rate else ""
    left = f"0{left}" if left.startswith(":") else left
    share = f"{100 * done / total:.0f}%" if total else str(done) if done else ""
    count = f"{done}/{total:.0f} {share}" if total else share
    each = _number(rate) if rate else ""
    named = [f"{name} {_number(value)}" for name, value in numbers]
    short = [f"{name.replace('_', ' ').split(' ')[-1]} {_number(value)}" for name, value in numbers]
    if len({text.partition(" ")[0] for text in short}) < len(short):
        short = named
    brief = what.rpartition(": ")[2]
    quick, long = each and f"{each}/s", each and f"{each} {unit}s/s"
    wait = left and f"{left} left"
    layouts = [
        [what, count, long, wait, *named],
        [what, share, quick, wait, *named],
        [what, share, quick, wait, *short],
        [brief, share, quick, wait, *short],
        [brief, share, quick, left, *short],
        [share, quick, left, *short],
        [share, left, *short],
        [brief, share, quick, left, *short[:1]],
        [share, quick, left, *short[:1]],
        [brief, share, left, *short[:1]],
        [share, left, *short[:1]],
        [share, left],
        [share or what],
    ]
    lines = (" ".join(filter(None, parts)) for parts in layouts)
    line = next((line for line in lines if len(line) <= width), "")
    spare = min(width - len(line) - 1, WIDEST + 2)
    if not total or spare < NARROWEST + 2 or not line:
        return line
    filled = math.floor((spare - 2) * min(1.0, done / total))
    return f"{line} [{'#' * filled}{'.' * (spare - 2 - filled)}]"


def _number(value: float) -> str:
    """Three significant digits, and all before the point."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


@contextmanager
def shown() -> Iterator[None]:
    """Bars of what is computed inside are shown, if standard error is a terminal."""
    token = _SHOWN.set(True)
    try:
        yield
    finally:
        _SHOWN.reset(token)


@contextmanager
def phase(what: str) -> Iterator[None]:
    """A line that says ``what`` is being done, while inside; bars there take its place and begin with it."""
    with Bar(desc=what, **_options()) as line:
        token = _PHASE.set(line)
        try:
            yield
        finally:
            _PHASE.reset(token)


def steps(over: Sequence[Any], what: str) -> Bar:
    """``over``, with a bar called ``what`` that vanishes when it is done."""
    return Bar(over, desc=_in_phase(what), **_options())


def counter(what: str) -> Bar:
    """A bar for steps whose number is not known beforehand: a context, told of each by ``update``."""
    return Bar(desc=_in_phase(what), **_options())


def _in_phase(what: str) -> str:
    line = _PHASE.get()
    if line is None:
        return what
    line.close()
    return f"{line.name}: {what}"


def _options() -> dict[str, Any]:
    return {"leave": False, "disable": _hidden(), "dynamic_ncols": True, "unit": "step"}


def _hidden() -> bool:
    return not (_SHOWN.get() and sys.stderr.isatty())
