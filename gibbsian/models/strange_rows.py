"""The strange rows of a table: out-of-fold energies, percentiles and reasons, as `gibbsian detect` writes."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import SupportsFloat

import numpy as np
import torch
from torch import Tensor

from gibbsian.config.config import check_seed
from gibbsian.core.dialect import Dialect, separator_of_answers
from gibbsian.core.names import first_few
from gibbsian.core.text import FORMULA, cell
from gibbsian.data.cells import is_value
from gibbsian.data.rows import Cells
from gibbsian.models.coupled_columns import Change
from gibbsian.models.detector import NARROW, Detector
from gibbsian.models.log_columns import LogColumns
from gibbsian.models.numeric_table import NumericTable
from gibbsian.models.reasons import NO_REASON, ORDINARY, REASONS, reasons_of
from gibbsian.models.whitening import rows_to_learn_from

FOLDS = 3
EXPLAINED = 1_000
"""The strangest rows, which have reasons; of others they would take most of the time."""
FEWEST_EXPLAINED = 50
"""The same of wide tables."""
LISTED = 5
"""Rows far out that are listed in a note."""


@dataclass(frozen=True, eq=False)
class Detected:
    """Rows from the strangest on: their numbers from 1, energies, percentiles and reasons.

    ``contributions [m, d]``: of the first m rows, NaN where a column was not tried; ``reasons``: of the same
    rows up to three sentences, and () for the others. ``cells``: all cells of the file, in its order.
    """

    rows: list[int]
    energy: np.ndarray
    percentile: np.ndarray
    reasons: list[tuple[str, ...]]
    contributions: np.ndarray
    names: tuple[str, ...]
    cells: Cells


@dataclass(frozen=True, eq=False)
class FoldDetectors:
    """The detectors of a table, each fitted to two thirds of its rows, in the order of the thirds.

    ``centres [3]``: the median of each one's energies over the third that it has not seen; ``held_out [n]``:
    energies of the rows by the detectors that have not seen them, less their centres; ``fold [n]``: the
    third of each row. Without the rows themselves ``table.x`` and ``fold`` are empty. ``far_out``: numbers,
    from 1, of the rows that none was fitted to, since they would set the scale alone. ``logs``: what the
    detectors' rows are of the table's.
    """

    detectors: tuple[Detector, ...]
    centres: Tensor
    held_out: Tensor
    table: NumericTable
    fold: Tensor
    logs: LogColumns
    far_out: tuple[int, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of columns taken by their logarithm, and of rows far out."""
        found: tuple[str, ...] = ()
        if self.logs.columns:
            which = first_few(self.table.names[j] for j in self.logs.columns)
            found += (f"by logarithm, since values spread by factors or are multiplied: {which}",)
        return (*found, self._far_out) if self.far_out else found

    @property
    def _far_out(self) -> str:
        rows = [str(row) for row in self.far_out[:LISTED]]
        more = len(self.far_out) - len(rows)
        one, last = len(self.far_out) == 1, f"{more} more" if more else rows.pop()
        which = f"row {last}" if one else f"rows {', '.join(rows)} and {last}"
        verb, them = ("lies", "it") if one else ("lie", "them")
        return (
            f"{which} {verb} so far from the others that the detectors were trained without {them}, or much "
            f"else would look ordinary beside {them}; {'it is' if one else 'they are'} scored like every row"
        )


def detect_rows(
    table: NumericTable, other: NumericTable | None = None, seed: int = 0, device: str = "cpu"
) -> Detected:
    """The rows of ``table``, or of ``other``, by energy.

    Each third of ``table`` is scored by a detector fitted to the other two. Energies of a detector are
    counted from their median over the third that it has not seen, so that those of three compare; a row of
    ``other`` has their mean. The percentile is the share of rows of ``table`` with no higher energy.
    """
    fitted = fit_folds(table, seed, device)
    return judged(fitted, other)


