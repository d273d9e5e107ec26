"""The logged rounds of a run, thinned where there are very many: no peak of a curve is lost."""

from __future__ import annotations

import itertools
import json
import math
import operator
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from gibbsian.core.records import content_of
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
    without its end is still being written and is left out. ValueError naming a damaged line.
    """
    kept: list[Row] = []
    with path.open("rb") as file:
        first = file.readline()
        file.seek(0)
        size = os.fstat(file.fileno()).st_size / max(1, len(first)) / PARTS
        number, last = 1, None
        while lines := list(itertools.islice(file, max(FEWEST, math.ceil(size)))):
            if not lines[-1].endswith(b"\n"):
                lines.pop()
            rows = [_row(line, identity, path, n) for n, line in enumerate(lines, number)]
            number += len(rows)
            if rows:
                kept += _extremes(rows, keep_first=not kept) if len(rows) > FEWEST else rows
                last = rows[-1]
    if last is not None and kept[-1] is not last:
        kept.append(last)
    return tuple(kept)


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


def _extremes(rows: Sequence[Row], keep_first: bool) -> Iterator[Row]:
    """The rows, in order, where a curve is largest or smallest among its finite values."""
    places = {0} if keep_first else set()
    for name in set().union(*rows):
        if "/" in name:
            places |= _ends(rows, name)
    return (rows[place] for place in sorted(places))


def _ends(rows: Sequence[Row], name: str) -> set[int]:
    """Where ``name`` is smallest and largest."""
    try:
        values = list(map(operator.itemgetter(name), rows))
        places: Sequence[int] = range(len(rows))
    except KeyError:  # a curve that is not logged in each round
        places = [place for place, row in enumerate(rows) if name in row]
        values = [rows[place][name] for place in places]
    if not math.isfinite(sum(values)):
        finite = [
            (place, value)
            for place, value in zip(places, values, strict=True)
            if math.isfinite(value)
        ]
        places, values = [place for place, _ in finite], [value for _, value in finite]
    return {places[values.index(end)] for end in (min(values), max(values))} if values else set()
