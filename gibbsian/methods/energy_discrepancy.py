"""Energy discrepancy: an energy by telling rows from perturbed rows, on numbers, categories and bits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from gibbsian.core import Batch, Loss, PlayerUpdate, TrainingMethod, check_energy
from gibbsian.core.measures import Box, Counting, Measure, Mixed, Undefined, one_hot_draws
from gibbsian.core.roles import ENERGY, Role
from gibbsian.methods._annealed import AnnealedSampler
from gibbsian.methods._bits import BitSampler
from gibbsian.methods._langevin import SamplerOptions
from gibbsian.methods._mixed import MixedSampler
from gibbsian.methods.checks import (
    check_at_least,
    check_positive,
    check_probability,
    check_weight,
    refuse_given,
)
from gibbsian.methods.noise_law import fitted_noise, tilted
from gibbsian.samplers.langevin import reflect


def contrast(U_data: Tensor, U_negative: Tensor, w: float) -> Tensor:
    """mean_i log(w / M + 1 / M sum_j exp(U(x_i) - U(x_ij))), a scalar, from ``[B]`` and ``[M, B]``.

    Schroder et al. (2023), the estimate of the loss with its stabilisation w.
    """
    gap = U_data - U_negative
    if w > 0:
        gap = torch.cat([gap, gap.new_full((1, len(U_data)), math.log(w))])
    return (gap.logsumexp(0) - math.log(len(U_negative))).mean()


class EnergyDiscrepancy(TrainingMethod):
    """Energy discrepancy: rows lie lower in energy than what a perturbation and back makes of them.

    ED(U) = E_p[U(x)] + E_p E_{q(y|x)}[log sum_x' q(y|x') exp(-U(x'))] is least where U = -log p + const,
    for any perturbation q that loses information and by which all rows hang together (Schroder et al.
    2023). Its estimate draws y from q(.|x) and M negatives from q(.|y), which is q(y|.) as q is
    symmetric; no chain, no gradient in x: numbers, bits and categories alike (Schroder et al. 2024).
    Numbers take Gaussian noise, on a box their logits, where the energy is what the network adds to a
    distribution fitted to the data (`TiltedNoise`); beside categories they are folded back at the walls
    instead. A category follows the heat equation on the complete graph of its values: with a probability it
    is drawn anew, uniformly. A small perturbation is blind to the weights of distant modes; a large one needs
    many negatives.

    Args:
        negatives_per_row: M, twice perturbed rows per row of data.
        perturbation_std: standard deviation of one perturbation of a number, in the networks' units; on a
            box in those of its middle.
        category_redraw_probability: that one perturbation draws a category (or bit) anew: 1 - exp(-t) of
            the heat equation at time t.
        stabilisation: w, which keeps the loss finite where no negative is lower.
        sampler: of the chains that sample, of numbers annealed from a Gaussian fitted to the data if its
            kernel is auto (`gibbsian.methods._annealed`); none run in training.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"energy": ("energy",)}
    roles: ClassVar[Mapping[str, Role]] = {"energy": ENERGY}
    mixed: ClassVar[bool] = True

    def __init__(
        self,
        energy: nn.Module,
        measure: Measure | Undefined,
        *,
        negatives_per_row: int = 16,
        perturbation_std: float = 0.5,
        category_redraw_probability: float = 0.3,
        stabilisation: float = 1.0,
        sampler: SamplerOptions = SamplerOptions(),
    ):
        super().__init__(measure)
        check_at_least("negatives_per_row", negatives_per_row, 1)
        check_positive("perturbation_std", perturbation_std)
        check_positive("category_redraw_probability", category_redraw_probability)
        check_probability("category_redraw_probability", category_redraw_probability)
        check_weight("stabilisation", stabilisation)
        self.negatives_per_row = negatives_per_row
        self.perturbation_std = perturbation_std
        self.category_redraw_probability = category_redraw_probability
        self.stabilisation = stabilisation
        self.sampler: AnnealedSampler | BitSampler | MixedSampler
        self.energy = energy
        if isinstance(measure, Counting):
            self.sampler = BitSampler(measure, sampler)
        elif isinstance(measure, Mixed):
            self.sampler = MixedSampler(measure, sampler)
        else:
            self.fitted = fitted_noise(measure, 1.0)
            self.sampler = AnnealedSampler(measure, sampler, self.fitted)
            if isinstance(measure, Box):
                self.energy = tilted(energy, self.fitted)

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        """One step of the energy on a batch against M twice perturbed copies of it.

        Numbers outside a box are first moved onto its walls.
        """
        x = self.inside(next(data).x)
        if isinstance(self.sampler, AnnealedSampler):
            self.fitted.see(x, index)
        y = self.perturbed(x, rng)
        M = self.negatives_per_row
        negatives = self.perturbed(y.repeat(M, *[1] * (y.ndim - 1)), rng)
        yield PlayerUpdate("energy", self.energy_loss, (x, negatives.view(M, *x.shape)))

    def energy_loss(self, x: Tensor, negatives: Tensor) -> Loss:
        """The discrepancy at data ``x [B, *event]`` and ``negatives [M, B, *event]``."""
        U_data = self.potential(x)
        U_negative = self.potential(negatives.flatten(0, 1)).view(negatives.shape[:2])
        logs = {"energy_gap": (U_negative.detach().mean() - U_data.detach().mean())}
        return Loss(contrast(U_data, U_negative, self.stabilisation), logs)

    def potential(self, x: Tensor) -> Tensor:
        """U(x) = E(x) - log b(x), ``[B, *event] -> [B]``; E(x) alone without a base measure.

        On a box that of the density of x's logits, which are what is perturbed.
        """
        U = check_energy(self.energy(x), len(x))
        if isinstance(self.measure, Box):
            return U - self.fitted.log_jacobian(self.fitted.to_coordinates(x)).to(U)
        return U if isinstance(self.measure, Undefined) else U - self.measure.log_density(x)

    def inside(self, x: Tensor) -> Tensor:
        """``x`` with its numbers clamped to the box, if there is one; bits as they are."""
        return x if isinstance(self.sampler, BitSampler) else self.sampler.inside(x)

    def perturbed(self, x: Tensor, rng: Generator) -> Tensor:
        """``[B, *event]``: a draw from q(.|x), which is symmetric under the space's base measure."""
        measure = self.measure
        if isinstance(measure, Counting):
            coins = torch.randint(2, x.shape, generator=rng, device=x.device).to(x)
            return torch.where(self.drawn_anew(x.shape, x, rng), coins, x)
        if isinstance(measure, Box):
            u = self.noised(self.fitted.to_coordinates(x).to(x), None, rng)
            return self.fitted.from_coordinates(u)
        if not isinstance(measure, Mixed):
            return self.noised(x, None, rng)
        numbers, hot = x.tensor_split([measure.numbers], 1)
        fresh = one_hot_draws(torch.ones_like(hot[0]), measure.categories, len(x), rng)
        anew = self.drawn_anew((len(x), len(measure.categories)), x, rng)
        sizes = torch.tensor(measure.categories, device=x.device)
        anew = anew.repeat_interleave(sizes, 1, output_size=hot.shape[1])
        return torch.cat([self.noised(numbers, measure.box, rng), torch.where(anew, fresh, hot)], 1)

    def drawn_anew(self, shape: Sequence[int], like: Tensor, rng: Generator) -> Tensor:
        """``[*shape]``, True with the probability of a fresh category."""
        u = torch.rand(shape, generator=rng, device=like.device)
        return u < self.category_redraw_probability

    def noised(self, x: Tensor, walls: tuple[float, float] | None, rng: Generator) -> Tensor:
        """``x`` with Gaussian noise, folded back between the ``walls``."""
        xi = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
        moved = x + self.perturbation_std * xi
        # Folding back rounds, and a number just outside would have no energy.
        return moved if walls is None else reflect(moved, *walls).clamp(*walls)

    @torch.no_grad()
    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        """``[n, *event]``: chains from the base measure, or annealed from what was fitted."""
        refuse_given(given)
        if isinstance(self.sampler, AnnealedSampler):
            return self.sampler.draw(self.energy, n, rng)
        return self.sampler.sample(self.energy, self.sampler.start(n, rng), rng)