def fit_folds(table: NumericTable, seed: int = 0, device: str = "cpu") -> FoldDetectors:
    """Three detectors, each fitted to two thirds of the rows of ``table`` but for those that are far out."""
    check_seed(seed)
    logs = LogColumns.fit(table.x, table.gaps, table.categories)
    x, rng = logs(table.x), torch.Generator().manual_seed(seed)
    known, near = rows_to_learn_from(x, table.gaps, table.categories)
    fold = torch.randperm(len(x), generator=rng) % FOLDS
    held_out = torch.empty(len(x), dtype=torch.float64)
    detectors, centres = [], []
    for k in range(FOLDS):
        detector = Detector.fit(
            known[(fold != k) & near],
            seed=seed,
            device=device,
            categories=table.categories,
            tried=table.texts,
            every=known,
            filled=(table.gaps & (torch.tensor(table.categories or (0,)) == 0))[(fold != k) & near],
        )
        energy = detector.energy(detector.completed(x[fold == k], table.gaps[fold == k]))
        centre = energy.median()
        held_out[fold == k] = energy - centre
        detectors.append(detector)
        centres.append(centre)
    far_out = tuple((1 + (~near).nonzero()[:, 0]).tolist())
    return FoldDetectors(
        tuple(detectors), torch.stack(centres).cpu(), held_out, table, fold, logs, far_out
    )


