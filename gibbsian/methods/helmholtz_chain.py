"""Samples of a bidirectional Helmholtz machine's p*: resampling, and block Gibbs sampling of its layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from gibbsian.core.numerics import log_units
from gibbsian.methods.helmholtz_layers import (
    Beliefs,
    Layers,
    drawn,
    log_p,
    log_q,
    log_root,
    sample_p,
    spread,
    uniforms,
)


def resampled(beliefs: Beliefs, n: int, candidates: int, inner: int, rng: Generator) -> Layers:
    """``n`` of ``n * candidates`` draws of p, by the weights sqrt(q(x) q(h|x) / p(x, h)).

    With replacement; q(x) is p~*(x) up to a constant, its root estimated by ``inner`` draws of q. Tends
    to p* as ``candidates`` grows.
    """
    layers = sample_p(beliefs, uniforms(beliefs.sizes, (n * candidates,), rng))
    log_w = 0.5 * (log_q(beliefs, layers) - log_p(beliefs, layers))
    log_w = log_w + log_root(beliefs, layers[0], inner, rng)
    index = torch.multinomial(log_w.softmax(0), n, replacement=True, generator=rng)
    return tuple(layer[index] for layer in layers)


@dataclass(frozen=True)
class Gibbs:
    """A sweep resamples h_1, h_3, ... then x, h_2, ...: one of ``candidates`` new values or the old one.

    Candidates of a hidden layer come from p(h_l|h_{l+1}) or q(h_l|h_{l-1}), each with probability 1/2, and
    are weighed by its conditional under p* over that mixture. The old value is always among them
    (iterated sampling-importance-resampling; Andrieu, Lee, Vihola 2018), so that p* is left
    invariant for any number of candidates, not only as they grow. Of x the weight holds an estimate
    of sqrt(p~*(x)) from ``inner`` draws; the chain keeps the one its x was chosen with, which makes it
    exact (pseudo-marginal; Andrieu, Roberts 2009).
    """

    beliefs: Beliefs
    candidates: int
    inner: int

    def start(self, layers: Layers, rng: Generator) -> tuple[Layers, Tensor]:
        """A state from ``layers``: with the estimate that belongs to its x, ``[n]``."""
        return layers, log_root(self.beliefs, layers[0], self.inner, rng)

    def sweep(
        self, state: tuple[Layers, Tensor], rng: Generator, observed: Tensor | None = None
    ) -> tuple[Layers, Tensor]:
        """The next state; ``observed [d]`` is true where x is held."""
        layers, root = list(state[0]), state[1]
        for layer in range(1, len(layers), 2):
            layers[layer] = self.hidden(layers, layer, rng)
        layers[0], root = self.visible(layers, root, rng, observed)
        for layer in range(2, len(layers), 2):
            layers[layer] = self.hidden(layers, layer, rng)
        return tuple(layers), root

    def hidden(self, layers: list[Tensor], layer: int, rng: Generator) -> Tensor:
        """A new h_layer ``[n, n_layer]`` given its neighbours."""
        old, below, last = layers[layer], layers[layer - 1], layer + 1 == len(layers)
        of_q = self.beliefs.up(layer, below)
        top = spread(self.beliefs.top(), old) if last else None
        of_p = self.beliefs.down(layer, layers[layer + 1]) if top is None else top
        lead = (self.candidates, len(old))
        coin = torch.rand(*lead, 1, generator=rng, device=rng.device) < 0.5
        (u,) = uniforms(old.shape[1:], lead, rng)
        h = torch.cat([old[None], drawn(torch.where(coin, of_p, of_q), u)])
        from_p, from_q = log_units(h, of_p), log_units(h, of_q)
        target = from_p + from_q + log_units(below, self.beliefs.down(layer - 1, h))
        if not last:
            target = target + log_units(layers[layer + 1], self.beliefs.up(layer + 1, h))
        chosen = pick(0.5 * target - torch.logaddexp(from_p, from_q), rng)
        return h[chosen, torch.arange(len(old), device=h.device)]

    def visible(
        self, layers: list[Tensor], root: Tensor, rng: Generator, observed: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """A new x ``[n, d]`` given h_1 and the estimate that belongs to it."""
        old, above = layers[0], layers[1]
        of_p = self.beliefs.down(0, above)
        (u,) = uniforms(old.shape[1:], (self.candidates, len(old)), rng)
        new = drawn(spread(of_p, u), u)
        if observed is not None:
            new = torch.where(observed, old, new)
        x = torch.cat([old[None], new])
        roots = torch.cat([root[None], log_root(self.beliefs, new, self.inner, rng)])
        # What is observed adds the same to every candidate's log p(x|h_1).
        log_w = log_units(above, self.beliefs.up(1, x)) - log_units(x, of_p)
        chosen = pick(roots + 0.5 * log_w, rng)
        rows = torch.arange(len(old), device=x.device)
        return x[chosen, rows], roots[chosen, rows]


def pick(log_w: Tensor, rng: Generator) -> Tensor:
    """For each column of ``log_w [m, n]`` one row with probability proportional to exp, ``[n]``."""
    return torch.multinomial(log_w.softmax(0).T, 1, generator=rng)[:, 0]
