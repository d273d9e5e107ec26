"""Normalised distributions to start from, and the path from each to the density exp(-E(x)) b(x).

Annealing happens in coordinates y in which the reference is simple: x = x(y), the path runs from
V(y), minus the log of the reference's density up to ``log_normaliser``, to
U(y) = E(x) - log b(x) - log |dx/dy|; the integral of exp(-U) is Z itself. A reference may hold
several ``runs`` (independent repetitions, each with its own fit); rows of a batch are then grouped
run by run.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution

from gibbsian.core import Energy, check_energy
from gibbsian.core.measures import Box, Counting, Gaussian, Measure
from gibbsian.core.randomness import kept_global, seed_global
from gibbsian.samplers.binary import RBM
from gibbsian.samplers.kernel import sum_event
from gibbsian.samplers.metropolis import Proposal
from gibbsian.samplers.potential import AnnealingPath


class Reference(ABC):
    """A normalised distribution in coordinates y, and the map to the data's coordinates."""

    runs: int
    log_normaliser: float
    """Log of the integral of exp(-V)."""

    @abstractmethod
    def draw(self, n: int, rng: Generator) -> Tensor:
        """``[runs * n, *event]`` exact draws of y."""

    @abstractmethod
    def energy(self, y: Tensor) -> Tensor:
        """V(y) ``[B]``."""

    def to_data(self, y: Tensor) -> Tensor:
        """x(y), ``[B, *event]``."""
        return y

    def from_data(self, x: Tensor) -> Tensor:
        """y(x), ``[B, *event]``."""
        return x

    def log_volume(self, rows: int) -> Tensor | float:
        """log |dx/dy|, the same in every row of a run: ``[rows]`` or a number."""
        return 0.0


