"""Noise-contrastive estimation: an energy and its log Z by telling data from noise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import softplus

from gibbsian.core import Batch, Loss, PlayerUpdate, TrainingMethod, check_energy
from gibbsian.core.measures import Box, Gaussian, Measure, Mixed, RealSpace, Undefined
from gibbsian.core.roles import ENERGY, Role
from gibbsian.methods._annealed import AnnealedSampler
from gibbsian.methods._conditional import check_classifier, draw, known_classes, with_classes
from gibbsian.methods._langevin import SamplerOptions
from gibbsian.methods._mixed import MixedSampler
from gibbsian.methods.checks import check_at_least, check_positive, refuse_given
from gibbsian.methods.noise_law import NoiseDistribution, TiltedNoise, fitted_noise, tilted
from gibbsian.methods.product_noise import ProductNoise

POOL, CHUNK = 16, 8192
"""Draws of the noise for each start of a chain beside categories, and how many are weighed at a time."""


def logistic_loss(G_data: Tensor, G_noise: Tensor, nu: float) -> Tensor:
    """-mean log h(x) - nu mean log(1 - h(x_noise)), h = 1 / (1 + nu exp(-G)), a scalar.

    Gutmann and Hyvarinen (2012), equations 5 to 9, with G = log p_model - log p_noise ``[B]`` at data
    and at noise, of which there are nu times as many.
    """
    log_nu = math.log(nu)
    return softplus(log_nu - G_data).mean() + nu * softplus(G_noise - log_nu).mean()


class NoiseContrastiveEstimation(TrainingMethod):
    """Noise-contrastive estimation: logistic regression between data and noise of known density.

    log p(x) = -E(x) + log b(x) - A with A a parameter like any other; the classifier whose logit is
    log p(x) - log p_noise(x) - log nu separates data from noise best where p is the data's density,
    so that A tends to log Z without any constraint (Gutmann, Hyvarinen 2012). An estimate, never a
    bound. The noise is a Gaussian fitted to the data as they come, on a box one of their logits; where it
    overlaps little with them, as in many dimensions, the two are told apart too easily to learn much.

    Beside categories the noise is a product of a Gaussian of the numbers and the frequencies of each
    category. On R^d, on a box and beside categories the energy is the network's minus the noise's log-density
    (`TiltedNoise`): the network has to learn only what the noise lacks, and needs no envelope of its own.

    Args:
        noise_ratio: noise draws per row of data.
        nce_noise_std_scale: the noise has this many times the data's standard deviation.
        class_loss_weight: of -log p(y|x) of labelled data in the loss; needs an energy that
            classifies, such as joint, which then samples by class.
        sampler: of the chains that sample, annealed from the noise if its kernel is auto
            (`gibbsian.methods._annealed`); none run in training.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"energy": ("energy", "A")}
    roles: ClassVar[Mapping[str, Role]] = {"energy": ENERGY}
    mixed: ClassVar[bool] = True
    settings_of_mixed: ClassVar[Mapping[str, Any]] = {"energy": {"confinement_std": 10.0}}

    def __init__(
        self,
        energy: nn.Module,
        measure: Measure | Undefined,
        *,
        noise_ratio: int = 1,
        nce_noise_std_scale: float = 1.0,
        class_loss_weight: float = 0.0,
        sampler: SamplerOptions = SamplerOptions(),
    ):
        super().__init__(measure)
        check_at_least("noise_ratio", noise_ratio, 1)
        check_positive("nce_noise_std_scale", nce_noise_std_scale)
        check_classifier(energy, class_loss_weight)
        self.A = nn.Parameter(torch.zeros(()))
        self.sampler: AnnealedSampler | MixedSampler
        self.noise: NoiseDistribution
        if isinstance(measure, Mixed):
            self.noise = ProductNoise(measure, nce_noise_std_scale)
            self.sampler = MixedSampler(measure, sampler)
            if class_loss_weight > 0:
                raise ValueError(
                    "nce learns no classes beside columns of categories; use class_loss_weight 0, or cd"
                )
        else:
            self.noise = noise = fitted_noise(measure, nce_noise_std_scale)
            self.sampler = AnnealedSampler(measure, sampler, noise)
        self.tilts = isinstance(measure, Mixed | Box | RealSpace)
        self.energy = tilted(energy, self.noise) if self.tilts else energy
        self.noise_ratio = noise_ratio
        self.class_loss_weight, self.by_class = class_loss_weight, class_loss_weight > 0

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        """One step of E and A on a batch against nu noise draws per row of it.

        Rows outside a box are first moved onto its walls.
        """
        batch = next(data)
        x = self.sampler.inside(batch.x)
        if index == 0:
            self.initialise_A(len(x))
        self.noise.see(x, index)
        x_noise = self.noise.sample(self.noise_ratio * len(x), rng)
        log_noise = self.noise.log_density(torch.cat([x, x_noise]))
        target = known_classes(self.energy, self.class_loss_weight, batch, index)
        yield PlayerUpdate("energy", self.energy_loss, (x, x_noise, log_noise, *target))

    @torch.no_grad()
    def initialise_A(self, rows: int) -> None:
        """A = mean log p~ - log q over draws of a fixed distribution q, the same on every process.

        By Jensen's inequality that lies below log Z, as near as a start need be.
        """
        rng = Generator(self.A.device).manual_seed(0)
        if self.tilts:  # of a noise that has seen nothing yet
            x = self.noise.sample(rows, rng)
            self.A.copy_((self.log_model(x) - self.noise.log_density(x)).mean())
            return
        x = Gaussian(self.measure.shape).sample(rows, rng)
        self.A.copy_((self.log_model(x) - Gaussian(x.shape[1:]).log_density(x)).mean())

    def log_model(self, x: Tensor) -> Tensor:
        """-E(x) + log b(x), ``[B, *event] -> [B]``; -E(x) alone where there is no base measure."""
        log_p = -check_energy(self.energy(x), len(x))
        if isinstance(self.measure, Undefined):
            return log_p
        return log_p + self.measure.log_density(x)

    def energy_loss(self, x: Tensor, x_noise: Tensor, log_noise: Tensor, *target: Tensor) -> Loss:
        """The logistic loss at data ``x [B, *event]`` and ``x_noise [nu B, *event]``.

        ``log_noise [B + nu B]``: log-density of the noise at both. Of classes ``target [B]`` of ``x``
        the mean of -class_loss_weight log p(y|x) is added.
        """
        G_data = self.log_model(x) - self.A - log_noise[: len(x)]
        G_noise = self.log_model(x_noise) - self.A - log_noise[len(x) :]
        log_nu = math.log(self.noise_ratio)
        logs = {
            "A": self.A.detach().clone(),
            "right_data": (G_data.detach() > log_nu).float().mean(),
            "right_noise": (G_noise.detach() < log_nu).float().mean(),
        }
        loss = Loss(logistic_loss(G_data, G_noise, self.noise_ratio), logs)
        return with_classes(loss, self.energy, self.class_loss_weight, x, *target)

    def learned_log_z(self) -> Tensor:
        """A, 0-d, in nats."""
        return self.A.detach()

    @torch.no_grad()
    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        """``[n, *event]``: chains from the noise. ``given``: class numbers, if it was taught any."""
        if isinstance(self.sampler, MixedSampler):
            refuse_given(given)
            return self.sampler.sample(self.energy, self.starts(n, rng), rng)
        drawn = partial(self.sampler.draw, self.energy)
        return draw(self.energy, self.sampler, drawn, n, rng, self.class_loss_weight, given)

    def starts(self, n: int, rng: Generator) -> Tensor:
        """``[n, *event]``: where chains beside categories start.

        At noise, resampled by exp(-f) from ``POOL`` times as many draws (Rubin 1988), since the model is
        the noise's distribution times exp(-f).
        """
        assert isinstance(self.energy, TiltedNoise)
        pool = self.noise.sample(POOL * n, rng)
        weight = torch.cat([-self.energy.network(x) for x in pool.split(CHUNK)]).softmax(0)
        return pool[torch.multinomial(weight, n, replacement=True, generator=rng)]
