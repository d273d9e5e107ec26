"""Gibbs sampling of bits and categories on a lattice, a whole colour of the checkerboard at once."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from gibbsian.core import Energy
from gibbsian.samplers.binary import refuse_non_binary
from gibbsian.samplers.kernel import (
    ChainState,
    MarkovKernel,
    Noise,
    TransitionInfo,
    accept_or_keep,
    finite,
    kernel_of,
    uniform_like,
)
from gibbsian.samplers.potential import AnnealingPath, Evaluate


def checkerboard_gibbs(
    energy: Energy | AnnealingPath,
    colours: Tensor,
    *,
    categories: bool = False,
    beta: float | Tensor = 1.0,
) -> MarkovKernel[ChainState]:
    """Gibbs sampling of all sites of one colour given the other, then of the other. Exact.

    For energies that are linear in the state of each site, with no term that joins two sites of one
    colour, such as Ising and Potts lattices: minus the gradient is then the log-odds of a site's states
    given all other sites. ``colours``: booleans that broadcast to an event. States are bits, or with
    ``categories`` one-hot along the first axis of an event, ``[B, q, *sites]``. Along an ``AnnealingPath``
    both
    ends must be such energies. Two gradients a step.
    """
    evaluate = Evaluate(energy)

    def init(x0: Tensor) -> ChainState:
        refuse_non_binary(x0)
        if categories and not bool((x0.sum(1) == 1).all()):
            raise ValueError(
                "categories are one-hot along the first axis of an event; some site of x0 has none or "
                "several"
            )
        return evaluate.init(x0, 1.0, 1.0, beta)

    def noise(state: ChainState, rng: Generator) -> Noise:
        return (uniform_like(state.x, rng),)

    def move(state: ChainState, noise: Noise) -> tuple[ChainState, TransitionInfo]:
        mask, new = colours.to(state.x.device), state
        for colour in (mask, ~mask):
            drawn = one_hot(new, noise[0]) if categories else bits(new, noise[0])
            new = evaluate(new, torch.where(colour, drawn, new.x))
        sound = finite(new.potential)
        return accept_or_keep(sound, new, state), TransitionInfo(sound.to(state.x), ~sound, 2)

    return kernel_of(init, noise, move)


def bits(state: ChainState, u: Tensor) -> Tensor:
    """Each bit drawn given all others, ``[B, *event]``."""
    return (u < (-state.potential_grad).sigmoid()).to(u)


def one_hot(state: ChainState, u: Tensor) -> Tensor:
    """Each site's category drawn given all other sites, ``[B, q, *sites]``, by Gumbel's maximum."""
    gumbel = -(-(u.clamp_min(torch.finfo(u.dtype).tiny).log())).log()
    best = (gumbel - state.potential_grad).argmax(1, keepdim=True)
    return torch.zeros_like(u).scatter_(1, best, 1.0)
