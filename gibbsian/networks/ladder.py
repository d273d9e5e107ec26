"""The ladder network as an energy: a denoising auto-encoder with lateral connections that also classifies."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from gibbsian.core import DataSpace
from gibbsian.networks.beliefs import parse_layer_sizes
from gibbsian.networks.options import check_counts


class Combinator(nn.Module):
    """g(z~, u) = (z~ - mu(u)) v(u) + mu(u), unit by unit (Rasmus et al. 2015, equation 2).

    mu(u) = a1 sigmoid(a2 u + a3) + a4 u + a5 and v(u) likewise, each unit with its ten numbers. They
    start as in the authors' code at a2 = 1 and the rest 0, where g = 0.
    """

    def __init__(self, width: int):
        super().__init__()
        start = torch.zeros(2, 5, width)
        start[:, 1] = 1.0
        self.a = nn.Parameter(start)

    def forward(self, z: Tensor, u: Tensor) -> Tensor:
        """Both ``[B, width]``, to the same."""
        mu, v = (a[0] * torch.sigmoid(a[1] * u + a[2]) + a[3] * u + a[4] for a in self.a.unbind(0))
        return (z - mu) * v + mu


class LadderNetwork(nn.Module):
    """E(x) = |x^ - x|^2, x^ from a noisy encoder, a decoder and lateral connections between them.

    Upwards, with dense layers of ``layer_sizes`` units and ``classes`` at the top:

        z~_0 = x + noise,  z~_l = norm(W_l h~_{l-1}) + noise,  h~_l = relu(z~_l + b_l),

    norm the batch normalisation without gain or bias; the top has a gain and a softmax instead of the
    rectifier. Downwards u_l = norm(V_l z^_{l+1}), from u_L = norm(h~_L), and z^_l = g(z~_l, u_l) with
    the ``Combinator``; x^ = z^_0. The error of the bottom layer alone is the energy (Rasmus et al.
    2015, with the costs of all layers above set to 0). Where the space has a box, x is first brought to
    [0, 1], the authors' scale of pixels, for which the noise is made, and the error is on that scale.

    Noise is drawn from the global generator, in training only; batch normalisation then makes E a function
    of its batch, and of x alone afterwards. The averages that it uses then are, as the authors', those of a
    pass without noise, and of the rows that ``forward`` sees: ``logits`` moves none.

    Args:
        layer_sizes: sizes of the hidden layers from the data upwards, as 1000,500,250.
        classes: number of classes that the top tells apart.
        noise: standard deviation of the noise at every layer.
    """

    confining: ClassVar[bool] = False
    bounded: ClassVar[bool] = False

    def __init__(
        self,
        space: DataSpace,
        *,
        layer_sizes: str = "200,100,50,20",
        classes: int = 10,
        noise: float = 0.3,
    ):
        super().__init__()
        check_counts(classes=classes)
        if not 0 <= noise < math.inf:
            raise ValueError(f"noise must be finite and not negative, not {noise}")
        dim = math.prod(space.shape)
        hidden, gaussian = parse_layer_sizes(layer_sizes, dim)
        if any(gaussian):
            raise ValueError(f"a ladder has no Gaussian units; leave out the g in {layer_sizes!r}")
        widths = [dim, *hidden, classes]
        self.noise = noise
        self.low, high = space.box or (0.0, 1.0)
        self.height = high - self.low
        self.up = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairwise(widths))
        self.down = nn.ModuleList(nn.Linear(b, a, bias=False) for a, b in pairwise(widths))
        self.norm_up = nn.ModuleList(nn.BatchNorm1d(b, affine=False) for b in widths[1:])
        self.norm_down = nn.ModuleList(nn.BatchNorm1d(b, affine=False) for b in widths)
        self.shift = nn.ParameterList(torch.zeros(b) for b in widths[1:])
        self.gain = nn.Parameter(torch.ones(classes))
        self.combine = nn.ModuleList(Combinator(b) for b in widths)

    def scaled(self, x: Tensor) -> Tensor:
        """Rows with what was the box at [0, 1], ``[B, *event] -> [B, width]``."""
        return (x.flatten(1) - self.low) / self.height

    def climb(self, x: Tensor, averages: bool = False) -> tuple[list[Tensor], Tensor, Tensor]:
        """All z~_l from the bottom up, h~_{L-1} ``[B, width]`` and the logits ``[B, classes]``.

        While training with noise, or without it where the pass moves the ``averages``.
        """
        noise = 0.0 if averages or not self.training else self.noise
        z = [noisy(self.scaled(x), noise)]
        before = h = z[0]
        for up, norm, shift in zip(self.up, self.norm_up, self.shift, strict=True):
            before = h
            z.append(noisy(normed(norm, up(before), averages), noise))
            h = torch.relu(z[-1] + shift)
        return z, before, self.gain * (z[-1] + self.shift[-1])

    def descend(self, z: list[Tensor], logits: Tensor, averages: bool = False) -> Tensor:
        """x^ ``[B, width]`` from all z~_l and the logits."""
        u = normed(self.norm_down[-1], logits.softmax(1), averages)
        for level in range(len(self.up), 0, -1):
            back = self.combine[level](z[level], u)
            u = normed(self.norm_down[level - 1], self.down[level - 1](back), averages)
        reconstruction: Tensor = self.combine[0](z[0], u)
        return reconstruction

    def features(self, x: Tensor) -> Tensor:
        """h~_{L-1}, what the classes are read from: ``[B, *event] -> [B, width]``."""
        return self.climb(x)[1]

    def logits(self, x: Tensor) -> Tensor:
        """Of the classes, ``[B, *event] -> [B, classes]``."""
        return self.climb(x)[2]

    def forward(self, x: Tensor) -> Tensor:
        """``[B, *event] -> [B]``."""
        if self.training:
            with torch.no_grad():
                z, _, logits = self.climb(x, averages=True)
                self.descend(z, logits, averages=True)
        z, _, logits = self.climb(x)
        return (self.descend(z, logits) - self.scaled(x)).square().sum(1)


def noisy(z: Tensor, std: float) -> Tensor:
    """``z`` plus Gaussian noise."""
    return z + std * torch.randn_like(z) if std > 0 else z


def normed(norm: nn.Module, h: Tensor, averages: bool) -> Tensor:
    """``norm(h)``; while training, its running averages move only where ``averages`` says so."""
    assert isinstance(norm, nn.BatchNorm1d)
    if averages or not norm.training:
        out: Tensor = norm(h)
        return out
    return batch_norm(h, None, None, training=True, eps=norm.eps)
