"""A noise distribution fitted to the data as they come: a Gaussian, on a box one cut off at its walls."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Generator, Tensor, nn

from gibbsian.core.measures import Box, Measure, Undefined
from gibbsian.core.numerics import log_normal, log_normal_dense

EDGE = 1e-6
"""Probabilities this near 0 or 1 are moved in, so that no draw is infinite."""
RIDGE = 1e-3
"""Of the mean variance, added to each."""


class NoiseDistribution(Protocol):
    """What data are told from: draws, their log-density, and rows of data to be fitted to.

    A module, so that what it has fitted is saved with the method.
    """

    def see(self, x: Tensor, index: int) -> None:
        """Take note of the batch ``x [B, *event]`` of round ``index``, before any draw in it."""

    def sample(self, n: int, rng: Generator) -> Tensor:
        """``[n, *event]`` independent draws."""

    def log_density(self, x: Tensor) -> Tensor:
        """``[B, *event] -> [B]``, nats, relative to the measure of the data."""


class FittedGaussian(nn.Module):
    """N(mean, spread^2 covariance) of the rows seen so far; on a box, per coordinate and cut off.

    Buffers ``mean [D]`` and ``second``, the mean of x x^T ``[D, D]`` (on a box of x^2, ``[D]``), in double
    precision, since data may lie far from 0. Both are means, so that their averages over processes are
    those of all rows. A thousandth of the mean variance is added to each variance, so that none is 0.
    """

    def __init__(self, measure: Measure | Undefined, spread: float):
        super().__init__()
        d = math.prod(measure.shape)
        self.shape, self.spread = measure.shape, spread
        self.box = (measure.low, measure.high) if isinstance(measure, Box) else None
        one = torch.eye(d) if self.box is None else torch.ones(d)
        self.register_buffer("mean", torch.zeros(d, dtype=torch.float64))
        self.register_buffer("second", one.double())
        self.register_buffer(
            "unit", torch.ones(())
        )  # whose precision is that of draws and densities
        self.mean: Tensor
        self.unit: Tensor
        self.second: Tensor

    def see(self, x: Tensor, index: int) -> None:
        """Count the batch ``x [B, *event]`` of round ``index`` as one of index + 1."""
        flat = x.flatten(1).to(self.mean.dtype)
        second = flat.square().mean(0) if self.box is not None else flat.T @ flat / len(flat)
        self.mean.lerp_(flat.mean(0), 1 / (index + 1))
        self.second.lerp_(second, 1 / (index + 1))

    def scale(self) -> Tensor:
        """L with spread^2 covariance = L L^T, lower triangular ``[D, D]``; on a box std ``[D]``."""
        if self.box is not None:
            variance = (self.second - self.mean.square()).clamp_min(1e-12)
            return self.spread * (variance + RIDGE * variance.mean()).sqrt()
        covariance = self.second - torch.outer(self.mean, self.mean)
        ridge = RIDGE * covariance.diagonal().mean().clamp_min(1e-12)
        one = torch.eye(len(self.mean), dtype=covariance.dtype, device=covariance.device)
        # Without a look from the host: what is not positive definite becomes NaN, and the loss with it.
        root, failed = torch.linalg.cholesky_ex(covariance + ridge * one)
        return self.spread * torch.where(failed == 0, root, torch.nan)

    def walls(self, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Standard normal probabilities below the box's two walls, each ``[D]``."""
        assert self.box is not None
        low, high = (torch.special.ndtr((wall - self.mean) / scale) for wall in self.box)
        return low, high

    def sample(self, n: int, rng: Generator) -> Tensor:
        """``[n, *event]`` independent draws."""
        scale, size = self.scale(), (n, len(self.mean))
        if self.box is None:
            xi = torch.randn(size, generator=rng, device=rng.device, dtype=self.mean.dtype)
            return (self.mean + xi @ scale.T).view(n, *self.shape).to(self.unit.dtype)
        low, high = self.walls(scale)
        u = torch.rand(size, generator=rng, device=rng.device, dtype=self.mean.dtype)
        xi = torch.special.ndtri((low + (high - low) * u).clamp(EDGE, 1 - EDGE))
        x = (self.mean + scale * xi).clamp(*self.box)
        return x.view(n, *self.shape).to(self.unit.dtype)

    def log_density(self, x: Tensor) -> Tensor:
        """``[B, *event] -> [B]``; -inf outside the box."""
        scale = self.scale()
        if self.box is None:
            return log_normal_dense(x.flatten(1), self.mean, scale).to(self.unit.dtype)
        low, high = self.walls(scale)
        log_p = log_normal(x.flatten(1), self.mean, 2 * scale.log()) - (high - low).log().sum()
        outside = ((x < self.box[0]) | (x > self.box[1])).flatten(1).any(1)
        return log_p.masked_fill(outside, -math.inf).to(self.unit.dtype)
