"""The strange rows of a table: out-of-fold energies, percentiles and reasons, as `gibbsian detect` writes."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gibbsian.config.config import check_seed
from gibbsian.core.names import first_few
from gibbsian.core.text import cell
from gibbsian.data.readers import read
from gibbsian.data.rows import Rows, arranged, counted, numbering_notes
from gibbsian.data.table_schema import Missing, Selection, TableSchema, filled, listed, with_medians
from gibbsian.models.detector import Detector
from gibbsian.models.reasons import REASONS, reasons_of

FOLDS, FEWEST = 3, 12
EXPLAINED = 1_000
"""The strangest rows, which have reasons; of others they would take most of the time."""


@dataclass(frozen=True, eq=False)
class NumericTable:
    """Rows ``x [n, d]`` float64 without gaps, the names of the columns, and what was noted of them.

    A category stands in ``x`` as the place of its text in ``values``, () for a column of numbers.
    """

    x: Tensor
    names: tuple[str, ...]
    notes: tuple[str, ...]
    schema: TableSchema | None

    @property
    def values(self) -> tuple[tuple[str, ...], ...]:
        """Of each column the texts of a category, () for numbers."""
        if self.schema is None:
            return ((),) * len(self.names)
        return tuple(column.values for column in self.schema.kept)

    @property
    def categories(self) -> tuple[int, ...]:
        """Of each column how many values a category has, 0 for numbers."""
        return tuple(map(len, self.values))

    def like(self, path: Path) -> NumericTable:
        """Another file's rows, its gaps filled as here; ValueError unless its columns are these."""
        imputes = self.schema is not None and self.schema.missing == "impute"
        selection = Selection(missing="impute" if imputes else "refuse", schema=self.schema)
        rows = read(path, None, None, selection)
        if imputes and self.schema is not None and rows.x.shape[1:] == (len(self.names),):
            rows = replace(rows, x=filled(rows.x, self.schema), table=None)
        other = _table(arranged(rows, str(path)), path)
        if other.x.shape[1] != len(self.names):
            raise ValueError(
                f"the rows to learn from have {counted(len(self.names), 'column')}; {path} has "
                f"{other.x.shape[1]}: give it the same columns in the same order"
            )
        return other


@dataclass(frozen=True, eq=False)
class Detected:
    """Rows from the strangest on: their numbers from 1, energies, percentiles and reasons.

    ``contributions [m, d]``: of the first m rows; ``reasons``: of the same rows up to three sentences, and
    () for the others.
    """

    rows: list[int]
    energy: np.ndarray
    percentile: np.ndarray
    reasons: list[tuple[str, ...]]
    contributions: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class FoldDetectors:
    """The detectors of a table, each fitted to two thirds of its rows, in the order of the thirds.

    ``centres [3]``: the median of each one's energies over the third that it has not seen; ``held_out [n]``:
    energies of the rows by the detectors that have not seen them, less their centres; ``fold [n]``: the
    third of each row. Without the rows themselves ``table.x`` and ``fold`` are empty.
    """

    detectors: tuple[Detector, ...]
    centres: Tensor
    held_out: Tensor
    table: NumericTable
    fold: Tensor


def read_table(
    path: Path, columns: str = "", drop: str = "", missing: Missing = "impute"
) -> NumericTable:
    """The numbers and categories of a file, its gaps filled or refused.

    ``columns``, ``drop``: names or numbers from 1, as ``"age,income"``. Raises ValueError, one sentence, for
    what cannot be read, columns that are neither, images, and fewer than 12 rows.
    """
    selection = Selection(listed(columns), listed(drop), missing, constant=True)
    rows = arranged(read(path, None, None, selection), str(path))
    if len(rows.x) < FEWEST:
        raise ValueError(
            f"{path} has {counted(len(rows.x), 'row')}; to say which are strange takes at least {FEWEST}"
        )
    if rows.table is not None and missing == "impute" and rows.x.ndim == 2:
        schema, said = with_medians(rows.table, rows.x, np.arange(len(rows.x)))
        said = said.replace("the training rows", "all rows")
        rows = replace(rows, x=filled(rows.x, schema), table=schema, notes=(*rows.notes, said))
    table = _table(rows, path)
    return replace(table, notes=(*table.notes, *numbering_notes(rows), *_constant(table)))


def _constant(table: NumericTable) -> tuple[str, ...]:
    """A sentence on the columns that hold one number or text alone."""
    same = (table.x == table.x[:1]).all(0).tolist()
    names = [name for name, is_same in zip(table.names, same, strict=True) if is_same]
    if not names:
        return ()
    return (f"the same in every row, so never a reason there: {first_few(names)}",)


