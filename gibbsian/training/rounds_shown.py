"""What is seen of the rounds of a training: a bar or lines, two numbers, and how long it will take."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

import torch

from gibbsian.core import TrainingMethod
from gibbsian.core.progress import Bar, is_shown, open_bar
from gibbsian.training import processes

SEEN = 2
"""Logged values on the progress bar."""
FIRST_ROUNDS = 5.0
"""Seconds of rounds, without the first, that a forecast is made of."""
LONG = 60.0
"""Seconds from which a training's length is said beforehand."""


def rounds_bar(rounds: int, done: int, compiles: bool) -> Bar:
    """A bar of ``rounds``, of which some are ``done``; of several processes the first one shows it."""
    what, shown = "compiling" if compiles else "training", processes.rank() == 0
    return open_bar(what, asked=shown, unit="round", total=rounds, initial=done)


class Forecast:
    """Says once, on a line of its own, how long a training takes, if that is above ``LONG``.

    Of the first ``warmup`` of ``rounds`` and of those after them apart, as these take longer. ``done`` are
    played before. Only inside ``core.progress.shown``; on standard error, whether or not that is a terminal.
    """

    def __init__(self, bar: Bar, rounds: int, done: int = 0, warmup: int = 0) -> None:
        self.bar, self.rounds, self.done, self.warmup = bar, rounds, done, warmup
        self.waiting = is_shown() and processes.rank() == 0
        self.begun, self.first = 0.0, -1

    def look(self, done: int) -> None:
        """To be called after each round, with how many are done of all."""
        if self.done < self.warmup <= done:  # rounds of another kind begin
            self.waiting = is_shown() and processes.rank() == 0
            self.done, self.first = done, -1
        if not self.waiting:
            return
        now = time.perf_counter()
        if not 0 <= self.first < done:  # the first round compiles and warms up; a run may go back
            self.begun, self.first = now, done
            return
        elapsed = now - self.begun
        if elapsed < FIRST_ROUNDS:
            return
        self.waiting = False
        end = self.warmup if self.done < self.warmup < self.rounds else self.rounds
        left = (end - self.done) * elapsed / (done - self.first)
        if left > LONG:
            said = f"about {duration(left)} for {_count(end - self.done)} rounds"
            if end < self.rounds:
                said += f" of warm-up, and longer for each of the {_count(self.rounds - end)} after them"
            said += "; --rounds N for fewer, which cost quality"
            self.bar.write(f"gibbsian: {said}", file=sys.stderr)


def _count(rounds: int) -> str:
    return f"{rounds:,}".replace(",", " ")


def duration(seconds: float) -> str:
    """Seconds to two digits in the unit that suits them.

    >>> duration(75), duration(1080), duration(9000)
    ('75 s', '18 min', '2.5 h')
    """
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.2g} min" if minutes < 99.5 else f"{minutes / 60:.3g} h"


def watched_numbers(
    method: TrainingMethod, values: Mapping[str, float]
) -> tuple[tuple[str, float], ...]:
    """The two logged values that say most: on validation rows, of what is healthy, then the first logged."""
    logs = {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}
    found = {name.replace("/", " "): v for name, v in logs.items() if name[:11] == "validation/"}
    for expected in method.healthy:
        value = expected.value(logs)
        if value is not None:
            name = expected.metric.rpartition("/")[2]
            found[f"{name.partition('_')[0]} gap" if expected.minus else name] = value
    for name, value in logs.items():
        found.setdefault(name.rpartition("/")[2], value)
    return tuple((name, float(value)) for name, value in list(found.items())[:SEEN])
