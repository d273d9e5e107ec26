"""Inverse transform sampling and change of variables.

u ~ U(0, 1) and h the distribution function of p give y = h^(-1)(u) ~ p; more generally z ~ q and
y = f(z) have p(y) = q(z) |dz / dy| (Bishop, 2006, section 11.1.1).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from gibbsian.core.numerics import jacobian
from gibbsian.samplers.metropolis import Proposal

Map = Callable[[Tensor], Tensor]


def inverse_transform_sampling(inverse_cdf: Map, shape: tuple[int, ...], rng: Generator) -> Tensor:
    """``inverse_cdf(u)`` for float64 uniforms u of ``shape`` in the open interval (0, 1)."""
    u = torch.rand(shape, generator=rng, device=rng.device, dtype=torch.float64)
    return inverse_cdf(u.clamp_min(2.0**-54))


def invert_cdf(cdf: Map, low: float, high: float, iterations: int = 60) -> Map:
    """The inverse of a continuous distribution function on [low, high], by bisection.

    The interval halves ``iterations`` times. ``cdf`` need not be normalised: it is scaled so that
    it runs from 0 at ``low`` to 1 at ``high``, which truncates the distribution to that interval.

    Raises ValueError if ``cdf`` does not rise from ``low`` to ``high``.

    >>> median = invert_cdf(lambda x: 1 - torch.exp(-x), 0.0, 50.0)(torch.tensor([0.5]))
    >>> f"{float(median):.4f}"  # of the exponential distribution: log 2
    '0.6931'
    """
    ends = cdf(torch.tensor([low, high], dtype=torch.float64))
    bottom, top = float(ends[0]), float(ends[1])
    if not (math.isfinite(top - bottom) and top > bottom):
        raise ValueError(
            f"a distribution function must rise over [{low}, {high}]; this one goes from "
            f"{bottom:.4g} to {top:.4g}"
        )

    def inverse(u: Tensor) -> Tensor:
        target = bottom + (top - bottom) * u
        left, right = torch.full_like(target, low), torch.full_like(target, high)
        for _ in range(iterations):
            middle = (left + right) / 2
            below = cdf(middle) < target
            left, right = torch.where(below, middle, left), torch.where(below, right, middle)
        return (left + right) / 2

    return inverse


class TabulatedCDF:
    """The distribution on an interval whose density is piecewise linear between tabulated values.

    ``grid [n]``: increasing points; ``log_density [n]``: unnormalised, in nats. Event shape (1,).
    ``log_z`` is the log of the trapezoid sum, the normaliser of the table.

    Raises ValueError if the grid does not increase or a value is NaN or +inf.
    """

    def __init__(self, grid: Tensor, log_density: Tensor):
        if grid.ndim != 1 or grid.shape != log_density.shape or len(grid) < 2:
            raise ValueError(
                "a table needs one log-density per point of a one-dimensional grid, at least two; "
                f"got shapes {list(grid.shape)} and {list(log_density.shape)}"
            )
        if not bool((grid.diff() > 0).all()):
            raise ValueError("the points of the grid must increase; sort them first")
        peak = float(log_density.max())
        if not math.isfinite(peak):
            raise ValueError("the tabulated log-density is NaN, +inf or nowhere above -inf")
        self.grid, density = grid.double(), (log_density.double() - peak).exp()
        mass = self.grid.diff() * (density[1:] + density[:-1]) / 2
        total = mass.sum()
        self.log_z = peak + math.log(total)
        self.density = density / total
        self.cdf_at_grid = torch.cat([mass.new_zeros(1), (mass / total).cumsum(0)])

    def inverse_cdf(self, u: Tensor) -> Tensor:
        """Point y with distribution function u, of the shape of ``u``: exact within each cell."""
        cell = torch.searchsorted(self.cdf_at_grid, u, right=True) - 1
        cell = cell.clamp(0, len(self.grid) - 2)
        p, width = self.density[cell], self.grid[cell + 1] - self.grid[cell]
        slope = (self.density[cell + 1] - p) / width
        rest = (u - self.cdf_at_grid[cell]).clamp_min(0.0)
        # p t + slope t^2 / 2 = rest, in the form of the root that does not cancel.
        root = (p.square() + 2 * slope * rest).clamp_min(0.0).sqrt()
        t = 2 * rest / (p + root).clamp_min(torch.finfo(p.dtype).tiny)
        return self.grid[cell] + torch.minimum(t, width)

    def sample(self, n: int, rng: Generator) -> Tensor:
        """``[n, 1]`` float32 draws."""
        return inverse_transform_sampling(self.inverse_cdf, (n, 1), rng).float()

    def log_density(self, x: Tensor) -> Tensor:
        """``[B, 1] -> [B]``: the normalised log-density, -inf outside the table."""
        y = x.double().squeeze(1)
        cell = (torch.searchsorted(self.grid, y, right=True) - 1).clamp(0, len(self.grid) - 2)
        t = (y - self.grid[cell]) / (self.grid[cell + 1] - self.grid[cell])
        density = torch.lerp(self.density[cell], self.density[cell + 1], t)
        inside = (y >= self.grid[0]) & (y <= self.grid[-1])
        return torch.where(inside, density, 0.0).log().to(x.dtype)


@dataclass(frozen=True)
class TransformedDistribution:
    """The distribution of y = forward(z), z from ``base``, by change of variables.

    ``forward`` and ``inverse`` map ``[B, *event] -> [B, *event]`` row by row and are each other's
    inverse; the Jacobian is exact, by automatic differentiation: use it in few dimensions.
    """

    base: Proposal
    forward: Map
    inverse: Map

    def sample(self, n: int, rng: Generator) -> Tensor:
        """``[n, *event]``."""
        return self.forward(self.base.sample(n, rng))

    def log_density(self, y: Tensor) -> Tensor:
        """``[B, *event] -> [B]``: log p(h(y)) + log |det dh / dy|, h the inverse."""
        log_volume = torch.linalg.slogdet(jacobian(self.inverse, y)).logabsdet
        return self.base.log_density(self.inverse(y)) + log_volume
