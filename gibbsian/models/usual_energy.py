"""The energy that rows of each value of a category usually have: what is taken off, so that kinds compare."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

AS_RARE = 10.0
"""So many rows of a value: half of what they have in common is taken for usual, the rest for strange."""
PASSES = 3


def usual_energy(energy: Tensor, codes: Tensor, counts: tuple[int, ...]) -> Tensor:
    """By how much rows of each value lie above the others, as a sum over columns, ``[W]``.

    Of training rows with ``energy [n]`` and ``codes [n, k]`` of ``counts[j]`` values each, W together. A
    value that few rows have, or whose numbers follow other rules, gives all its rows a high energy, and its
    ordinary rows would come before the strange ones of all other values. Medians, column after column and
    again with the others taken off (Tukey's polish of a table), times n / (n + ``AS_RARE``) for n rows: of a
    value that two rows have nothing is usual.
    """
    usual = [torch.zeros(count, dtype=torch.float64) for count in counts]
    above = energy.double() - energy.double().median()
    for _ in range(PASSES):
        for j, values in enumerate(usual):
            above = above + values[codes[:, j]]
            for value, rows in _rows_of_values(codes[:, j]):
                values[value] = above[rows].median() * len(rows) / (len(rows) + AS_RARE)
            above = above - values[codes[:, j]]
    return torch.cat(usual)


def _rows_of_values(codes: Tensor) -> Iterator[tuple[int, Tensor]]:
    """The values that there are, each with its rows."""
    order = codes.argsort(stable=True)
    values, often = codes.unique(return_counts=True)
    return zip(values.tolist(), order.split(often.tolist()), strict=True)
