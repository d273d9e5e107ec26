"""Contrastive divergence: an energy against samples of its own Markov chains (Hinton 2002)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor, nn

from gibbsian.core import Batch, Loss, NonFiniteError, PlayerUpdate, TrainingMethod, check_energy
from gibbsian.core.healthy_ranges import HealthyRange, energy_gap
from gibbsian.core.measures import Counting, Measure, Mixed, Undefined
from gibbsian.core.roles import ENERGY, Role
from gibbsian.methods._bits import BitSampler
from gibbsian.methods._conditional import check_classifier, draw, known_classes, with_classes
from gibbsian.methods._langevin import LangevinSampler, SamplerOptions
from gibbsian.methods._mixed import MixedSampler
from gibbsian.methods.checks import (
    check_at_least,
    check_choice,
    check_probability,
    check_weight,
)

ACCEPTANCE = HealthyRange(
    "energy/chains_moved",
    "the chains reject nearly every step, so that samples stand still while the energy of the data falls; "
    "a smaller --sampler.step-size helps",
    low=0.01,
    looks=10,
)


class ContrastiveDivergence(TrainingMethod):
    """Contrastive divergence: maximum likelihood with Langevin samples in place of the model's.

    The gradient of the negative log-likelihood is E_data[dE] - E_model[dE]; the second mean is
    taken over chains. They are persistent (Tieleman 2008: carried from round to round), start at
    the data batch (CD-k, Hinton 2002) or at noise (short-run, Nijkamp et al. 2019). Only chains
    that mix make the gradient right; CD-k and short runs are biased even with exact kernels, and
    unadjusted Langevin adds a bias of order step_size. Langevin steps do not cross between distant
    modes: in few dimensions one wide Metropolis step per round
    (``sampler.metropolis_step_std``) does, and sets the modes' weights right. On a box no chain
    leaves it: ula reflects at the walls, the others reject.
    On bits the chains are Gibbs samplers instead (``sampler.kernel``); on numbers beside categories
    every step draws one category from its exact conditional and moves the numbers by MALA.

    Args:
        chain_init: where negatives start in each round: persistent (where they ended), data (at the
            batch, as many as it has rows) or noise (standard normal, uniform on a box, fair coins).
        chains: number of persistent chains; all of them move and count in every round.
        reinit_prob: probability, per round, that a persistent chain starts again from noise.
        energy_l2: weight of mean E^2 on data and samples, which holds the energy near zero.
        class_loss_weight: of -log p(y|x) of labelled data in the loss, 1 for the likelihood of x and y;
            needs an energy that classifies, such as joint, which then samples by class.
        sampler: how the chains move, in each round and before they are handed out as samples.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"energy": ("energy",)}
    roles: ClassVar[Mapping[str, Role]] = {"energy": ENERGY}
    healthy: ClassVar[tuple[HealthyRange, ...]] = (energy_gap("energy"), ACCEPTANCE)
    mixed: ClassVar[bool] = True
    local: ClassVar[tuple[str, ...]] = ("chains",)

    def __init__(
        self,
        energy: nn.Module,
        measure: Measure | Undefined,
        *,
        chain_init: Literal["persistent", "data", "noise"] = "persistent",
        chains: int = 1024,
        reinit_prob: float = 0.0,
        energy_l2: float = 0.0,
        class_loss_weight: float = 0.0,
        sampler: SamplerOptions = SamplerOptions(steps=10, steps_per_sample=200),
    ):
        super().__init__(measure)
        check_choice("chain_init", chain_init, ("persistent", "data", "noise"))
        check_at_least("chains", chains, 1)
        check_probability("reinit_prob", reinit_prob)
        check_weight("energy_l2", energy_l2)
        check_classifier(energy, class_loss_weight)
        self.energy = energy
        self.chain_init = chain_init
        self.reinit_prob = reinit_prob
        self.sampler: LangevinSampler | BitSampler | MixedSampler
        if isinstance(measure, Counting):
            self.sampler = BitSampler(measure, sampler)
        elif isinstance(measure, Mixed):
            self.sampler = MixedSampler(measure, sampler)
        else:
            self.sampler = LangevinSampler(measure, sampler)
        self.energy_l2 = energy_l2
        self.class_loss_weight, self.by_class = class_loss_weight, class_loss_weight > 0
        kept = chains if chain_init == "persistent" else 0
        self.register_buffer("chains", torch.zeros(kept, *measure.shape))
        self.chains: Tensor

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        """Move the chains on the current energy, then the energy on data against chains.

        Raises NonFiniteError when the energy of a chain is NaN or infinite.
        """
        batch = next(data)
        x = batch.x
        if self.chain_init == "persistent":
            x0 = self.persistent_points(index, rng)
        else:
            x0 = x if self.chain_init == "data" else self.noise_points(len(x), rng)
        try:
            x_model = self.advance(x0, rng)
        except ValueError as error:
            raise NonFiniteError(f"player 'energy' in round {index}: {error}") from error
        moved = (x_model != x0).flatten(1).any(1).float().mean()
        if self.chain_init == "persistent":
            self.chains.copy_(x_model)
        target = known_classes(self.energy, self.class_loss_weight, batch, index)
        if isinstance(self.sampler, BitSampler):  # whose chains may stand still by right
            yield PlayerUpdate("energy", self.energy_loss, (x, x_model, *target))
        else:
            yield PlayerUpdate("energy", self.loss_and_acceptance, (x, x_model, moved, *target))

    def loss_and_acceptance(
        self, x: Tensor, x_model: Tensor, moved: Tensor, *target: Tensor
    ) -> Loss:
        """``energy_loss``; beside it is logged which share of the chains ``moved`` in the round, 0-d."""
        loss = self.energy_loss(x, x_model, *target)
        return Loss(loss.value, {**loss.logs, "chains_moved": moved})

    def energy_loss(self, x: Tensor, x_model: Tensor, *target: Tensor) -> Loss:
        """mean E(x) - mean E(x_model) + energy_l2 (mean E(x)^2 + mean E(x_model)^2).

        Of classes ``target [B]`` of ``x`` the mean of -class_loss_weight log p(y|x) is added.
        """
        data = check_energy(self.energy(x), len(x))
        model = check_energy(self.energy(x_model), len(x_model))
        value = data.mean() - model.mean()
        logs = {"energy_data": data.detach().mean(), "energy_model": model.detach().mean()}
        if self.energy_l2 > 0:
            value = value + self.energy_l2 * (data.square().mean() + model.square().mean())
        return with_classes(Loss(value, logs), self.energy, self.class_loss_weight, x, *target)

    def persistent_points(self, index: int, rng: Generator) -> Tensor:
        """Where the persistent chains go on: noise in round 0 and where one restarts."""
        n = len(self.chains)
        if index == 0:
            return self.noise_points(n, rng)
        if self.reinit_prob == 0:
            return self.chains
        restarts = torch.rand(n, generator=rng, device=rng.device) < self.reinit_prob
        rows = restarts.view(-1, *[1] * (self.chains.dim() - 1))
        return torch.where(rows, self.noise_points(n, rng), self.chains)

    def noise_points(self, n: int, rng: Generator) -> Tensor:
        """``[n, *event]``: uniform on a box, fair coins, otherwise standard normal."""
        return self.sampler.start(n, rng)

    def advance(self, x0: Tensor, rng: Generator) -> Tensor:
        """``x0 [n, *event]`` after ``steps`` steps and the wide Metropolis step, detached."""
        return self.sampler.step(self.energy, x0, rng)

    @torch.no_grad()
    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        """``[n, *event]``: chains moved on by ``steps_per_sample`` steps.

        They start at persistent chains picked at random (with replacement when n exceeds their
        number; at zero before the first round), otherwise at noise. ``given``: a class number, or
        one per row, where the energy was taught classes; chains of E(x|y) then go as far again.
        """
        return draw(self.energy, self.sampler, self.drawn, n, rng, self.class_loss_weight, given)

    def drawn(self, n: int, rng: Generator) -> Tensor:
        """``[n, *event]``: samples of E."""
        return self.sampler.sample(self.energy, self.starts(n, rng), rng)

    def starts(self, n: int, rng: Generator) -> Tensor:
        """``[n, *event]``: where the chains of ``sample`` start."""
        if self.chain_init != "persistent":
            return self.noise_points(n, rng)
        pick = torch.randint(len(self.chains), (n,), generator=rng, device=rng.device)
        if n <= len(self.chains):
            pick = torch.randperm(len(self.chains), generator=rng, device=rng.device)[:n]
        return self.chains[pick]
