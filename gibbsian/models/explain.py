"""Which columns make a row strange: what its energy falls by when a column alone is changed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gibbsian.core import Energy

if TYPE_CHECKING:
    from gibbsian.data.frames import Array
    from gibbsian.models.model import Model

EVALUATIONS, NUMBERS = 65_536, 2**22
"""Rows whose energies are asked for at a time, and numbers in them, at most."""
GRID = 65
WIDTH = 4.0
"""Without rows of the data, a column takes values within this many standard deviations of its mean."""


def column_contributions(energy: Energy, x: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    """E(x) - min_k E(x with x_j = candidates_kj), at least 0, and the values that reach it, ``[n, d]``.

    x itself is a candidate. Of a Gaussian, with candidates everywhere, the first is (x_j - m_j)^2 /
    (2 v_j), m_j and v_j the mean and variance of x_j given the other columns: half the squared
    conditional z-score; the second is m_j. ``x [n, d]``, ``candidates [K, d]``, ``energy [n, d] -> [n]``.
    """
    here = energy(x).to(x.dtype)
    fall, best = torch.zeros_like(x), x.clone()
    part = max(1, min(EVALUATIONS, NUMBERS // x.shape[1]) // len(candidates))
    for first in range(0, len(x), part):
        rows = x[first : first + part]
        for j in range(x.shape[1]):
            changed = rows.repeat_interleave(len(candidates), 0)
            changed[:, j] = candidates[:, j].repeat(len(rows))
            found = energy(changed).to(x.dtype).view(len(rows), -1).min(1)
            gain = here[first : first + part] - found.values
            better = gain > 0
            fall[first : first + part, j] = torch.where(better, gain, 0.0)
            best[first : first + part, j] = torch.where(
                better, candidates[found.indices, j], rows[:, j]
            )
    return fall, best


def grid_of(moments: Tensor) -> Tensor:
    """``[GRID, d]`` values evenly around the mean ``moments[0]``, by ``moments[1]`` standard deviations."""
    steps = torch.linspace(-WIDTH, WIDTH, GRID, dtype=moments.dtype, device=moments.device)
    return moments[0] + steps[:, None] * moments[1]


def contributions_of(model: Model, x: Array, rows: Any = None) -> Tensor:
    """`Model.explain`, as a tensor ``[n, d]`` on the CPU."""
    if model.space.kind == "image":
        raise ValueError("reasons are given by column; this model is of images")
    points = model.to_tensor(x).to("cpu", model.transform.dtype)
    if rows is not None:
        values = model.to_tensor(rows)
    elif model.space.categories:
        raise ValueError(
            "this model has categories; give rows like its training data, explain(x, rows=...), whose "
            "values are tried"
        )
    elif model.space.kind == "binary":
        values = torch.tensor([0.0, 1.0])[:, None].expand(2, points.shape[1])
    elif model.moments is not None:
        values = model.transform.decode(grid_of(model.moments))
    else:
        raise ValueError(
            "this model was saved without moments of its data; give rows of them, explain(x, rows=...)"
        )
    energy = partial(model.energy_as_tensor, seed=0, dequantise=False)
    return column_contributions(energy, points, values.to("cpu", points.dtype))[0]
