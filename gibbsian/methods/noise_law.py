"""Distributions fitted to the data as they come: a Gaussian, and on a box one whose logits are Gaussian."""

from __future__ import annotations

import math
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import logsigmoid

from gibbsian.core.measures import Box, Measure, Undefined
from gibbsian.core.numerics import log_normal, log_normal_dense
from gibbsian.core.protocols import HasLogits

EDGE = 1e-6
"""Shares of the box's width this near to a wall are moved in, so that no logit is infinite."""
RIDGE = 1e-3
"""Of the mean variance, added to each."""
DENSE, OFTEN = 1024, 64
"""Numbers of a row above which columns are independent on a box, and above which the root is kept."""


@runtime_checkable
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
    """N(mean, spread^2 covariance) of the rows seen so far, of event shape ``shape``.

    Buffers ``mean [D]`` and ``second``, the mean of x x^T ``[D, D]`` (of x^2, ``[D]``, where columns are
    taken for independent), in double precision, since data may lie far from 0. Both are means, so that
    their averages over processes are those of all rows. A thousandth of the mean variance is added to each
    variance, so that none is 0. Of more than ``OFTEN`` numbers the root of the covariance is kept, and made
    anew in the rounds 1, 2, 4, 8 and so on.
    """

    def __init__(self, shape: tuple[int, ...], spread: float, independent: bool = False):
        super().__init__()
        d = math.prod(shape)
        self.shape, self.spread, self.independent = shape, spread, independent
        one = torch.ones(d) if independent else torch.eye(d)
        self.register_buffer("mean", torch.zeros(d, dtype=torch.float64))
        self.register_buffer("second", one.double())
        self.register_buffer("unit", torch.ones(()))  # its precision is that of draws and densities
        self.mean: Tensor
        self.unit: Tensor
        self.second: Tensor
        self.keeps_root = not independent and d > OFTEN
        if self.keeps_root:
            self.register_buffer("root", spread * one.double())
            self.root: Tensor

    def see(self, x: Tensor, index: int) -> None:
        """Count the batch ``x [B, *event]`` of round ``index`` as one of index + 1."""
        flat = x.flatten(1).to(self.mean.dtype)
        second = flat.square().mean(0) if self.independent else flat.T @ flat / len(flat)
        self.mean.lerp_(flat.mean(0), 1 / (index + 1))
        self.second.lerp_(second, 1 / (index + 1))
        if self.keeps_root and (index + 1) & index == 0:
            self.root.copy_(self.fitted_root())

    def scale(self) -> Tensor:
        """L with spread^2 covariance = L L^T, lower triangular ``[D, D]``; std ``[D]`` if independent."""
        return self.root if self.keeps_root else self.fitted_root()

    def fitted_root(self) -> Tensor:
        """`scale` of the rows seen until now."""
        if self.independent:
            variance = (self.second - self.mean.square()).clamp_min(1e-12)
            return self.spread * (variance + RIDGE * variance.mean()).sqrt()
        covariance = self.second - torch.outer(self.mean, self.mean)
        ridge = RIDGE * covariance.diagonal().mean().clamp_min(1e-12)
        one = torch.eye(len(self.mean), dtype=covariance.dtype, device=covariance.device)
        # Without a look from the host: what is not positive definite becomes NaN, and the loss with it.
        root, failed = torch.linalg.cholesky_ex(covariance + ridge * one)
        return self.spread * torch.where(failed == 0, root, torch.nan)

    def sample(self, n: int, rng: Generator) -> Tensor:
        """``[n, *event]`` independent draws."""
        scale, size = self.scale(), (n, len(self.mean))
        xi = torch.randn(size, generator=rng, device=rng.device, dtype=self.mean.dtype)
        moved = xi * scale if self.independent else xi @ scale.T
        return (self.mean + moved).view(n, *self.shape).to(self.unit.dtype)

    def log_density(self, x: Tensor) -> Tensor:
        """``[B, *event] -> [B]``."""
        scale, flat = self.scale(), x.flatten(1)
        if self.independent:
            return log_normal(flat, self.mean, 2 * scale.log()).to(self.unit.dtype)
        return log_normal_dense(flat, self.mean, scale).to(self.unit.dtype)

    @property
    def gaussian(self) -> FittedGaussian:
        """What is Gaussian in the coordinates: this."""
        return self

    def to_coordinates(self, x: Tensor) -> Tensor:
        """Where nothing has walls: ``x`` itself."""
        return x

    def from_coordinates(self, u: Tensor) -> Tensor:
        """``u`` itself."""
        return u

    def log_jacobian(self, u: Tensor) -> Tensor:
        """log |dx / du| = 0, ``[B, *event] -> [B]``."""
        return u.new_zeros(len(u))


