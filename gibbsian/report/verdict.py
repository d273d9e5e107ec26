"""What to think of a run, in words: whether log Z is known, chains mixed, and training went back."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gibbsian.report.blocks import TextBlock
from gibbsian.report.record import Record


@dataclass(frozen=True)
class Verdict:
    """A sentence and the ``rule`` behind it; the first verdict of a subject whose rule holds is taken.

    ``nats``: how far apart the two sides may be. ``alarm`` sets the sentence apart as a warning.
    """

    sentence: str
    rule: str
    nats: float | None = None
    alarm: bool = False


BOTH_SIDES: Mapping[str, Verdict] = {
    "exact": Verdict(
        "{name}: exact{concerns}.", "both sides are one number whose standing is `exact`"
    ),
    "one side only": Verdict(
        "{name}: known from one side only ({standing}){concerns}.",
        "a side is missing or not finite, or both are one number that is not exact",
    ),
    "agrees": Verdict(
        "{name}: agrees from both sides ({distance}).",
        "the sides are at most {nats:g} nats apart, their errors are known, and nothing is warned of",
        nats=0.5,
    ),
    "roughly agrees": Verdict(
        "{name}: roughly agrees from both sides ({distance}{concerns}).",
        "the sides are at most {nats:g} nats apart",
        nats=3.0,
    ),
    "do not trust": Verdict(
        "Do not trust {rests}: the two sides are {distance}{concerns}.",
        "anything else",
        alarm=True,
    ),
}
"""What is said of log Z, and of log p where it does not rest on log Z."""

MIXING: Mapping[str, Verdict] = {
    "mixed": Verdict("Chains mixed ({kernel}).", "the summary of the chains says `converged`"),
    "agree": Verdict(
        "Chains agree, but not on the model itself ({kernel}): {why}.",
        "it says `converged, but`: the steps had no Metropolis test",
    ),
    "not shown to have mixed": Verdict(
        "Chains are not shown to have mixed ({kernel}): {why}.",
        "it says `not shown`: all chains started in one place",
        alarm=True,
    ),
    "did not mix": Verdict("Chains did not mix ({kernel}): {why}.", "anything else", alarm=True),
}
"""What is said of the chains of each kernel; the summary's own rules are those of docs/samplers.md."""

ERRORS = 1.96
"""Standard errors of log Z that count as distance, beyond either side: a 95 % interval's."""


def verdict(record: Record) -> Iterator[TextBlock]:
    """Sentences about one run, from what `evaluate`, `sample --refine` and `train` have recorded."""
    if record.evaluation is None:
        yield TextBlock("Not evaluated yet:", f"gibbsian evaluate {shlex.quote(str(record.path))}")
    else:
        yield from _densities(record.evaluation)
    yield from (_mixing(chains) for chains in record.chains)
    if not record.chains:
        yield TextBlock("Whether chains mix is not known: none were run.")
    if record.recoveries:
        times = "once" if len(record.recoveries) == 1 else f"{len(record.recoveries)} times"
        yield TextBlock(f"Training left what is healthy and went back {times}.", warning=True)
    elif record.metrics or record.evaluation is not None:
        yield TextBlock("Training stayed healthy: it never went back to an earlier round.")
    else:
        yield TextBlock("Training has not logged a round yet.")


def _densities(evaluation: Mapping[str, Any]) -> Iterator[TextBlock]:
    """On log Z, and on log p where it is known by itself: of directed models, and p of p* between two."""
    values = evaluation["values"]
    unknown = {"undefined": "this evaluation does not tell it"}
    z, p = (values.get(name) or unknown for name in ("log-z", "log-likelihood"))
    warned = bool(evaluation["warnings"])
    if "undefined" not in z:
        rests = "log Z and log p*" if "between" in values else "log Z and log p"
        yield both_sides("log Z", rests, z, warned, ERRORS)
        if "between" not in values:
            return
    if "undefined" in p:
        yield TextBlock(f"log p: not defined: {p['undefined']}.")
    else:  # its errors are those of the mean over rows, which both sides share
        yield both_sides("log p", "log p", p, warned, 0.0)


def both_sides(
    name: str, rests: str, value: Mapping[str, Any], warned: bool, errors: float
) -> TextBlock:
    """The verdict of ``BOTH_SIDES`` on a quantity.

    ``rests``: what is not to be trusted if its sides are far apart. ``value``: the recorded figures of
    an ``Interval`` or an ``Estimate``. ``warned``: whether the evaluation warns of an interval.
    ``errors``: how many standard errors beyond either side count as distance.
    """
    sides = [value["lower"], value["upper"]] if "lower" in value else [value]
    known = [side for side in sides if side["value"] is not None]
    numbers = {side["value"] for side in known}
    apart, unsure = _apart(known, errors), errors and any(s["stderr"] is None for s in known)
    concerns = ["an error is not known"] if unsure else []
    concerns += ["see the warnings"] if warned else []
    agrees, roughly = (BOTH_SIDES[word].nats or 0.0 for word in ("agrees", "roughly agrees"))
    if len(known) == len(sides) and all(s == known[0] for s in known) and _exact(known):
        word = "exact"
    elif len(numbers) < 2:
        word = "one side only"
    elif apart <= agrees and not concerns:
        word = "agrees"
    else:
        word = "roughly agrees" if apart <= roughly else "do not trust"
    found = BOTH_SIDES[word]
    text = found.sentence.format(
        name=name,
        rests=rests,
        distance=_distance(_apart(known, 0.0), apart),
        standing=known[0]["standing"] if known else "no finite number",
        concerns="".join(f"; {concern}" for concern in concerns),
    )
    return TextBlock(text, warning=found.alarm)


def _exact(sides: list[Mapping[str, Any]]) -> bool:
    return all(side["standing"] == "exact" for side in sides)


def _apart(sides: list[Mapping[str, Any]], errors: float) -> float:
    """Nats from the lowest to the highest end of finite estimates, ``errors`` standard errors beyond."""
    wide = [(side["value"], errors * (side["stderr"] or 0.0)) for side in sides]
    if not wide:
        return 0.0
    return max(value + error for value, error in wide) - min(value - error for value, error in wide)


def _distance(between: float, apart: float) -> str:
    """How far apart two values are in words, and how far with their errors where that is more."""
    value, wide = (f"{nats:.2g}" if nats < 10 else f"{nats:.0f}" for nats in (between, apart))
    return f"{value} nats apart" + (f", {wide} with errors" if wide != value else "")


def _mixing(chains: Mapping[str, Any]) -> TextBlock:
    """The verdict of ``MIXING`` on the chains of one kernel."""
    said = chains["verdict"]
    if said == "converged":
        word = "mixed"
    elif said.startswith("converged, "):
        word = "agree"
    else:
        word = "not shown to have mixed" if said.startswith("not shown") else "did not mix"
    why = said.removeprefix("converged, but ").removeprefix("not converged: ")
    why = why.removeprefix("not shown to have converged: ")
    found = MIXING[word]
    return TextBlock(found.sentence.format(kernel=chains["kernel"], why=why), warning=found.alarm)
