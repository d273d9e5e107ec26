"""Densities with known log Z: those that the estimators were tuned on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from gibbsian.core import Energy
from gibbsian.measures import Box, Gaussian, Measure, RealSpace

Draw = Callable[[int, Generator], Tensor]
LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class Truth:
    """A density with known log Z and exact draws ``draw(n, rng) -> [n, d]``."""

    energy: Energy
    draw: Draw
    log_z: float
    measure: Measure


def rotation(d: int, seed: int) -> Tensor:
    """A fixed rotation of R^d."""
    rng = Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(d, d, generator=rng, dtype=torch.float64))[0].float()


def gaussian(d: int, correlation: float, low: float, high: float) -> Truth:
    """N(0, S) with S_ij = s_i s_j correlation^|i - j| and s from ``low`` to ``high``."""
    index = torch.arange(d, dtype=torch.float64)
    std = torch.linspace(low, high, d, dtype=torch.float64)
    covariance = correlation ** (index[:, None] - index).abs() * std[:, None] * std
    precision = torch.linalg.inv(covariance).float()
    factor = torch.linalg.cholesky(covariance)

    def energy(x: Tensor) -> Tensor:
        return 0.5 * ((x @ precision) * x).sum(1)

    def draw(n: int, rng: Generator) -> Tensor:
        return torch.randn(n, d, generator=rng) @ factor.T.float()

    log_det = float(factor.diagonal().log().sum())
    return Truth(energy, draw, log_det + 0.5 * d * LOG_2PI, RealSpace((d,)))


def student_product(d: int, freedom: float, seed: int) -> Truth:
    """A rotated product of Student t distributions."""
    turn = rotation(d, seed)

    def energy(x: Tensor) -> Tensor:
        return 0.5 * (freedom + 1) * torch.log1p((x @ turn).square() / freedom).sum(1)

    def draw(n: int, rng: Generator) -> Tensor:
        chi = 2 * torch._standard_gamma(torch.full((n, d), freedom / 2), generator=rng)
        return (torch.randn(n, d, generator=rng) * (freedom / chi).sqrt()) @ turn.T

    one = (
        0.5 * math.log(freedom * math.pi)
        + math.lgamma(freedom / 2)
        - math.lgamma((freedom + 1) / 2)
    )
    return Truth(energy, draw, d * one, RealSpace((d,)))


def student(d: int, freedom: float) -> Truth:
    """A multivariate Student t distribution."""

    def energy(x: Tensor) -> Tensor:
        return 0.5 * (freedom + d) * torch.log1p(x.square().sum(1) / freedom)

    def draw(n: int, rng: Generator) -> Tensor:
        chi = 2 * torch._standard_gamma(torch.full((n, 1), freedom / 2), generator=rng)
        return torch.randn(n, d, generator=rng) * (freedom / chi).sqrt()

    log_z = (
        0.5 * d * math.log(freedom * math.pi)
        + math.lgamma(freedom / 2)
        - math.lgamma((freedom + d) / 2)
    )
    return Truth(energy, draw, log_z, RealSpace((d,)))


def mixture(weights: list[float], stds: list[float], d: int, spread: float, seed: int) -> Truth:
    """Gaussians of given weights and standard deviations around random centres."""
    rng = Generator().manual_seed(seed)
    centres = spread * torch.randn(len(weights), d, generator=rng)
    log_w, std = torch.tensor(weights).log(), torch.tensor(stds)
    log_w = log_w - torch.logsumexp(log_w, 0)

    def energy(x: Tensor) -> Tensor:
        square = torch.cdist(x, centres, compute_mode="donot_use_mm_for_euclid_dist").square()
        each = log_w - 0.5 * square / std.square() - d * (std.log() + 0.5 * LOG_2PI)
        return -torch.logsumexp(each, 1)

    def draw(n: int, rng: Generator) -> Tensor:
        which = torch.multinomial(log_w.exp(), n, replacement=True, generator=rng)
        return centres[which] + std[which, None] * torch.randn(n, d, generator=rng)

    return Truth(energy, draw, 0.0, RealSpace((d,)))


def banana(d: int, curvature: float, pairs: int) -> Truth:
    """N(0, I) bent: x_2 -> x_2 + curvature (x_1^2 - 1) in each of the first ``pairs`` pairs."""

    def energy(x: Tensor) -> Tensor:
        a, b = x[:, 0 : 2 * pairs : 2], x[:, 1 : 2 * pairs : 2]
        bent = (b - curvature * (a.square() - 1)).square().sum(1)
        return 0.5 * (a.square().sum(1) + bent + x[:, 2 * pairs :].square().sum(1))

    def draw(n: int, rng: Generator) -> Tensor:
        x = torch.randn(n, d, generator=rng)
        x[:, 1 : 2 * pairs : 2] += curvature * (x[:, 0 : 2 * pairs : 2].square() - 1)
        return x

    return Truth(energy, draw, 0.5 * d * LOG_2PI, RealSpace((d,)))


def funnel(d: int, std: float) -> Truth:
    """Neal's funnel: v ~ N(0, std^2), the other d - 1 are N(0, exp(v))."""

    def energy(x: Tensor) -> Tensor:
        v, rest = x[:, 0], x[:, 1:]
        width = 0.5 * (d - 1) * v
        return 0.5 * v.square() / std**2 + width + 0.5 * rest.square().sum(1) * (-v).exp()

    def draw(n: int, rng: Generator) -> Tensor:
        v = std * torch.randn(n, 1, generator=rng)
        return torch.cat([v, (0.5 * v).exp() * torch.randn(n, d - 1, generator=rng)], 1)

    return Truth(energy, draw, math.log(std) + 0.5 * d * LOG_2PI, RealSpace((d,)))


