"""Adversarial baselines: three games, and two remedies against lost modes (unrolling, packing)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor, nn

from gibbsian.core import (
    Batch,
    DataSpace,
    Gradients,
    Loss,
    PlayerUpdate,
    TrainingMethod,
    check_energy,
)
from gibbsian.core.healthy_ranges import (
    HealthyRange,
    energy_gap,
    relative_spread,
    sample_spread,
)
from gibbsian.core.measures import Gaussian, Measure, Undefined
from gibbsian.core.numerics import (
    Map,
    call_frozen,
    one_centred_penalty,
    value_and_zero_centred_penalty,
)
from gibbsian.core.roles import CRITIC, GENERATOR, Role, Setting
from gibbsian.methods.adversarial_losses import GAMES
from gibbsian.methods.checks import (
    check_at_least,
    check_choice,
    check_no_batch_norm,
    check_positive,
    check_weight,
    refuse_given,
)
from gibbsian.methods.unrolled import Adam, AdamMemory, call_at, parameters_of, unroll


def pack(x: Tensor, m: int) -> Tensor:
    """Groups of ``m`` rows joined along their first axis: ``[B, c, ...] -> [B // m, m c, ...]``.

    Up to m - 1 rows at the end are left out. ValueError for fewer than m rows.
    """
    groups = len(x) // m
    if groups == 0:
        raise ValueError(f"packing {m} needs a batch of at least {m} observations, not {len(x)}")
    return x[: groups * m].reshape(groups, m * x.shape[1], *x.shape[2:])


def packed(setting: Setting) -> DataSpace:
    """``packing`` observations, joined along their first axis."""
    first, *rest = setting.space.shape
    return replace(setting.space, shape=(setting.options["packing"] * first, *rest))


class GAN(TrainingMethod):
    """GAN: a generator against a critic f, with the classic, non-saturating or Wasserstein loss.

    The energy is -f. For a game of logits f tends to log p_data - log p_G, so that the generator's
    distribution times exp(-E) is nearer the data: the target of latent sampling is "tilted". A Wasserstein
    critic is no log-ratio and has no such target. Neither is a density on x.

    Args:
        loss: minimax and non-saturating (Goodfellow et al. 2014) or wasserstein (Arjovsky et al.
            2017).
        gradient_penalty_weight: weight of (|grad f| - 1)^2 between data and samples, wasserstein
            only (Gulrajani et al. 2017).
        r1_penalty_weight: weight of |grad f|^2 / 2 at the data, any loss (Mescheder et al. 2018).
        critic_steps: critic steps per generator step, each on fresh data; wasserstein needs more
            than one, usually 5.
        packing: m, observations that the critic judges together, all data or all samples (PacGAN,
            Lin et al. 2018).
        unrolled_critic_steps: K, critic steps that the generator looks ahead and is differentiated through
            (unrolled GAN, Metz et al. 2017); 0 is the usual game.
        unrolled_critic_lr: rate of the Adam that the generator takes the critic to move by.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "critic": ("critic",),
        "generator": ("generator",),
    }
    roles: ClassVar[Mapping[str, Role]] = {
        "critic": CRITIC.but(sees=packed),
        "generator": GENERATOR,
    }
    healthy: ClassVar[tuple[HealthyRange, ...]] = (
        energy_gap("critic", "f_data", "f_model"),
        sample_spread("critic"),
    )
    latent_target: Literal["tilted"]

    def __init__(
        self,
        critic: nn.Module,
        generator: nn.Module,
        prior: Gaussian,
        measure: Measure | Undefined,
        *,
        loss: Literal["minimax", "non-saturating", "wasserstein"] = "non-saturating",
        gradient_penalty_weight: float = 10.0,
        r1_penalty_weight: float = 0.0,
        critic_steps: int = 1,
        packing: int = 1,
        unrolled_critic_steps: int = 0,
        unrolled_critic_lr: float = 1e-3,
    ):
        super().__init__(measure)
        check_choice("loss", loss, GAMES)
        check_weight("gradient_penalty_weight", gradient_penalty_weight)
        check_weight("r1_penalty_weight", r1_penalty_weight)
        check_at_least("critic_steps", critic_steps, 1)
        check_at_least("packing", packing, 1)
        check_at_least("unrolled_critic_steps", unrolled_critic_steps, 0)
        check_positive("unrolled_critic_lr", unrolled_critic_lr)
        self.critic = critic
        self.generator = generator
        self.prior = prior
        self.game = GAMES[loss]
        self.gradient_penalty_weight = 0.0 if self.game.logits else gradient_penalty_weight
        self.r1_penalty_weight = r1_penalty_weight
        self.critic_steps = critic_steps
        self.packing = packing
        self.unrolled_critic_steps = unrolled_critic_steps
        if unrolled_critic_steps > 0:
            check_no_batch_norm("the critic that unrolled_critic_steps looks through", critic)
            self.ahead = Adam(unrolled_critic_lr, adam_eps_inside_root=False)
            self.memory = AdamMemory(parameters_of(critic).numel())
        if getattr(critic, "rows_interact", False):
            why = "its critic compares the observations of a batch and is no function of one"
            self.measure = Undefined(measure.shape, why)
        elif self.game.logits:
            self.latent_target = "tilted"

    def energy(self, x: Tensor) -> Tensor:
        """-f(x), ``[B, *event] -> [B]``; for a packed critic -f(x, ..., x) / m.

        Where f is the log-ratio of m independent observations, that is the log-ratio of one.
        """
        m = self.packing
        return -self.values(pack(x.repeat_interleave(m, 0), m)) / m

    def values(self, groups: Tensor, phi: Tensor | None = None) -> Tensor:
        """The critic f of packed observations, ``[B]``, with its own parameters or ``phi [P]``."""
        f = self.critic(groups) if phi is None else call_at(self.critic, phi, groups)
        return check_energy(f, len(groups))

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        """``critic_steps`` steps of the critic, then one of the generator.

        Raises ValueError for a batch smaller than ``packing``.
        """
        watch = self.observe if self.unrolled_critic_steps > 0 else None
        for _ in range(self.critic_steps):
            x = next(data).x
            z = self.prior.sample(len(x), rng)
            mix = torch.rand(len(x) // self.packing, generator=rng, device=rng.device)
            yield PlayerUpdate("critic", self.critic_loss, (x, z, mix), transform=watch)
        z = self.prior.sample(len(x), rng)
        if self.unrolled_critic_steps > 0:
            yield PlayerUpdate("generator", self.unrolled_loss, (x, z, mix))
        else:
            yield PlayerUpdate("generator", self.generator_loss, (z,))

    def observe(self, gradients: Gradients) -> Gradients:
        """Keep the critic's moments for the look ahead; the gradients as they were."""
        self.memory.take(self.ahead, gradients)
        return gradients

    def critic_loss(self, x: Tensor, z: Tensor, mix: Tensor) -> Loss:
        """What the critic descends; ``mix [B // packing]`` uniform, the generator is still."""
        x_model = call_frozen(self.generator, z).detach()
        loss = self.contest(self.values, pack(x, self.packing), pack(x_model, self.packing), mix)
        return Loss(loss.value, {**loss.logs, "relative_spread": relative_spread(x_model, x)})

    def contest(self, f: Map, x: Tensor, x_model: Tensor, mix: Tensor) -> Loss:
        """The game's critic loss plus its penalties, of a critic ``f`` on packed observations."""
        slopes = None
        if self.r1_penalty_weight > 0:
            f_data, slopes = value_and_zero_centred_penalty(f, x)
        else:
            f_data = f(x)
        f_model = f(x_model)
        value = self.game.critic(f_data, f_model)
        logs = {"f_data": f_data.detach().mean(), "f_model": f_model.detach().mean()}
        if self.gradient_penalty_weight > 0:
            penalty = one_centred_penalty(f, x, x_model, mix)
            value = value + self.gradient_penalty_weight * penalty
            logs["penalty"] = penalty.detach()
        if slopes is not None:
            value = value + 0.5 * self.r1_penalty_weight * slopes
        return Loss(value, logs)

    def generator_loss(self, z: Tensor) -> Loss:
        """The game's generator loss at fresh samples."""
        x_model = pack(self.generator(z), self.packing)
        return Loss(
            self.game.generator(check_energy(call_frozen(self.critic, x_model), len(x_model)))
        )

    def unrolled_loss(self, x: Tensor, z: Tensor, mix: Tensor) -> Loss:
        """The generator's loss against the critic after K more steps on the same data and samples.

        Metz et al. (2017), equations 7 to 10; the steps are Adam's, from the moments of the
        critic's gradients so far, as in the authors' experiments.
        """
        x, x_model = pack(x, self.packing), pack(self.generator(z), self.packing)

        def objective(phi: Tensor, x: Tensor, x_model: Tensor, mix: Tensor) -> Tensor:
            return self.contest(partial(self.values, phi=phi), x, x_model, mix).value

        steps = [(x, x_model, mix)] * self.unrolled_critic_steps
        phi, state = parameters_of(self.critic), self.memory.state()
        phi, _ = unroll(objective, self.ahead, phi, state, steps)
        return Loss(self.game.generator(self.values(x_model, phi)))

    @torch.no_grad()
    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        """``[n, *event]``: G(z) with z from the prior."""
        refuse_given(given)
        return call_frozen(self.generator, self.prior.sample(n, rng))
