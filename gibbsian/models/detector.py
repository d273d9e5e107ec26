"""The detector that needs no choice of method: what `gibbsian detect` and ``OutlierDetector()`` fit.

Columns are standardised and rotated to unit covariance ("whitened"), and an energy with a Gaussian
envelope is trained there by denoising score matching: what it learns is how the rows differ from a
Gaussian of their covariance. Categories are counted (`CategoryTree`), and what they say of the numbers is
taken off these first (`NumbersGiven`), what rows of a value have in common last (`usual_energy`). The
settings were chosen on the tuning tables of studies/detection.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gibbsian.config import recipes
from gibbsian.config.config import Config, replace
from gibbsian.core import DataSpace
from gibbsian.core.numerics import widest_float
from gibbsian.core.protocols import HasEnergy
from gibbsian.data import Dataset
from gibbsian.data.transforms import unscaled
from gibbsian.models.category_tree import CategoryTree
from gibbsian.models.coupled_columns import coupled_groups, lowest_alone, lowest_together
from gibbsian.models.model import Model
from gibbsian.models.numbers_given import NumbersGiven
from gibbsian.models.one_column import NUMBERS, OneColumn
from gibbsian.models.train import train_config
from gibbsian.models.usual_energy import usual_energy
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
FEWEST = 3
"""Rows that a value of a category needs to be set in the place of others."""
RARE = 0.01
"""Share of the training rows by which rare numbers and rare categories are compared."""
NARROW, STEEPEST = 64, 32
"""So many columns are all tried for reasons; of more, the steepest in each row."""
GRADES = 12
"""Different quantiles of a column, most of them several times, up to which no other number is proposed."""
HIDDEN, COMPLETED = 64, 50_000_000
"""Gaps, times numbers of a row and of a hidden layer, that are filled by what fits: half a minute at most."""


@dataclass(frozen=True, eq=False)
class Detector:
    """A fitted default detector; ``model`` is of whitened rows.

    ``candidates [K, d]``: values of the training rows, column by column, for reasons. ``categories``: of each
    column how many values it has, 0 for numbers; () where all are numbers. With categories the rows that are
    whitened are the numbers as ``given`` them, ``tree`` has the categories' own energy, and ``usual [W]`` is
    what rows of each of their values have in common; without numbers there is no model and nothing usual.
    """

    whitening: Whitening
    model: Model | None
    candidates: Tensor
    categories: tuple[int, ...] = ()
    given: NumbersGiven | None = None
    tree: CategoryTree | None = None
    usual: Tensor | None = None

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
        filled: Tensor | None = None,
    ) -> Detector:
        """Train on rows ``x [n, d]``, n at least 2, in any units.

        ``categories``: of each column how many values it has, whose codes from 0 stand in ``x``, 0 for
        numbers; ``tried``: how many of these may stand in for others, the first ones, all by default.
        ``every [m, d]``: all rows of the table, which give columns a unit that are constant in ``x``.
        ``filled [n, d]``: which numbers of ``x`` filled a gap, so that none is proposed as what would fit.
        ``options``: further settings of score-matching. Raises ValueError for rows or settings that
        are unusable, among them values too far apart to be scaled.
        """
        stood = x.double() if filled is None else x.double().masked_fill(filled, torch.nan)
        candidates = candidates_of(stood, tried or categories, FEWEST)
        given = tree = None
        numbers, others = x.double(), every
        if any(categories):
            chosen = torch.tensor(categories) > 0
            tree = CategoryTree.fit(x[:, chosen], tuple(c for c in categories if c))
            given = NumbersGiven.fit(x, categories)
            numbers, others = given(x), None if every is None else given(every)
        if not numbers.shape[1]:
            none = Whitening(numbers[0], numbers[0], numbers.new_empty(0, 0))
            return cls(none, None, candidates, categories, given, tree)
        whitening = Whitening.fit(numbers, others)
        u = whitening(numbers).float()
        if not bool(u.isfinite().all() & whitening.std.isfinite().all()):
            column = int(whitening.std.isfinite().int().argmin())
            if categories:
                column = [j for j, count in enumerate(categories) if not count][column]
            raise ValueError(
                f"column {column + 1} cannot be scaled to finite numbers; drop or correct the values that "
                "stand out, or take another unit"
            )
        space = DataSpace((u.shape[1],), "vector")
        data = Dataset("detector", u, u[:0], u[:0], unscaled(space.shape), space)
        model = train_config(
            detector_config(len(x), seed, rounds, options, device, u.shape[1]), None, data
        )
        model.method.to(widest_float(model.device))
        self = cls(whitening, model, candidates, categories, given, tree)
        if tree is None:
            return self
        weighed = tree.times(_rate(self._energy_of_whitened(u.double())))
        self = cls(whitening, model, candidates, categories, given, weighed)
        usual = usual_energy(self.energy(x), self._codes(x).long(), tree.counts)
        return cls(whitening, model, candidates, categories, given, weighed, usual)

    def energy(self, x: Tensor) -> Tensor:
        """Energies ``[n]`` float64 of rows ``x [n, d]``, in nats, up to a constant; low is normal.

        With categories: how strange a row is for its kind. The density of its numbers is that of their
        distances in spreads of their category, or a widely spread one would have a low density everywhere.
        A category may have the code -1, of a value that no training row had.
        """
        energy = self._energy_of_whitened(self._whitened(x))
        if self.tree is None:
            return energy
        codes = self._codes(x)
        energy = energy + self.tree.energy(codes)
        if self.usual is None:
            return energy
        return energy - expanded(codes, self.tree.counts) @ self.usual

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
        at, u = self._one_column(), self._whitened(x)
        for _ in range(min(2, several)):
            for j in gaps.any(0).nonzero()[:, 0].tolist():
                rows = gaps[:, j].nonzero()[:, 0]
                is_category = bool(self.categories) and self.categories[j] > 0
                values = self.candidates[:, j] if is_category else self.candidates[2::4, j]
                values = values.unique().expand(len(rows), -1)
                if not is_category:
                    mean = self._mean(at, u[rows], x[rows], j)
                    values = torch.cat([values, mean[:, None]], 1)
                columns = torch.full_like(rows, j)
                _, x[rows, j], u[rows] = self._lowest(at, u[rows], x[rows], columns, values)
        return x

    def explain(self, x: Tensor, gaps: Tensor) -> tuple[Tensor, Tensor]:
        """Contributions of each column to the energies of ``x [n, d]``, and what would fit, ``[n, d]``.

        Those of ``gaps [n, d]`` are 0. A value that no training row had counts with what fits best in its
        place, and the others are tried beside that. Numbers are tried at their ``candidates`` and, between
        the outermost of these, at what fits as of a Gaussian: quantiles are too far apart for exact rules.
        Of ``are_grades`` no other is tried. Of more than ``NARROW`` columns those that promise
        most by the energy's slope are tried, ``STEEPEST`` in each row; the contributions of others are NaN.
        """
        unseen = (x < 0) & (torch.tensor(self.categories or (0,)) > 0)
        known = self.completed(x, gaps | unseen)
        at, u = self._one_column(), self._whitened(known)
        here, columns = self.energy(known), x.shape[1]
        tried = torch.arange(columns).expand(len(x), -1)
        if columns > NARROW:
            tried = self._promised(at, u, known).topk(STEEPEST, 1).indices
        fall, best = torch.full_like(known, torch.nan), known.clone()
        for j in tried.unbind(1):
            values = torch.cat([self.candidates.T[j], self._means(at, u, known, j)[:, None]], 1)
            found, value, _ = self._lowest(at, u, known, j, values)
            gain = (here - found)[:, None]
            fall.scatter_(1, j[:, None], gain.clamp(min=0))
            was = known.gather(1, j[:, None])
            best.scatter_(1, j[:, None], torch.where(gain > 0, value[:, None], was))
        above = self.energy(torch.where(unseen, x, known)) - here
        fall = torch.where(unseen, above.clamp(min=0)[:, None], fall)
        return torch.where(gaps, 0.0, fall), best

    def groups(self) -> list[tuple[int, ...]]:
        """Columns of numbers that determine each other; none of more than ``NARROW`` columns."""
        if self.candidates.shape[1] > NARROW:
            return []
        numbers = self._numbers
        return [tuple(numbers[i] for i in group) for group in coupled_groups(self._scaled)]

    def explain_together(
        self, x: Tensor, gaps: Tensor, groups: Sequence[tuple[int, ...]]
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """By how much the energy of ``x [n, d]`` falls at most when all columns of a group change, ``[n]``.

        Second and third of each of the ``groups``: what they change to, ``[n, size]``, and by how much it
        falls when one of them changes, ``[n]``. One is tried at the quantiles that `explain` tries, and the
        others follow. The falls are 0 where one of them is among the ``gaps``.
        """
        unseen = (x < 0) & (torch.tensor(self.categories or (0,)) > 0)
        known = self.completed(x, gaps | unseen) if groups else x
        u, found = self._whitened(known), []
        energy, scaled = self._energy_of_whitened, self._scaled
        here = energy(u)
        for group in groups:
            places = tuple(self._numbers.index(j) for j in group)
            there, unit = known[:, list(group)], self._units(known)[:, list(places)]
            steps = (self.candidates[:, group[0]] - there[:, :1]) / unit[:, :1]
            lowest, change = lowest_together(energy, scaled, u, places, steps)
            alone = lowest_alone(energy, scaled, u, places)
            falls = torch.stack([here - lowest, here - alone]).clamp(min=0)
            falls = falls.masked_fill(gaps[:, list(group)].any(1), 0.0)
            found.append((falls[0], there + unit * change, falls[1]))
        return found

    @property
    def _numbers(self) -> list[int]:
        """The columns of numbers."""
        columns = range(self.candidates.shape[1])
        return [j for j in columns if not (self.categories and self.categories[j])]

    @property
    def _scaled(self) -> Tensor:
        """What a step of 1 in each number, in spreads where categories give it one, adds once whitened."""
        return self.whitening.factor / self.whitening.std[:, None]

    def _units(self, x: Tensor) -> Tensor:
        """How much of each number of rows ``x [n, d]`` such a step is, ``[n, m]``."""
        if self.given is None:
            return torch.ones_like(x)
        return self.given.log_spread(x).exp()

    def _one_column(self) -> OneColumn:
        return OneColumn(self._energy_of_whitened, self._scaled)

    def _whitened(self, x: Tensor) -> Tensor:
        return self.whitening(x if self.given is None else self.given(x))

    def _codes(self, x: Tensor) -> Tensor:
        return x[:, torch.tensor(self.categories) > 0]

    def _lowest(
        self, at: OneColumn, u: Tensor, x: Tensor, j: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The lowest energies that one of ``values [n, K]`` gives in columns ``j [n]``, and which one.

        Of rows ``x [n, d]``, ``u`` when whitened; third, these with that value.
        """
        if self.tree is None:
            energy, value, added = at.lowest(u, x.gather(1, j[:, None])[:, 0], j, values)
            return energy, value, u + added
        found = []
        for rows in torch.arange(len(x)).split(max(1, NUMBERS // (values.shape[1] * self._width))):
            changed = x[rows][:, None].expand(-1, values.shape[1], -1).clone()
            place = j[rows][:, None, None].expand(-1, values.shape[1], 1)
            changed.scatter_(2, place, values[rows][..., None])
            found.append(self.energy(changed.flatten(0, 1)).view(len(rows), -1))
        best = torch.cat(found).min(1) if found else values.min(1)
        value = values.gather(1, best.indices[:, None])
        return best.values, value[:, 0], self._whitened(x.scatter(1, j[:, None], value))

    @property
    def _width(self) -> int:
        """Numbers that a row takes while its energy is computed."""
        return self.whitening.width + sum(self.categories) + len(self.categories) ** 2

    def _mean(self, at: OneColumn, u: Tensor, x: Tensor, j: int) -> Tensor:
        """The number in column ``j`` of rows ``x [n, d]`` that fits best as of a Gaussian, ``[n]``."""
        if self.given is None:
            return at.mean(u, x[:, j], j)
        place = self.categories[:j].count(0)
        spread = self.given.log_spread(x)[:, place].exp()
        return x[:, j] + spread * at.mean(u, torch.zeros_like(x[:, j]), place)

    def _means(self, at: OneColumn, u: Tensor, x: Tensor, j: Tensor) -> Tensor:
        """``_mean`` in columns ``j [n]``, among the candidates and as precise; a category's first."""
        found = self.candidates[0, j].clone()
        for column in j.unique().tolist():
            tried = self.candidates[:, column]
            if not (self.categories and self.categories[column]) and not are_grades(tried):
                rows = j == column
                mean = self._mean(at, u[rows], x[rows], column)
                mean = mean.clamp(tried.min(), tried.max())
                found[rows] = mean.round(decimals=decimals_of(tried))
        return found

    def _promised(self, at: OneColumn, u: Tensor, x: Tensor) -> Tensor:
        """What columns promise, ``[n, d]`` in nats: numbers by the slope, categories what they cost."""
        if self.tree is None:
            return at.promised(self._slope_of_whitened(u))
        promised, chosen = torch.empty_like(x), torch.tensor(self.categories) > 0
        promised[:, chosen] = self.tree.terms(self._codes(x))
        promised[:, ~chosen] = at.promised(self._slope_of_whitened(u))
        return promised

    def _energy_of_whitened(self, u: Tensor) -> Tensor:
        if self.model is None:
            return u.new_zeros(len(u))
        u = u.to(self.model.device, widest_float(self.model.device))
        return self.model.energy_of_network_inputs(u).double().cpu()

    def _slope_of_whitened(self, u: Tensor) -> Tensor:
        if self.model is None:
            return u
        method = self.model.method
        assert isinstance(method, HasEnergy)
        with torch.enable_grad():
            u = u.to(self.model.device, widest_float(self.model.device), copy=True).requires_grad_()
            (slope,) = torch.autograd.grad(method.energy(u).sum(), u)
        return slope.double().cpu()


def candidates_of(x: Tensor, categories: tuple[int, ...], least: int = 1) -> Tensor:
    """Quantiles of the columns of ``x [n, d]``, and the values of categories, over again as need be.

    Those that ``least`` rows have: of others too little is known to say that they would fit. NaN counts as
    no value, unless all of the column are.
    """
    count = max(CANDIDATES, *categories) if categories else CANDIDATES
    levels = (torch.arange(count, dtype=x.dtype) + 0.5) / count
    there = (~x.isnan()).sum(0)
    ordered = x.sort(0).values.nan_to_num(0.0)
    values = ordered.gather(0, (levels[:, None] * there.clamp(min=1)).long())
    for j, of in enumerate(categories):
        if of:
            found, often = x[x[:, j] < of, j].unique(return_counts=True)
            found = found[often >= min(least, int(often.max()))]
            values[:, j] = found[torch.arange(count) % len(found)]
    return values


def _rate(energy: Tensor) -> float:
    """How much energy numbers that are e times as rare have more, of training rows' ``energy [n]``.

    Between the median and the rarest ``RARE`` of the rows, at least 1, which it is of exponential tails. By
    that much a combination of categories counts, or one that breaks a rule would come after all rows whose
    numbers are far out by their number alone.
    """
    low, high = (float(np.quantile(energy, 1 - share)) for share in (0.5, RARE))
    return max(1.0, (high - low) / math.log(0.5 / RARE))


def are_grades(values: Tensor) -> bool:
    """Whether the quantiles ``values [K]`` are few numbers again and again, and not one among many."""
    _, often = values.unique(return_counts=True)
    return len(often) <= GRADES and 2 * int((often == 1).sum()) <= len(often)


def decimals_of(values: Tensor) -> int:
    """How many decimals ``values [K]`` have, at most six."""
    exact = (d for d in range(6) if bool(((values - values.round(decimals=d)).abs() < 1e-9).all()))
    return next(exact, 6)


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