def _table(rows: Rows, path: Path) -> NumericTable:
    if rows.x.ndim != 2:
        raise ValueError(f"{path} holds images; detect takes a table with columns of numbers")
    names = rows.columns or tuple(f"column {j + 1}" for j in range(rows.x.shape[1]))
    return NumericTable(torch.tensor(rows.x, dtype=torch.float64), names, rows.notes, rows.table)


def detect_rows(
    table: NumericTable, other: NumericTable | None = None, seed: int = 0, device: str = "cpu"
) -> Detected:
    """The rows of ``table``, or of ``other``, by energy.

    Each third of ``table`` is scored by a detector fitted to the other two. Energies of a detector are
    counted from their median over the third that it has not seen, so that those of three compare; a row of
    ``other`` has their mean. The percentile is the share of rows of ``table`` with no higher energy.
    """
    fitted = fit_folds(table, seed, device)
    return judged(fitted, None if other is None else other.x)


def fit_folds(table: NumericTable, seed: int = 0, device: str = "cpu") -> FoldDetectors:
    """Three detectors, each fitted to two thirds of the rows of ``table``."""
    check_seed(seed)
    x, rng = table.x, torch.Generator().manual_seed(seed)
    fold = torch.randperm(len(x), generator=rng) % FOLDS
    held_out = torch.empty(len(x), dtype=torch.float64)
    detectors, centres = [], []
    for k in range(FOLDS):
        detector = Detector.fit(x[fold != k], seed=seed, device=device, categories=table.categories)
        energy = detector.energy(x[fold == k])
        centre = energy.median()
        held_out[fold == k] = energy - centre
        detectors.append(detector)
        centres.append(centre)
    return FoldDetectors(tuple(detectors), torch.stack(centres).cpu(), held_out, table, fold)


def judged(fitted: FoldDetectors, other: Tensor | None = None) -> Detected:
    """The rows that the detectors were fitted to, or rows ``other [m, d]``, by energy."""
    table, detectors = fitted.table, fitted.detectors
    points = table.x if other is None else other
    if other is None:
        energy = fitted.held_out
    else:
        found = zip(detectors, fitted.centres, strict=True)
        energy = torch.stack([d.energy(points).cpu() - centre for d, centre in found]).mean(0)
    _check(energy)
    order = energy.argsort(descending=True, stable=True)
    rank = torch.searchsorted(fitted.held_out.sort().values, energy[order], right=True)
    top = order[:EXPLAINED]
    judges = fitted.fold[top] if other is None else None
    fall, best = _explained(detectors, points[top], judges)
    reasons = [
        reasons_of(*row, table.names, table.values)
        for row in zip(points[top], fall, best, strict=True)
    ]
    return Detected(
        (order + 1).tolist(),
        energy[order].numpy(),
        (100.0 * rank / len(fitted.held_out)).numpy(),
        reasons + [()] * (len(order) - len(reasons)),
        fall.numpy(),
        table.names,
    )


def _check(energy: Tensor) -> None:
    if not bool(energy.isfinite().all()):
        row = int(energy.isfinite().int().argmin()) + 1
        raise ValueError(
            f"row {row} has no score: its values lie too far from the others; correct it or take it out"
        )


def _explained(
    detectors: Sequence[Detector], x: Tensor, judges: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Contributions and fitting values of rows ``x [m, d]``, by the detector of each row or all three.

    All three: the mean of the contributions, and the value of the one whose contribution is the largest.
    """
    if judges is None:
        found = [detector.explain(x) for detector in detectors]
        falls, bests = (torch.stack(part) for part in zip(*found, strict=True))
        return falls.mean(0), bests.gather(0, falls.argmax(0, keepdim=True))[0]
    fall, best = torch.zeros_like(x), torch.zeros_like(x)
    for k, detector in enumerate(detectors):
        mine = judges == k
        fall[mine], best[mine] = detector.explain(x[mine])
    return fall, best


def to_csv(found: Detected) -> str:
    """The text of rows.csv: a line for each row, the strangest first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    reasons = [f"reason_{i + 1}" for i in range(REASONS)]
    columns = [cell(f"contribution of {name}") for name in found.names]
    writer.writerow(["row", "energy", "percentile", *reasons, *columns])
    blank = [""] * len(columns)
    for i, row in enumerate(found.rows):
        said = [cell(reason) for reason in found.reasons[i]]
        said += [""] * (REASONS - len(said))
        falls = blank
        if i < len(found.contributions):
            falls = [f"{value:.4g}" for value in found.contributions[i].tolist()]
        writer.writerow(
            [row, f"{found.energy[i]:.7g}", f"{found.percentile[i]:.4g}", *said, *falls]
        )
    return text.getvalue()
