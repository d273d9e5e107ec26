"""Energies of rows of which one column is changed, without whitening the whole row again."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gibbsian.core import Energy

NUMBERS = 2**22
"""Network inputs that are held at a time."""


@dataclass(frozen=True, eq=False)
class OneColumn:
    """Energies of the rows that whitened rows ``u`` become when a column has another value.

    ``energy``: of whitened rows ``[n, w] -> [n]``, float64. ``scaled [w, w]``: what a step of 1 in each of
    ``w`` numbers of a row adds to it once whitened. ``first [d]``: the place of each column among these, of
    a category that of its first value; ``is_category [d]``.
    """

    energy: Energy
    scaled: Tensor
    first: Tensor
    is_category: Tensor

    def moves(self, x: Tensor, j: Tensor, values: Tensor) -> Tensor:
        """What the change of ``x [n]``, in columns ``j [n]``, to ``values [n, K]`` adds, ``[n, K, w]``.

        A code below 0 is none of a category's values.
        """
        first, is_category = self.first[j], self.is_category[j]
        step = self.scaled[first][:, None] * (values - x[:, None])[..., None]
        if not bool(is_category.any()):
            return step
        new, old = (self._block(first[:, None], codes) for codes in (values, x[:, None]))
        return torch.where(is_category[:, None, None], new - old, step)

    def _block(self, first: Tensor, codes: Tensor) -> Tensor:
        place = (first + codes.long().clamp(min=0)).clamp(max=len(self.scaled) - 1)
        return torch.where((codes < 0)[..., None], 0.0, self.scaled[place])

    def lowest(
        self, u: Tensor, x: Tensor, j: Tensor, values: Tensor, more: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The lowest energies that one of ``values [n, K]`` gives in columns ``j [n]``, and which one.

        Of rows ``u [n, w]`` with ``x [n]`` there, ``more [n, K]`` added to the energies; third, ``[n, w]``,
        what that value adds to ``u``.
        """
        if not len(u):
            return u.new_empty(0), x, u
        part = max(1, NUMBERS // max(1, values.shape[1] * max(1, u.shape[1])))
        found: tuple[list[Tensor], ...] = ([], [], [])
        for rows in torch.arange(len(u)).split(part):
            moves = self.moves(x[rows], j[rows], values[rows])
            energy = self.energy((u[rows][:, None] + moves).flatten(0, 1)).view(len(rows), -1)
            best = (energy if more is None else energy + more[rows]).min(1)
            every = torch.arange(len(rows))
            kept = (best.values, values[rows][every, best.indices], moves[every, best.indices])
            for parts, part_of in zip(found, kept, strict=True):
                parts.append(part_of)
        energies, chosen, added = (torch.cat(parts) for parts in found)
        return energies, chosen, added

    def mean(self, u: Tensor, x: Tensor, j: int) -> Tensor:
        """The number in column ``j`` that fits rows ``u [n, w]`` best as of a Gaussian, ``[n]``.

        Where |u|^2 / 2 is least: its mean given the rest of the row. ``x [n]``: the values there.
        """
        step = self.scaled[self.first[j]]
        return x - u @ step / step.square().sum()

    def promised(self, slope: Tensor) -> Tensor:
        """What columns promise, ``[n, d]`` in nats: the fall of a parabola of the ``slope [n, w]`` of E(u).

        Its curvature is that of |u|^2 / 2. Of a category the largest one of its values.
        """
        fall = (slope @ self.scaled.T).square() / (2 * self.scaled.square().sum(1))
        place = torch.zeros(len(self.scaled), dtype=torch.long)
        place[self.first[1:]] = 1
        column = place.cumsum(0).expand_as(fall)
        return fall.new_zeros(len(fall), len(self.first)).scatter_reduce(1, column, fall, "amax")
