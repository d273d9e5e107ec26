"""Columns that determine each other, and what rows become when all of these change at once.

Net price and tax, amount and quantity: change one alone, and the rule between them is broken, so that none of
them seems to be why a row is strange, however odd they are together.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gibbsian.core import Energy

COUPLED = 0.9
"""Squared correlation of two columns, by themselves or given all others, above which they determine each
other: a net price and its tax do so by themselves, three columns of which one is a sum given the third."""
MOST = 4
"""Columns of a group."""


@dataclass(frozen=True, eq=False)
class Change:
    """Columns of a row that change together: the energy falls by ``fall`` where they have ``values``.

    ``alone``: by how much it falls at most when one of them changes, to any value.
    """

    columns: tuple[int, ...]
    fall: float
    values: tuple[float, ...]
    alone: float = 0.0


def coupled_groups(scaled: Tensor) -> list[tuple[int, ...]]:
    """Groups of 2 to ``MOST`` columns that determine each other, the most strictly coupled joined first.

    ``scaled [d, d]``: what a step of 1 in each column adds to whitened rows, so that ``scaled`` times its
    transpose is the inverse P of the covariance C. Correlations are C_jk / sqrt(C_jj C_kk), and given all
    others -P_jk / sqrt(P_jj P_kk).
    """
    unit = scaled / scaled.abs().amax(1, keepdim=True)  # of squares that are finite
    unit = unit / unit.norm(dim=1, keepdim=True)  # correlations are the same in any units
    precision = unit @ unit.T
    square = torch.maximum(
        *map(_squared_correlation, (precision, torch.linalg.inv(precision)))
    ).triu(1)
    pairs = (square > COUPLED).nonzero()
    order = square[square > COUPLED].argsort(descending=True, stable=True)
    group_of: dict[int, tuple[int, ...]] = {j: (j,) for j in range(len(scaled))}
    for j, k in pairs[order].tolist():
        if group_of[j] != group_of[k] and len(group_of[j]) + len(group_of[k]) <= MOST:
            joined = tuple(sorted(group_of[j] + group_of[k]))
            group_of.update(dict.fromkeys(joined, joined))
    return [group for j, group in group_of.items() if len(group) > 1 and j == group[0]]


def lowest_together(
    energy: Energy, scaled: Tensor, u: Tensor, group: tuple[int, ...], steps: Tensor
) -> tuple[Tensor, Tensor]:
    """The lowest energies of whitened rows ``u [n, d]`` when the columns ``group`` change, ``[n]``.

    The first one by one of ``steps [n, K]``; the others follow as of a Gaussian: to where |u|^2 / 2 is
    least. ``energy``: of whitened rows. Second, by how much each column changes there, ``[n, len(group)]``.
    """
    first, others = scaled[group[0]], scaled[list(group[1:])]
    moved = u[:, None] + steps[..., None] * first
    follow = -moved @ torch.linalg.pinv(others)
    energies = energy((moved + follow @ others).flatten(0, 1)).view(steps.shape)
    best = energies.min(1)
    at = torch.arange(len(u)), best.indices
    return best.values, torch.cat([steps[at][:, None], follow[at]], 1)


def lowest_alone(energy: Energy, scaled: Tensor, u: Tensor, group: tuple[int, ...]) -> Tensor:
    """The same when one column of the ``group`` changes, to what fits as of a Gaussian, ``[n]``.

    Quantiles are too far from each other for rules that hold exactly.
    """
    steps = scaled[list(group)]
    moved = u[:, None] - (u @ steps.T / steps.square().sum(1))[..., None] * steps
    return energy(moved.flatten(0, 1)).view(len(u), len(group)).amin(1)


def _squared_correlation(covariance: Tensor) -> Tensor:
    size = covariance.diagonal().sqrt()
    return (covariance / (size[:, None] * size)).square()
