"""Maximum likelihood of a normalising flow: a density that is known exactly, and samples at one pass."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from gibbsian.core import Batch, Loss, PlayerUpdate, TrainingMethod
from gibbsian.core.measures import Box, Counting, Gaussian, Measure, RealSpace, Undefined
from gibbsian.core.roles import FLOW, Role
from gibbsian.methods.checks import refuse_given
from gibbsian.methods.invertible import as_invertible, log_density


def support_of(flow: nn.Module, measure: Measure | Undefined) -> Box | RealSpace:
    """Lebesgue measure where the flow has mass: on its ``box``, if it has one, otherwise on R^d.

    ValueError for binary data, on which a flow has no density.
    """
    if isinstance(measure, Counting):
        raise ValueError("a flow needs continuous data; use vae, bihm or cd for data of 0s and 1s")
    box = getattr(flow, "box", None)
    return RealSpace(measure.shape) if box is None else Box(measure.shape, *box)


class NormalisingFlow(TrainingMethod):
    """A normalising flow by maximum likelihood: x = G(z), z ~ N(0, I), G invertible.

    log q(x) = log N(z; 0, I) + log |det dz/dx| at z = G^-1(x) is exact, and so is E = -log q, whose log Z is
    0: the density that an energy has to beat. The default network is a neural spline flow (Durkan et al.
    2019) and needs the extra ``flows``.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"flow": ("flow",)}
    roles: ClassVar[Mapping[str, Role]] = {"flow": FLOW}
    directed: ClassVar[bool] = True

    def __init__(self, flow: nn.Module, measure: Measure | Undefined):
        support = support_of(flow, measure)
        super().__init__(support)
        as_invertible(flow)
        self.support = support
        self.flow = flow
        self.base = Gaussian((math.prod(measure.shape),))

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        """One step on one batch."""
        yield PlayerUpdate("flow", self.loss, (next(data).x,))

    def loss(self, x: Tensor) -> Loss:
        """-mean log q(x) of ``x [B, *event]``, nats per row; ValueError for rows outside the flow's box."""
        return Loss(-log_density(as_invertible(self.flow), self.base, x).mean())

    def log_prob(self, x: Tensor) -> Tensor:
        """log q(x), ``[B, *event] -> [B]``, nats; -inf outside the flow's box."""
        support = self.support
        inside = x.clamp(support.low, support.high) if isinstance(support, Box) else x
        log_q = log_density(as_invertible(self.flow), self.base, inside)
        return log_q + support.log_density(x)

    def energy(self, x: Tensor) -> Tensor:
        """E(x) = -log q(x), ``[B, *event] -> [B]``; infinite outside the flow's box."""
        return -self.log_prob(x)

    @torch.no_grad()
    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        """``[n, *event]``: independent draws of q."""
        refuse_given(given)
        x: Tensor = self.flow(self.base.sample(n, rng))
        return x
