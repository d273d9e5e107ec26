"""Cells of a column: which are numbers, words, days or text, and what the column is by them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from gibbsian.data.cells import (
    CURRENCY,
    DATE,
    FALSE,
    MISSING,
    NO_UNIT,
    SPACES,
    TRUE,
    WITH_UNIT,
    Decimal,
    marked_number,
)
from gibbsian.data.table_schema import Kind

if TYPE_CHECKING:
    import polars as pl

ABSENT, NUMBER, WORD, DAY, TEXT = range(5)
"""What a cell can be; a word is one of ``TRUE`` or ``FALSE``."""
COUNTED = 1_000
"""So many values of a category are told apart."""
_BEGINS_AS_NUMBER = re.compile(r"\W*\d")
_NUMBERED = re.compile(r"\s*\d+[/_:-]\d")
OTHER_UNITS = 0.1
"""A column whose cells have other units beside the usual one in so large a share of them has none."""
LISTED = 20
"""So many columns are described one by one."""


@dataclass
class Found:
    """What the cells of a column have been so far: how many of each kind, marks and texts among them."""

    counts: Counter[int] = field(default_factory=Counter)
    marks: Counter[str] = field(default_factory=Counter)
    unit: str = ""  # that its numbers are written with, among the marks
    texts: set[str] = field(default_factory=set)
    odd: set[str] = field(default_factory=set)  # two that are no numbers, or the only one
    is_category: bool = False  # whatever its cells look like

    @property
    def kind(self) -> Kind:
        """What the column is, by the cells so far."""
        found = [code for code in (NUMBER, WORD, DAY, TEXT) if self.counts[code]]
        if not found:
            return "empty"
        if self.is_category:
            return "category"
        if NUMBER in found:
            return "number" if found == [NUMBER] else "mixed"
        if found in ([WORD], [DAY]):
            return "boolean" if found == [WORD] else "dates"
        return "category"

    def note_odd(self, cells: pl.Series, is_text: np.ndarray) -> None:
        """Keep two of the ``cells [n]`` that are texts ``[n]``: enough to know whether all are the same."""
        if is_text.any() and len(self.odd) < 2:
            texts = cells.filter(is_text).str.strip_chars().unique(maintain_order=True)
            self.odd.update(texts[:2].to_list())

    @property
    def symbols(self) -> tuple[str, ...]:
        """The marks but for those between thousands, such as ``$`` or ``%``."""
        return tuple(sorted(set(self.marks) - {","}))

    @property
    def has_units(self) -> bool:
        """Whether all texts begin as numbers, which are categories for what follows; 2024/0017 does not."""
        found = self.texts and self.kind == "category" and not self.is_category
        numbers = bool(found) and all(map(_BEGINS_AS_NUMBER.match, self.texts))
        return numbers and not all(map(_NUMBERED.match, self.texts))

    def said(self) -> str:
        """The kind in words."""
        if self.kind == "number":
            taken = (["thousands separators"] if "," in self.marks else []) + [*self.symbols]
            without = self.counts[NUMBER] - self.marks[self.unit] if self.unit else 0
            lacking = f"; {without} without {self.unit}" if without else ""
            return f"number ({', '.join(taken)} removed{lacking})" if taken else "number"
        if self.kind == "boolean":
            return "true or false, as 1 or 0"
        if self.kind == "category":
            n = len(self.texts)
            values = "value" if n == 1 else "values"
            said = f"category, {n if n <= COUNTED else f'more than {COUNTED}'} {values}"
            if self.has_units:
                shown = min(self.texts)[:20]
                said += (
                    f" such as {shown!r}, which is not read as a number (write such cells alike)"
                )
            return said
        return {"mixed": "numbers and text", "empty": "no values"}.get(self.kind, self.kind)


def unit_of(cells: pl.Series, decimal: Decimal) -> str:
    """The unit behind the numbers in more than half of the text ``cells``, "" where there is none.

    Cells with another unit are no numbers of the same kind: where they are more than a few there is none.
    """
    cells = cells.str.strip_chars()
    cells = cells.filter(~cells.str.to_lowercase().is_in(sorted(MISSING))).drop_nulls()
    parts = cells.str.extract_groups(WITH_UNIT).struct.unnest()
    numbers, units = parts.get_columns()
    is_number = numbers.str.strip_chars().str.contains(marked_number(decimal))
    units = units.filter(is_number.fill_null(False))
    units = units.filter(~units.str.contains(NO_UNIT))
    counts = sorted(units.value_counts().iter_rows(), key=lambda found: (-found[1], found[0]))
    if not counts or 2 * counts[0][1] <= len(cells):
        return ""
    others = sum(count for _, count in counts[1:])
    return "" if others >= max(2, OTHER_UNITS * len(cells)) else str(counts[0][0])


def _without(unit: str, cells: pl.Series) -> tuple[pl.Series, int]:
    """``cells`` without ``unit`` behind their numbers, and how many had it."""
    import polars as pl

    has_unit = cells.str.contains(rf"^\W*[0-9].*{re.escape(unit)}$").fill_null(False)
    bare = cells.str.strip_suffix(unit).str.strip_chars()
    has_unit &= bare.str.contains(r"[0-9.,)]$").fill_null(False)
    return pl.select(pl.when(has_unit).then(bare).otherwise(cells)).to_series(), int(has_unit.sum())


def numbers_in(
    cells: pl.Series, decimal: Decimal, unit: str = ""
) -> tuple[np.ndarray, np.ndarray, Counter[str]]:
    """Of text cells their values (NaN where there is none), what each is, and the marks taken off.

    ``unit``: what may stand behind the numbers.
    """
    import polars as pl

    cells, with_unit = (
        _without(unit, cells.str.strip_chars()) if unit else (cells.str.strip_chars(), 0)
    )
    lower = cells.str.to_lowercase()
    absent = (cells.is_null() | lower.is_in(sorted(MISSING))).to_numpy()
    plain = cells if decimal == "." else cells.set(cells.str.contains(r"[.,]"), None)
    values = plain.cast(pl.Float64, strict=False).to_numpy(writable=True)
    codes = np.full(len(cells), NUMBER, np.uint8)
    codes[absent] = ABSENT
    values[absent] = np.nan
    rest = np.flatnonzero(~absent & np.isnan(values))
    marks: Counter[str] = Counter()
    if len(rest):
        values[rest], codes[rest], marks = _marked(cells.gather(rest), decimal)
    if with_unit:
        marks[unit] += with_unit
    return values, codes, marks


def _marked(cells: pl.Series, decimal: Decimal) -> tuple[np.ndarray, np.ndarray, Counter[str]]:
    """The same of cells that are no plain numbers."""
    import polars as pl

    lower = cells.str.to_lowercase()
    is_number = cells.str.contains(marked_number(decimal)).to_numpy()
    group = "." if decimal == "," else ","
    bare = cells.str.replace_all(CURRENCY, "").str.replace_all("[\u2212\u2013(]", "-")
    bare = bare.str.replace_all(rf"[{SPACES}%)\s{re.escape(group)}]", "")
    values = bare.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    found = values.to_numpy(writable=True)
    codes = np.where(is_number, NUMBER, TEXT).astype(np.uint8)
    marks: Counter[str] = Counter()
    seen = cells.filter(pl.Series(is_number))
    if len(seen):
        symbols = seen.str.extract(rf"({CURRENCY}|%)").drop_nulls()
        marks.update(dict(symbols.value_counts().iter_rows()))
        between = rf"\d[{SPACES}{re.escape(group)}]\d"
        marks[","] = int(seen.str.contains(between).sum())
    words = (lower.is_in([*TRUE, *FALSE])).to_numpy() & ~is_number
    codes[words] = WORD
    found[words] = lower.is_in(list(TRUE)).to_numpy()[words]
    codes[cells.str.contains(DATE).to_numpy() & ~is_number] = DAY
    found[(codes == TEXT) | (codes == DAY)] = np.nan
    return found, codes, +marks


def described(names: Iterable[str], found: Sequence[Found], left: Sequence[str]) -> str:
    """A table of the columns: ``age: number; city: category, 12 values: left out by --drop-columns``.

    ``left``: of each column why it is not modelled, "" where it is.
    """
    entries = [
        (name, column.said(), why) for name, column, why in zip(names, found, left, strict=True)
    ]
    more = ""
    if len(entries) > LISTED:
        plain = [said == "number" and not why for _, said, why in entries]
        entries = [entry for entry, is_plain in zip(entries, plain, strict=True) if not is_plain]
        if any(plain):
            more = f"{sum(plain)} column{'s' * (sum(plain) != 1)}: number"
    texts = [f"{name}: {said}{why and f': {why}'}" for name, said, why in entries]
    if len(texts) > LISTED:
        texts = [*texts[:LISTED], f"{len(texts) - LISTED} more"]
    return "; ".join([text for text in (more, *texts) if text])
