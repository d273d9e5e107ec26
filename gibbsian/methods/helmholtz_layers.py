"""Two directed models of the same layers, p top down and q bottom up: draws and log-probabilities.

``layers`` is always (x, h_1, ..., h_L), each ``[..., n_l]``, of bits or Gaussian units. The
conditional distribution of a layer is given by parameters a: n logits of bits, or 2 n numbers, means, then
log-variances.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Generator, Tensor

from gibbsian.core.numerics import as_double, log_mean_exp, log_units

Layers = tuple[Tensor, ...]


@runtime_checkable
class Beliefs(Protocol):
    """Parameters of every conditional distribution; ``sizes`` of x, h_1, ..., h_L."""

    sizes: tuple[int, ...]

    def top(self) -> Tensor: ...

    def down(self, layer: int, above: Tensor) -> Tensor: ...

    def up(self, layer: int, below: Tensor) -> Tensor: ...


def drawn(a: Tensor, u: Tensor) -> Tensor:
    """Units of the distribution of parameters ``a`` by its inverse distribution function at ``u [..., n]``.

    Once drawn they are observed: nothing is differentiated through them.
    """
    if a.shape[-1] == u.shape[-1]:
        return (u < torch.sigmoid(a)).to(a)
    mean, log_variance = a.chunk(2, -1)
    # Uniforms of single precision are multiples of 2^-24, zero among them.
    normal = torch.special.ndtri(as_double(u).clamp(2.0**-25, 1.0 - 2.0**-25)).to(a)
    return (mean + torch.exp(0.5 * log_variance) * normal).detach()


def means_of(a: Tensor, like: Tensor) -> Tensor:
    """Means ``[..., n]`` of units with parameters ``a``, as many as ``like [..., n]`` has."""
    return torch.sigmoid(a) if a.shape[-1] == like.shape[-1] else a.chunk(2, -1)[0]


def spread(a: Tensor, like: Tensor) -> Tensor:
    """Parameters ``a`` for every row of ``like [..., n]``."""
    return a.expand(*like.shape[:-1], a.shape[-1])


def uniforms(sizes: tuple[int, ...], lead: tuple[int, ...], rng: Generator) -> Layers:
    """Uniform noise ``[*lead, n]`` for each of ``sizes``."""
    return tuple(torch.rand(*lead, n, generator=rng, device=rng.device) for n in sizes)


def sample_q(beliefs: Beliefs, x: Tensor, noise: Layers) -> tuple[Layers, Tensor]:
    """h ~ q(h|x) from ``noise`` for h_1, ..., h_L: the layers and log q(h|x), differentiable in q."""
    layers = [x.expand(*noise[0].shape[:-1], x.shape[-1])]
    log_q, below = x.new_zeros(noise[0].shape[:-1]), x  # q(h_1|x) once, not for every draw
    for index, u in enumerate(noise, 1):
        a = beliefs.up(index, below)
        below = drawn(spread(a, u), u)
        layers.append(below)
        log_q = log_q + log_units(below, a)
    return tuple(layers), log_q


def sample_p(beliefs: Beliefs, noise: Layers) -> Layers:
    """(x, h) ~ p from ``noise`` for x, h_1, ..., h_L."""
    layers = [drawn(spread(beliefs.top(), noise[-1]), noise[-1])]
    for index in range(len(noise) - 2, -1, -1):
        layers.append(drawn(beliefs.down(index, layers[-1]), noise[index]))
    return tuple(reversed(layers))


def log_p(beliefs: Beliefs, layers: Layers) -> Tensor:
    """log p(x, h), ``[...]``."""
    value = log_units(layers[-1], beliefs.top())
    for index in range(len(layers) - 1):
        value = value + log_units(layers[index], beliefs.down(index, layers[index + 1]))
    return value


def log_q(beliefs: Beliefs, layers: Layers) -> Tensor:
    """log q(h|x), ``[...]``."""
    value = layers[0].new_zeros(layers[0].shape[:-1])
    for index in range(1, len(layers)):
        value = value + log_units(layers[index], beliefs.up(index, layers[index - 1]))
    return value


def log_weights(beliefs: Beliefs, x: Tensor, k: int, rng: Generator) -> Tensor:
    """log w = log p(x, h) - log q(h|x) of ``k`` draws of q for each row of ``x [..., d]``, ``[k, ...]``."""
    noise = uniforms(beliefs.sizes[1:], (k, *x.shape[:-1]), rng)
    layers, q = sample_q(beliefs, x, noise)
    return log_p(beliefs, layers) - q


def log_root(beliefs: Beliefs, x: Tensor, k: int, rng: Generator) -> Tensor:
    """log of mean sqrt(w) over ``k`` draws of q, ``[..., d] -> [...]``.

    Unbiased for sqrt(p~*(x)) before the log, p~*(x) = (sum_h sqrt(p(x, h) q(h|x)))^2.
    """
    return log_mean_exp(0.5 * log_weights(beliefs, x, k, rng))
