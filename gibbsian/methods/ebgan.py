"""EBGAN: an energy that pushes samples up to a margin, most simply an auto-encoder's error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Protocol, cast

import torch
from torch import Generator, Tensor, nn

from gibbsian.core import Batch, Loss, PlayerUpdate, TrainingMethod, check_energy
from gibbsian.core.healthy_ranges import (
    HealthyRange,
    energy_gap,
    relative_spread,
    sample_spread,
)
from gibbsian.core.measures import Gaussian, Measure, Undefined
from gibbsian.core.numerics import call_and_catch, call_frozen
from gibbsian.core.protocols import HasLogits
from gibbsian.core.roles import ENERGY, GENERATOR, Role
from gibbsian.methods.checks import check_at_least, check_positive, check_weight, refuse_given
from gibbsian.methods.labelled import LabelledRows, classification_cost


def margin_loss(energy_data: Tensor, energy_model: Tensor, margin: Tensor) -> Tensor:
    """mean E(x) + mean [m - E(G(z))]^+ (equation 1), scalar, from energies ``[B]`` and m, 0-d.

    The hinge is taken per sample and then averaged. Against the best energy, 0 where the data are
    the denser and m elsewhere, the value is m (1 - TV(p_data, p_G)).
    """
    return energy_data.mean() + torch.relu(margin - energy_model).mean()


def pull_away(S: Tensor) -> Tensor:
    """f_PT = sum over i, j != i of (S_i . S_j / |S_i||S_j|)^2 / (N (N - 1)), from codes ``S [N, s]``.

    The pulling-away term (section 2.4), a scalar in [0, 1]: 1 for codes that are all alike, about
    1 / s for isotropic ones. Raises ValueError for a single code.

    >>> float(pull_away(torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])))
    0.333333...
    """
    n = len(S)
    if n < 2:
        raise ValueError("the pulling-away term compares samples: use a batch of at least 2")
    directions = nn.functional.normalize(S, dim=1)
    square = (directions @ directions.T).square()
    return (square.sum() - square.diagonal().sum()) / (n * (n - 1))


class AutoEncoding(Protocol):
    """An energy that is an auto-encoder's error."""

    encoder: nn.Module

    def denoise(self, x: Tensor, noisy: Tensor) -> Tensor: ...


