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

from gibbsian.config import recipes
from gibbsian.config.config import Config, replace
from gibbsian.core import DataSpace
from gibbsian.core.numerics import widest_float
from gibbsian.core.protocols import HasEnergy
from gibbsian.data import Dataset
from gibbsian.data.transforms import unscaled
from gibbsian.models.model import Model
from gibbsian.models.one_column import OneColumn
from gibbsian.models.train import train_config
from gibbsian.models.whitening import Whitening, expanded

ROUNDS, BATCH = 500, 256
WIDE, FEWEST_IN_BATCH = 1_000, 64
"""Rows of more numbers come in smaller batches, of this many at least, so that a round takes no longer."""
SETTINGS: Mapping[str, Any] = {
    "energy": {"name": "confined", "width": 64, "depth": 2},
    "denoising_noise_std": 0.3,
    "energy_optimizer": {"lr": 2e-3, "lr_schedule": "cosine"},
    "training": {"ema": 0.98},
}
CANDIDATES = 32
"""Values that each column is set to for reasons: quantiles of the training rows."""
NARROW, STEEPEST = 64, 32
"""So many columns are all tried for reasons; of more, the steepest in each row."""
HIDDEN, COMPLETED = 64, 50_000_000
"""Gaps, times numbers of a row and of a hidden layer, that are filled by what fits: half a minute at most."""


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
        tried: tuple[int, ...] = (),
        every: Tensor | None = None,
    ) -> Detector:
        """Train on rows ``x [n, d]``, n at least 2, in any units.

        ``categories``: of each column how many values it has, whose codes from 0 stand in ``x``, 0 for
        numbers; ``tried``: how many of these may stand in for others, the first ones, all by default.
        ``every [m, d]``: all rows of the table, which give columns a unit that are constant in ``x``.
        ``options``: further settings of score-matching. Raises ValueError for rows or settings that
        are unusable, among them values too far apart to be scaled.
        """
        wide = expanded(x, categories)
        whitening = Whitening.fit(wide, None if every is None else expanded(every, categories))
        u = whitening(wide).float()
        if not bool(u.isfinite().all() & whitening.std.isfinite().all()):
            column = int(whitening.std.isfinite().int().argmin())  # a category's are all finite
            raise ValueError(
                f"column {column + 1} cannot be scaled to finite numbers; drop or correct the values that "
                "stand out, or take another unit"
            )
        space = DataSpace((wide.shape[1],), "vector")
        data = Dataset("detector", u, u[:0], u[:0], unscaled(space.shape), space)
        model = train_config(
            detector_config(len(x), seed, rounds, options, device, u.shape[1]), None, data
        )
        model.method.to(widest_float(model.device))
        return cls(whitening, model, candidates_of(x.double(), tried or categories), categories)

    def energy(self, x: Tensor) -> Tensor:
        """Energies ``[n]`` float64 of rows ``x [n, d]``, in nats, up to a constant; low is normal.

        A category may have the code -1, of a value that no training row had.
        """
        return self._energy_of_whitened(self.whitening(expanded(x, self.categories)))

    def completed(self, x: Tensor, gaps: Tensor) -> Tensor:
        """Rows ``x [n, d]`` where each of the ``gaps [n, d]`` has the value that fits its row best.

        Among eight quantiles of the column and its mean given the rest of the row, or all values of the
        category; column after column, and once more
        where a row has several gaps. A gap then adds nothing to the energy. More gaps than ``COMPLETED``
        allows stay as they are.
        """
        x, several = x.double().clone(), int(gaps.sum(1).max()) if len(x) else 0
        if not several or int(gaps.sum()) * (self.whitening.width + HIDDEN) > COMPLETED:
            return x
        at, u = self._one_column(), self.whitening(expanded(x, self.categories))
        for _ in range(min(2, several)):
            for j in gaps.any(0).nonzero()[:, 0].tolist():
                rows = gaps[:, j].nonzero()[:, 0]
                is_category = bool(self.categories) and self.categories[j] > 0
                values = self.candidates[:, j] if is_category else self.candidates[2::4, j]
                values = values.unique().expand(len(rows), -1)
                if not is_category:
                    values = torch.cat([values, at.mean(u[rows], x[rows, j], j)[:, None]], 1)
                _, x[rows, j], added = at.lowest(
                    u[rows], x[rows, j], torch.full_like(rows, j), values
                )
                u[rows] += added
        return x

    def explain(self, x: Tensor, gaps: Tensor) -> tuple[Tensor, Tensor]:
        """Contributions of each column to the energies of ``x [n, d]``, and what would fit, ``[n, d]``.

        Those of ``gaps [n, d]`` are 0. A value that no training row had counts with what fits best in its
        place, and the others are tried beside that. Of more than ``NARROW`` columns those that promise most
        by the energy's slope are tried, ``STEEPEST`` in each row; the contributions of others are NaN.
        """
        unseen = (x < 0) & (torch.tensor(self.categories or (0,)) > 0)
        known = self.completed(x, gaps | unseen)
        at, u = self._one_column(), self.whitening(expanded(known, self.categories))
        here, columns = at.energy(u), x.shape[1]
        tried = torch.arange(columns).expand(len(x), -1)
        if columns > NARROW:
            tried = at.promised(self._slope_of_whitened(u)).topk(STEEPEST, 1).indices
        fall, best = torch.full_like(known, torch.nan), known.clone()
        for j in tried.unbind(1):
            values = self.candidates.T[j]
            found, value, _ = at.lowest(u, known.gather(1, j[:, None])[:, 0], j, values)
            gain = (here - found)[:, None]
            fall.scatter_(1, j[:, None], gain.clamp(min=0))
            was = known.gather(1, j[:, None])
            best.scatter_(1, j[:, None], torch.where(gain > 0, value[:, None], was))
        above = self.energy(torch.where(unseen, x, known)) - here
        fall = torch.where(unseen, above.clamp(min=0)[:, None], fall)
        return torch.where(gaps, 0.0, fall), best

    def _one_column(self) -> OneColumn:
        counts = torch.tensor(self.categories or (0,) * self.candidates.shape[1])
        first = counts.clamp(min=1).cumsum(0) - counts.clamp(min=1)
        scaled = self.whitening.factor / self.whitening.std[:, None]
        return OneColumn(self._energy_of_whitened, scaled, first, counts > 0)

    def _energy_of_whitened(self, u: Tensor) -> Tensor:
        u = u.to(self.model.device, widest_float(self.model.device))
        return self.model.energy_of_network_inputs(u).double().cpu()

    def _slope_of_whitened(self, u: Tensor) -> Tensor:
        method = self.model.method
        assert isinstance(method, HasEnergy)
        with torch.enable_grad():
            u = u.to(self.model.device, widest_float(self.model.device), copy=True).requires_grad_()
            (slope,) = torch.autograd.grad(method.energy(u).sum(), u)
        return slope.double().cpu()


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
    width: int = 1,
) -> Config:
    """The default detector's configuration of score-matching, for ``n`` rows of ``width`` numbers."""
    rounds = ROUNDS if rounds is None else rounds
    batch = min(BATCH, n, max(FEWEST_IN_BATCH, BATCH * WIDE // width))
    training = {"seed": seed, "device": device, "rounds": rounds, "batch": batch}
    config = replace(recipes.default_config("score-matching", "array"), **SETTINGS)
    return replace(replace(config, training=training), **dict(options or {}))
