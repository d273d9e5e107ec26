"""A noise law fitted to the data as they come: a Gaussian, on a box one that is cut off at its walls."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn

from gibbsian.measures import Box, Measure, Undefined

EDGE = 1e-6
"""Probabilities this near 0 or 1 are moved in, so that no draw is infinite."""


class FittedGaussian(nn.Module):
    """N(mean, spread^2 covariance) of the rows seen so far; on a box, per coordinate and cut off.

    Buffers ``mean [D]`` and ``second``, the mean of x x^T ``[D, D]`` (on a box of x^2, ``[D]``), as if
    one batch of standard normal rows had come first, so that the covariance is never singular. Both are
    means, so that their averages over processes are those of all rows.
    """

    def __init__(self, measure: Measure | Undefined, spread: float):
        super().__init__()
        d = math.prod(measure.shape)
        self.shape, self.spread = measure.shape, spread
        self.box = (measure.low, measure.high) if isinstance(measure, Box) else None
        self.register_buffer("mean", torch.zeros(d))
        self.register_buffer("second", torch.eye(d) if self.box is None else torch.ones(d))
        self.mean: Tensor
        self.second: Tensor

    def see(self, x: Tensor, index: int) -> None:
        """Count the batch ``x [B, *event]`` of round ``index`` as one of index + 2."""
        flat = x.flatten(1).to(self.mean.dtype)
        second = flat.square().mean(0) if self.box is not None else flat.T @ flat / len(flat)
        self.mean.lerp_(flat.mean(0), 1 / (index + 2))
        self.second.lerp_(second, 1 / (index + 2))

    def scale(self) -> Tensor:
        """L with spread^2 covariance = L L^T, lower triangular ``[D, D]``; on a box std ``[D]``."""
        if self.box is not None:
            return self.spread * (self.second - self.mean.square()).clamp_min(1e-12).sqrt()
        root: Tensor = torch.linalg.cholesky(self.second - torch.outer(self.mean, self.mean))
        return self.spread * root

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
            return (self.mean + xi @ scale.T).view(n, *self.shape)
        low, high = self.walls(scale)
        u = torch.rand(size, generator=rng, device=rng.device, dtype=self.mean.dtype)
        xi = torch.special.ndtri((low + (high - low) * u).clamp(EDGE, 1 - EDGE))
        return (self.mean + scale * xi).clamp(*self.box).view(n, *self.shape)

    def log_density(self, x: Tensor) -> Tensor:
        """``[B, *event] -> [B]``; -inf outside the box."""
        scale, centred = self.scale(), x.flatten(1) - self.mean
        constant = 0.5 * len(self.mean) * math.log(2 * math.pi)
        if self.box is None:
            whitened = torch.linalg.solve_triangular(scale, centred.T, upper=False)
            log_det = scale.diagonal().log().sum()
            return -0.5 * whitened.square().sum(0) - log_det - constant
        low, high = self.walls(scale)
        inside = scale.log().sum() + (high - low).log().sum()
        log_p = -0.5 * (centred / scale).square().sum(1) - inside - constant
        outside = ((x < self.box[0]) | (x > self.box[1])).flatten(1).any(1)
        return log_p.masked_fill(outside, -math.inf)
