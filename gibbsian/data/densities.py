"""The built-in densities by name: ``density("moons").log_prob(x)``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import torch
from torch import Tensor

from gibbsian.data import curves
from gibbsian.data.closed_forms import (
    Checkerboard,
    CorrelatedGaussian,
    Density,
    Mixture,
    Modes,
    equal_mixture,
)

__all__ = ["DENSITIES", "Density", "Modes", "gaussian", "is_density", "toy_density"]

PAPER_SCALE = 2.828
"""The divisor of the published grid of 25 Gaussians on {-4, -2, 0, 2, 4}^2."""


def ring8() -> Mixture:
    """Eight equal Gaussians of std 0.1 on the unit circle."""
    angle = 2 * math.pi * torch.arange(8, dtype=torch.float64) / 8
    return equal_mixture("ring8", torch.stack([angle.cos(), angle.sin()], 1), 0.1)


def _grid(side: int, spacing: float) -> Tensor:
    axis = spacing * (torch.arange(side, dtype=torch.float64) - (side - 1) / 2)
    return torch.cartesian_prod(axis, axis)


def grid25() -> Mixture:
    """5x5 equal Gaussians, spacing 2/2.828, std 0.2/2.828."""
    return equal_mixture("grid25", _grid(5, 2 / PAPER_SCALE), 0.2 / PAPER_SCALE)


def grid25_sharp() -> Mixture:
    """5x5 equal Gaussians at the published spacing 2/2.828 and std 0.05/2.828."""
    return equal_mixture("grid25-sharp", _grid(5, 2 / PAPER_SCALE), 0.05 / PAPER_SCALE)


def grid100() -> Mixture:
    """10x10 equal Gaussians, spacing 0.2, std 0.01."""
    return equal_mixture("grid100", _grid(10, 0.2), 0.01)


def mixture1d() -> Mixture:
    """0.2 N(-1.5, .25^2) + 0.5 N(0, .25^2) + 0.3 N(1.5, .25^2) on the line."""
    means = torch.tensor([[-1.5], [0.0], [1.5]], dtype=torch.float64)
    return Mixture("mixture1d", means, 0.25, torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64))


def gaussian(dim: int = 2, correlation: float = 0.5) -> CorrelatedGaussian:
    """A Gaussian with unit variances and equal correlations between all ``dim`` coordinates.

    ValueError unless -1/(dim - 1) < correlation < 1, where the covariance is positive definite.
    """
    lowest = -1.0 if dim <= 2 else -1 / (dim - 1)
    if dim < 1 or not lowest < correlation < 1:
        raise ValueError(
            f"a Gaussian with one correlation needs at least 1 dimension and a correlation between "
            f"{lowest:.3g} and 1; got {dim} and {correlation:g}"
        )
    return CorrelatedGaussian(f"gaussian-{dim}-{correlation:g}", dim, correlation)


DENSITIES: dict[str, tuple[Callable[[], Density], str]] = {
    "ring8": (ring8, "8 Gaussians of std 0.1 on the unit circle"),
    "grid25": (grid25, "5x5 Gaussians, spacing 2/2.828, std 0.2/2.828"),
    "grid25-sharp": (grid25_sharp, "5x5 Gaussians, spacing 2/2.828, std 0.05/2.828"),
    "grid100": (grid100, "10x10 Gaussians, spacing 0.2, std 0.01"),
    "moons": (curves.moons, "two moons, noise 0.1, standardised"),
    "swiss-roll": (curves.swiss_roll, "a roll with noise 1.0, divided by 5"),
    "checkerboard": (Checkerboard, "uniform on 8 squares of a 4x4 board on [-2, 2]^2"),
    "pinwheel": (curves.pinwheel, "five bent arms"),
    "spirals": (curves.spirals, "two interleaved spiral arms, noise 0.1"),
    "mixture1d": (mixture1d, "three Gaussians of unequal weight on the line"),
    "gaussian": (
        gaussian,
        "a correlated Gaussian; gaussian-10-0.9 has 10 dimensions, correlation 0.9",
    ),
    "line": (curves.line, "a damped sine whose mass varies along the curve, noise 0.02"),
}
"""Name -> (constructor, one line)."""

_GAUSSIAN = re.compile(r"gaussian-(\d+)(?:-(-?\d*\.?\d+))?")


def is_density(name: str) -> bool:
    """Whether ``name`` is a built-in density."""
    return name in DENSITIES or _GAUSSIAN.fullmatch(name) is not None


def toy_density(name: str) -> Density:
    """The density called ``name``; ``gaussian-D`` and ``gaussian-D-R`` set dimension and correlation.

    ValueError listing the names otherwise.

    >>> float(toy_density("gaussian-3-0").log_prob(torch.zeros(1, 3)))  # -1.5 log 2 pi
    -2.756815...
    """
    if name in DENSITIES:
        return DENSITIES[name][0]()
    match = _GAUSSIAN.fullmatch(name)
    if match is None:
        raise ValueError(f"no density is called {name!r}; there are {', '.join(DENSITIES)}")
    dim, correlation = match.groups()
    return gaussian(int(dim), 0.5 if correlation is None else float(correlation))
