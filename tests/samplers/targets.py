"""Densities with exact draws and known moments, for the tests of the kernels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class CorrelatedGaussian:
    """N(0, C) in two dimensions with variances 1 and correlation 0.8."""

    mean = torch.zeros(2)
    covariance = torch.tensor([[1.0, 0.8], [0.8, 1.0]])
    # P(x_0 > 1.5) of a standard normal distribution.
    tail = (1.5, 0.5 * math.erfc(1.5 / math.sqrt(2)))

    def __call__(self, x: Tensor) -> Tensor:
        a, b = x[:, 0], x[:, 1]
        return (a * a - 1.6 * a * b + b * b) / (2 * 0.36)

    def sample(self, n: int, rng: Generator) -> Tensor:
        return torch.randn(n, 2, generator=rng) @ torch.linalg.cholesky(self.covariance).T


@dataclass(frozen=True)
class TwoWells:
    """0.3 N((1.5, 0), 0.6^2 I) + 0.7 N((-1.5, 0), 0.6^2 I)."""

    mean = torch.tensor([-0.6, 0.0])
    covariance = torch.tensor([[0.36 + 9 * 0.21, 0.0], [0.0, 0.36]])
    # P(x_0 > 1.5): half of the right well and all but nothing (5 standard deviations) of the left.
    tail = (1.5, 0.3 * 0.5 + 0.7 * 0.5 * math.erfc(5 / math.sqrt(2)))

    def __call__(self, x: Tensor) -> Tensor:
        far = x[:, 1].square()
        right = -((x[:, 0] - 1.5).square() + far) / 0.72 + math.log(0.3)
        left = -((x[:, 0] + 1.5).square() + far) / 0.72 + math.log(0.7)
        return -torch.logaddexp(right, left)

    def sample(self, n: int, rng: Generator) -> Tensor:
        side = torch.where(torch.rand(n, generator=rng) < 0.3, 1.5, -1.5)
        return 0.6 * torch.randn(n, 2, generator=rng) + torch.stack([side, 0 * side], 1)


@dataclass(frozen=True)
class Funnel:
    """Neal's (2003) funnel: v ~ N(0, width^2), the others N(0, e^v) given v."""

    width: float = 1.0
    dim: int = 2
    mean = torch.zeros(2)
    # Var x_1 = E e^v = e^(1/2) at width 1.
    covariance = torch.tensor([[1.0, 0.0], [0.0, math.exp(0.5)]])
    # P(v < -1.5), the neck.
    tail = (-1.5, 0.5 * math.erfc(1.5 / math.sqrt(2)))

    def __call__(self, x: Tensor) -> Tensor:
        v, rest = x[:, 0], x[:, 1:]
        inside = rest.square().sum(1) * torch.exp(-v) + (self.dim - 1) * v
        return v.square() / (2 * self.width**2) + inside / 2

    def sample(self, n: int, rng: Generator) -> Tensor:
        v = self.width * torch.randn(n, 1, generator=rng)
        return torch.cat([v, (v / 2).exp() * torch.randn(n, self.dim - 1, generator=rng)], 1)


def anharmonic(x: Tensor) -> Tensor:
    """U(x) = x^4 / 4 + x^2 / 2 in one dimension, ``[B, 1] -> [B]``."""
    square = x.square().sum(1)
    return square.square() / 4 + square / 2


def deviations(x: Tensor, target: CorrelatedGaussian | TwoWells | Funnel) -> Tensor:
    """How many standard errors mean (2), covariance (3) and tail probability (1) are off, ``[6]``.

    ``x [n, 2]``: independent draws. Each number is a mean over rows, so that its standard
    error is a standard deviation over rows.
    """
    x = x.double()
    level, probability = target.tail
    beyond = x[:, 0] > level if level > 0 else x[:, 0] < level
    centred = x - target.mean
    columns = torch.stack(
        [
            centred[:, 0],
            centred[:, 1],
            centred[:, 0].square() - target.covariance[0, 0],
            centred[:, 1].square() - target.covariance[1, 1],
            centred[:, 0] * centred[:, 1] - target.covariance[0, 1],
            beyond.double() - probability,
        ],
        1,
    )
    return columns.mean(0) / (columns.std(0) / math.sqrt(len(x)))