class HalfSquare:
    """|y|^2 / 2, with its gradient at no cost."""

    def __call__(self, y: Tensor) -> Tensor:
        """``[B, *event] -> [B]``."""
        return 0.5 * sum_event(y.square())

    def value_and_grad(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """The energy ``[B]`` and its gradient ``[B, *event]``."""
        return self(y), y


@dataclass(frozen=True)
class Normal(Reference):
    """y ~ N(0, I) and x = mean + factor y: a normal distribution per run, ``mean [runs, d]``."""

    mean: Tensor
    factor: Tensor
    shape: tuple[int, ...]

    @property
    def runs(self) -> int:  # type: ignore[override]
        return len(self.mean)

    @property
    def log_normaliser(self) -> float:  # type: ignore[override]
        return 0.5 * self.mean.shape[1] * math.log(2 * math.pi)

    def draw(self, n: int, rng: Generator) -> Tensor:
        size = self.runs * n, *self.shape
        return torch.randn(size, generator=rng, device=rng.device, dtype=self.mean.dtype)

    def energy(self, y: Tensor) -> Tensor:
        return HalfSquare()(y)

    def to_data(self, y: Tensor) -> Tensor:
        grouped = y.reshape(self.runs, -1, self.mean.shape[1])
        return (grouped @ self.factor.mT + self.mean[:, None]).reshape(y.shape)

    def from_data(self, x: Tensor) -> Tensor:
        deviation = x.reshape(self.runs, -1, self.mean.shape[1]) - self.mean[:, None]
        y = torch.linalg.solve_triangular(self.factor, deviation.mT, upper=False)
        return y.mT.reshape(x.shape)

    def log_volume(self, rows: int) -> Tensor:
        total = self.factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return total.repeat_interleave(rows // self.runs)


def normal_fit(samples: Tensor, runs: int = 1) -> Normal:
    """The normal distribution of ``samples [runs * m, *event]``, one fit per run.

    The off-diagonal part of the covariance is shrunk by the factor m / (m + d), so that few samples
    in many dimensions still give a distribution to start from, and no variance is taken below 1e-4 of their
    mean (a pixel that is always black). Raises ValueError for fewer than two samples a run, or
    samples that are all equal or not finite.
    """
    flat = samples.reshape(runs, len(samples) // runs, -1)
    m, d = flat.shape[1:]
    if m < 2:
        raise ValueError(f"a normal fit needs at least two samples; got {m}")
    mean = flat.mean(1)
    deviation = flat - mean[:, None]
    covariance = deviation.mT @ deviation / (m - 1)
    variance = covariance.diagonal(dim1=-2, dim2=-1)
    scale = variance.mean(-1, keepdim=True)
    if not bool(((scale > 0) & torch.isfinite(scale)).all()):
        raise ValueError(
            "the samples are all equal or not finite, so no normal distribution fits them; pass other points"
        )
    floor = (1e-4 * scale - variance).clamp_min(0)
    covariance = (m * covariance + d * torch.diag_embed(variance)) / (m + d)
    covariance = covariance + torch.diag_embed(floor)
    return Normal(mean, torch.linalg.cholesky(covariance), tuple(samples.shape[1:]))


@dataclass(frozen=True)
class UniformBox(Reference):
    """Uniform on a Box, unfolded: x is y reflected at the walls, so no move is lost at them.

    The densities on y repeat with period 2 (high - low); a Markov chain on y that leaves them
    invariant leaves the density on the box invariant.
    """

    box: Box
    runs: int = 1

    @property
    def log_normaliser(self) -> float:  # type: ignore[override]
        return self.box.log_volume

    def draw(self, n: int, rng: Generator) -> Tensor:
        return self.box.sample(self.runs * n, rng)

    def energy(self, y: Tensor) -> Tensor:
        return torch.zeros(len(y), dtype=y.dtype, device=y.device)

    def to_data(self, y: Tensor) -> Tensor:
        width = self.box.high - self.box.low
        return self.box.high - (torch.remainder(y - self.box.low, 2 * width) - width).abs()


@dataclass(frozen=True)
class FairCoins(Reference):
    """Uniform on {0, 1}^d."""

    measure: Counting
    runs: int = 1

    @property
    def log_normaliser(self) -> float:  # type: ignore[override]
        return self.measure.log_volume

    def draw(self, n: int, rng: Generator) -> Tensor:
        return self.measure.sample(self.runs * n, rng)

    def energy(self, y: Tensor) -> Tensor:
        return torch.zeros(len(y), dtype=y.dtype, device=y.device)


@dataclass(frozen=True)
class FromProposal(Reference):
    """Any distribution with ``sample(n, rng)`` and a normalised ``log_density(x)``; y is x."""

    proposal: Proposal
    runs: int = 1
    log_normaliser: float = 0.0

    def draw(self, n: int, rng: Generator) -> Tensor:
        with torch.no_grad():
            return self.proposal.sample(self.runs * n, rng)

    def energy(self, y: Tensor) -> Tensor:
        return -self.proposal.log_density(y)


@dataclass(frozen=True)
class FromDistribution:
    """A torch distribution (``normalising_flow()`` of zuko, for instance) as a proposal.

    Its draws come from torch's global generator, which is seeded from ``rng`` for the draw and put
    back afterwards.
    """

    distribution: Distribution

    def sample(self, n: int, rng: Generator) -> Tensor:
        """``[n, *event]``."""
        seed = int(torch.randint(2**62, (), generator=rng, device=rng.device))
        with kept_global(rng.device):
            seed_global(seed, rng.device)
            return self.distribution.sample(torch.Size((n,)))

    def log_density(self, x: Tensor) -> Tensor:
        """``[B, *event] -> [B]``."""
        log_prob: Tensor = self.distribution.log_prob(x)
        return log_prob


def reference_for(
    measure: Measure,
    samples: Tensor | None,
    proposal: Proposal | Distribution | None,
    device: torch.device | str = "cpu",
) -> Reference:
    """The distribution to start from: the proposal, else a normal fit, uniform, or fair coins.

    ``device``: where it is drawn from, if neither ``samples`` nor ``proposal`` says so.
    Raises ValueError on R^d with neither proposal nor samples.
    """
    if isinstance(proposal, Distribution):
        return FromProposal(FromDistribution(proposal))
    if proposal is not None:
        return FromProposal(proposal)
    if isinstance(measure, Box):
        return UniformBox(measure)
    if isinstance(measure, Counting):
        return FairCoins(measure)
    if samples is not None:
        return normal_fit(samples)
    if isinstance(measure, Gaussian):
        d = math.prod(measure.shape)
        mean, factor = torch.zeros(1, d, device=device), torch.eye(d, device=device)[None]
        return Normal(mean, measure.scale * factor, measure.shape)
    raise ValueError(
        "on R^d an estimate of log Z needs to know where to look: pass samples= (of the model or the "
        "data) or proposal= (a distribution with sample(n, rng) and log_density(x))"
    )


@dataclass(frozen=True)
class Target:
    """U(y) = E(x(y)) - log b(x(y)) - log |dx/dy|."""

    energy: Energy
    measure: Measure
    reference: Reference

    def __call__(self, y: Tensor) -> Tensor:
        """``[B, *event] -> [B]``."""
        x = self.reference.to_data(y)
        value = check_energy(self.energy(x), len(x)) - self.reference.log_volume(len(x))
        if isinstance(self.measure, Gaussian) or isinstance(self.reference, FromProposal):
            return value - self.measure.log_density(x)
        return value  # b is 1 wherever such a reference puts points


def annealing_path(energy: Energy, measure: Measure, reference: Reference) -> AnnealingPath:
    """The path from the reference (beta 0) to the density exp(-E(x)) b(x) (beta 1).

    A restricted Boltzmann machine stays one, so that block Gibbs sampling can anneal it.
    """
    if isinstance(reference, FairCoins):
        coins = (
            RBM(*(torch.zeros_like(p) for p in dataclasses.astuple(energy)))
            if isinstance(energy, RBM)
            else reference.energy
        )
        return AnnealingPath(coins, energy)
    target = Target(energy, measure, reference)
    return AnnealingPath(
        HalfSquare() if isinstance(reference, Normal) else reference.energy, target
    )
