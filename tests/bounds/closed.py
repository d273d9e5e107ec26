"""Closed forms to hold bounds against: whitened draws make every second moment exact."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

A, C = 1.7, 0.6
LOG_Z = math.log(2 * math.pi / A)
LOWER = -A * C**2 + math.log(2 * math.pi * math.e * C**2)
KL = LOG_Z - LOWER
SLOPE = 2 * (A * C**2 - 1) ** 2


class Scale(nn.Module):
    """G(z) = W z with a fixed matrix W ``[D, d]``."""

    def __init__(self, W: Tensor):
        super().__init__()
        self.W = nn.Parameter(W)

    def forward(self, z: Tensor) -> Tensor:
        return z @ self.W.T


def scaled(d: int = 2, c: float = C) -> Scale:
    return Scale(c * torch.eye(d, dtype=torch.float64))


class Quadratic(nn.Module):
    """E(x) = a |x|^2 / 2."""

    def __init__(self, a: float = A):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * self.a * x.square().flatten(1).sum(1)


def whitened(n: int, d: int, seed: int = 0) -> Tensor:
    """``[n, d]`` in float64 with mean exactly 0 and covariance exactly I."""
    a = torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    a = a - a.mean(0)
    L = torch.linalg.cholesky(a.T @ a / n)
    return torch.linalg.solve_triangular(L, a.T, upper=False).T


class Curved(nn.Module):
    """A smooth random generator in float64, ``[B, d] -> [B, D]``."""

    def __init__(self, d: int, D: int, seed: int = 0):
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.Sequential(nn.Linear(d, 16), nn.Tanh(), nn.Linear(16, D)).double()

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)
