"""Why rows are strange, in sentences, and the strangest held-out rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from operator import attrgetter

import torch
from torch import Tensor

from gibbsian.core.protocols import HasEnergy
from gibbsian.data import Dataset
from gibbsian.models.coupled_columns import Change
from gibbsian.models.detector import candidates_of, decimals_of
from gibbsian.models.evaluation_record import StrangeRow
from gibbsian.models.explain import column_contributions
from gibbsian.models.log_columns import LogColumns
from gibbsian.models.model import Model

REASONS, LEAST, SHARE = 3, 0.5, 0.2
"""So many reasons at most, each of at least this many nats and this share of the first one's.

Half a nat is one conditional standard deviation. A small contribution beside a large one is mostly what
the network makes of a row far from all others.
"""
EXPLAINED, FAR = 0.5, 1.5
"""Where contributions sum up to less than this share of a row's energy, columns are named in which the row
lies this many times as far from the median as the outermost of the quantiles tried. (Of a Gaussian, 3.2
standard deviations.)"""
MORE = 3.0
"""Nats that columns which determine each other must explain beyond each alone, and ``EXPLAINED`` of what it
leaves, to be named together."""
ORDINARY = 0.95
"""Share of the rows whose energies are ordinary: with a value that leaves more, a row is still strange."""
NO_REASON = "no single column explains it"
TOGETHER = "several columns together: no single one explains most of it"
STRANGEST, MOST_COLUMNS = 10, 500
"""Rows with reasons in an evaluation; columns above which it gives none, since each is tried."""


def strangest_held_out(model: Model, data: Dataset, rows: Tensor) -> tuple[StrangeRow, ...]:
    """The rows ``[n, d]`` of a table with the highest energies; () for data that are no table.

    A column is tried at quantiles of the training rows, or at all values of its category; a gap is none of
    the reasons, since what fills it stands in no file. ``rows`` are the first test rows of ``data``.
    """
    table = data.table
    if not isinstance(model.method, HasEnergy) or table is None or rows.ndim != 2:
        return ()
    columns = table.kept
    if not 2 <= rows.shape[1] == len(columns) <= MOST_COLUMNS:
        return ()
    energy = partial(model.energy_as_tensor, seed=0, dequantise=False)
    energies = energy(rows).cpu()
    order = energies.argsort(descending=True, stable=True)[:STRANGEST]
    values = tuple(column.values for column in columns)
    candidates = candidates_of(data.train, tuple(map(len, values)))
    fall, best = column_contributions(energy, rows[order], candidates)
    if data.test_gaps is not None:
        fall = fall.masked_fill(data.test_gaps[order].to(fall.device), torch.nan)
    above = energies - energies.median()
    ordinary = float(above.quantile(ORDINARY))
    names = tuple(column.name for column in columns)
    return tuple(
        StrangeRow(
            float(energies[place]),
            100.0 * float((energies <= energies[place]).double().mean()),
            reasons_of(
                rows[place],
                fall[k],
                best[k],
                names,
                values,
                float(above[place]),
                ordinary,
                candidates,
            ),
            None if data.test_numbers is None else data.test_numbers[place],
        )
        for k, place in enumerate(order.tolist())
    )


def reasons_of(
    x: Tensor,
    fall: Tensor,
    best: Tensor,
    names: Sequence[str],
    values: Sequence[Sequence[str]],
    energy: float,
    ordinary: float,
    candidates: Tensor,
    unseen: Mapping[int, str] | None = None,
    together: Sequence[Change] = (),
    logs: LogColumns | None = None,
) -> tuple[str, ...]:
    """Up to three sentences on the columns that the row's energy would fall most by.

    A change fits if it leaves at most ``ordinary``, counted from the median row as the ``energy`` is; else it
    fits better, and is named only where none fits. Where the falls explain little of the energy, no change
    makes the row ordinary: the columns in which it lies far out come first then. ``fall``: NaN where a
    column was not tried. ``candidates [K, d]``: the values tried. ``unseen``: of columns with a text that no
    training row had, which come first, that text. ``together``: changes of columns that determine each other,
    named where changing one of them alone leaves much more. ``logs``: columns whose distances are those of
    their logarithms.
    """
    unseen = {} if unseen is None else unseen
    first = [f"{names[j]}: {unseen[j]!r} was never seen in training" for j in unseen]
    fall = fall.nan_to_num(0.0)
    singles = [
        Change((j,), float(fall[j]), (float(best[j]),))
        for j in fall.argsort(descending=True, stable=True).tolist()
        if j not in unseen
    ]
    groups = [change for change in together if _is_told(change, fall, energy)]
    grouped = {j for change in groups for j in change.columns}
    singles = [change for change in singles if change.columns[0] not in grouped]
    changes = sorted([*groups, *singles], key=attrgetter("fall"), reverse=True)
    told = [
        change for change in changes[:REASONS] if change.fall >= max(LEAST, SHARE * changes[0].fall)
    ]
    fitting = [change for change in told if energy - change.fall <= ordinary]
    told = fitting or told
    explained = max([float(fall.sum()), *(change.fall for change in groups)])
    if not unseen and explained < EXPLAINED * energy:
        numbers = [j for j in range(len(x)) if not values[j]]
        scaled = (x, candidates) if logs is None else (logs(x), logs(candidates))
        far = far_columns(*scaled, numbers)[:REASONS]
        low, high = candidates.min(0).values, candidates.max(0).values
        first = [
            f"{names[j]} {_number(float(x[j]))} is far out ({_share(candidates)} of the rows have "
            f"{_number(float(low[j]))} to {_number(float(high[j]))})"
            for j in far
        ] or [TOGETHER] * bool(told)
        told = [change for change in told if not set(change.columns) & set(far)]

    def text(j: int, value: float) -> str:
        return repr(values[j][int(value)]) if values[j] else _number(value)

    def proposed(j: int, value: float) -> str:
        return text(j, value if values[j] else round(value, decimals_of(candidates[:, j])))

    def sentence(change: Change) -> str:
        there = [f"{names[j]} {text(j, float(x[j]))}" for j in change.columns]
        others = _listed(
            [proposed(j, v) for j, v in zip(change.columns, change.values, strict=True)]
        )
        are = "is" if len(there) == 1 else "together are"
        better = "" if energy - change.fall <= ordinary else " better"
        return (
            f"{_listed(there)} {are} unusual given the rest (-{_nats(change.fall)} nats; {others} would "
            f"fit{better})"
        )

    return (*first, *map(sentence, told))[:REASONS]


def _is_told(change: Change, fall: Tensor, energy: float) -> bool:
    """Whether columns that change together explain much that none of them explains alone."""
    alone = max(change.alone, float(fall[list(change.columns)].max()))
    return change.fall - alone > max(MORE, EXPLAINED * (energy - alone))


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]


def far_columns(x: Tensor, candidates: Tensor, numbers: Sequence[int]) -> list[int]:
    """Those of the columns ``numbers`` in which the row ``x [d]`` lies far out, the farthest first.

    Measured from the median of ``candidates [K, d]``, quantiles of the column, to their outermost there.
    """
    low, high, middle = (
        candidates.min(0).values,
        candidates.max(0).values,
        candidates.median(0).values,
    )
    reach = torch.where(x > middle, high - middle, middle - low)
    distance = torch.where(x == middle, 0.0, (x - middle).abs() / reach)
    order = distance.argsort(descending=True, stable=True).tolist()
    return [j for j in order if j in set(numbers) and distance[j] > FAR]


def _share(candidates: Tensor) -> str:
    """What the quantiles tried enclose: K of them, at (i + 1/2) / K, all but 1 / K."""
    return f"{100 - 100 / len(candidates):.0f} %"


def _nats(value: float) -> str:
    return f"{value:.1f}" if value < 1e3 else f"{value:.0f}" if value < 1e9 else f"{value:.3g}"


def _number(value: float) -> str:
    """To six digits, all digits of whole numbers."""
    whole = value == round(value) and abs(value) < 1e12
    return str(int(value)) if whole else f"{value:.6g}"
