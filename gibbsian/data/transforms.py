"""The map between the user's units x and the networks' units u, with its Jacobian.

y = (x - origin) / unit, then y + noise where x lies on a grid (dequantisation by uniform noise of one
unit, Theis, van den Oord and Bethge 2016; here on [-1/2, 1/2], so that the centre of a value's cell is
the value), then u = (y - shift) / scale. So
log p_x(x) = log p_u(u) + log_jacobian, where for values on a grid p_x is the density of the
dequantised value; its mean log over a cell is at most the log-probability of the cell (of one unit).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Generator, Tensor

from gibbsian.core.names import first_few
from gibbsian.data.lattice import Lattice, lattice

Scaling = Literal["standardise", "none"]
Mode = Literal["standardise", "none", "pixels", "binary"]


@dataclass(frozen=True)
class Transform:
    """An invertible map per feature; every tuple holds one entry per feature, or one for all.

    ``levels``: number of grid values ``origin + unit * {0, ..., levels - 1}``, 0 where continuous.
    ``columns``: the features' names where the data had any. ``categories``: of a mixed table the number of
    values of each column, 0 where it holds numbers; () without categories. A category is a number from 0
    in the user's units and a one-hot block, behind all numbers, in the networks'.
    """

    mode: Mode
    shape: tuple[int, ...]
    origin: tuple[float, ...] = (0.0,)
    unit: tuple[float, ...] = (1.0,)
    levels: tuple[int, ...] = (0,)
    shift: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    columns: tuple[str, ...] = ()
    categories: tuple[int, ...] = ()

    @property
    def dtype(self) -> torch.dtype:
        """Precision of data in the user's units: float64 for scaled columns, float32 otherwise.

        A column times 10 then gives the same float32 in the networks' units, to the bit.
        """
        return torch.float64 if self.mode == "standardise" else torch.float32

    @property
    def dequantises(self) -> bool:
        """Whether any feature receives noise, so that ``encode`` draws from its generator."""
        return any(self.levels)

    @property
    def log_jacobian(self) -> float:
        """``log |du/dx|`` summed over all features, in nats."""
        logs = [math.log(self.unit[i]) + math.log(self.scale[i]) for i in range(len(self.unit))]
        return 0.0 - math.fsum(logs) * (math.prod(self.shape) / len(logs))

    def _row(self, entries: tuple[float, ...] | tuple[int, ...], like: Tensor) -> Tensor:
        return torch.tensor(entries, dtype=like.dtype, device=like.device)

    def encode(self, x: Tensor, rng: Generator | None = None) -> Tensor:
        """User units ``[B, *shape]`` to model units, float32, on the device of ``x``.

        Grid values receive uniform noise within their cell, and none without ``rng``. Values between
        the grid's (where noise was added, for instance) are left as they are.
        """
        low, width = self.cells(x)
        if not self.dequantises:
            return low
        return low + width * (0.5 if rng is None else noise_like(low, rng))

    def cells(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Where ``x [B, *shape]`` lies in model units: lower edge and width of its cell, float32.

        The width is 0 for continuous features and for values between the grid's.
        """
        self.check(x)
        x = x.to(self.dtype)
        scale = self._row(self.scale, x)
        y = (x - self._row(self.origin, x)) / self._row(self.unit, x)
        width = torch.zeros_like(y)
        if self.dequantises:
            level = y.round()
            on_grid = ((y - level).abs() < 1e-3) & (self._row(self.levels, x) > 0)
            y = torch.where(on_grid, level - 0.5, y)
            width = on_grid / scale
        low = (y - self._row(self.shift, x)) / scale
        if self.categories:
            return self._expanded(low).float(), self._expanded(width, of_cells=True).float()
        return low.float(), width.float()

    def _expanded(self, y: Tensor, of_cells: bool = False) -> Tensor:
        """``[B, d]`` with numbers first and codes of categories as one-hot blocks; zeros ``of_cells``."""
        blocks = [y[:, [j for j, count in enumerate(self.categories) if not count]]]
        for j, count in enumerate(self.categories):
            if not count:
                continue
            if of_cells:
                blocks.append(y.new_zeros(len(y), count))
                continue
            code = y[:, j]
            if not bool(((code >= 0) & (code < count) & (code == code.round())).all()):
                raise ValueError(
                    f"{column_name(j, self.columns)} is a category, whose values are the whole numbers from "
                    f"0 to {count - 1}; give a table with its texts, or these numbers"
                )
            blocks.append(torch.nn.functional.one_hot(code.long(), count).to(y))
        return torch.cat(blocks, 1)

    def _collapsed(self, u: Tensor) -> Tensor:
        """The inverse of ``_expanded``, ``[B, d]``; the code of a block is the place of its largest entry."""
        numbers = sum(not count for count in self.categories)
        blocks = iter(u[:, numbers:].split([count for count in self.categories if count], 1))
        real = iter(u[:, :numbers].unbind(1))
        columns = [next(blocks).argmax(1).to(u) if k else next(real) for k in self.categories]
        return torch.stack(columns, 1)

    def decode(self, u: Tensor) -> Tensor:
        """Model units to user units; grid features come back as grid values within the data's range."""
        if self.categories:
            u = self._collapsed(u)
        self.check(u)
        u = u.to(self.dtype)
        if self.mode == "pixels":
            u = u.clamp(-1, 1)
        y = self._row(self.shift, u) + self._row(self.scale, u) * u
        if self.dequantises:
            levels = self._row(self.levels, u)
            cell = torch.minimum(y.round().clamp(min=0), levels - 1)
            y = torch.where(levels > 0, cell, y)
        return self._row(self.origin, u) + self._row(self.unit, u) * y

    def check(self, x: Tensor) -> None:
        """ValueError naming both shapes unless ``x`` is ``[B, *shape]``."""
        if x.ndim != 1 + len(self.shape) or x.shape[1:] != self.shape:
            raise ValueError(
                f"observations must have shape [B, {', '.join(map(str, self.shape))}]; these have "
                f"shape {list(x.shape)}"
            )

    def check_values(self, x: Tensor, name: str) -> None:
        """ValueError where ``x [B, *shape]`` (user units) are not {0, 1} or grey levels."""
        if self.mode == "binary" and not ((x == 0) | (x == 1)).all():
            raise ValueError(
                f"{name} holds values other than 0 and 1; this model is of binary data"
            )
        if self.mode == "pixels":
            top = round(2 * self.scale[0]) - (1 if self.dequantises else 0)
            if x.min() < 0 or x.max() > top:
                raise ValueError(
                    f"{name} holds values from {x.min():g} to {x.max():g}; this model's images have "
                    f"values from 0 to {top}"
                )

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what is dequantised."""
        if not self.dequantises:
            return ()
        if self.mode == "pixels":
            return (f"{self.levels[0]} grey levels, dequantised (uniform noise of one level)",)
        steps: dict[str, list[str]] = {}
        for j, (count, unit) in enumerate(zip(self.levels, self.unit, strict=True)):
            if count:
                name = self.columns[j] if self.columns else f"column {j + 1}"
                steps.setdefault(f"{unit:.6g}", []).append(name)
        groups = [
            f"{first_few(members)} ({'integers' if step == '1' else 'in steps of ' + step})"
            for step, members in steps.items()
        ]
        return (f"values on a grid, spread by uniform noise of one step: {'; '.join(groups)}",)

    def to_config(self) -> dict[str, Any]:
        """Entries that JSON can hold."""
        return {
            name: list(entry) if isinstance(entry, tuple) else entry
            for name, entry in asdict(self).items()
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Transform:
        """Inverse of ``to_config``."""
        entries: dict[str, Any] = {
            name: tuple(entry) if isinstance(entry, list) else entry
            for name, entry in config.items()
        }
        return cls(**entries)


def noise_like(u: Tensor, rng: Generator) -> Tensor:
    """Uniform on the midpoints of 4096 equal parts of [0, 1]: rounding never leaves the cell."""
    parts = torch.rand(u.shape, generator=rng, dtype=u.dtype, device=u.device).mul_(4096).floor_()
    return parts.add_(0.5).div_(4096)


def columnwise(
    x: Tensor,
    columns: tuple[str, ...] = (),
    scaling: Scaling = "standardise",
    dequantise: bool = True,
    others: tuple[Tensor, ...] = (),
    categories: tuple[int, ...] = (),
) -> Transform:
    """The transform of ``x [N, d]``: mean 0 and variance 1 per column, or as it is; grids dequantised.

    Grids must hold for the rows of ``others`` (validation and test) too.
    One that is constant in ``x`` alone has the mean and variance of all rows. Codes of ``categories``
    stay as they are.
    ValueError naming the column when one is constant in all: it has no density; or when its values cannot
    be scaled to finite float32.

    >>> x = torch.stack([torch.arange(9.0).sqrt(), torch.arange(9.0) % 4], 1).double()
    >>> columnwise(x, ("height", "count")).notes
    ('values on a grid, spread by uniform noise of one step: count (integers)',)
    """
    parts = []
    for j in range(x.shape[1]):
        if categories and categories[j]:
            parts.append((0.0, 1.0, 0, 0.0, 1.0))
            continue
        every = torch.cat([rows[:, j] for rows in (x, *others)]).numpy()
        name = column_name(j, columns)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            wide = math.isinf(float(every.max()) - float(every.min()))
            grid = lattice(every) if dequantise and not wide else None
            part = _column(x[:, j].numpy(), every, name, scaling, grid)
            _check_finite(every, name, part)
        parts.append(part)
    origin, unit, levels, shift, scale = zip(*parts, strict=True)
    shape = tuple(x.shape[1:])
    return Transform(scaling, shape, origin, unit, levels, shift, scale, columns, categories)


def columnwise_of_moments(
    mean: np.ndarray,
    std: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    grids: Sequence[Lattice | None],
    scaling: Scaling = "standardise",
    columns: tuple[str, ...] = (),
    categories: tuple[int, ...] = (),
) -> Transform:
    """As `columnwise`, of columns whose moments, ends and grids are known and whose rows are not held."""
    parts: list[tuple[float, float, int, float, float]] = []
    for j, grid in enumerate(grids):
        if categories and categories[j]:
            parts.append((0.0, 1.0, 0, 0.0, 1.0))
            continue
        name, ends = column_name(j, columns), np.array([low[j], high[j]], np.float64)
        _check_varies(ends, name)
        part: tuple[float, float, int, float, float] = (0.0, 1.0, 0, 0.0, 1.0)
        if grid is not None and scaling == "none":
            part = (*grid, -grid.origin / grid.step, 1 / grid.step)
        elif grid is not None:
            level = float(mean[j] - grid.origin) / grid.step
            part = (*grid, level, math.sqrt(float(std[j] / grid.step) ** 2 + 1 / 12))
        elif scaling != "none":
            part = (float(mean[j]), float(std[j]), 0, 0.0, 1.0)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            _check_finite(ends, name, part)
        parts.append(part)
    origin, unit, levels, shift, scale = zip(*parts, strict=True)
    shape = (len(grids),)
    return Transform(scaling, shape, origin, unit, levels, shift, scale, columns, categories)


def _check_varies(values: np.ndarray, name: str) -> None:
    if values.min() == values.max():
        raise ValueError(f"{name} is constant ({values[0]:g}), so it has no density; drop it")


def _column(
    values: np.ndarray, every: np.ndarray, name: str, scaling: Scaling, grid: Lattice | None
) -> tuple[float, float, int, float, float]:
    """Origin, unit, levels, shift and scale of one column; on a grid they are counted in steps.

    So counted, a column times 10 gives the same u to the bit. ``every``: ``values`` and the held-out ones.
    """
    if values.min() == values.max():
        values = every
    _check_varies(values, name)
    values = values.astype(np.float64)
    if grid is None and scaling == "none":
        return 0.0, 1.0, 0, 0.0, 1.0
    if grid is None:
        return float(values.mean()), float(values.std()), 0, 0.0, 1.0
    if scaling == "none":
        return *grid, -grid.origin / grid.step, 1 / grid.step
    level = np.round((values - grid.origin) / grid.step)
    return *grid, float(level.mean()), math.sqrt(float(level.var()) + 1 / 12)


def _check_finite(
    values: np.ndarray, name: str, column: tuple[float, float, int, float, float]
) -> None:
    """ValueError unless the scales, so the Jacobian, and what the networks see are finite."""
    origin, unit, _, shift, scale = column
    ends = np.array([values.min(), values.max()], np.float64)
    u = (((ends - origin) / unit - shift) / scale).astype(np.float32)
    if not (max(unit, scale) < math.inf and np.isfinite(u).all()):  # a scale of 0 gives infinities
        raise ValueError(
            f"{name}, with values from {ends[0]:g} to {ends[1]:g}, cannot be scaled to finite numbers of "
            "single precision; drop or correct the values that stand out, or take another unit"
        )


def unscaled(shape: tuple[int, ...]) -> Transform:
    """The identity, for data that are in the networks' units already."""
    return Transform("none", shape)


def binary(shape: tuple[int, ...], columns: tuple[str, ...] = ()) -> Transform:
    """The identity on {0, 1}: probabilities, not densities; nothing is dequantised."""
    return Transform("binary", shape, columns=columns)


def pixels(shape: tuple[int, ...], levels: int, dequantise: bool = True) -> Transform:
    """Integers 0..levels-1, dequantised or not, to [-1, 1]; ``levels`` 0 means floats on [0, 1]."""
    middle = (levels - 1) / 2 if levels else 0.5
    if levels and dequantise:
        return Transform("pixels", shape, levels=(levels,), shift=(middle,), scale=(levels / 2,))
    return Transform("pixels", shape, shift=(middle,), scale=(middle,))


def column_name(j: int, columns: tuple[str, ...]) -> str:
    """How column number ``j`` (from 0) is called in a message."""
    return f"column {j + 1}" + (f" ({columns[j]!r})" if columns else "")