def judged(fitted: FoldDetectors, other: NumericTable | None = None) -> Detected:
    """The rows that the detectors were fitted to, or those of ``other``, by energy."""
    detectors, scored = fitted.detectors, fitted.table if other is None else other
    logs, gaps = fitted.logs, scored.gaps
    x = logs(scored.x)
    if other is None:
        energy = fitted.held_out
    else:
        found = zip(detectors, fitted.centres, strict=True)
        energies = [d.energy(d.completed(x, gaps)).cpu() - centre for d, centre in found]
        energy = torch.stack(energies).mean(0)
    _check(energy)
    order = energy.argsort(descending=True, stable=True)
    rank = torch.searchsorted(fitted.held_out.sort().values, energy[order], right=True)
    top = order[: min(EXPLAINED, max(FEWEST_EXPLAINED, EXPLAINED * NARROW // x.shape[1]))]
    judges = fitted.fold[top] if other is None else None
    fall, best = _explained(detectors, x[top], gaps[top], judges)
    together = _explained_together(detectors, x[top], gaps[top], judges)
    best, candidates = logs.inverse(best), logs.inverse(detectors[0].candidates)
    together = [[_in_units(change, logs) for change in changes] for changes in together]
    names, values = fitted.table.names, fitted.table.values
    unseen, ordinary = _unseen(scored, top), float(np.quantile(fitted.held_out, ORDINARY))
    reasons = [
        reasons_of(
            scored.x[row],
            fall[i],
            best[i],
            names,
            values,
            float(energy[row]),
            ordinary,
            candidates,
            unseen.get(row),
            together[i],
            logs,
        )
        for i, row in enumerate(top.tolist())
    ]
    return Detected(
        (order + 1).tolist(),
        energy[order].numpy(),
        (100.0 * rank / len(fitted.held_out)).numpy(),
        reasons + [()] * (len(order) - len(reasons)),
        fall.numpy(),
        names,
        scored.cells,
    )


def _unseen(table: NumericTable, rows: Tensor) -> dict[int, dict[int, str]]:
    """Of those ``rows`` of the table that have texts which no training row had: column -> the text."""
    found: dict[int, dict[int, str]] = {}
    for place, j in table.unseen[rows].nonzero().tolist():
        row, column = int(rows[place]), table.cells.names.index(table.names[j])
        found.setdefault(row, {})[j] = table.cells.texts[row, column]
    return found


def _check(energy: Tensor) -> None:
    if not bool(energy.isfinite().all()):
        row = int(energy.isfinite().int().argmin()) + 1
        raise ValueError(
            f"row {row} has no score: its values lie too far from the others; correct it or take it out"
        )


def _explained(
    detectors: Sequence[Detector], x: Tensor, gaps: Tensor, judges: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Contributions and fitting values of rows ``x [m, d]``, by the detector of each row or all three.

    All three: the mean of the contributions, of those that tried the column, and the value of the one whose
    contribution is the largest.
    """
    if judges is None:
        found = [detector.explain(x, gaps) for detector in detectors]
        falls, bests = (torch.stack(part) for part in zip(*found, strict=True))
        largest = falls.nan_to_num(-1.0).argmax(0, keepdim=True)
        return falls.nanmean(0), bests.gather(0, largest)[0]
    fall, best = torch.zeros_like(x), torch.zeros_like(x)
    for k, detector in enumerate(detectors):
        mine = judges == k
        fall[mine], best[mine] = detector.explain(x[mine], gaps[mine])
    return fall, best


def _explained_together(
    detectors: Sequence[Detector], x: Tensor, gaps: Tensor, judges: Tensor | None
) -> list[list[Change]]:
    """What happens to each row of ``x [m, d]`` when columns that determine each other change at once.

    By the detector of each row, or by all three: then the mean of the falls, to the values of the first.
    """
    groups = detectors[0].groups()
    falls = torch.zeros(2, len(groups), len(x), dtype=torch.float64)
    values = [torch.zeros(len(x), len(group), dtype=torch.float64) for group in groups]
    for k, detector in enumerate(detectors):
        mine = torch.ones(len(x), dtype=torch.bool) if judges is None else judges == k
        share = 1 / len(detectors) if judges is None else 1.0
        for i, found in enumerate(detector.explain_together(x[mine], gaps[mine], groups)):
            fall, value, alone = found
            falls[:, i, mine] += share * torch.stack([fall, alone])
            if judges is not None or k == 0:
                values[i][mine] = value
    return [
        [
            Change(group, float(fall), tuple(values[i][row].tolist()), float(alone))
            for i, (group, fall, alone) in enumerate(zip(groups, *falls[:, :, row], strict=True))
        ]
        for row in range(len(x))
    ]


def _in_units(change: Change, logs: LogColumns) -> Change:
    """With values in the table's units."""
    y = torch.zeros_like(logs.least)
    y[list(change.columns)] = torch.tensor(change.values, dtype=y.dtype)
    return replace(change, values=tuple(logs.inverse(y)[list(change.columns)].tolist()))


def to_csv(found: Detected) -> str:
    """The text of rows.csv: a line for each row, the strangest first, with all cells of its file.

    Separated and with decimals as there, so that the same program opens it.
    """
    text, like = io.StringIO(), found.cells
    dialect = Dialect(separator_of_answers(like.separator), like.decimal)
    writer = csv.writer(text, lineterminator="\n", delimiter=dialect.separator)

    def number(value: SupportsFloat, digits: int) -> str:
        return dialect.number(f"{float(value):.{digits}g}")

    ours = ["row", "energy", "percentile", *(f"reason_{i + 1}" for i in range(REASONS))]
    columns = [f"contribution of {name}" for name in found.names]
    taken = {*ours, *columns}
    theirs = [f"{name} (original)" if name in taken else name for name in found.cells.names]
    writer.writerow([*ours, *map(cell, theirs), *map(cell, columns)])
    blank = [""] * len(columns)
    cells = found.cells.texts[[row - 1 for row in found.rows]].iter_rows()
    for i, (row, texts) in enumerate(zip(found.rows, cells, strict=True)):
        explained = i < len(found.contributions)
        said = [cell(reason) for reason in found.reasons[i] or (NO_REASON,) * explained]
        said += [""] * (REASONS - len(said))
        falls = blank
        if explained:
            falls = [
                number(fall, 4) if fall == fall else "" for fall in found.contributions[i].tolist()
            ]
        writer.writerow(
            [
                row,
                number(found.energy[i], 7),
                number(found.percentile[i], 4),
                *said,
                *map(_as_it_stood, texts),
                *falls,
            ]
        )
    return text.getvalue()


def _as_it_stood(text: str | None) -> str:
    """A cell of the file as it was, but on one line and no formula; a negative number is none."""
    if not text:
        return ""
    return text if text.startswith(FORMULA) and is_value(text) else cell(text)
