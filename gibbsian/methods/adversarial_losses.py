"""The losses of adversarial games, as functions of the critic's values f ``[B]``; scalars."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import softplus


@dataclass(frozen=True)
class Game:
    """What each side descends; ``logits`` says whether f is a log-ratio at the optimum."""

    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    logits: bool


def cross_entropy(f_data: Tensor, f_model: Tensor) -> Tensor:
    """-mean log D(x) - mean log(1 - D(x_model)), D = sigmoid(f) (Goodfellow et al. 2014, eq. 1)."""
    return softplus(-f_data).mean() + softplus(f_model).mean()


def saturating(f_model: Tensor) -> Tensor:
    """mean log(1 - D(G(z))): what the minimax game prescribes (ibid., Algorithm 1)."""
    return -softplus(f_model).mean()


def non_saturating(f_model: Tensor) -> Tensor:
    """-mean log D(G(z)): same fixed point, strong gradients where D wins (ibid., section 3)."""
    return softplus(-f_model).mean()


def mean_difference(f_data: Tensor, f_model: Tensor) -> Tensor:
    """mean f(x_model) - mean f(x): minus the dual of the Wasserstein distance (Arjovsky 2017)."""
    return f_model.mean() - f_data.mean()


def negative_mean(f_model: Tensor) -> Tensor:
    """-mean f(G(z))."""
    return -f_model.mean()


GAMES: Mapping[str, Game] = {
    "minimax": Game(cross_entropy, saturating, logits=True),
    "non-saturating": Game(cross_entropy, non_saturating, logits=True),
    "wasserstein": Game(mean_difference, negative_mean, logits=False),
}
