"""Why rows are strange, in sentences, and the strangest held-out rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from gibbsian.core.protocols import HasEnergy
from gibbsian.data import Dataset
from gibbsian.models.detector import candidates_of
from gibbsian.models.evaluation_record import StrangeRow
from gibbsian.models.explain import column_contributions
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
ORDINARY = 0.95
"""Share of the rows whose energies are ordinary: with a value that leaves more, a row is still strange."""
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
) -> tuple[str, ...]:
    """Up to three sentences on the columns that the row's energy would fall most by.

    Where these falls explain little of the ``energy``, counted from the median row, no single change makes
    the row ordinary: the columns in which it lies far out come first then. A value fits if it leaves at most
    ``ordinary``, counted likewise; else it fits better. ``fall``: NaN where a column was not tried.
    ``candidates [K, d]``: the values tried. ``unseen``: of columns with a text that no training row had,
    which come first, that text.
    """
    unseen = {} if unseen is None else unseen

    def text(j: int, value: Tensor) -> str:
        return repr(values[j][int(value)]) if values[j] else f"{float(value):.6g}"

    first = [f"{names[j]}: {unseen[j]!r} was never seen in training" for j in unseen]
    fall = fall.nan_to_num(0.0)
    places = [j for j in fall.argsort(descending=True, stable=True).tolist() if j not in unseen]
    told = [j for j in places[:REASONS] if fall[j] >= max(LEAST, SHARE * float(fall[places[0]]))]
    if not unseen and float(fall.sum()) < EXPLAINED * energy:
        numbers = [j for j in range(len(x)) if not values[j]]
        far = far_columns(x, candidates, numbers)[:REASONS]
        low, high = candidates.min(0).values, candidates.max(0).values
        first = [
            f"{names[j]} {text(j, x[j])} is far out "
            f"({_share(candidates)} of the rows have {text(j, low[j])} to {text(j, high[j])})"
            for j in far
        ] or [TOGETHER] * bool(told)
        told = [j for j in told if j not in far]
    others = [
        f"{names[j]} {text(j, x[j])} is unusual given the rest (-{_nats(float(fall[j]))} nats; "
        f"{text(j, best[j])} would fit{'' if energy - float(fall[j]) <= ordinary else ' better'})"
        for j in told
    ]
    return (*first, *others)[:REASONS]


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
    return f"{value:.1f}" if value < 1e6 else f"{value:.3g}"