class EBGAN(TrainingMethod):
    """EBGAN: a generator lowers the energy of its samples, which the energy raises up to a margin.

    The energy minimises E(x) + [m - E(G(z))]^+, the generator E(G(z)), without a hinge, so that it
    has gradients where the energy is above the margin (Zhao, Mathieu, LeCun 2017, equations 1 and
    2). In equilibrium p_G = p_data and E is a constant in [0, m] on the data: a flat energy, which
    scores nothing. It is no log-density either, so that log Z is not defined. E must be bounded
    below by 0, as an auto-encoder's error is. Any such energy will do, but pull_away and
    denoising_noise_std need an auto-encoder's.

    Args:
        margin: m, on the energy's scale: an auto-encoder's norm, not a mean square. Too small
            drops modes, too large is unstable.
        margin_decay_rounds: rounds over which m falls linearly to 0, where the generator stops and the
            energy learns the data alone; 0 keeps m.
        pull_away: weight of the pulling-away term of the samples' codes in the generator's loss;
            the paper's EBGAN-PT has 0.1.
        denoising_noise_std: of the Gaussian noise on the data that the auto-encoder must undo,
            in the networks' units.
        num_labelled_rows: number of training rows whose classes the energy is told, the first of the
            split; 0 for none. Needs an energy that classifies, such as the ladder.
        class_loss_weight: of the classification cost of these rows in the energy's loss.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "energy": ("energy",),
        "generator": ("generator",),
    }
    roles: ClassVar[Mapping[str, Role]] = {
        "energy": ENERGY.but(default="autoencoder", images="conv-autoencoder"),
        "generator": GENERATOR,
    }
    healthy: ClassVar[tuple[HealthyRange, ...]] = (energy_gap("energy"), sample_spread("energy"))
    local: ClassVar[tuple[str, ...]] = ("labelled.x", "labelled.target", "labelled.seen")

    def __init__(
        self,
        energy: nn.Module,
        generator: nn.Module,
        prior: Gaussian,
        measure: Measure | Undefined,
        *,
        margin: float = 10.0,
        margin_decay_rounds: int = 0,
        pull_away: float = 0.0,
        denoising_noise_std: float = 0.0,
        num_labelled_rows: int = 0,
        class_loss_weight: float = 1.0,
    ):
        why = "an EBGAN's energy separates data from samples; it is not minus a log-density"
        super().__init__(Undefined(measure.shape, why))
        check_positive("margin", margin)
        check_at_least("margin_decay_rounds", margin_decay_rounds, 0)
        check_weight("pull_away", pull_away)
        check_weight("denoising_noise_std", denoising_noise_std)
        if pull_away > 0 and not hasattr(energy, "encoder"):
            raise ValueError(
                "the pulling-away term reads the energy's encoder, which this energy has not; use "
                "an auto-encoder, or pull_away 0"
            )
        if denoising_noise_std > 0 and not hasattr(energy, "denoise"):
            raise ValueError(
                "denoising needs an energy with a method denoise(x, noisy), such as an "
                "auto-encoder; otherwise use denoising_noise_std 0"
            )
        check_at_least("num_labelled_rows", num_labelled_rows, 0)
        check_weight("class_loss_weight", class_loss_weight)
        if num_labelled_rows > 0 and not isinstance(energy, HasLogits):
            raise ValueError(
                "num_labelled_rows needs an energy that classifies, with a method logits(x), such as the "
                "ladder; otherwise use num_labelled_rows 0"
            )
        self.energy = energy
        self.generator = generator
        self.prior = prior
        self.margin = margin
        self.margin_decay_rounds = margin_decay_rounds
        self.pull_away = pull_away
        self.denoising_noise_std = denoising_noise_std
        self.class_loss_weight = class_loss_weight
        self.labelled = LabelledRows(num_labelled_rows, measure.shape)

    def margin_at(self, index: int) -> float:
        """m in round ``index``."""
        if self.margin_decay_rounds == 0:
            return self.margin
        return self.margin * max(0.0, 1.0 - index / self.margin_decay_rounds)

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        """One step of the energy, then one of the generator as long as the margin is not 0."""
        batch = next(data)
        x = batch.x
        noisy, margin = x, x.new_full((), self.margin_at(index))
        if self.denoising_noise_std > 0:
            xi = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
            noisy = x + self.denoising_noise_std * xi
        z = self.prior.sample(len(x), rng)
        known: tuple[Tensor, ...] = ()
        if self.labelled.count > 0:
            self.labelled.keep(batch)
            known = self.labelled.draw(len(x), rng)
        if self.margin_at(index) == 0:
            yield PlayerUpdate("energy", self.data_loss, (x, noisy, *known))
        else:
            yield PlayerUpdate("energy", self.energy_loss, (x, noisy, z, margin, *known))
            yield PlayerUpdate("generator", self.generator_loss, (self.prior.sample(len(x), rng),))

    def energy_loss(
        self, x: Tensor, noisy: Tensor, z: Tensor, margin: Tensor, *known: Tensor
    ) -> Loss:
        """mean E(x) + mean [m - E(G(z))]^+; the generator is still, samples get no noise.

        Of rows ``known`` (x, classes, 1 where they count) the classification cost is added. Samples do not
        move the running averages of a batch normalisation in the energy: they are those of data.
        """
        energy_data = self.energy_of_data(x, noisy)
        x_model = call_frozen(self.generator, z).detach()
        energy_model = check_energy(call_frozen(self.energy, x_model), len(z))
        logs = {
            "energy_data": energy_data.detach().mean(),
            "energy_model": energy_model.detach().mean(),
            "relative_spread": relative_spread(x_model, x),
        }
        return self.with_classes(margin_loss(energy_data, energy_model, margin), logs, known)

    def data_loss(self, x: Tensor, noisy: Tensor, *known: Tensor) -> Loss:
        """mean E(x) and the cost of the rows ``known``: what is left where the margin is 0."""
        value = self.energy_of_data(x, noisy).mean()
        return self.with_classes(value, {"energy_data": value.detach()}, known)

    def energy_of_data(self, x: Tensor, noisy: Tensor) -> Tensor:
        """E(x) ``[B]``, of what noise leaves of x where there is noise."""
        if self.denoising_noise_std > 0:
            return cast("AutoEncoding", self.energy).denoise(x, noisy)
        return check_energy(self.energy(x), len(x))

    def with_classes(
        self, value: Tensor, logs: dict[str, Tensor], known: tuple[Tensor, ...]
    ) -> Loss:
        """``value`` and the weighted classification cost of the rows ``known``, if there are any."""
        if not known:
            return Loss(value, logs)
        x_known, target, seen = known
        logits = cast("HasLogits", self.energy).logits(x_known)
        cost = classification_cost(logits, target, seen)
        return Loss(value + self.class_loss_weight * cost, logs | {"classification": cost.detach()})

    def generator_loss(self, z: Tensor) -> Loss:
        """mean E(G(z)) + pull_away f_PT(codes of G(z)), ``z [B, latent_dim]``; the energy is still."""
        x_model = self.generator(z)
        if self.pull_away == 0:
            value = check_energy(call_frozen(self.energy, x_model), len(z)).mean()
            return Loss(value, {"energy_model": value.detach()})
        encoder = cast("AutoEncoding", self.energy).encoder
        error, codes = call_and_catch(self.energy, encoder, x_model)
        value, alike = check_energy(error, len(z)).mean(), pull_away(codes.flatten(1))
        logs = {"energy_model": value.detach(), "pull_away": alike.detach()}
        return Loss(value + self.pull_away * alike, logs)

    @torch.no_grad()
    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        """``[n, *event]``: G(z) with z from the prior."""
        refuse_given(given)
        return call_frozen(self.generator, self.prior.sample(n, rng))
