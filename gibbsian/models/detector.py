"""The detector that needs no choice of method: what `gibbsian detect` and ``OutlierDetector()`` fit.

Columns are standardised and rotated to unit covariance ("whitened"), and an energy with a Gaussian
envelope is trained there by denoising score matching: what it learns is how the rows differ from a
Gaussian of their covariance. The settings were chosen on the tuning tables of studies/detection.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from gibbsian.config import recipes
from gibbsian.config.config import Config, replace
from gibbsian.core import DataSpace
from gibbsian.core.numerics import widest_float
from gibbsian.data import Dataset
from gibbsian.data.transforms import unscaled
from gibbsian.models.explain import column_contributions
from gibbsian.models.model import Model
from gibbsian.models.train import train_config

ROUNDS, BATCH = 500, 256
EIGENVALUE_FLOOR = 1e-3
"""Added to the variances along the axes, in units of their mean: columns may depend on each other."""
SETTINGS: Mapping[str, Any] = {
    "energy": {"name": "confined", "width": 64, "depth": 2},
    "denoising_noise_std": 0.3,
    "energy_optimizer": {"lr": 2e-3, "lr_schedule": "cosine"},
    "training": {"ema": 0.98},
}
CANDIDATES = 32
"""Values that each column is set to for reasons: quantiles of the training rows."""


@dataclass(frozen=True, eq=False)
class Whitening:
    """x -> ((x - mean) / std) @ factor, of covariance I on the rows it was fitted to.

    ``mean``, ``std`` ``[d]``; ``factor [d, d]``; float64. A constant column has std 1.
    """

    mean: Tensor
    std: Tensor
    factor: Tensor

    @classmethod
    def fit(cls, x: Tensor) -> Whitening:
        """Of rows ``x [n, d]``, n at least 2."""
        x = x.double()
        size = x.abs().amax(0)  # by which the squares of large values are kept finite
        size = torch.where(size > 0, size, torch.ones_like(size))
        mean, std = (x / size).mean(0) * size, (x / size).std(0, correction=0) * size
        std = torch.where(std > 0, std, torch.ones_like(std))
        y = (x - mean) / std
        variance, axes = torch.linalg.eigh(y.T @ y / len(y))
        variance = variance.clamp(min=0)
        variance = variance + EIGENVALUE_FLOOR * variance.mean().clamp(min=1e-12)
        factor = (
            axes / variance.sqrt()
        ).contiguous()  # as it is read back, products to the same bits
        return cls(mean, std, factor)

    def __call__(self, x: Tensor) -> Tensor:
        """``[B, d] -> [B, d]``, float64."""
        return ((x.double() - self.mean) / self.std) @ self.factor


@dataclass(frozen=True, eq=False)
class Detector:
    """A fitted default detector; ``model`` is of whitened rows.

    ``candidates [K, d]``: values of the training rows, column by column, for reasons. ``categories``: of each
    column how many values it has, 0 for numbers; () where all are numbers.
    """

    whitening: Whitening
    model: Model
    candidates: Tensor
    categories: tuple[int, ...] = ()

    @classmethod
    def fit(
        cls,
        x: Tensor,
        *,
        seed: int = 0,
        rounds: int | None = None,
        options: Mapping[str, Any] | None = None,
        device: str = "cpu",
        categories: tuple[int, ...] = (),
    ) -> Detector:
        """Train on rows ``x [n, d]``, n at least 2, in any units.

        ``categories``: of each column how many values it has, whose codes from 0 stand in ``x``, 0 for
        numbers. ``options``: further settings of score-matching. Raises ValueError for rows or settings that
        are unusable, among them values too far apart to be scaled.
        """
        wide = expanded(x, categories)
        whitening = Whitening.fit(wide)
        u = whitening(wide).float()
        if not bool(u.isfinite().all() & whitening.std.isfinite().all()):
            column = int(whitening.std.isfinite().int().argmin())  # a category's are all finite
            raise ValueError(
                f"column {column + 1} cannot be scaled to finite numbers; drop or correct the values that "
                "stand out, or take another unit"
            )
        space = DataSpace((wide.shape[1],), "vector")
        data = Dataset("detector", u, u[:0], u[:0], unscaled(space.shape), space)
        model = train_config(detector_config(len(x), seed, rounds, options, device), None, data)
        model.method.to(widest_float(model.device))
        return cls(whitening, model, candidates_of(x.double(), categories), categories)

    def energy(self, x: Tensor) -> Tensor:
        """Energies ``[n]`` float64 of rows ``x [n, d]``, in nats, up to a constant; low is normal."""
        u = self.whitening(expanded(x, self.categories)).to(
            self.model.device, widest_float(self.model.device)
        )
        return self.model.energy_of_network_inputs(u).double()

    def explain(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Contributions of each column to the energies of ``x [n, d]``, and what would fit, ``[n, d]``."""
        return column_contributions(self.energy, x.double(), self.candidates)


def expanded(x: Tensor, categories: tuple[int, ...]) -> Tensor:
    """Rows ``[B, d]`` with each category as a block of 0 and 1, one per value; numbers stay. float64."""
    x = x.double()
    if not any(categories):
        return x
    blocks = []
    for column, count in zip(x.unbind(1), categories, strict=True):
        block = one_hot(column.long(), count).double() if count else column[:, None]
        blocks.append(block)
    return torch.cat(blocks, 1)


def candidates_of(x: Tensor, categories: tuple[int, ...]) -> Tensor:
    """Quantiles of the columns of ``x [n, d]`` and all values of categories, over again as need be."""
    count = max(CANDIDATES, *categories) if categories else CANDIDATES
    levels = (torch.arange(count, dtype=x.dtype) + 0.5) / count
    values = x.sort(0).values[(levels * len(x)).long()]
    for j, of in enumerate(categories):
        if of:
            values[:, j] = torch.arange(count) % of
    return values


def detector_config(
    n: int,
    seed: int = 0,
    rounds: int | None = None,
    options: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> Config:
    """The default detector's configuration of score-matching, for ``n`` rows."""
    rounds = ROUNDS if rounds is None else rounds
    training = {"seed": seed, "device": device, "rounds": rounds, "batch": min(BATCH, n)}
    config = replace(recipes.default_config("score-matching", "array"), **SETTINGS)
    return replace(replace(config, training=training), **dict(options or {}))
