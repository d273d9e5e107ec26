"""Super-resolution by convolutional sufficient statistics (Bruna, Sprechmann, LeCun 2016)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal, get_args

import torch
from torch import Generator, Tensor, nn

from gibbsian.core import Batch, Energy, Loss, NonFiniteError, PlayerUpdate, TrainingMethod
from gibbsian.core.healthy_ranges import HealthyRange, energy_gap
from gibbsian.core.imaging import downscale, variational_inverse
from gibbsian.core.measures import Measure, Undefined
from gibbsian.core.numerics import call_frozen
from gibbsian.core.roles import Role
from gibbsian.methods.checks import check_at_least, check_choice, check_positive, check_weight
from gibbsian.methods.super_resolution.builders import PREDICTOR, SUFFICIENT_STATISTICS, UPSAMPLER
from gibbsian.methods.super_resolution.completion import BOX, ConditionalEnergy, check_picture
from gibbsian.methods.super_resolution.descent import descend
from gibbsian.samplers import run_chains, ula

MEMORY = 0.99
"""Of the running mean of squared errors that the statistics are measured in."""

Inference = Literal["descent", "langevin", "point", "variational"]
Negative = Literal["descent", "langevin"]
Factor = Literal[2, 3, 4]


class SuperResolution(TrainingMethod):
    """Super-resolution: a small image x is completed to y by a conditional Gibbs model.

    p(y|x) is proportional to exp(-|Phi(x) - Psi(y)|^2) with statistics Psi of a convolutional
    network (Bruna, Sprechmann, LeCun 2016). The data are large images y; x = U(y) is made from
    them by antialiased bicubic downscaling. The upsampler, a point estimate, learns y by least squares,
    Phi learns E[Psi(y)|x] by regression, as a correction of the estimate's own statistics; y is then inferred
    by descending the energy from the point estimate, whose missing texture the statistics ask for.
    Statistics that both the estimate and the truth show alike are trusted most: each is
    measured in units of its root mean squared error at the point estimate, which is ours.
    The regression is not maximum likelihood. Fine-tuning is meant to be: it lowers the energy of the truth
    and raises that of negatives, which are either where the descent ends (modes, not samples; the loss
    then needs its margin) or Langevin samples (the honest gradient, as far as the chains mix).

    Args:
        upscaling_factor: how much larger y is than x in each direction.
        super_resolution_inference: what a sample is: the end of a descent from the point estimate or of a
            Langevin chain started there, the point estimate itself, or the variational baseline
            argmin 1/2 |U(y) - x|^2 + total_variation_weight |grad y|_1, which needs no training.
        upscaling_steps: of the descent, the chain or the variational baseline.
        upscaling_step_size: h of the descent at first (it adapts) and of Langevin, y' = y - h grad E +
            noise, of samples and of negatives; a chain on photographs wants 1e-6, less than the squared
            errors of the statistics.
        upscaling_start_noise: standard deviation of what is added to the point estimate before the
            descent, so that samples differ.
        total_variation_weight: of the total variation of y in the inference, against textures of one
            pixel.
        downscaling_consistency_weight: of |U(y) - x|^2 in the inference.
        statistics_fine_tuning_start_round: from which round on statistics and predictor are fine-tuned
            and the upsampler stays; 0 for never.
        negative_sampler: of fine-tuning, from the same start: descent or langevin.
        negative_steps: of the descent or chain of a negative.
        margin: m of [m - E]^+, per statistic: up to which the energy of descent negatives is raised.
        l2_to_initial_statistics: weight of |theta - theta_0|^2, which holds fine-tuned statistics near
            their start.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "upsampler": ("upsampler",),
        "sufficient_statistics_predictor": ("sufficient_statistics_predictor",),
        "sufficient_statistics": ("sufficient_statistics",),
    }
    roles: ClassVar[Mapping[str, Role]] = {
        "upsampler": UPSAMPLER,
        "sufficient_statistics": SUFFICIENT_STATISTICS,
        "sufficient_statistics_predictor": PREDICTOR,
    }
    healthy: ClassVar[tuple[HealthyRange, ...]] = (energy_gap("sufficient_statistics"),)
    staged: ClassVar[tuple[str, ...]] = ("sufficient_statistics",)
    conditional: ClassVar[bool] = True

    def __init__(
        self,
        upsampler: nn.Module,
        sufficient_statistics: nn.Module,
        sufficient_statistics_predictor: nn.Module,
        measure: Measure | Undefined,
        *,
        upscaling_factor: Factor = 2,
        super_resolution_inference: Inference = "descent",
        upscaling_steps: int = 50,
        upscaling_step_size: float = 1e-5,
        upscaling_start_noise: float = 0.02,
        total_variation_weight: float = 0.0,
        downscaling_consistency_weight: float = 0.0,
        statistics_fine_tuning_start_round: int = 0,
        negative_sampler: Negative = "descent",
        negative_steps: int = 10,
        margin: float = 1.0,
        l2_to_initial_statistics: float = 1.0,
    ):
        shape = tuple(measure.shape)
        why = "the model is of a large image given a small one; see energy_given"
        super().__init__(Undefined(shape, why))
        if upscaling_factor not in get_args(Factor):
            raise ValueError(f"upscaling_factor must be 2, 3 or 4, not {upscaling_factor}")
        check_picture(shape, upscaling_factor)
        check_choice("negative_sampler", negative_sampler, get_args(Negative))
        check_at_least("negative_steps", negative_steps, 1)
        check_at_least("statistics_fine_tuning_start_round", statistics_fine_tuning_start_round, 0)
        check_positive("upscaling_step_size", upscaling_step_size)
        check_positive("margin", margin)
        check_weight("upscaling_start_noise", upscaling_start_noise)
        check_weight("total_variation_weight", total_variation_weight)
        check_weight("downscaling_consistency_weight", downscaling_consistency_weight)
        check_weight("l2_to_initial_statistics", l2_to_initial_statistics)
        self.upsampler = upsampler
        self.sufficient_statistics = sufficient_statistics
        self.sufficient_statistics_predictor = sufficient_statistics_predictor
        self.upscaling_factor = upscaling_factor
        self.upscaling_step_size = upscaling_step_size
        self.upscaling_start_noise = upscaling_start_noise
        self.total_variation_weight = total_variation_weight
        self.downscaling_consistency_weight = downscaling_consistency_weight
        self.statistics_fine_tuning_start_round = statistics_fine_tuning_start_round
        self.negative_sampler = negative_sampler
        self.negative_steps = negative_steps
        self.margin = margin
        self.l2_to_initial_statistics = l2_to_initial_statistics
        self.adjust(super_resolution_inference, upscaling_steps)
        with torch.no_grad():
            maps = call_frozen(sufficient_statistics, torch.zeros(1, *shape)).shape[1]
        self.register_buffer("squares", torch.ones(maps, 1, 1))
        self.squares: Tensor
        for number, theta in enumerate(sufficient_statistics.parameters()):
            self.register_buffer(f"start_{number}", theta.detach().clone())

    def adjust(
        self,
        super_resolution_inference: Inference | None = None,
        upscaling_steps: int | None = None,
    ) -> None:
        """Infer in another way from now on, or for another number of steps; None leaves it as it is."""
        if super_resolution_inference is not None:
            check_choice(
                "super_resolution_inference", super_resolution_inference, get_args(Inference)
            )
            if super_resolution_inference == "variational" and self.total_variation_weight == 0:
                raise ValueError(
                    "the variational inference needs a total_variation_weight above 0, such as 0.01"
                )
            self.super_resolution_inference: Inference = super_resolution_inference
        if upscaling_steps is not None:
            check_at_least("upscaling_steps", upscaling_steps, 1)
            self.upscaling_steps = upscaling_steps

    @property
    def scale(self) -> Tensor:
        """Units of the statistics, ``[K, 1, 1]``: root mean squared errors at the point estimate."""
        return self.squares.sqrt().clamp_min(1e-4)

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        """Upsampler and predictor on one batch; once fine-tuning, statistics and predictor."""
        y = next(data).x
        x = downscale(y, self.upscaling_factor)
        if (
            self.statistics_fine_tuning_start_round == 0
            or index < self.statistics_fine_tuning_start_round
        ):
            yield PlayerUpdate("upsampler", self.upsampler_loss, (x, y))
            self.measure_errors(x, y, index)
            yield PlayerUpdate("sufficient_statistics_predictor", self.regression_loss, (x, y))
        else:
            y_model = self.negatives(x, index, rng)
            yield PlayerUpdate("sufficient_statistics", self.fine_tuning_loss, (x, y, y_model))
            yield PlayerUpdate(
                "sufficient_statistics_predictor", self.fine_tuning_loss, (x, y, y_model)
            )

    @torch.no_grad()
    def measure_errors(self, x: Tensor, y: Tensor, index: int) -> None:
        """Bring the units of the statistics up to date with the point estimate."""
        estimate = call_frozen(self.upsampler, x)
        error = call_frozen(self.sufficient_statistics, y) - call_frozen(
            self.sufficient_statistics, estimate
        )
        now = error.square().mean((0, 2, 3))[:, None, None]
        self.squares.lerp_(now, 1.0 if index == 0 else 1.0 - MEMORY)

    def upsampler_loss(self, x: Tensor, y: Tensor) -> Loss:
        """mean |G(x) - y|^2 per number, G the point estimate."""
        value = (self.upsampler(x) - y).square().mean()
        return Loss(value)

    def regression_loss(self, x: Tensor, y: Tensor) -> Loss:
        """Stage 1: mean |Phi(x) - Psi(y)|^2 per statistic; Psi and the point estimate are still."""
        with torch.no_grad():
            truth = call_frozen(self.sufficient_statistics, y)
            estimated = call_frozen(self.sufficient_statistics, call_frozen(self.upsampler, x))
        error = (self.sufficient_statistics_predictor(estimated) - truth) / self.scale
        untrained = ((estimated - truth) / self.scale).square().mean()
        return Loss(error.square().mean(), {"untrained": untrained})

    def fine_tuning_loss(self, x: Tensor, y: Tensor, y_model: Tensor) -> Loss:
        """Stage 2: mean E(y; x) + mean [m - E(y_model; x)]^+ + weight |theta - theta_0|^2.

        The weight is ``l2_to_initial_statistics``, E is per statistic. With Langevin negatives
        -mean E(y_model; x) takes the hinge's place: then it is the gradient of -log p(y|x), up to a
        constant factor and the chains' error; not bounded below.
        """
        prediction = self.predicted(x)
        truth = self.per_statistic(prediction, y)
        model = self.per_statistic(prediction, y_model)
        rest = (
            torch.relu(self.margin - model).mean()
            if self.negative_sampler == "descent"
            else -model.mean()
        )
        value = truth.mean() + rest + self.l2_to_initial_statistics * self.distance_from_start()
        logs = {"energy_data": truth.detach().mean(), "energy_model": model.detach().mean()}
        return Loss(value, logs)

    def predicted(self, x: Tensor) -> Tensor:
        """Phi(x), ``[B, C, h, w] -> [B, K, h', w']``: the predictor on the point estimate's statistics."""
        estimate = call_frozen(self.upsampler, x).detach()
        statistics = self.sufficient_statistics(estimate)
        prediction: Tensor = self.sufficient_statistics_predictor(statistics)
        return prediction

    def per_statistic(self, prediction: Tensor, y: Tensor) -> Tensor:
        """|Phi(x) - Psi(y)|^2 over the number of statistics, ``[B]``."""
        error = (prediction - self.sufficient_statistics(y)) / self.scale
        return error.square().flatten(1).mean(1)

    def distance_from_start(self) -> Tensor:
        """|theta - theta_0|^2 of the parameters of Psi, scalar."""
        parts = [
            (theta - getattr(self, f"start_{number}")).square().sum()
            for number, theta in enumerate(self.sufficient_statistics.parameters())
        ]
        return torch.stack(parts).sum()

    @torch.no_grad()
    def energy_given(self, x: Tensor) -> ConditionalEnergy:
        """E(.; x) of ``x [B or 1, C, h, w]`` as a function of y, for samplers and descents."""
        return ConditionalEnergy(
            self.sufficient_statistics,
            x,
            self.predicted(x),
            self.scale,
            self.upscaling_factor,
            self.total_variation_weight,
            self.downscaling_consistency_weight,
        )

    @torch.no_grad()
    def start(self, x: Tensor, rng: Generator) -> Tensor:
        """The point estimate and noise, within the box, ``[B, C, f h, f w]``."""
        y = call_frozen(self.upsampler, x)
        noise = torch.randn(y.shape, generator=rng, device=y.device, dtype=y.dtype)
        return (y + self.upscaling_start_noise * noise).clamp(*BOX)

    def negatives(self, x: Tensor, index: int, rng: Generator) -> Tensor:
        """y_model ``[B, C, f h, f w]``; NonFiniteError where the energy is NaN or infinite."""
        try:
            start, energy = self.start(x, rng), self.energy_given(x)
            return self.inferred(energy, start, self.negative_sampler, self.negative_steps, rng)
        except ValueError as error:
            raise NonFiniteError(
                f"player 'sufficient_statistics' in round {index}: {error}"
            ) from error

    def inferred(
        self, energy: Energy, start: Tensor, how: str, steps: int, rng: Generator
    ) -> Tensor:
        """Where the descent or the Langevin chain from ``start`` ends, ``[B, C, f h, f w]``."""
        if how == "descent":
            return descend(energy, start, steps, self.upscaling_step_size, BOX)
        chain = ula(energy, self.upscaling_step_size, box=BOX)
        return run_chains(chain, start, steps, rng, keep="last").state.x

    @torch.no_grad()
    def complete(self, x: Tensor, rng: Generator) -> Tensor:
        """One y for each row of ``x [B, C, h, w]``, of any size, ``[B, C, f h, f w]``."""
        if self.super_resolution_inference == "variational":
            return variational_inverse(
                x, self.upscaling_factor, self.total_variation_weight, self.upscaling_steps, BOX
            )
        if self.super_resolution_inference == "point":
            return call_frozen(self.upsampler, x).clamp(*BOX)
        energy = self.energy_given(x)
        return self.inferred(
            energy, self.start(x, rng), self.super_resolution_inference, self.upscaling_steps, rng
        )

    @torch.no_grad()
    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        """``[n, C, f h, f w]``: n inferences of y given one small image ``given [C, h, w]``.

        The point estimate and the variational baseline are the same n times. ValueError without a
        image, or for one with other channels.
        """
        if given is None:
            raise ValueError(
                "super-resolution samples a large image given a small one; give it one, as "
                "`gibbsian upscale RUN photo.png` does"
            )
        channels = self.measure.shape[0]
        if given.ndim != 3 or given.shape[0] != channels:
            raise ValueError(
                f"the small image must have shape [{channels}, h, w], not {list(given.shape)}"
            )
        return self.complete(given.expand(n, *given.shape), rng)
