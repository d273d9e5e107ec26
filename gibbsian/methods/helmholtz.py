"""Two directed models of the same layers, p top down and q bottom up: draws and log-probabilities.

``layers`` is always (x, h_1, ..., h_L), each ``[..., n_l]`` of bits.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Generator, Tensor
from torch.nn.functional import softplus

from gibbsian.numerics import log_mean_exp

Layers = tuple[Tensor, ...]


@runtime_checkable
class Beliefs(Protocol):
    """Logits of every conditional; ``sizes`` of x, h_1, ..., h_L."""

    sizes: tuple[int, ...]

    def top(self) -> Tensor: ...

    def down(self, layer: int, above: Tensor) -> Tensor: ...

    def up(self, layer: int, below: Tensor) -> Tensor: ...


def log_bits(h: Tensor, logits: Tensor) -> Tensor:
    """log-probability of bits ``[..., n]`` with these logits, ``[...]``."""
    return (h * logits - softplus(logits)).sum(-1)


def bits(logits: Tensor, u: Tensor) -> Tensor:
    """1 where the uniform ``u`` is below the probability."""
    return (u < torch.sigmoid(logits)).to(logits)


def uniforms(sizes: tuple[int, ...], lead: tuple[int, ...], rng: Generator) -> Layers:
    """Uniform noise ``[*lead, n]`` for each of ``sizes``."""
    return tuple(torch.rand(*lead, n, generator=rng, device=rng.device) for n in sizes)


def infer(beliefs: Beliefs, x: Tensor, noise: Layers) -> tuple[Layers, Tensor]:
    """h ~ q(h|x) from ``noise`` for h_1, ..., h_L: the layers and log q(h|x), differentiable in q."""
    layers = [x.expand(*noise[0].shape[:-1], x.shape[-1])]
    log_q, below = x.new_zeros(noise[0].shape[:-1]), x  # q(h_1|x) once, not for every draw
    for index, u in enumerate(noise, 1):
        logits = beliefs.up(index, below).expand_as(u)
        below = bits(logits, u)
        layers.append(below)
        log_q = log_q + log_bits(below, logits)
    return tuple(layers), log_q


def dream(beliefs: Beliefs, noise: Layers) -> Layers:
    """(x, h) ~ p from ``noise`` for x, h_1, ..., h_L."""
    layers = [bits(beliefs.top().expand_as(noise[-1]), noise[-1])]
    for index in range(len(noise) - 2, -1, -1):
        layers.append(bits(beliefs.down(index, layers[-1]), noise[index]))
    return tuple(reversed(layers))


def log_p(beliefs: Beliefs, layers: Layers) -> Tensor:
    """log p(x, h), ``[...]``."""
    value = log_bits(layers[-1], beliefs.top().expand_as(layers[-1]))
    for index in range(len(layers) - 1):
        value = value + log_bits(layers[index], beliefs.down(index, layers[index + 1]))
    return value


def log_q(beliefs: Beliefs, layers: Layers) -> Tensor:
    """log q(h|x), ``[...]``."""
    value = layers[0].new_zeros(layers[0].shape[:-1])
    for index in range(1, len(layers)):
        value = value + log_bits(layers[index], beliefs.up(index, layers[index - 1]))
    return value


def log_weights(beliefs: Beliefs, x: Tensor, k: int, rng: Generator) -> Tensor:
    """log w = log p(x, h) - log q(h|x) of ``k`` draws of q for each row of ``x [..., d]``, ``[k, ...]``."""
    noise = uniforms(beliefs.sizes[1:], (k, *x.shape[:-1]), rng)
    layers, q = infer(beliefs, x, noise)
    return log_p(beliefs, layers) - q


def log_root(beliefs: Beliefs, x: Tensor, k: int, rng: Generator) -> Tensor:
    """log of mean sqrt(w) over ``k`` draws of q, ``[..., d] -> [...]``.

    Unbiased for sqrt(p~*(x)) before the log, p~*(x) = (sum_h sqrt(p(x, h) q(h|x)))^2.
    """
    return log_mean_exp(0.5 * log_weights(beliefs, x, k, rng))
