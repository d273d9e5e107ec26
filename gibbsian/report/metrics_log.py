"""The logged rounds of a run, thinned where there are very many: no peak of a curve is lost."""

from __future__ import annotations

import itertools
import json
import math
import operator
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from gibbsian.core.records import LINE_END, all_match, content_of
from gibbsian.report.shapes import NUMBER, fits

Row = Mapping[str, float]
PARTS = 300
"""Parts of a long log, of each of which the rows with the extremes of every curve are kept."""
FEWEST = 8
"""Rows of a part at least: of shorter logs every row is kept."""
DECODER = msgspec.json.Decoder(dict[str, int | float])


def read_metrics(path: Path, identity: str) -> tuple[Row, ...]:
    """The rows of a log of metrics by the run ``identity``, in memory that does not grow with it.

    Of a log longer than ``PARTS * FEWEST`` rows: the first, the last, and in each of ``PARTS`` parts
    those where a curve, which is what has a slash in its name, is largest or smallest. A last line
    without its end is still being written and is left out. ValueError naming a line that is damaged or
    not of a later round than the one before it.
    """
    kept: list[Row] = []
    with path.open("rb") as file:
        first = file.readline()
        file.seek(0)
        size = os.fstat(file.fileno()).st_size / max(1, len(first)) / PARTS
        alike, number = _alike(first), 1
        before = -math.inf
        last: Row | None = None
        while lines := list(itertools.islice(file, max(FEWEST, math.ceil(size)))):
            if not lines[-1].endswith(b"\n"):
                lines.pop()
            if not lines:
                break
            places = set(range(len(lines)))
            if len(lines) > FEWEST:
                found = _extremes(lines, alike, identity)
                places = _looked_for(lines, identity, path, number) if found is None else found
                places |= {0} if number == 1 else set()
            ends = {0, len(lines) - 1}
            rows = {
                place: _row(lines[place], identity, path, number + place)
                for place in sorted(places | ends)
            }
            for place, row in rows.items():
                if row["round"] <= before:
                    raise _out_of_order(path, number + place)
                before = row["round"]
            kept += (rows[place] for place in sorted(places))
            number += len(lines)
            last = None if len(lines) - 1 in places else rows[len(lines) - 1]
    return tuple(kept) if last is None else (*kept, last)


@dataclass(frozen=True)
class Alike:
    """How lines with the same names are read fast: ``curves`` give the numbers that are drawn."""

    decoder: msgspec.json.Decoder[Any]
    round: operator.attrgetter[float]
    curves: tuple[operator.attrgetter[float], ...]


def _alike(line: bytes) -> Alike | None:
    """What reads lines with the names of ``line`` and no others; None if that is no row."""
    try:
        names = list(DECODER.decode(line[: -LINE_END - 1] + b"}"))
    except msgspec.DecodeError:
        return None
    if "round" not in names:
        return None
    fields: list[tuple[str, type, Any]] = [("checksum", str, msgspec.field())]
    fields += [(f"x{i}", float, msgspec.field(name=name)) for i, name in enumerate(names)]
    try:
        row = msgspec.defstruct("Row", fields, forbid_unknown_fields=True, gc=False)
    except ValueError:  # a name with quotation marks
        return None
    curves = (operator.attrgetter(f"x{i}") for i, name in enumerate(names) if "/" in name)
    index = operator.attrgetter(f"x{names.index('round')}")
    return Alike(msgspec.json.Decoder(row), index, tuple(curves))


def _extremes(lines: Sequence[bytes], alike: Alike | None, identity: str) -> set[int] | None:
    """Where a curve is largest or smallest; None unless the lines are whole, alike, finite and in order."""
    if alike is None:
        return None
    try:
        rows = list(map(alike.decoder.decode, lines))
    except msgspec.DecodeError:
        return None
    rounds = list(map(alike.round, rows))
    if not all(map(operator.lt, rounds, rounds[1:])) or not all_match(lines, identity):
        return None
    places = set()
    for curve in alike.curves:
        values = list(map(curve, rows))
        places |= {values.index(end) for end in (min(values), max(values))}
    return places


def _looked_for(lines: Sequence[bytes], identity: str, path: Path, number: int) -> set[int]:
    """The same of any lines, one by one. ValueError naming a damaged one; the first has ``number``."""
    rows = [_row(line, identity, path, n) for n, line in enumerate(lines, number)]
    for n, (earlier, later) in enumerate(itertools.pairwise(rows), number + 1):
        if later["round"] <= earlier["round"]:
            raise _out_of_order(path, n)
    places: set[int] = set()
    for name in set().union(*rows):
        if "/" in name:
            places |= _ends(rows, name)
    return places


def _row(line: bytes, identity: str, path: Path, number: int) -> Row:
    content = content_of(line, identity)
    if content is None:
        raise _damaged(path, number)
    try:
        row = DECODER.decode(content)
    except msgspec.DecodeError:  # NaN and infinities, which standard JSON has not
        row = json.loads(content)
        if not fits(row, {str: NUMBER}):
            raise _damaged(path, number) from None
    if "round" not in row:
        raise _damaged(path, number)
    return row


def _damaged(path: Path, number: int) -> ValueError:
    return ValueError(
        f"{path} is damaged: line {number} is not a logged round; take the line out, or restore the "
        "file from a copy"
    )


def _out_of_order(path: Path, number: int) -> ValueError:
    return ValueError(
        f"{path} is damaged: line {number} is no later round than the line before it; take out what stands "
        "twice, or restore the file from a copy"
    )


def _ends(rows: Sequence[Row], name: str) -> set[int]:
    """Where ``name`` is smallest and largest among its finite values."""
    there = [
        (row[name], place)
        for place, row in enumerate(rows)
        if name in row and math.isfinite(row[name])
    ]
    return {min(there)[1], max(there)[1]} if there else set()
