"""The lower side of log Z: entropies of a generator's law, read off its Jacobian.

log Z >= E_q[-E(x)] + H(q) for every density q (Gibbs). Here q is the law of x = G(z): every entropy
below returns the samples x and, per sample, a term whose mean is H(q) or stands for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor, nn

from gibbsian.bounds.claims import Claim
from gibbsian.bounds.singular import smallest_singular_value
from gibbsian.measures import Gaussian
from gibbsian.numerics import log_det_gram, value_and_jacobian

Map = Callable[[Tensor], Tensor]


class Draws(NamedTuple):
    """Samples ``x [B, *event]`` of q and the terms ``entropy [B]`` (nats) that average to H(q)."""

    x: Tensor
    entropy: Tensor


@runtime_checkable
class Flow(Protocol):
    """A generator that is invertible by construction and knows its volume."""

    def forward_with_log_det(self, z: Tensor) -> tuple[Tensor, Tensor]: ...


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
    def forward(self, generator: nn.Module, z: Tensor, *randomness: Tensor) -> Draws:
        """Samples and entropy terms, differentiable in the generator's parameters and in z."""

    @abstractmethod
    def claim(self, generator: nn.Module, dim: int) -> Claim:
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


def on_image(generator: nn.Module, prior: Gaussian, dim: int) -> tuple[str, tuple[str, ...]]:
    """The quantity that a Jacobian's entropy speaks of, and its conditions."""
    if isinstance(generator, Flow):
        return "log Z", ()
    (d,) = prior.shape
    quantity = "log Z" if d == dim else f"log of the integral of exp(-E) over G's {d}-surface"
    return quantity, ("G is injective",)


class LogDet(Entropy):
    """H(q) = E_z[-log p0(z) + 1/2 log det J^T J], J = dG/dz (Geng et al. 2021): exact if G is injective.

    A generator that is invertible by construction (``forward_with_log_det``) needs no Jacobian;
    any other costs d forward-mode products. A map that folds has less entropy than this says, by
    the mean entropy of the preimages. For d < D the entropy is that of a density on the image,
    with respect to its surface measure.
    """

    def randomness(self, z: Tensor, shape: tuple[int, ...], rng: Generator) -> tuple[Tensor, ...]:
        """None."""
        return ()

    def forward(self, generator: nn.Module, z: Tensor, *randomness: Tensor) -> Draws:
        """x = G(z) and -log p0(z) + 1/2 log det J^T J."""
        if isinstance(generator, Flow):
            x, log_volume = generator.forward_with_log_det(z)
            return Draws(x, log_volume - self.prior.log_density(z))
        with evaluating(generator):
            x, J = value_and_jacobian(generator, z)
        if couples_rows(generator):
            x = generator(z)
        return Draws(x, 0.5 * log_det_gram(J) - self.prior.log_density(z))

    def claim(self, generator: nn.Module, dim: int) -> Claim:
        """A bound for a flow; otherwise if G is injective."""
        quantity, conditions = on_image(generator, self.prior, dim)
        return Claim("lower", quantity, conditions)


class SingularValue(Entropy):
    """H(q) >= H(p0) + d E_z[log s_1(z)], s_1 the smallest singular value of J (Geng et al. 2021).

    Tight only where G is conformal. The value is that of ``iterations`` steps of LOBPCG from random
    starts, which is above s_1: with a decaying spectrum a few iterations may even exceed the exact
    entropy. None iterates to convergence. Needs no Jacobian: one reverse and two forward products
    an iteration.
    """

    def __init__(self, prior: Gaussian, iterations: int | None = 2):
        super().__init__(prior)
        if iterations is not None and iterations < 0:
            raise ValueError(f"iterations must not be negative, not {iterations}")
        self.iterations = iterations

    def randomness(self, z: Tensor, shape: tuple[int, ...], rng: Generator) -> tuple[Tensor, ...]:
        """Start vectors v and p ``[B, d]``."""
        pair = torch.randn(2, *z.shape, generator=rng, device=rng.device, dtype=z.dtype)
        return pair[0], pair[1]

    def forward(self, generator: nn.Module, z: Tensor, *randomness: Tensor) -> Draws:
        """x = G(z) and -log p0(z) + d log mu(z)."""
        v, p = randomness
        with evaluating(generator):
            x, mu, _ = smallest_singular_value(generator, z, v, p, self.iterations)
        if couples_rows(generator):
            x = generator(z)
        return Draws(x, z.shape[1] * mu.log() - self.prior.log_density(z))

    def claim(self, generator: nn.Module, dim: int) -> Claim:
        """A bound if G is injective and the iterations have converged."""
        quantity, conditions = on_image(generator, self.prior, dim)
        done = () if self.iterations is None else ("the singular values have converged",)
        return Claim("lower", quantity, conditions + done)
