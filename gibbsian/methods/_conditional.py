"""Energies of x given its class y, by a classifier that reads its logits off the energy's network.

log p(x, y) = log p(x) + log p(y|x): the first term is a method's own objective, the second a mean
cross-entropy beside it (Grathwohl et al. 2020, section 4).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy

from gibbsian.core import Batch, Loss, check_energy
from gibbsian.core.protocols import HasLogits
from gibbsian.methods._annealed import AnnealedSampler
from gibbsian.methods._bits import BitSampler
from gibbsian.methods._langevin import LangevinSampler
from gibbsian.methods._mixed import MixedSampler
from gibbsian.methods.checks import check_weight

POOL = 4
"""Draws of p(x) per sample of p(x|y)."""


def check_classifier(energy: nn.Module, class_loss_weight: float) -> None:
    """ValueError unless ``class_loss_weight`` is a weight, and 0 for an energy without logits."""
    check_weight("class_loss_weight", class_loss_weight)
    if class_loss_weight > 0 and not isinstance(energy, HasLogits):
        raise ValueError(
            "class_loss_weight needs an energy that classifies, with a method logits(x), such as joint "
            "or conv-joint; otherwise use class_loss_weight 0"
        )


def classes_of(energy: nn.Module, x: Tensor) -> int:
    """How many classes the energy tells apart, seen at one of the points ``x [B, *event]``."""
    with torch.no_grad():
        return cast("HasLogits", energy).logits(x[:1]).shape[1]


def known_classes(
    energy: nn.Module, class_loss_weight: float, batch: Batch, index: int
) -> tuple[Tensor, ...]:
    """``(target [B],)``, or nothing where they are not asked for.

    ValueError for data without classes or, in round 0, with more than the energy tells apart.
    """
    if class_loss_weight == 0:
        return ()
    if batch.target is None or batch.target.dtype != torch.int64:
        raise ValueError(
            "class_loss_weight needs data with classes; say which column of a table holds them by "
            "--class-column COLUMN, or use class_loss_weight 0"
        )
    if index == 0:
        classes, seen = classes_of(energy, batch.x), 1 + int(batch.target.max())
        if seen > classes:
            raise ValueError(
                f"the energy tells {classes} classes apart and the data have at least {seen}; raise "
                "--energy.classes"
            )
    return (batch.target,)


def with_classes(loss: Loss, energy: nn.Module, weight: float, x: Tensor, *target: Tensor) -> Loss:
    """``loss`` plus ``weight`` times the mean of -log p(y|x) in nats; as it is without ``target``."""
    if not target:
        return loss
    cost = cross_entropy(cast("HasLogits", energy).logits(x), target[0])
    return Loss(loss.value + weight * cost, {**loss.logs, "classification": cost.detach()})


class Given:
    """E(x|y) = E(x) - log p(y|x), for rows of known classes ``y [B]``; its constant is not 1."""

    def __init__(self, energy: nn.Module, y: Tensor):
        self.energy, self.y = energy, y

    def __call__(self, x: Tensor) -> Tensor:
        """``[B, *event] -> [B]``, row i given its class y_i."""
        log_p = cast("HasLogits", self.energy).logits(x).log_softmax(1)
        return check_energy(self.energy(x), len(x)) - log_p.gather(1, self.y[:, None]).squeeze(1)


def labels_given(
    energy: nn.Module, class_loss_weight: float, given: Tensor, n: int, x: Tensor
) -> Tensor:
    """Class numbers ``[n]`` from one for all, 0-d, or one per row; ValueError if they are none.

    ``x``: a point of the model's space, ``[1, *event]`` or more.
    """
    if class_loss_weight == 0:
        raise ValueError(
            "this model was not taught classes and samples unconditionally; train it with "
            "--class-loss-weight 1"
        )
    if given.is_floating_point() or given.shape not in ((), (n,)):
        raise ValueError(
            f"what is given must be one class number, or one for each of {n} samples, not "
            f"{given.dtype} of shape {list(given.shape)}"
        )
    classes = classes_of(energy, x)
    if int(given.min()) < 0 or int(given.max()) >= classes:
        raise ValueError(f"the classes are numbered from 0 to {classes - 1}")
    return given.to(x.device, torch.int64).expand(n)


def draw(
    energy: nn.Module,
    sampler: LangevinSampler | BitSampler | MixedSampler | AnnealedSampler,
    drawn: Callable[[int, Generator], Tensor],
    n: int,
    rng: Generator,
    class_loss_weight: float,
    given: Tensor | None,
) -> Tensor:
    """``[n, *event]``: ``drawn(n, rng)``, samples of E, or samples of E(x|y) for ``given`` y.

    For given classes, one for all or one per row, each chain of E(x|y) starts at a draw of p(x)
    picked with weight p(y|x) from ``POOL`` n of them (sampling-importance-resampling, Rubin 1988:
    exact for an endless pool). Raises ValueError for what is no class number.
    """
    if given is None:
        return drawn(n, rng)
    point = next(energy.parameters()).new_zeros(1, *sampler.measure.shape)
    y = labels_given(energy, class_loss_weight, given, n, point)
    pool = drawn(POOL * n, rng)
    log_p = cast("HasLogits", energy).logits(pool).log_softmax(1)
    rows = torch.zeros_like(y)
    for c in y.unique():
        mine = (y == c).nonzero().squeeze(1)
        weight = (log_p[:, c] - log_p[:, c].max()).exp()
        rows[mine] = torch.multinomial(weight, len(mine), replacement=True, generator=rng)
    return sampler.sample(Given(energy, y), pool[rows], rng)
