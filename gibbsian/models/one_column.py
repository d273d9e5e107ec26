"""Energies of rows of which one number is changed, without whitening the whole row again."""

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

    ``energy``: of whitened rows ``[n, d] -> [n]``, float64. ``scaled [d, d]``: what a step of 1 in each of
    ``d`` numbers of a row adds to it once whitened.
    """

    energy: Energy
    scaled: Tensor

    def lowest(
        self, u: Tensor, x: Tensor, j: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The lowest energies that one of ``values [n, K]`` gives in columns ``j [n]``, and which one.

        Of rows ``u [n, d]`` with ``x [n]`` there; third, ``[n, d]``, what that value adds to ``u``.
        """
        if not len(u):
            return u.new_empty(0), x, u
        part = max(1, NUMBERS // max(1, values.shape[1] * u.shape[1]))
        found: tuple[list[Tensor], ...] = ([], [], [])
        for rows in torch.arange(len(u)).split(part):
            step = self.scaled[j[rows]][:, None]
            moves = step * (values[rows] - x[rows][:, None])[..., None]
            energy = self.energy((u[rows][:, None] + moves).flatten(0, 1)).view(len(rows), -1)
            best = energy.min(1)
            every = torch.arange(len(rows))
            kept = (best.values, values[rows][every, best.indices], moves[every, best.indices])
            for parts, part_of in zip(found, kept, strict=True):
                parts.append(part_of)
        energies, chosen, added = (torch.cat(parts) for parts in found)
        return energies, chosen, added

    def mean(self, u: Tensor, x: Tensor, j: int) -> Tensor:
        """The number in column ``j`` that fits rows ``u [n, d]`` best as of a Gaussian, ``[n]``.

        Where |u|^2 / 2 is least: its mean given the rest of the row. ``x [n]``: the values there.
        """
        step = self.scaled[j]
        return x - u @ step / step.square().sum()

    def promised(self, slope: Tensor) -> Tensor:
        """What columns promise, ``[n, d]`` in nats: the fall of a parabola of the ``slope [n, d]`` of E(u).

        Its curvature is that of |u|^2 / 2.
        """
        return (slope @ self.scaled.T).square() / (2 * self.scaled.square().sum(1))
