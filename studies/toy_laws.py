"""The toys of Arbel, Zhou and Gretton: a curve of varying mass, a closed surface, a rough change of scale."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn

from gibbsian.data.curves import line

CURVE = line()
GRID = 4_001


def on_curve(n: int, rng: Generator) -> tuple[Tensor, Tensor]:
    """``n`` points on the curve itself, ``[n, 2]``, and where on it they are, ``[n]`` in [0, 1]."""
    t = CURVE.quantile(torch.rand(n, generator=rng, dtype=torch.float64))
    return CURVE.arms[0](t).float(), t


def along_and_off(x: Tensor, t_true: Tensor) -> tuple[float, float]:
    """Errors of samples ``x [n, 2]``: transport of the mass along the curve, distance from it.

    The first is the W1 distance between the places of the nearest points on the curve and ``t_true``,
    in units of t; the second the mean distance to the curve.
    """
    t = torch.linspace(0, 1, GRID, dtype=torch.float64)
    distances = torch.cat([torch.cdist(part.double(), CURVE.arms[0](t)) for part in x.split(500)])
    off, nearest = distances.min(1)
    places = t[nearest].sort().values
    levels = (torch.arange(len(places)) + 0.5) / len(places)
    truth = t_true.sort().values[(levels * len(t_true)).long()]
    return float((places - truth).abs().mean()), float(off.mean())


def waves(u: Tensor) -> Tensor:
    """sin and cos of 2 pi k u, k = 1..8, and u itself: ``[n, 1] -> [n, 17]``."""
    angles = 2 * math.pi * u * torch.arange(1, 9)
    return torch.cat([u, angles.sin(), angles.cos()], 1)


def dense(inputs: int, outputs: int = 1) -> nn.Sequential:
    """Two hidden layers of 64 units."""
    layers = [nn.Linear(inputs, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU()]
    return nn.Sequential(*layers, nn.Linear(64, outputs))


class CurveGenerator(nn.Module):
    """x = (u, g(u)) with u = Phi(z) uniform: the right support can be had, another mass cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.g = dense(17)

    def forward(self, z: Tensor) -> Tensor:
        """``[B, 1] -> [B, 2]``."""
        u = torch.special.ndtr(z)
        return torch.cat([u, self.g(waves(u))], 1)


class CurveEnergy(nn.Module):
    """E(x) = (g(x_1) - x_2)^2 / (2 sigma^2) + a(x_1) on [0, 1] x R, log Z by quadrature."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma, self.g, self.a = sigma, dense(17), dense(17)

    def log_masses(self) -> tuple[Tensor, Tensor]:
        """Midpoints of [0, 1] and the log of the mass of their cells."""
        u = (torch.arange(GRID) + 0.5)[:, None] / GRID
        return u, torch.log_softmax(-self.a(waves(u)).squeeze(1), 0)

    def log_prob(self, x: Tensor) -> Tensor:
        """Exact up to the quadrature, ``[B, 2] -> [B]``."""
        u, height = x[:, :1], x[:, 1]
        log_masses = -self.a(waves(torch.cat([u, self.log_masses()[0]]))).squeeze(1)
        log_z = torch.logsumexp(log_masses[len(x) :], 0) - math.log(GRID)
        residual = (height - self.g(waves(u)).squeeze(1)) / self.sigma
        gauss = -0.5 * residual.square() - math.log(self.sigma * math.sqrt(2 * math.pi))
        return log_masses[: len(x)] - log_z + gauss

    @torch.no_grad()
    def sample(self, n: int, rng: Generator) -> Tensor:
        """``[n, 2]`` exact draws."""
        u, log_masses = self.log_masses()
        pick = torch.multinomial(log_masses.exp(), n, replacement=True, generator=rng)
        x = u[pick] + (torch.rand(n, 1, generator=rng) - 0.5) / GRID
        return torch.cat([x, self.g(waves(x)) + self.sigma * torch.randn(n, 1, generator=rng)], 1)


class Surface(nn.Module):
    """x = |U|^2 zb with zb = z/|z| and U = zb + zb^4: a closed surface in space; nothing to train."""

    def forward(self, z: Tensor) -> Tensor:
        """``[B, 3] -> [B, 3]``."""
        direction = nn.functional.normalize(z, dim=1)
        return (direction + direction**4).square().sum(1, keepdim=True) * direction


def surface_energy(x: Tensor) -> Tensor:
    """A leaky-rectifier layer (weights 0.1 and -1, over the norm) and (1, 1, 1)/sqrt 3, ``[B]``."""
    weight = 0.1 * torch.eye(3) - (torch.ones(3, 3) - torch.eye(3))
    weight = weight / torch.linalg.matrix_norm(weight, 2)
    return nn.functional.leaky_relu(x @ weight.T, 0.1).sum(1) / math.sqrt(3)


def rough_map(x: Tensor, bandwidth: float, rng: Generator) -> Tensor:
    """An increasing map whose slope 0.1 + 0.5 (1 + sum_j w_j cos(f_j x + b_j)) varies at 1 / ``bandwidth``.

    Ten terms with random frequencies f ~ N(0, 1/bandwidth^2), phases and weights that sum to 1. KL
    divergences do not change under it; the log-ratio becomes as rough as its inverse.
    """
    f = torch.randn(10, generator=rng).abs() / bandwidth + 1e-9
    b = 2 * math.pi * torch.rand(10, generator=rng)
    w = torch.rand(10, generator=rng)
    w = w / w.sum()
    wave = ((f * x + b).sin() - b.sin()) / f
    return 0.6 * x + 0.5 * (w * wave).sum(1, keepdim=True)
