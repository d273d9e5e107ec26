"""VGAN: variational training of an energy against a generator (Zhai, Cheng, Feris, Zhang 2016)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor, nn

from gibbsian.core import Batch, Loss, PlayerUpdate, TrainingMethod
from gibbsian.core.healthy_ranges import HealthyRange, energy_gap, sample_spread
from gibbsian.core.measures import Gaussian, Measure, Undefined
from gibbsian.core.numerics import call_frozen
from gibbsian.core.roles import BOUNDED, GENERATOR, Role
from gibbsian.methods.checks import check_at_least, check_choice, check_weight, refuse_given
from gibbsian.methods.experts import check_experts, contrast_loss, following_loss


class VGAN(TrainingMethod):
    """VGAN: a generator q follows the energy while the energy separates data from q.

    The game is min over E, max over q of E_data[E] - E_q[E] + H(q), a lower bound on the negative
    log-likelihood with gap KL(q || p): the energy's step is right only as far as q has followed,
    which is why the generator takes k steps to the energy's one (Algorithm 1). H(q) is replaced by
    a surrogate read off the energy's experts (equation 9). Without any entropy the game is
    homogeneous in E: nothing fixes the energy's scale, it grows without limit, and the generator
    is free to collapse.

    Args:
        generator_steps: generator steps per energy step.
        generator_entropy: what stands for the entropy of the generator's distribution: surrogate (needs an
            energy with experts, such as bounded) or none.
        expert_entropy_weight: weight of the surrogate at the data, which the energy's step raises so that
            each expert's mean stays near 1/2; must be 0 for an energy without experts.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "generator": ("generator",),
        "energy": ("energy",),
    }
    roles: ClassVar[Mapping[str, Role]] = {"energy": BOUNDED, "generator": GENERATOR}
    healthy: ClassVar[tuple[HealthyRange, ...]] = (energy_gap("energy"), sample_spread("energy"))
    latent_target: Literal["energy"] = "energy"

    def __init__(
        self,
        energy: nn.Module,
        generator: nn.Module,
        prior: Gaussian,
        measure: Measure | Undefined,
        *,
        generator_steps: int = 1,
        generator_entropy: Literal["surrogate", "none"] = "surrogate",
        expert_entropy_weight: float = 1.0,
    ):
        super().__init__(measure)
        check_at_least("generator_steps", generator_steps, 1)
        check_choice("generator_entropy", generator_entropy, ("surrogate", "none"))
        check_weight("expert_entropy_weight", expert_entropy_weight)
        check_experts(energy, generator_entropy == "surrogate", expert_entropy_weight)
        self.energy = energy
        self.generator = generator
        self.prior = prior
        self.generator_steps = generator_steps
        self.generator_entropy = generator_entropy
        self.expert_entropy_weight = expert_entropy_weight

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        """Algorithm 1: k generator steps on fresh noise, then one energy step."""
        x = next(data).x
        for _ in range(self.generator_steps):
            yield PlayerUpdate("generator", self.generator_loss, (self.prior.sample(len(x), rng),))
        yield PlayerUpdate("energy", self.energy_loss, (x, self.prior.sample(len(x), rng)))

    def generator_loss(self, z: Tensor) -> Loss:
        """mean E(G(z)) - H~(p_G)."""
        return following_loss(self.energy, self.generator(z), self.generator_entropy == "surrogate")

    def energy_loss(self, x: Tensor, z: Tensor) -> Loss:
        """mean E(x) - mean E(G(z)) - expert_entropy_weight H~(p_data); the generator does not move."""
        x_model = call_frozen(self.generator, z).detach()
        return contrast_loss(self.energy, x, x_model, self.expert_entropy_weight)

    @torch.no_grad()
    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        """``[n, *event]``: the generator's samples, G(z) with z from the prior."""
        refuse_given(given)
        return call_frozen(self.generator, self.prior.sample(n, rng))
