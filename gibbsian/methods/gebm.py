"""Generalized energy-based models: an energy on a generator's distribution (Arbel, Zhou, Gretton 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import relu

from gibbsian.bounds.kale import donsker_varadhan, effective_share, kale
from gibbsian.core import Batch, Loss, PlayerUpdate, TrainingMethod, check_energy
from gibbsian.core.healthy_ranges import (
    HealthyRange,
    energy_gap,
    relative_spread,
    sample_spread,
)
from gibbsian.core.measures import Gaussian, Measure, Undefined
from gibbsian.core.numerics import call_frozen, log_mean_exp
from gibbsian.core.roles import ENERGY, GENERATOR, Role
from gibbsian.methods.checks import check_at_least, check_choice, check_weight, refuse_given
from gibbsian.methods.invertible import (
    as_invertible,
    draw_with_log_density,
    log_density,
    measure_over_base,
)
from gibbsian.methods.smoothness import Smoothness, bounded, has_trainable


class GEBM(TrainingMethod):
    """GEBM: the distribution of a generator, the base B, reweighted by an energy: dQ = exp(-E - A) dB.

    The energy maximises KALE, a lower bound on KL(P || B) that is finite for distributions on different
    supports: F(E + A) = -E_P[E + A] - E_B[exp(-(E + A))] + 1, with A an estimate of log Z =
    log E_B[exp(-E)] learned beside it. The base minimises it: its samples move towards low
    energy, weighted by exp(-E). Samples of the model need chains in latent space; those of
    ``sample`` are the base's.

    Args:
        energy_objective: kale learns A (unbiased gradients); donsker-varadhan takes the log of the batch
            mean of exp(-E) in its place.
        base_distribution: implicit: E is relative to the generator's distribution, which needs no
            density. explicit: the same with an invertible generator, so that the model has the
            density q(x) exp(-E(x)) / Z. proposal: the network is an energy in its own right,
            exp(-E(x)) / Z, learned by maximum likelihood with an invertible generator as
            importance proposal.
        importance_weight_normalisation: self-normalised weighs base samples by softmax(-E) in the
            batch; learned by exp(-(E + A)), as in the first version of the paper.
        train_base: no-train-base leaves the generator as it is and trains the energy alone.
        base_samples_per_data_row: base samples per data row in the energy's steps.
        energy_steps: energy steps per base step.
        energy_burst_steps: energy steps in round 0 and in every ``rounds_between_energy_bursts``-th round.
        rounds_between_energy_bursts: rounds between two bursts.
        log_z_init_batches: batches of base samples that A is computed from before round 0; 0 starts
            at 0.
        soft_clip_gradients: makes 2g / (1 + g^2) of the energy's gradients and g / (1 - g) of
            A's, so that none is large.
        energy_floor: energies are not let below minus this, where they have no gradient either; 0 for
            none.
        gradient_penalty_weight: weight of mean |grad E|^2 between data and base samples.
        unit_gradient_penalty_weight: weight of mean (|grad E| - 1)^2 there.
        parameter_l2: weight of the mean square of the energy's parameters.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "energy": ("potential", "A"),
        "base": ("generator",),
    }
    roles: ClassVar[Mapping[str, Role]] = {
        "energy": ENERGY.but(default="mlp"),
        "generator": GENERATOR,
    }
    healthy: ClassVar[tuple[HealthyRange, ...]] = (
        energy_gap("energy", model="energy_base"),
        sample_spread("energy"),
    )
    latent_target: Literal["tilted", "energy"]

    def __init__(
        self,
        energy: nn.Module,
        generator: nn.Module,
        prior: Gaussian,
        measure: Measure | Undefined,
        *,
        energy_objective: Literal["kale", "donsker-varadhan"] = "kale",
        base_distribution: Literal["implicit", "explicit", "proposal"] = "implicit",
        importance_weight_normalisation: Literal["self-normalised", "learned"] = "self-normalised",
        train_base: bool = True,
        base_samples_per_data_row: int = 1,
        energy_steps: int = 5,
        energy_burst_steps: int = 100,
        rounds_between_energy_bursts: int = 500,
        log_z_init_batches: int = 100,
        soft_clip_gradients: bool = True,
        energy_floor: float = 0.0,
        gradient_penalty_weight: float = 0.1,
        unit_gradient_penalty_weight: float = 0.0,
        parameter_l2: float = 0.0,
    ):
        check_choice("energy_objective", energy_objective, ("kale", "donsker-varadhan"))
        check_choice("base_distribution", base_distribution, ("implicit", "explicit", "proposal"))
        check_choice(
            "importance_weight_normalisation",
            importance_weight_normalisation,
            ("self-normalised", "learned"),
        )
        check_at_least("base_samples_per_data_row", base_samples_per_data_row, 1)
        check_at_least("energy_steps", energy_steps, 1)
        check_at_least("energy_burst_steps", energy_burst_steps, 1)
        check_at_least("rounds_between_energy_bursts", rounds_between_energy_bursts, 1)
        check_at_least("log_z_init_batches", log_z_init_batches, 0)
        check_weight("energy_floor", energy_floor)
        if importance_weight_normalisation == "learned" and energy_objective != "kale":
            raise ValueError(
                "importance_weight_normalisation learned weighs by the learned A, which energy_objective "
                "donsker-varadhan has not; use energy_objective kale or importance_weight_normalisation "
                "self-normalised"
            )
        super().__init__(measure_over_base(base_distribution, measure))
        if base_distribution != "implicit":
            as_invertible(generator)
        self.potential = energy
        self.generator = generator
        self.A = nn.Parameter(torch.zeros(()), requires_grad=energy_objective == "kale")
        self.prior = prior
        self.latent_target = "tilted" if base_distribution == "implicit" else "energy"
        self.energy_objective = energy_objective
        self.base_distribution = base_distribution
        self.importance_weight_normalisation = importance_weight_normalisation
        self.train_base = train_base
        self.base_samples_per_data_row = base_samples_per_data_row
        self.energy_steps = energy_steps
        self.energy_burst_steps = energy_burst_steps
        self.rounds_between_energy_bursts = rounds_between_energy_bursts
        self.log_z_init_batches = log_z_init_batches
        self.gradient_transform = bounded if soft_clip_gradients else None
        self.energy_floor = energy_floor
        self.smoothness = Smoothness(
            gradient_penalty_weight, unit_gradient_penalty_weight, parameter_l2
        )
        if not has_trainable(energy):
            raise ValueError("the energy has no parameters that can be trained")
        if train_base and not has_trainable(generator):
            raise ValueError(
                "the generator has no parameters that can be trained; set train_base to False to "
                "train the energy alone on it"
            )
        moving = ("potential", "A") if energy_objective == "kale" else ("potential",)
        players = {"energy": moving} | ({"base": ("generator",)} if train_base else {})
        self.players = players  # type: ignore[misc]  # only those who move
        if not train_base:
            generator.requires_grad_(False).eval()

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        """Energy steps, each on fresh data, noise and segments between them; then one of the base."""
        burst = self.train_base and index % self.rounds_between_energy_bursts == 0
        for step in range(self.energy_burst_steps if burst else self.energy_steps):
            x = next(data).x
            if (
                index == step == 0
                and self.log_z_init_batches > 0
                and self.energy_objective == "kale"
            ):
                self.initialise_A(len(x))
            z = self.prior.sample(self.base_samples_per_data_row * len(x), rng)
            mix = torch.rand(len(x), generator=rng, device=rng.device)
            yield PlayerUpdate("energy", self.energy_loss, (x, z, mix), self.gradient_transform)
        if self.train_base:
            x = next(data).x
            yield PlayerUpdate("base", self.base_loss, (x, self.prior.sample(len(x), rng)))

    @torch.no_grad()
    def initialise_A(self, batch: int) -> None:
        """A = log mean exp(-E) over the first batches of base samples, the same on every process."""
        rng = Generator(self.A.device).manual_seed(0)
        parts = []
        for _ in range(self.log_z_init_batches):
            y, log_q = self.base_points(self.prior.sample(batch, rng))
            parts.append(log_mean_exp(-(self.network_energy(y) + log_q)))
        self.A.copy_(log_mean_exp(torch.stack(parts)))

    def energy_loss(self, x: Tensor, z: Tensor, mix: Tensor) -> Loss:
        """Minus the objective at data ``x [N, *event]`` and base samples G(z), plus the penalties.

        ``mix [N]``: uniform, the places between data and base samples where gradients are penalised.
        """
        with torch.no_grad():
            y, log_q = self.base_points(z)
            log_q_data = self.relative_to(x)
        if y.shape[1:] != x.shape[1:]:
            raise ValueError(
                f"the generator makes points of shape {list(y.shape[1:])}, the data have "
                f"{list(x.shape[1:])}; give it an output of the data's shape"
            )
        E_data = self.network_energy(x) + log_q_data
        E_base = self.network_energy(y) + log_q
        objective = self.value(E_data, E_base)
        logs = {
            "energy_data": E_data.detach().mean(),
            "energy_base": E_base.detach().mean(),
            "kale": objective.detach(),
            "log_Z": log_mean_exp(-E_base.detach()),
            "effective_share": effective_share(E_base.detach()),
            "relative_spread": relative_spread(y, x),
        }
        if self.energy_objective == "kale":
            logs["A"] = self.A.detach().clone()
        penalty = self.smoothness(self.potential, self.network_energy, x, y[: len(x)], mix)
        return Loss(penalty - objective, logs)

    def value(self, E_data: Tensor, E_base: Tensor) -> Tensor:
        """F(E + A) or L(E), scalar."""
        if self.energy_objective == "kale":
            return kale(E_data, E_base, self.A)
        return donsker_varadhan(E_data, E_base)

    def base_loss(self, x: Tensor, z: Tensor) -> Loss:
        """The objective as a function of the base, at data ``x`` and base samples G(z) (section 3.2).

        Its gradient is sum_m w_m (dG(z_m))^T grad E(G(z_m)), w = softmax(-E) over the batch: towards
        low energy, each sample by its weight under the model. Descended without the learned A's noise.
        """
        y, log_q = self.base_points(z, moving=True)
        with torch.set_grad_enabled(
            self.base_distribution == "proposal" and torch.is_grad_enabled()
        ):
            E_data = self.network_energy(x) + self.relative_to(x)  # else without the base in it
        E_base = self.network_energy(y) + log_q
        if self.importance_weight_normalisation == "learned":
            return Loss(kale(E_data, E_base, self.A))
        return Loss(donsker_varadhan(E_data, E_base))

    def base_points(self, z: Tensor, moving: bool = False) -> tuple[Tensor, Tensor | float]:
        """y = G(z) and what makes the network's energy relative to the base: log q(y) or 0."""
        if self.base_distribution == "proposal":
            return draw_with_log_density(as_invertible(self.generator), self.prior, z)
        return self.generator(z) if moving else call_frozen(self.generator, z), 0.0

    def relative_to(self, x: Tensor) -> Tensor | float:
        """The same at data: log q(x) ``[N]`` or 0."""
        if self.base_distribution == "proposal":
            return log_density(as_invertible(self.generator), self.prior, x)
        return 0.0

    def network_energy(self, x: Tensor) -> Tensor:
        """The network's energy, not below -energy_floor, ``[B, *event] -> [B]``."""
        E = check_energy(self.potential(x), len(x))
        return relu(E + self.energy_floor) - self.energy_floor if self.energy_floor > 0 else E

    def energy(self, x: Tensor) -> Tensor:
        """The model's energy over ``measure``, ``[B, *event] -> [B]``; relative to an implicit base.

        For an explicit base E(x) - log q(x), so that the model has density exp(-energy(x)) / Z.
        """
        E = self.network_energy(x)
        if self.base_distribution == "explicit":
            return E - log_density(as_invertible(self.generator), self.prior, x)
        return E

    @torch.no_grad()
    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        """``[n, *event]``: samples of the base, G(z) with z from the prior."""
        refuse_given(given)
        return self.base_points(self.prior.sample(n, rng))[0]
