"""Laws with an exact log-density: the interface, Gaussian mixtures, a Gaussian, a checkerboard."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from gibbsian.core.numerics import log_normal_dense

CHUNK = 500_000
"""Entries of the largest temporary matrix, rows times components."""


class Modes(NamedTuple):
    """Where the mass sits: centres ``means [M, d]`` and the standard deviation ``std`` of each."""

    means: Tensor
    std: float


class Density(ABC):
    """A distribution on R^d whose log-density is known exactly; abstract.

    ``name`` is what the command line calls it, ``shape`` the event shape ``(d,)``.
    """

    name: str
    shape: tuple[int, ...]

    @abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """Normalised log-density in nats, ``[B, d] -> [B]``, in the dtype of ``x`` (float64 inside)."""

    @abstractmethod
    def sample(self, n: int, rng: Generator) -> Tensor:
        """``[n, d]`` independent float32 draws on the device of ``rng``."""

    @abstractmethod
    def modes(self) -> Modes | None:
        """The modes, or None where the distribution is not a set of equal round bumps."""

    def check(self, x: Tensor) -> None:
        """ValueError naming both shapes unless ``x`` is ``[B, d]``."""
        if x.ndim != 2 or x.shape[1:] != self.shape:
            raise ValueError(
                f"{self.name} is a distribution of rows of shape {list(self.shape)}; got a tensor of shape "
                f"{list(x.shape)} instead of [B, {self.shape[0]}]"
            )


@dataclass(frozen=True, eq=False)
class Mixture(Density):
    """``sum_m w_m N(mean_m, std^2 I)``: ``means [M, d]`` and ``weights [M]`` in float64."""

    name: str
    means: Tensor
    std: float
    weights: Tensor

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """``(d,)``."""
        return tuple(self.means.shape[1:])

    def log_prob(self, x: Tensor) -> Tensor:
        self.check(x)
        means, weights = self.means.to(x.device), self.weights.to(x.device)
        return log_mixture(x.double(), means, weights.log(), self.std).to(x.dtype)

    def sample(self, n: int, rng: Generator) -> Tensor:
        weights = self.weights.to(rng.device)
        which = torch.multinomial(weights, n, replacement=True, generator=rng)
        noise = torch.randn(
            n, *self.shape, generator=rng, device=rng.device, dtype=self.means.dtype
        )
        return (self.means.to(rng.device)[which] + self.std * noise).float()

    def modes(self) -> Modes:
        return Modes(self.means.float(), self.std)


@dataclass(frozen=True, eq=False)
class CorrelatedGaussian(Density):
    """``N(0, (1 - rho) I + rho 11^T)`` in ``dim`` dimensions: unit variances, one correlation."""

    name: str
    dim: int
    correlation: float

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """``(dim,)``."""
        return (self.dim,)

    @cached_property
    def covariance(self) -> Tensor:
        """``[d, d]``, float64."""
        off = torch.full((self.dim, self.dim), self.correlation, dtype=torch.float64)
        return off.fill_diagonal_(1.0)

    @cached_property
    def cholesky(self) -> Tensor:
        """Lower triangular ``L`` with ``L L^T`` the covariance, float64."""
        return torch.linalg.cholesky(self.covariance)

    def log_prob(self, x: Tensor) -> Tensor:
        self.check(x)
        factor = self.cholesky.to(x.device)
        mean = torch.zeros(self.dim, dtype=factor.dtype, device=x.device)
        return log_normal_dense(x.double(), mean, factor).to(x.dtype)

    def sample(self, n: int, rng: Generator) -> Tensor:
        z = torch.randn(n, self.dim, generator=rng, device=rng.device, dtype=torch.float64)
        return (z @ self.cholesky.to(rng.device).T).float()

    def modes(self) -> Modes | None:
        return None


@dataclass(frozen=True)
class Checkerboard(Density):
    """Uniform on the 8 dark unit squares of a 4x4 board on [-2, 2]^2; ``-inf`` elsewhere."""

    name: str = "checkerboard"
    shape: tuple[int, ...] = (2,)

    def log_prob(self, x: Tensor) -> Tensor:
        self.check(x)
        inside = ((x >= -2) & (x < 2)).all(1) & (x.floor().sum(1) % 2 == 0)
        light = torch.full_like(x[:, 0], -math.inf)
        return torch.where(inside, -math.log(8.0), light)

    def sample(self, n: int, rng: Generator) -> Tensor:
        column = torch.randint(4, (n,), generator=rng, device=rng.device)
        pair = torch.randint(2, (n,), generator=rng, device=rng.device)
        corner = torch.stack([column, 2 * pair + column % 2], 1) - 2
        # 24 random bits, of which the sum with the corner keeps 22: never rounded up to the next square
        steps = torch.randint(2**22, (n, 2), generator=rng, device=rng.device)
        return corner + (steps + 0.5) / 2**22

    def modes(self) -> Modes | None:
        return None


def log_mixture(x: Tensor, means: Tensor, log_weights: Tensor, std: float) -> Tensor:
    """``log sum_m w_m N(x; mean_m, std^2 I)``: ``[B, d], [M, d], [M] -> [B]``, in chunks of rows."""
    variance = std**2
    bias = log_weights - means.square().sum(1) / (2 * variance)
    parts = x.split(max(1, CHUNK // len(means)))
    inner = [torch.logsumexp(torch.addmm(bias, part, means.T / variance), 1) for part in parts]
    constant = 0.5 * x.shape[1] * math.log(2 * math.pi * variance)
    return torch.cat(inner) - x.square().sum(1) / (2 * variance) - constant


def equal_mixture(name: str, means: Tensor, std: float) -> Mixture:
    """The mixture of equally weighted Gaussians ``N(mean, std^2 I)`` at ``means [M, d]``."""
    m = len(means)
    return Mixture(name, means.double(), std, torch.full((m,), 1.0 / m, dtype=torch.float64))