class FittedLogitGaussian(nn.Module):
    """The distribution on a box whose scaled logits are Gaussian, fitted likewise.

    They are u = (w / 4) log((x - low) / (high - x)) on a box of width w, so that du = dx in its middle.
    Its coordinates depend on each other, and nothing lies outside; of a Gaussian that is cut off at the
    walls no formula gives the normaliser. Of more than ``DENSE`` numbers they are independent.
    """

    def __init__(self, measure: Box, spread: float):
        super().__init__()
        self.low, self.high = measure.low, measure.high
        self.width = measure.high - measure.low
        self.gaussian = FittedGaussian(measure.shape, spread, math.prod(measure.shape) > DENSE)

    def see(self, x: Tensor, index: int) -> None:
        """Count the batch ``x [B, *event]`` of round ``index`` as one of index + 1."""
        self.gaussian.see(self.to_coordinates(x), index)

    def sample(self, n: int, rng: Generator) -> Tensor:
        """``[n, *event]`` independent draws."""
        return self.from_coordinates(self.gaussian.sample(n, rng))

    def log_density(self, x: Tensor) -> Tensor:
        """``[B, *event] -> [B]``; -inf outside the box."""
        u = self.to_coordinates(x)
        log_p = self.gaussian.log_density(u) - self.log_jacobian(u).to(self.gaussian.unit.dtype)
        outside = ((x < self.low) | (x > self.high)).flatten(1).any(1)
        return log_p.masked_fill(outside, -math.inf)

    def to_coordinates(self, x: Tensor) -> Tensor:
        """``[B, *event]``, in double precision; of walls those of points next to them."""
        share = (x.to(self.gaussian.mean.dtype) - self.low) / self.width
        return torch.logit(share.clamp(EDGE, 1 - EDGE)) * (self.width / 4)

    def from_coordinates(self, u: Tensor) -> Tensor:
        """The points of the box that have the scaled logits ``u [B, *event]``."""
        return self.low + self.width * torch.sigmoid(u * (4 / self.width)).clamp(EDGE, 1 - EDGE)

    def log_jacobian(self, u: Tensor) -> Tensor:
        """log |dx / du|, ``[B, *event] -> [B]``."""
        logit = u * (4 / self.width)
        each = logsigmoid(logit) + logsigmoid(-logit) + math.log(4)
        return each.flatten(1).sum(1)


FittedNoise = FittedGaussian | FittedLogitGaussian


def fitted_noise(measure: Measure | Undefined, spread: float) -> FittedNoise:
    """What is fitted to data of ``measure``, ``spread`` times as wide as they are."""
    if isinstance(measure, Box):
        return FittedLogitGaussian(measure, spread)
    return FittedGaussian(measure.shape, spread)


class TiltedNoise(nn.Module):
    """E(x) = f(x) - log q(x): what a network f adds to the distribution q of a fitted noise.

    exp(-E) has a normaliser wherever f falls less than quadratically, and is q itself where f is 0. The
    noise belongs to the method, which saves it.
    """

    def __init__(self, network: nn.Module, noise: NoiseDistribution):
        super().__init__()
        self.network = network
        self._noise = (noise,)  # no sub-module, or its buffers were saved twice

    def forward(self, x: Tensor) -> Tensor:
        """``[B, *event] -> [B]``."""
        value: Tensor = self.network(x)
        return value - self._noise[0].log_density(x)


class TiltedNoiseOfClasses(nn.Module):
    """`TiltedNoise` by a network that tells classes, whose logits are its own."""

    def __init__(self, network: nn.Module, noise: NoiseDistribution):
        super().__init__()
        self.tilted = TiltedNoise(network, noise)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, *event] -> [B]``."""
        value: Tensor = self.tilted(x)
        return value

    def logits(self, x: Tensor) -> Tensor:
        """``[B, *event] -> [B, classes]``."""
        return cast("HasLogits", self.tilted.network).logits(x)


def tilted(network: nn.Module, noise: NoiseDistribution) -> TiltedNoise | TiltedNoiseOfClasses:
    """The energy of ``noise`` tilted by ``network``, which keeps its classes."""
    kind = TiltedNoiseOfClasses if isinstance(network, HasLogits) else TiltedNoise
    return kind(network, noise)
