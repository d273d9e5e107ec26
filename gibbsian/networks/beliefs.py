"""Layers of stochastic units, top down and bottom up: the two halves of a Helmholtz machine."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import torch
from torch import Tensor, nn

from gibbsian.core import DataSpace
from gibbsian.core.numerics import log_units
from gibbsian.networks.options import check_positive

LIMIT = math.log(1e6 - 1.0)
"""Logits are held within +-LIMIT: probabilities within [1e-6, 1 - 1e-6] (Bornschein et al., code).

So are log-variances of Gaussian units.
"""


def parse_layer_sizes(spec: str, dim: int) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Sizes of the hidden layers, and which are Gaussian: ``300,200,10g``, or ``4x-5l-20``.

    The first form lists them from the data upwards, g for Gaussian units; the second is five layers of
    bits, geometrically spaced from 4 dim down to 20. Raises ValueError for anything else.
    """
    spaced = re.fullmatch(r"(\d+(?:\.\d+)?)x-(\d+)l-(\d+)", spec)
    if spaced:
        first, count, last = float(spaced[1]) * dim, int(spaced[2]), int(spaced[3])
        ratio = (last / first) ** (1 / max(1, count - 1)) if first > 0 else 0.0
        sizes = [round(first * ratio**i) for i in range(count)]
    elif re.fullmatch(r"\d+g?(,\d+g?)*", spec):
        sizes = [int(word.removesuffix("g")) for word in spec.split(",")]
    else:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise ValueError(
            f"layer_sizes must be sizes from the data upwards such as 200,100,50, or 200,100,10g with "
            f"Gaussian units, or 4x-5l-20, not {spec!r}"
        )
    gaussian = [word.endswith("g") for word in spec.split(",")] if "," in spec else None
    return tuple(sizes), tuple(gaussian or [spec.endswith("g")] * len(sizes))


def conditional(
    inputs: int, units: int, deterministic_layers: int, gaussian: bool
) -> nn.Sequential:
    """Parameters of ``units`` units given ``inputs``, through so many tanh layers of mean size.

    Weights uniform in +-sqrt(6 / (n_in + n_out)) / n_in, which is Glorot's range over n_in, and biases
    -1, as in the authors' code; the biases of Gaussian units are 0, so that they start near N(0, 1).
    """
    outputs = 2 * units if gaussian else units
    sizes = [inputs, *[(inputs + units) // 2] * deterministic_layers, outputs]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        linear = nn.Linear(before, after)
        bound = math.sqrt(6.0 / (before + after)) / before
        nn.init.uniform_(linear.weight, -bound, bound)
        nn.init.constant_(linear.bias, -1.0)
        layers += [linear, nn.Tanh()]
    if gaussian:
        nn.init.zeros_(linear.bias)
    return nn.Sequential(*layers[:-1])


def widen(net: nn.Module, gaussian: bool, logit_init_scale: float) -> None:
    """Begin ``net`` with weights of N(0, 1 / n_in) instead, of logits ``logit_init_scale`` times as wide.

    From weights as small as the authors' a machine over real numbers stays where its layers know nothing
    of each other, which is a stationary point. Tanh units bend in different places; log-variances
    start near 0 all the same.
    """
    linear = [layer for layer in net.modules() if isinstance(layer, nn.Linear)]
    for layer in linear:
        nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
        nn.init.normal_(layer.bias)
    nn.init.zeros_(linear[-1].bias)
    with torch.no_grad():
        scaled = linear[-1].weight.chunk(2)[1] if gaussian else linear[-1].weight
        scaled.mul_(0.1 if gaussian else logit_init_scale)


class SigmoidBeliefNetwork(nn.Module):
    """p(x, h) = p(h_L) prod p(h_l | h_{l+1}) and q(h|x) = prod q(h_l | h_{l-1}), h_0 = x.

    ``sizes``: of x, h_1, ..., h_L. A layer is of bits, or of Gaussian units with a mean and a variance that
    depend on the layer above (below, in q); ``gaussian`` says which. x is of bits where the data are.

    Args:
        layer_sizes: sizes of layers of bits from the data upwards, as 200,100,50, or 200,100,10g where g
            makes a layer Gaussian, or 4x-5l-20: five, geometrically spaced from 4 times the data's
            size down to 20.
        deterministic_layers: tanh layers inside each conditional.
        logit_init_scale: how many times wider than others the weights of logits start over real
            numbers, about their standard deviation; over few numbers bits should be all but decided.
            Over bits the start is the authors'.
    """

    def __init__(
        self,
        space: DataSpace,
        *,
        layer_sizes: str = "200,100,50,20",
        deterministic_layers: int = 0,
        logit_init_scale: float = 2.0,
    ):
        super().__init__()
        if deterministic_layers < 0:
            raise ValueError(
                f"deterministic_layers must be 0 (none) or a count, not {deterministic_layers}"
            )
        check_positive(logit_init_scale=logit_init_scale)
        dim = math.prod(space.shape)
        hidden, normal = parse_layer_sizes(layer_sizes, dim)
        self.sizes, self.gaussian = (dim, *hidden), (space.kind != "binary", *normal)
        first = torch.zeros(2 * hidden[-1]) if normal[-1] else torch.full((hidden[-1],), -1.0)
        self.prior = nn.Parameter(first)
        pairs = list(pairwise(zip(self.sizes, self.gaussian, strict=True)))
        self.p = nn.ModuleList(
            conditional(up[0], low[0], deterministic_layers, low[1]) for low, up in pairs
        )
        self.q = nn.ModuleList(
            conditional(low[0], up[0], deterministic_layers, up[1]) for low, up in pairs
        )
        if self.gaussian[0]:
            for (low, up), p, q in zip(pairs, self.p, self.q, strict=True):
                widen(p, low[1], logit_init_scale)
                widen(q, up[1], logit_init_scale)

    def top(self) -> Tensor:
        """Parameters of p(h_L), ``[n_L]`` or ``[2 n_L]``."""
        return self.held(-1, self.prior)

    def down(self, layer: int, above: Tensor) -> Tensor:
        """Parameters of p(h_layer | h_{layer + 1}) given ``above [..., n_{layer + 1}]``."""
        return self.held(layer, self.p[layer](above))

    def up(self, layer: int, below: Tensor) -> Tensor:
        """Parameters of q(h_layer | h_{layer - 1}) given ``below [..., n_{layer - 1}]``."""
        return self.held(layer, self.q[layer - 1](below))

    def held(self, layer: int, a: Tensor) -> Tensor:
        """Logits and log-variances within their limits."""
        if not self.gaussian[layer]:
            return a.clamp(-LIMIT, LIMIT)
        mean, log_variance = a.chunk(2, -1)
        return torch.cat([mean, log_variance.clamp(-LIMIT, LIMIT)], -1)

    def forward(self, x: Tensor, *h: Tensor) -> Tensor:
        """log p(x, h) + log q(h|x), ``[B, *event]`` and ``[B, n_l]`` to ``[B]``."""
        layers = (x.flatten(1), *h)
        given = [(layers[i], self.down(i, layers[i + 1])) for i in range(len(h))]
        given += [(layers[i + 1], self.up(i + 1, layers[i])) for i in range(len(h))]
        top = self.top()
        given.append((h[-1], top.expand(len(x), len(top))))
        return torch.stack([log_units(value, a) for value, a in given]).sum(0)
