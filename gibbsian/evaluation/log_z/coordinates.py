"""Coordinates on R^d in which a density is of unit size, whatever its base measure.

On R^d they are affine. A box is unfolded by the normal distribution function first, so that a flat
density on it becomes a normal one and mass at a wall is an ordinary tail.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from gibbsian.core import Energy, check_energy
from gibbsian.core.measures import Box, Gaussian, RealSpace
from gibbsian.samplers.kernel import sum_event

WIDE = 3.0
EDGE = 1e-9
"""Share of a box's width that a given point is kept away from its walls."""


@dataclass(frozen=True)
class Coordinates:
    """x = mean + factor y, ``mean [d]``, ``factor [d, d]``; on a Box x = low + width Phi(that)."""

    measure: Box | RealSpace | Gaussian
    mean: Tensor
    factor: Tensor

    def to_data(self, y: Tensor) -> Tensor:
        """``[n, d] -> [n, *event]``."""
        v = y @ self.factor.T + self.mean
        if isinstance(self.measure, Box):
            v = self.measure.low + (self.measure.high - self.measure.low) * torch.special.ndtr(v)
        return v.reshape(len(y), *self.measure.shape)

    def from_data(self, x: Tensor) -> Tensor:
        """``[n, *event] -> [n, d]``."""
        deviation = unfolded(x, self.measure).to(self.mean) - self.mean
        return torch.linalg.solve_triangular(self.factor, deviation.T, upper=False).T

    def widest(self) -> tuple[Tensor, Tensor, float]:
        """Mean, factor and degrees of freedom of a t distribution of y that is wide everywhere.

        On a Box it is flat over all of it, elsewhere a Cauchy three times as wide as the points.
        """
        eye = torch.eye(len(self.mean), dtype=self.mean.dtype, device=self.mean.device)
        if not isinstance(self.measure, Box):
            return torch.zeros_like(self.mean), WIDE * eye, 1.0
        inverse = torch.linalg.solve_triangular(self.factor, eye, upper=False)
        return -inverse @ self.mean, inverse, 30.0

    def log_volume(self, y: Tensor) -> Tensor:
        """log |dx / dy|, ``[n]``."""
        total = self.factor.diagonal().log().sum()
        if not isinstance(self.measure, Box):
            return total.expand(len(y))
        v = y @ self.factor.T + self.mean
        each = math.log(self.measure.high - self.measure.low) - 0.5 * math.log(2 * math.pi)
        return total + v.shape[1] * each - 0.5 * sum_event(v.square())


def unfolded(x: Tensor, measure: Box | RealSpace | Gaussian) -> Tensor:
    """Points ``[n, *event]`` as rows of R^d, ``[n, d]`` in double precision."""
    flat = x.flatten(1).double()
    if not isinstance(measure, Box):
        return flat
    share = ((flat - measure.low) / (measure.high - measure.low)).clamp(EDGE, 1 - EDGE)
    return torch.special.ndtri(share)


@dataclass(frozen=True)
class FromCpu:
    """An energy on another device, called with points on the CPU and answering there.

    What surrounds it here is small and in double precision, which not every device has.
    """

    energy: Energy
    device: torch.device

    def __call__(self, x: Tensor) -> Tensor:
        """``[n, *event] -> [n]``."""
        return self.energy(x.to(self.device)).cpu()


def brought_to_cpu(energy: Energy, rng: Generator) -> tuple[Energy, Generator]:
    """The energy as `FromCpu` and a generator there, seeded from ``rng``; both as they are on the CPU."""
    if rng.device.type == "cpu":
        return energy, rng
    seed = int(torch.randint(2**62, (), generator=rng, device=rng.device))
    return FromCpu(energy, rng.device), Generator().manual_seed(seed)


@dataclass(frozen=True)
class Potential:
    """U(y) = E(x(y)) - log b(x(y)) - log |dx/dy|: the integral of exp(-U) is Z.

    The energy is called with points of its own ``dtype``; a value of +inf has no density.
    """

    energy: Energy
    coordinates: Coordinates
    dtype: torch.dtype

    def __call__(self, y: Tensor) -> Tensor:
        """``[n, d] -> [n]``."""
        x = self.coordinates.to_data(y).to(self.dtype)
        value = check_energy(self.energy(x), len(x)).to(y.dtype)
        value = value - self.coordinates.log_volume(y)
        if isinstance(self.coordinates.measure, Gaussian):
            value = value - self.coordinates.measure.log_density(x).to(y.dtype)
        return value
