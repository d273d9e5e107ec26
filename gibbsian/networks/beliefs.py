"""Layers of stochastic bits, top down and bottom up: the two halves of a Helmholtz machine."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gibbsian.core import Space
from gibbsian.networks.options import NetworkOptions

LIMIT = math.log(1e6 - 1.0)
"""Logits are held within +-LIMIT: probabilities within [1e-6, 1 - 1e-6] (Bornschein et al., code)."""


def layer_sizes(spec: str, dim: int) -> tuple[int, ...]:
    """Sizes of the hidden layers: ``300,200,100``, or ``4x-5l-20``, five from 4 dim down to 20.

    The second form spaces them geometrically. Raises ValueError for anything else.
    """
    spaced = re.fullmatch(r"(\d+(?:\.\d+)?)x-(\d+)l-(\d+)", spec)
    if spaced:
        first, count, last = float(spaced[1]) * dim, int(spaced[2]), int(spaced[3])
        ratio = (last / first) ** (1 / max(1, count - 1)) if first > 0 else 0.0
        sizes = [round(first * ratio**i) for i in range(count)]
    elif re.fullmatch(r"\d+(,\d+)*", spec):
        sizes = [int(word) for word in spec.split(",")]
    else:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise ValueError(
            f"layers must be sizes from the data upwards such as 200,100,50, or 4x-5l-20, not {spec!r}"
        )
    return tuple(sizes)


def conditional(inputs: int, outputs: int, deterministic: int) -> nn.Sequential:
    """Logits of ``outputs`` bits given ``inputs``, through ``deterministic`` tanh layers of mean size.

    Weights uniform in +-sqrt(6 / (n_in + n_out)) / n_in, which is Glorot's range over n_in, and biases
    -1, as in the authors' code.
    """
    sizes = [inputs, *[(inputs + outputs) // 2] * deterministic, outputs]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        linear = nn.Linear(before, after)
        bound = math.sqrt(6.0 / (before + after)) / before
        nn.init.uniform_(linear.weight, -bound, bound)
        nn.init.constant_(linear.bias, -1.0)
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


class SigmoidBeliefs(nn.Module):
    """p(x, h) = p(h_L) prod p(h_l | h_{l+1}) and q(h|x) = prod q(h_l | h_{l-1}), h_0 = x; bits all over.

    ``sizes``: of x, h_1, ..., h_L.
    """

    def __init__(self, space: Space, options: NetworkOptions):
        super().__init__()
        if space.kind != "binary":
            raise ValueError(
                "layers of stochastic bits model binary data; take bits, such as NAME-binary of "
                "pictures"
            )
        dim = math.prod(space.shape)
        self.sizes = (dim, *layer_sizes(options.layers, dim))
        self.prior = nn.Parameter(torch.full((self.sizes[-1],), -1.0))
        pairs, count = list(pairwise(self.sizes)), options.deterministic
        self.p = nn.ModuleList(conditional(above, below, count) for below, above in pairs)
        self.q = nn.ModuleList(conditional(below, above, count) for below, above in pairs)

    def top(self) -> Tensor:
        """Logits of p(h_L), ``[n_L]``."""
        return self.prior.clamp(-LIMIT, LIMIT)

    def down(self, layer: int, above: Tensor) -> Tensor:
        """Logits of p(h_layer | h_{layer + 1}), ``[..., n_{layer + 1}] -> [..., n_layer]``."""
        logits: Tensor = self.p[layer](above)
        return logits.clamp(-LIMIT, LIMIT)

    def up(self, layer: int, below: Tensor) -> Tensor:
        """Logits of q(h_layer | h_{layer - 1}), ``[..., n_{layer - 1}] -> [..., n_layer]``."""
        logits: Tensor = self.q[layer - 1](below)
        return logits.clamp(-LIMIT, LIMIT)

    def forward(self, x: Tensor, *h: Tensor) -> Tensor:
        """log p(x, h) + log q(h|x), ``[B, d]`` and ``[B, n_l]`` to ``[B]``."""
        layers = (x, *h)
        given = [(self.down(i, layers[i + 1]), layers[i]) for i in range(len(h))]
        given += [(self.up(i + 1, layers[i]), layers[i + 1]) for i in range(len(h))]
        given.append((self.top().expand_as(h[-1]), h[-1]))
        return torch.stack([(bit * a - softplus(a)).sum(-1) for a, bit in given]).sum(0)
