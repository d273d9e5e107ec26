"""The curves of what training logged: quantities by player, bounds together, runs side by side."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence

from gibbsian.report.blocks import Curves, Points
from gibbsian.report.record import Record

LEVELS: Mapping[str, str] = {
    "log_z_lower": "log Z from below",
    "log_z_upper": "log Z from above",
    "log_Z": "log Z of the batch, an estimate",
    "A": "learned log Z",
}
"""Logged names that estimate or bound log Z, and what they are."""
BOUNDS: Mapping[str, str] = {
    "bound": "variational bound, a row",
    "elbo": "variational bound, a row",
    "log_p": "bound by several samples, a row",
    "log_likelihood": "the student's log-likelihood, a row",
}
"""Logged names that estimate or bound a log-likelihood."""

PARTICULAR = re.compile(r"_(?:data|model|noise|base|lower|upper)$")
"""What names of values of one quantity end in; these share an axis."""
PARTS = 400
"""Parts of a long curve, of each of which the extremes are drawn."""


def losses(record: Record) -> list[Curves]:
    """What each player descended and logged over the rounds: quantities of one kind on one axis."""
    found = []
    for player, series in _series(record.metrics).items():
        for kind, members in _kinds(series).items():
            title = f"player {player}: {', '.join(members)}"
            found.append(Curves(f"losses-{player}-{kind}", title, "round", "value", members))
    return found


def bounds(record: Record) -> list[Curves]:
    """What training logged about log Z from either side, and about log-likelihoods, together."""
    curves = []
    for name, title, known in (
        ("log-z-over-rounds", "log Z, as training saw it", LEVELS),
        ("log-likelihood-over-rounds", "log-likelihood, as training saw it", BOUNDS),
    ):
        found: dict[str, Points] = {}
        for player, series in _series(record.metrics).items():
            for key, points in series.items():
                if key in known:
                    label = known[key] if known[key] not in found else f"{known[key]} ({player})"
                    found[label] = points
        if found:
            curves.append(Curves(name, title, "round", "nats", found))
    return curves


def compared(records: Sequence[Record], labels: Sequence[str]) -> list[Curves]:
    """Each logged value that two runs or more have, a line per run."""
    together: dict[str, dict[str, Points]] = {}
    for record, label in zip(records, labels, strict=True):
        for player, series in _series(record.metrics).items():
            for key, points in series.items():
                together.setdefault(f"player {player}: {key}", {})[label] = points
    return [
        Curves(f"compared-{k}", title, "round", "value", lines)
        for k, (title, lines) in enumerate(together.items())
        if len(lines) > 1
    ]


def _kinds(series: Mapping[str, Points]) -> dict[str, dict[str, Points]]:
    """Series by quantity, without those that are drawn as bounds."""
    found: dict[str, dict[str, Points]] = {}
    for name, points in series.items():
        if name not in LEVELS and name not in BOUNDS:
            found.setdefault(PARTICULAR.sub("", name), {})[name] = points
    return found


def _series(metrics: Sequence[Mapping[str, float]]) -> dict[str, dict[str, Points]]:
    """Player -> logged name -> (round, value), finite values only; names without any are left out."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for line in metrics:
        for key, value in line.items():
            player, slash, name = key.partition("/")
            if slash and math.isfinite(value):
                found.setdefault(player, {}).setdefault(name, []).append((line["round"], value))
    return {
        player: {name: thinned(points) for name, points in series.items()}
        for player, series in found.items()
    }


def thinned(points: Sequence[tuple[float, float]]) -> Points:
    """Of a long curve the ends, and the smallest and largest value in each of ``PARTS`` parts."""
    if len(points) <= 2 * PARTS:
        return tuple(points)
    places = {0, len(points) - 1}
    edges = [len(points) * k // PARTS for k in range(PARTS + 1)]
    for begin, end in itertools.pairwise(edges):
        part = [(points[place][1], place) for place in range(begin, end)]
        places |= {min(part)[1], max(part)[1]}
    return tuple(points[place] for place in sorted(places))
