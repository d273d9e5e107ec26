"""Densities with known log Z: those that the estimators were tuned on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Generator, Tensor

import gibbsian
from gibbsian.core import Energy
from gibbsian.core.measures import Box, Counting, Gaussian, Measure, RealSpace
from gibbsian.samplers import RBM

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


def tabulated(
    log_density: Callable[[Tensor], Tensor], low: float, high: float
) -> tuple[Tensor, Tensor, float]:
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
        0.0,
        radius + 12 * std,
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


def product(
    d: int, log_density: Callable[[Tensor], Tensor], low: float, high: float, measure: Measure
) -> Truth:
    """Independent coordinates with one density on a line."""
    grid, cdf, one = tabulated(log_density, low, high)

    def energy(x: Tensor) -> Tensor:
        return -log_density(x).sum(1)

    def draw(n: int, rng: Generator) -> Tensor:
        return draw_tabulated(grid, cdf, (n, d), rng).float()

    return Truth(energy, draw, d * one, measure)


def rotated(truth: Truth, seed: int) -> Truth:
    """The same density, turned."""
    d = truth.measure.shape[0]
    turn = rotation(d, seed)

    def energy(x: Tensor) -> Tensor:
        return truth.energy(x @ turn)

    def draw(n: int, rng: Generator) -> Tensor:
        return truth.draw(n, rng) @ turn.T

    return Truth(energy, draw, truth.log_z, truth.measure)


def laplace(t: Tensor) -> Tensor:
    return -t.abs()


def quartic(t: Tensor) -> Tensor:
    return -(t**4)


def gumbel(t: Tensor) -> Tensor:
    return -t - (-t).exp()


def plateau(t: Tensor) -> Tensor:
    return -4.0 * (t.abs() - 1).clamp_min(0.0)


def rings(count: int, radius: float, std: float) -> Truth:
    """A torus: (|x_12| - radius)^2 + (|x_34| - radius)^2 + ... over 2 std^2."""
    one = shell(2, radius, std)

    def energy(x: Tensor) -> Tensor:
        return one.energy(x.reshape(-1, 2)).reshape(len(x), count).sum(1)

    def draw(n: int, rng: Generator) -> Tensor:
        return one.draw(n * count, rng).reshape(n, 2 * count)

    return Truth(energy, draw, count * one.log_z, RealSpace((2 * count,)))


def rippled(d: int, height: float, scale: float) -> Truth:
    """exp(-height sum cos 3 x_i) under the base N(0, scale^2 I)."""

    def log_density(t: Tensor) -> Tensor:
        normal = -0.5 * (t / scale).square() - math.log(scale) - 0.5 * LOG_2PI
        return normal - height * (3 * t).cos()

    grid, cdf, one = tabulated(log_density, -10 * scale, 10 * scale)

    def energy(x: Tensor) -> Tensor:
        return height * (3 * x).cos().sum(1)

    def draw(n: int, rng: Generator) -> Tensor:
        return draw_tabulated(grid, cdf, (n, d), rng).float()

    return Truth(energy, draw, d * one, Gaussian((d,), scale))


def field_chain(d: int, coupling: float) -> Truth:
    """A chain of d sites of the phi^4 model: sum (x_i^2 - 1)^2 + coupling/2 sum (x_i - x_{i+1})^2.

    By the transfer operator on a grid, whose error is below 1e-6.
    """
    grid = torch.linspace(-3.5, 3.5, 1401, dtype=torch.float64)
    site = -(grid.square() - 1).square()
    step = 7.0 / 1400
    bond = -0.5 * coupling * (grid[:, None] - grid).square()
    messages = [site]
    for _ in range(d - 1):
        messages.append(site + torch.logsumexp(bond + messages[-1], 1) + math.log(step))
    log_z = float(torch.logsumexp(messages[-1], 0)) + math.log(step)

    def energy(x: Tensor) -> Tensor:
        sites = (x.square() - 1).square().sum(1)
        return sites + 0.5 * coupling * x.diff(dim=1).square().sum(1)

    def draw(n: int, rng: Generator) -> Tensor:
        share = torch.softmax(messages[-1], 0)
        at = torch.multinomial(share, n, replacement=True, generator=rng)
        sites = [at]
        for message in reversed(messages[:-1]):
            share = torch.softmax(bond[at] + message, 1)
            at = torch.multinomial(share, 1, generator=rng)[:, 0]
            sites.append(at)
        x = grid[torch.stack(sites, 1)]
        jitter = torch.rand(x.shape, generator=rng, dtype=torch.float64) - 0.5
        return (x + step * jitter).float()

    return Truth(energy, draw, log_z, RealSpace((d,)))


@lru_cache
def trained(method: str, data: str, rounds: int) -> Truth:
    """A trained energy in the plane, by quadrature on 1600 x 1600 points of [-6, 6]^2."""
    model = gibbsian.train(method, data, training={"rounds": rounds, "seed": 0})
    network = model.method.energy
    line = torch.linspace(-6, 6, 1601)[:-1] + 6 / 1600
    with torch.no_grad():
        rows = [network(torch.cartesian_prod(part, line)) for part in line.split(100)]
    log_p = -torch.cat(rows).double()
    cdf = torch.softmax(log_p, 0).cumsum(0)
    step = 12 / 1600

    def draw(n: int, rng: Generator) -> Tensor:
        cell = torch.searchsorted(cdf, torch.rand(n, generator=rng, dtype=torch.float64))
        cell = cell.clamp(max=len(cdf) - 1)
        x = torch.stack([line[cell // 1600], line[cell % 1600]], 1)
        return x + step * (torch.rand(n, 2, generator=rng) - 0.5)

    log_z = float(torch.logsumexp(log_p, 0)) + 2 * math.log(step)
    return Truth(network, draw, log_z, model.method.measure)


def several(one: Truth, count: int) -> Truth:
    """``count`` independent copies of a density in the plane, side by side."""

    def energy(x: Tensor) -> Tensor:
        return one.energy(x.reshape(-1, 2)).reshape(len(x), count).sum(1)

    def draw(n: int, rng: Generator) -> Tensor:
        return one.draw(n * count, rng).reshape(n, 2 * count)

    measure = dataclasses.replace(one.measure, shape=(2 * count,))
    return Truth(energy, draw, count * one.log_z, measure)


def ising(side: int, coupling: float) -> Truth:
    """The Ising model on a square with free boundaries, by the transfer matrix of its rows."""
    spins = (torch.arange(2**side)[:, None] >> torch.arange(side) & 1).double() * 2 - 1
    within = coupling * (spins[:, 1:] * spins[:, :-1]).sum(1)
    between = coupling * spins @ spins.T
    row = within
    for _ in range(side - 1):
        row = within + torch.logsumexp(between + row, 1)

    def energy(x: Tensor) -> Tensor:
        s = 2 * x.reshape(-1, side, side) - 1
        across = (s[:, :, 1:] * s[:, :, :-1]).sum((1, 2))
        down = (s[:, 1:] * s[:, :-1]).sum((1, 2))
        return -coupling * (across + down)

    return Truth(energy, no_draw, float(torch.logsumexp(row, 0)), Counting((side**2,)))


def machine(visible: int, hidden: int, scale: float, seed: int, joint: bool) -> Truth:
    """A restricted Boltzmann machine, summed over its hidden states."""
    rng = Generator().manual_seed(seed)
    rbm = RBM(
        scale * torch.randn(visible, hidden, generator=rng),
        0.5 * torch.randn(visible, generator=rng),
        0.5 * torch.randn(hidden, generator=rng),
    )
    states = (torch.arange(2**hidden)[:, None] >> torch.arange(hidden) & 1).double()
    weight, a, b = (p.double() for p in dataclasses.astuple(rbm))
    log_weight = states @ b + torch.nn.functional.softplus(a + states @ weight.T).sum(1)
    log_z = float(torch.logsumexp(log_weight, 0))
    if joint:
        return Truth(rbm, no_draw, log_z, Counting((visible + hidden,)))
    return Truth(rbm.free_energy, no_draw, log_z, Counting((visible,)))


def no_draw(n: int, rng: Generator) -> Tensor:
    """Binary vectors need no points."""
    raise NotImplementedError


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
    "Ising 5 x 5, coupling 0.3": lambda: ising(5, 0.3),
    "RBM 18 x 8": lambda: machine(18, 8, 0.7, 3, False),
    "RBM 18 x 8, joint": lambda: machine(18, 8, 0.7, 3, True),
    "trained, score matching, moons twice": lambda: several(
        trained("score-matching", "moons", 800), 2
    ),
}
"""Looked at while the estimator was made."""

FINAL: dict[str, Callable[[], Truth]] = {
    "t product, nu 4, d = 8": lambda: student_product(8, 4.0, 11),
    "multivariate t, nu 2.5, d = 12": lambda: student(12, 2.5),
    "4 Gaussians, d = 30": lambda: mixture(
        [0.5, 0.3, 0.15, 0.05], [1.0, 0.7, 0.4, 0.2], 30, 2.0, 12
    ),
    "6 Gaussians, d = 12": lambda: mixture(
        [0.4, 0.25, 0.15, 0.1, 0.07, 0.03], [1.0, 0.5, 1.5, 0.3, 0.8, 0.4], 12, 3.0, 13
    ),
    "bananas, d = 6": lambda: banana(6, 0.7, 3),
    "banana, d = 10": lambda: banana(10, 2.0, 1),
    "funnel, d = 6": lambda: funnel(6, 2.0),
    "funnel, d = 8": lambda: funnel(8, 2.5),
    "shell, d = 5": lambda: shell(5, 2.5, 0.15),
    "shell, d = 10": lambda: shell(10, 5.0, 0.5),
    "torus, d = 6": lambda: rings(3, 1.5, 0.2),
    "flat box, d = 6": lambda: product(6, plateau, -2.0, 2.0, Box((6,), -2.0, 2.0)),
    "rotated Laplace, d = 10": lambda: rotated(
        product(10, laplace, -40.0, 40.0, RealSpace((10,))), 14
    ),
    "quartic, d = 12": lambda: product(12, quartic, -5.0, 5.0, RealSpace((12,))),
    "Gumbel, d = 8": lambda: product(8, gumbel, -8.0, 50.0, RealSpace((8,))),
    "Gaussian, d = 30": lambda: gaussian(30, 0.9, 0.2, 3.0),
    "Gaussian, d = 40": lambda: gaussian(40, 0.5, 0.1, 10.0),
    "double well, d = 5": lambda: double_well(5, 3.0),
    "phi^4 chain, d = 12": lambda: field_chain(12, 1.0),
    "ripples, Gaussian base, d = 6": lambda: rippled(6, 0.7, 1.0),
    "trained, NCE, ring8 twice": lambda: several(trained("nce", "ring8", 800), 2),
    "trained, CD, pinwheel twice": lambda: several(trained("cd", "pinwheel", 800), 2),
    "Ising 4 x 4, coupling 0.4": lambda: ising(4, 0.4),
    "Ising 6 x 6, coupling 0.3": lambda: ising(6, 0.3),
    "Ising 6 x 6, coupling 0.44": lambda: ising(6, 0.44),
    "RBM 20 x 12": lambda: machine(20, 12, 0.6, 21, False),
    "RBM 24 x 10, joint": lambda: machine(24, 10, 0.6, 22, True),
}
"""Fixed before the final run; none was looked at before it."""
