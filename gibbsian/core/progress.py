"""Progress of long computations: on standard error, where a command asks for it.

A loop says what it is by ``steps``, ``counter`` or ``open_bar``, a part without steps by ``phase``; whether
that is seen, the one who called it says by ``shown``: on a terminal as a bar, in a file as a line now and
then. Nothing that is computed depends on it.
"""

from __future__ import annotations

import io
import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tqdm import tqdm


class Clock:
    """When a line was last written, by whichever bar."""

    def __init__(self) -> None:
        self.last = time.monotonic()


_SHOWN: ContextVar[Clock | None] = ContextVar("progress is shown", default=None)

LINE_EVERY = 30.0
"""Seconds between two lines where standard error is no terminal."""
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


class LineBar(Bar):
    """The same where standard error is a file or a pipe: lines, ``LINE_EVERY`` seconds apart."""

    def __init__(self, *arguments: Any, clock: Clock, **options: Any):
        self.clock = clock
        # A bar writes more than lines, to a file that nobody sees.
        options |= {"file": io.StringIO(), "mininterval": min(1.0, LINE_EVERY)}
        super().__init__(*arguments, **options)

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """A line, if it is time for one."""
        now = time.monotonic()
        early = now - self.clock.last < LINE_EVERY
        if msg is not None or self.disable or self.n <= self.initial or early:
            return False
        self.clock.last = now
        told = self.format_dict
        rate = told["rate"] or (self.n - self.initial) / max(told["elapsed"], 1e-9)
        layout = layouts(self.name, int(self.n), self.total, rate, self.unit, self.numbers)[0]
        sys.stderr.write(f"gibbsian: {layout}\n")
        sys.stderr.flush()
        return True


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
    lines = layouts(what, done, total, rate, unit, numbers)
    line = next((line for line in lines if len(line) <= width), "")
    spare = min(width - len(line) - 1, WIDEST + 2)
    if not total or spare < NARROWEST + 2 or not line:
        return line
    filled = math.floor((spare - 2) * min(1.0, done / total))
    return f"{line} [{'#' * filled}{'.' * (spare - 2 - filled)}]"


def layouts(
    what: str,
    done: int,
    total: float | None,
    rate: float | None,
    unit: str,
    numbers: Numbers,
) -> list[str]:
    """What a line may say, the longest first."""
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
    parts_of = [
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
    return [" ".join(filter(None, parts)) for parts in parts_of]


def _number(value: float) -> str:
    """Three significant digits, and all before the point."""
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


@contextmanager
def shown() -> Iterator[None]:
    """Progress of what is computed inside is shown."""
    token = _SHOWN.set(Clock())
    try:
        yield
    finally:
        _SHOWN.reset(token)


def is_shown() -> bool:
    """Whether the caller is inside ``shown``."""
    return _SHOWN.get() is not None


@contextmanager
def phase(what: str) -> Iterator[None]:
    """A line that says ``what`` is being done, while inside; bars there take its place and begin with it."""
    with open_bar(what, asked=is_shown(), leave=False) as line:
        token = _PHASE.set(line)
        try:
            yield
        finally:
            _PHASE.reset(token)


def steps(over: Sequence[Any], what: str) -> Bar:
    """``over``, with a bar called ``what`` that vanishes when it is done."""
    return open_bar(_in_phase(what), asked=is_shown(), iterable=over, leave=False)


def counter(what: str) -> Bar:
    """A bar for steps whose number is not known beforehand: a context, told of each by ``update``."""
    return open_bar(_in_phase(what), asked=is_shown(), leave=False)


def open_bar(what: str, *, asked: bool = True, unit: str = "step", **options: Any) -> Bar:
    """A bar called ``what``; ``options`` are those of ``tqdm``.

    On a terminal it is seen if it is ``asked`` for; elsewhere it writes lines, inside ``shown`` only.
    """
    clock = _SHOWN.get()
    if asked and clock is not None and not sys.stderr.isatty():
        return LineBar(desc=what, unit=unit, clock=clock, **options)
    hidden = not (asked and sys.stderr.isatty())
    return Bar(desc=what, unit=unit, disable=hidden, dynamic_ncols=True, **options)


def _in_phase(what: str) -> str:
    line = _PHASE.get()
    if line is None:
        return what
    line.close()
    return f"{line.name}: {what}"
