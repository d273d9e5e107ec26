"""Adversarial baselines: minimax, non-saturating and Wasserstein games (one method, three losses)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import softplus

from gibbsian.core import Batch, Loss, Method, Move, check_energy
from gibbsian.measures import Gaussian, Measure, Undefined
from gibbsian.methods.checks import check_at_least, check_choice, check_weight, refuse_given
from gibbsian.numerics import call_frozen, one_centred_penalty, zero_centred_penalty


@dataclass(frozen=True)
class Game:
    """What each side descends, as functions of the critic's values f ``[B]``; scalars."""

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


class GAN(Method):
    """GAN: a generator against a critic f, with the classic, non-saturating or Wasserstein loss.

    The energy is -f. For a game of logits f tends to log p_data - log p_G, so that the generator's
    law times exp(-E) is nearer the data: the target of latent sampling is "tilted". A Wasserstein
    critic is no log-ratio and has no such target. Neither is a density on x.

    Args:
        loss: minimax and non-saturating (Goodfellow et al. 2014) or wasserstein (Arjovsky et al.
            2017).
        penalty: weight of (|grad f| - 1)^2 between data and samples, wasserstein only (Gulrajani
            et al. 2017).
        r1: weight of |grad f|^2 / 2 at the data, any loss (Mescheder et al. 2018).
        critic_steps: critic steps per generator step, each on fresh data; wasserstein needs more
            than one, usually 5.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "critic": ("critic",),
        "generator": ("generator",),
    }
    networks: ClassVar[Mapping[str, str]] = {"critic": "mlp", "generator": "mlp"}
    latent_target: Literal["tilted"]

    def __init__(
        self,
        critic: nn.Module,
        generator: nn.Module,
        prior: Gaussian,
        measure: Measure | Undefined,
        *,
        loss: Literal["minimax", "non-saturating", "wasserstein"] = "non-saturating",
        penalty: float = 10.0,
        r1: float = 0.0,
        critic_steps: int = 1,
    ):
        super().__init__(measure)
        check_choice("loss", loss, GAMES)
        check_weight("penalty", penalty)
        check_weight("r1", r1)
        check_at_least("critic_steps", critic_steps, 1)
        self.critic = critic
        self.generator = generator
        self.prior = prior
        self.game = GAMES[loss]
        self.penalty = 0.0 if self.game.logits else penalty
        self.r1 = r1
        self.critic_steps = critic_steps
        if self.game.logits:
            self.latent_target = "tilted"

    def energy(self, x: Tensor) -> Tensor:
        """-f(x), ``[B, *event] -> [B]``."""
        return -self.values(x)

    def values(self, x: Tensor) -> Tensor:
        """The critic f(x), ``[B]``."""
        return check_energy(self.critic(x), len(x))

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[Move]:
        """``critic_steps`` steps of the critic, then one of the generator."""
        for _ in range(self.critic_steps):
            x = next(data).x
            z = self.prior.sample(len(x), rng)
            mix = torch.rand(len(x), generator=rng, device=rng.device)
            yield Move("critic", self.critic_loss, (x, z, mix))
        yield Move("generator", self.generator_loss, (self.prior.sample(len(x), rng),))

    def critic_loss(self, x: Tensor, z: Tensor, mix: Tensor) -> Loss:
        """The game's critic loss plus its penalties; ``mix [B]`` uniform, the generator is still."""
        x_model = call_frozen(self.generator, z).detach()
        f_data, f_model = self.values(x), self.values(x_model)
        value = self.game.critic(f_data, f_model)
        logs = {"f_data": f_data.detach().mean(), "f_model": f_model.detach().mean()}
        if self.penalty > 0:
            penalty = one_centred_penalty(self.values, x, x_model, mix)
            value = value + self.penalty * penalty
            logs["penalty"] = penalty.detach()
        if self.r1 > 0:
            value = value + 0.5 * self.r1 * zero_centred_penalty(self.values, x)
        return Loss(value, logs)

    def generator_loss(self, z: Tensor) -> Loss:
        """The game's generator loss at fresh samples."""
        return Loss(self.game.generator(self.values(self.generator(z))))

    @torch.no_grad()
    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        """``[n, *event]``: G(z) with z from the prior."""
        refuse_given(given)
        return call_frozen(self.generator, self.prior.sample(n, rng))
