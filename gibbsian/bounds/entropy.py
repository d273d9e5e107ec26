"""The lower side of log Z: entropies of a generator's distribution, read off its Jacobian.

log Z >= E_q[-E(x)] + H(q) for every density q (Gibbs). Here q is the distribution of x = G(z): every entropy
below returns the samples x and, per sample, a term whose mean is H(q) or stands for it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from gibbsian.bounds.guarantees import Guarantee
from gibbsian.bounds.singular import smallest_singular_value
from gibbsian.core.measures import Gaussian
from gibbsian.core.numerics import log_det_gram, value_and_jacobian
from gibbsian.core.protocols import Flow


class SamplesWithEntropy(NamedTuple):
    """Samples ``x [B, *event]`` of q and terms ``entropy [R]`` (nats) that average to H(q).

    R = B, or fewer where the entropy is computed on a part of the rows only.
    """

    x: Tensor
    entropy: Tensor


class Entropy(nn.Module, ABC):
    """One way to value the entropy of x = G(z) (+ output noise), z from ``prior``.

    ``noise``: standard deviation of the output noise that makes x, 0 for none.
    """

    noise: float = 0.0

    def __init__(self, prior: Gaussian):
        super().__init__()
        self.prior = prior

    @abstractmethod
    def randomness(self, z: Tensor, shape: tuple[int, ...], rng: Generator) -> tuple[Tensor, ...]:
        """What ``forward`` needs besides ``z [B, d]``; ``shape`` is the event shape of x."""

    @abstractmethod
    def forward(self, generator: nn.Module, z: Tensor, *randomness: Tensor) -> SamplesWithEntropy:
        """Samples and entropy terms, differentiable in the generator's parameters and in z."""

    @abstractmethod
    def guarantee(self, generator: nn.Module, dim: int) -> Guarantee:
        """What E_q[-E] + mean entropy is worth for this generator into ``dim`` dimensions."""


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """``module`` in evaluation mode: batch normalisation would couple the rows of a Jacobian."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def couples_rows(module: nn.Module) -> bool:
    """Whether a part of ``module`` normalises by batch and is in training mode."""
    kind = nn.modules.batchnorm._BatchNorm
    return any(isinstance(part, kind) and part.training for part in module.modules())


def check_dimensions(d: int, D: int) -> None:
    """ValueError for a map to fewer dimensions, whose Jacobian says nothing about its distribution."""
    if d > D:
        raise ValueError(
            f"a map from {d} to {D} dimensions has no volume element; use a latent dimension of at "
            f"most {D}"
        )


class Volume(Entropy):
    """Entropies from the Jacobian J = dG/dz, with or without output noise.

    With noise sigma every s_i^2 becomes s_i^2 + sigma^2, and the D - d directions across the image
    add log sigma + 1/2 log 2 pi e each: exact for affine G, and a good account of a curved one
    while sigma is far below the size of its bends. It also keeps the logarithm and its gradient
    finite where G folds and a singular value passes through zero.

    ``rows``: how many latents of a batch have their Jacobian looked at, 0 for all. The latents are
    independent, so the mean over a few is as unbiased as that over all.
    """

    def __init__(self, prior: Gaussian, noise: float = 0.0, rows: int = 0):
        super().__init__(prior)
        if not 0 <= noise < math.inf:
            raise ValueError(f"output_noise_std must be finite and not negative, not {noise}")
        if rows < 0:
            raise ValueError(f"jacobian_batch_size must be a count, or 0 for all, not {rows}")
        self.noise, self.rows = noise, rows

    def part(self, a: Tensor) -> Tensor:
        """The rows of ``a [B, ...]`` whose Jacobian is looked at, the first ones."""
        return a[: self.rows] if self.rows else a

    def _with_noise(self, x: Tensor, eps: tuple[Tensor, ...]) -> Tensor:
        return x + self.noise * eps[0] if self.noise > 0 else x

    def _eps(self, z: Tensor, shape: tuple[int, ...], rng: Generator) -> tuple[Tensor, ...]:
        if self.noise == 0:
            return ()
        return (torch.randn(len(z), *shape, generator=rng, device=rng.device, dtype=z.dtype),)

    def _across(self, dim: int) -> float:
        """What the noise adds across the image: (D - d)(log sigma + 1/2 log 2 pi e)."""
        directions = dim - self.prior.shape[0]
        if self.noise == 0 or directions <= 0:
            return 0.0
        return directions * (math.log(self.noise) + 0.5 * math.log(2 * math.pi * math.e))

    def _conditions(self, generator: nn.Module, dim: int) -> tuple[str, tuple[str, ...]]:
        """The quantity that the entropy speaks of, and under which conditions."""
        if isinstance(generator, Flow):
            return "log Z", ()
        if self.noise > 0:
            return "log Z", ("G is injective", "G bends little over the size of its output noise")
        (d,) = self.prior.shape
        quantity = "log Z" if d == dim else f"log of the integral of exp(-E) over G's {d}-surface"
        return quantity, ("G is injective",)


class LogDetEntropy(Volume):
    """H(q) = E_z[-log p0(z) + 1/2 log det J^T J], J = dG/dz (Geng et al. 2021): exact if G is injective.

    A generator that is invertible by construction (``forward_with_log_det``) needs no Jacobian;
    any other costs d forward-mode products. A map that folds has less entropy than this says, by
    the mean entropy of the preimages. For d < D and no noise the entropy is that of a density on
    the image, with respect to its surface measure.
    """

    def randomness(self, z: Tensor, shape: tuple[int, ...], rng: Generator) -> tuple[Tensor, ...]:
        """eps ``[B, *event]`` if there is output noise."""
        return self._eps(z, shape, rng)

    def forward(self, generator: nn.Module, z: Tensor, *randomness: Tensor) -> SamplesWithEntropy:
        """x = G(z) + sigma eps and -log p0(z) + 1/2 log det(J^T J + sigma^2 I) + what lies across."""
        return self.with_jacobian(generator, z, *randomness)[0]

    def with_jacobian(
        self, generator: nn.Module, z: Tensor, *randomness: Tensor
    ) -> tuple[SamplesWithEntropy, Tensor | None]:
        """``forward``, and the J = dG/dz ``[R, D, d]`` that it was read off; None of a flow."""
        if isinstance(generator, Flow):
            x, log_volume = generator.forward_with_log_det(z)
            x = self._with_noise(x, randomness)
            return SamplesWithEntropy(x, log_volume - self.prior.log_density(z)), None
        part = self.part(z)
        with evaluating(generator):
            x, J = value_and_jacobian(generator, part)
        if couples_rows(generator) or len(part) < len(z):
            x = generator(z)
        check_dimensions(J.shape[2], J.shape[1])
        across = self._across(J.shape[1])
        blurred = J
        if self.noise > 0:
            blur = self.noise * torch.eye(J.shape[2], dtype=J.dtype, device=J.device)
            blurred = torch.cat([J, blur.expand(len(J), -1, -1)], dim=1)
        entropy = 0.5 * log_det_gram(blurred) + across - self.prior.log_density(part)
        return SamplesWithEntropy(self._with_noise(x, randomness), entropy), J

    def guarantee(self, generator: nn.Module, dim: int) -> Guarantee:
        """A bound for a flow; otherwise if G is injective."""
        quantity, conditions = self._conditions(generator, dim)
        return Guarantee("lower", quantity, conditions)


class SingularValueEntropy(Volume):
    """H(q) >= H(p0) + d E_z[log s_1(z)], s_1 the smallest singular value of J (Geng et al. 2021).

    Tight only where G is conformal. The value is that of ``iterations`` steps of LOBPCG from random
    starts, which is above s_1: with a decaying spectrum a few iterations may even exceed the exact
    entropy. None iterates to convergence. Needs no Jacobian: one reverse and two forward products
    an iteration.
    """

    def __init__(
        self, prior: Gaussian, iterations: int | None = 2, noise: float = 0.0, rows: int = 0
    ):
        super().__init__(prior, noise, rows)
        if iterations is not None and iterations < 0:
            raise ValueError(f"lobpcg_iterations must not be negative, not {iterations}")
        self.iterations = iterations

    def randomness(self, z: Tensor, shape: tuple[int, ...], rng: Generator) -> tuple[Tensor, ...]:
        """Start vectors v and p ``[R, d]``, and eps ``[B, *event]`` if there is output noise."""
        start = self.part(z).shape
        pair = torch.randn(2, *start, generator=rng, device=rng.device, dtype=z.dtype)
        return pair[0], pair[1], *self._eps(z, shape, rng)

    def forward(self, generator: nn.Module, z: Tensor, *randomness: Tensor) -> SamplesWithEntropy:
        """x = G(z) + sigma eps and -log p0(z) + (d/2) log(mu(z)^2 + sigma^2) + what lies across."""
        v, p, *eps = randomness
        part = self.part(z)
        with evaluating(generator):
            x, mu, _ = smallest_singular_value(generator, part, v, p, self.iterations)
        if couples_rows(generator) or len(part) < len(z):
            x = generator(z)
        check_dimensions(z.shape[1], x[0].numel())
        log_volume = 0.5 * z.shape[1] * torch.log(mu.square() + self.noise**2)
        entropy = log_volume + self._across(x[0].numel()) - self.prior.log_density(part)
        return SamplesWithEntropy(self._with_noise(x, tuple(eps)), entropy)

    def guarantee(self, generator: nn.Module, dim: int) -> Guarantee:
        """A bound if G is injective and the iterations have converged."""
        quantity, conditions = self._conditions(generator, dim)
        done = () if self.iterations is None else ("the singular values have converged",)
        return Guarantee("lower", quantity, conditions + done)