def tabulated(log_density: Callable[[Tensor], Tensor], low: float, high: float) -> tuple[Tensor, Tensor, float]:
    """Grid, distribution function and log integral of a density on a line."""
    grid = torch.linspace(low, high, 200_001, dtype=torch.float64)
    log_p = log_density(grid)
    step = (high - low) / 200_000
    cdf = torch.softmax(log_p, 0).cumsum(0)
    return grid, cdf, float(torch.logsumexp(log_p, 0)) + math.log(step)


def draw_tabulated(grid: Tensor, cdf: Tensor, shape: tuple[int, ...], rng: Generator) -> Tensor:
    u = torch.rand(shape, generator=rng, dtype=torch.float64)
    cell = torch.searchsorted(cdf, u).clamp(max=len(grid) - 1)
    step = grid[1] - grid[0]
    return grid[cell] + step * (torch.rand(shape, generator=rng, dtype=torch.float64) - 0.5)


def shell(d: int, radius: float, std: float) -> Truth:
    """E(x) = (|x| - radius)^2 / (2 std^2)."""
    grid, cdf, log_radial = tabulated(
        lambda r: -0.5 * ((r - radius) / std).square() + (d - 1) * r.clamp_min(1e-12).log(),
        0.0, radius + 12 * std,
    )
    log_sphere = math.log(2) + 0.5 * d * math.log(math.pi) - math.lgamma(d / 2)

    def energy(x: Tensor) -> Tensor:
        return 0.5 * ((x.norm(dim=1) - radius) / std).square()

    def draw(n: int, rng: Generator) -> Tensor:
        r = draw_tabulated(grid, cdf, (n, 1), rng).float()
        direction = torch.randn(n, d, generator=rng)
        return r * direction / direction.norm(dim=1, keepdim=True)

    return Truth(energy, draw, log_radial + log_sphere, RealSpace((d,)))


def double_well(d: int, height: float) -> Truth:
    """E(x) = height sum (x_i^2 - 1)^2: 2^d modes."""
    grid, cdf, one = tabulated(lambda t: -height * (t.square() - 1).square(), -4.0, 4.0)

    def energy(x: Tensor) -> Tensor:
        return height * (x.square() - 1).square().sum(1)

    def draw(n: int, rng: Generator) -> Tensor:
        return draw_tabulated(grid, cdf, (n, d), rng).float()

    return Truth(energy, draw, d * one, RealSpace((d,)))


def tilted_box(d: int, slope: float) -> Truth:
    """E(x) = slope sum x_i on [-1, 1]^d: mass at the walls."""

    def energy(x: Tensor) -> Tensor:
        return slope * x.sum(1)

    def draw(n: int, rng: Generator) -> Tensor:
        u = torch.rand(n, d, generator=rng, dtype=torch.float64)
        low, high = math.exp(slope), math.exp(-slope)
        return (-(low + u * (high - low)).log() / slope).float()

    return Truth(energy, draw, d * math.log(2 * math.sinh(slope) / slope), Box((d,), -1.0, 1.0))


def ring(d: int, std: float) -> Truth:
    """8 modes on the unit circle of the first two coordinates."""
    angle = torch.arange(8) * (math.pi / 4)
    centres = torch.zeros(8, d)
    centres[:, 0], centres[:, 1] = angle.cos(), angle.sin()

    def energy(x: Tensor) -> Tensor:
        square = torch.cdist(x, centres, compute_mode="donot_use_mm_for_euclid_dist").square()
        return -torch.logsumexp(-0.5 * square / std**2, 1)

    def draw(n: int, rng: Generator) -> Tensor:
        which = torch.randint(8, (n,), generator=rng)
        return centres[which] + std * torch.randn(n, d, generator=rng)

    return Truth(energy, draw, math.log(8) + d * (math.log(std) + 0.5 * LOG_2PI), RealSpace((d,)))


def offset_gaussian(d: int, shift: float, scale: float) -> Truth:
    """exp(-shift sum x) under the base N(0, scale^2 I)."""

    def energy(x: Tensor) -> Tensor:
        return shift * x.sum(1)

    def draw(n: int, rng: Generator) -> Tensor:
        return scale * torch.randn(n, d, generator=rng) - shift * scale**2

    return Truth(energy, draw, 0.5 * d * (shift * scale) ** 2, Gaussian((d,), scale))


TUNING: dict[str, Callable[[], Truth]] = {
    "Gaussian, d = 10": lambda: gaussian(10, 0.7, 0.5, 2.0),
    "Gaussian, d = 50": lambda: gaussian(50, 0.7, 0.5, 2.0),
    "t product, nu 3, d = 5": lambda: student_product(5, 3.0, 1),
    "multivariate t, nu 2, d = 5": lambda: student(5, 2.0),
    "3 Gaussians, d = 20": lambda: mixture([0.7, 0.2, 0.1], [1.0, 0.5, 0.25], 20, 2.0, 2),
    "bananas, d = 8": lambda: banana(8, 1.0, 2),
    "funnel, d = 4": lambda: funnel(4, 1.5),
    "funnel, d = 10": lambda: funnel(10, 3.0),
    "shell, d = 6": lambda: shell(6, 3.0, 0.4),
    "double well, d = 8": lambda: double_well(8, 2.0),
    "tilted box, d = 8": lambda: tilted_box(8, 1.5),
    "ring of 8, d = 10": lambda: ring(10, 0.1),
    "Gaussian base, d = 8": lambda: offset_gaussian(8, 0.5, 0.8),
}
