"""Score matching: an energy whose gradient is fitted to that of the data's log-density."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor, nn

from gibbsian.core import Batch, Loss, PlayerUpdate, TrainingMethod, check_energy
from gibbsian.core.measures import Box, Measure, Undefined
from gibbsian.core.numerics import Map, input_gradient
from gibbsian.core.roles import ENERGY, Role
from gibbsian.methods._annealed import AnnealedSampler
from gibbsian.methods._conditional import check_classifier, draw, known_classes, with_classes
from gibbsian.methods._langevin import SamplerOptions
from gibbsian.methods.checks import check_choice, check_positive
from gibbsian.methods.noise_law import fitted_noise, tilted


def denoising(energy: Map, x: Tensor, xi: Tensor, sigma: float) -> Tensor:
    """mean |sigma grad E(x + sigma xi) - xi|^2 / 2, a scalar, from data and noise ``[B, *event]``.

    Vincent (2011), equations 9 to 11, times sigma^2: the score -grad E(x~) is fitted to that of
    N(x~; x, sigma^2 I) in x~, which is -xi / sigma. In expectation sigma^2 / 2 times the mean
    squared error of the score of the data smoothed by N(0, sigma^2 I), up to a constant.
    """
    error = sigma * input_gradient(energy, x + sigma * xi) - xi
    return 0.5 * error.flatten(1).square().sum(1).mean()


def sliced(energy: Map, x: Tensor, xi: Tensor) -> Tensor:
    """mean |grad E(x)|^2 / 2 - xi^T (d^2 E(x)) xi, a scalar; ``xi [B, *event]`` of covariance I.

    Sliced score matching with reduced variance (Song, Garg, Shi, Ermon 2019, section 3): in
    expectation Hyvarinen's (2005) |grad E|^2 / 2 - trace of the Hessian of E, and so half the mean squared
    error of the score up to a constant, where the data's density is smooth and vanishes at the border.
    """

    def along(points: Tensor) -> Tensor:
        return (input_gradient(energy, points) * xi).sum()

    gradient = input_gradient(energy, x).flatten(1)
    curvature = (torch.func.grad(along)(x) * xi).flatten(1).sum(1)
    return (0.5 * gradient.square().sum(1) - curvature).mean()


class ScoreMatching(TrainingMethod):
    """Score matching: grad E is fitted to -grad log p, which knows no normaliser.

    No chain runs in training. With objective denoising (Vincent 2011) the model is the data's distribution
    smoothed by N(0, sigma^2 I), not the distribution itself; sliced (Song et al. 2019) has no smoothing but
    second derivatives, a larger variance, and needs a smooth density. Either is blind to how much
    mass modes hold that are far apart on the scale of sigma: no point between them says so.

    On a box, as of images, noise would carry rows through the walls: what is matched is the score of the
    rows' logits, and the energy is what the network adds to a distribution fitted to them, the one whose
    logits are Gaussian (`TiltedNoise`).

    Args:
        score_objective: denoising or sliced.
        denoising_noise_std: standard deviation of the denoising objective's noise, in the networks'
            units; on a box in those of its middle.
        class_loss_weight: of -log p(y|x) of labelled data in the loss; needs an energy that
            classifies, such as joint, which then samples by class.
        sampler: of the chains that sample, annealed from a Gaussian fitted to the data if its kernel is
            auto (`gibbsian.methods._annealed`); none run in training.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"energy": ("energy",)}
    roles: ClassVar[Mapping[str, Role]] = {"energy": ENERGY}

    def __init__(
        self,
        energy: nn.Module,
        measure: Measure | Undefined,
        *,
        score_objective: Literal["denoising", "sliced"] = "denoising",
        denoising_noise_std: float = 0.1,
        class_loss_weight: float = 0.0,
        sampler: SamplerOptions = SamplerOptions(),
    ):
        super().__init__(measure)
        check_choice("score_objective", score_objective, ("denoising", "sliced"))
        check_positive("denoising_noise_std", denoising_noise_std)
        check_classifier(energy, class_loss_weight)
        self.fitted = fitted_noise(measure, 1.0)
        self.energy = tilted(energy, self.fitted) if isinstance(measure, Box) else energy
        self.sampler = AnnealedSampler(measure, sampler, self.fitted)
        self.score_objective = score_objective
        self.denoising_noise_std = denoising_noise_std
        self.class_loss_weight, self.by_class = class_loss_weight, class_loss_weight > 0

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        """One step of the energy on a batch with fresh noise."""
        batch = next(data)
        x = self.sampler.inside(batch.x)
        self.fitted.see(x, index)
        xi = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
        target = known_classes(self.energy, self.class_loss_weight, batch, index)
        yield PlayerUpdate("energy", self.energy_loss, (x, xi, *target))

    def energy_loss(self, x: Tensor, xi: Tensor, *target: Tensor) -> Loss:
        """The objective at data and standard normal ``xi``, both ``[B, *event]``.

        Of classes ``target [B]`` of ``x`` the mean of -class_loss_weight log p(y|x) is added.
        """
        u = self.fitted.to_coordinates(x).to(x)
        if self.score_objective == "denoising":
            value = denoising(self.potential, u, xi, self.denoising_noise_std)
        else:
            value = sliced(self.potential, u, xi)
        # No score knows the energy's constant: it is reached, as all a player has must be, and stays.
        loss = Loss(value + 0.0 * self.checked(x).mean(), {"score": value.detach()})
        return with_classes(loss, self.energy, self.class_loss_weight, x, *target)

    def potential(self, u: Tensor) -> Tensor:
        """Minus the log-density of u, ``[B, *event] -> [B]``, up to a constant: of x, on a box its logits."""
        return self.checked(self.fitted.from_coordinates(u)) - self.fitted.log_jacobian(u)

    def checked(self, x: Tensor) -> Tensor:
        """E(x), ``[B, *event] -> [B]``."""
        return check_energy(self.energy(x), len(x))

    @torch.no_grad()
    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        """``[n, *event]``. ``given``: a class number, or one per row, if taught."""
        drawn = partial(self.sampler.draw, self.energy)
        return draw(self.energy, self.sampler, drawn, n, rng, self.class_loss_weight, given)
