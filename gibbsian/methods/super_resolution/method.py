"""Super-resolution by convolutional sufficient statistics (Bruna, Sprechmann, LeCun 2016)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal, get_args

import torch
from torch import Generator, Tensor, nn

from gibbsian.core import Batch, Energy, Loss, NonFiniteError, PlayerUpdate, TrainingMethod
from gibbsian.core.imaging import downscale, variational_inverse
from gibbsian.core.measures import Measure, Undefined
from gibbsian.core.numerics import call_frozen
from gibbsian.core.roles import Role
from gibbsian.methods.checks import check_at_least, check_choice, check_positive, check_weight
from gibbsian.methods.super_resolution.builders import POINT, PREDICTOR, STATISTICS
from gibbsian.methods.super_resolution.completion import BOX, ConditionalEnergy, check_picture
from gibbsian.methods.super_resolution.descent import descend
from gibbsian.samplers import run_chains, ula

MEMORY = 0.99
"""Of the running mean of squared errors that the statistics are measured in."""

Inference = Literal["descent", "langevin", "point", "variational"]
Negative = Literal["descent", "langevin"]
Factor = Literal[2, 3, 4]


class SuperResolution(TrainingMethod):
    """Super-resolution: a small picture x is completed to y by a conditional Gibbs model.

    p(y|x) is proportional to exp(-|Phi(x) - Psi(y)|^2) with statistics Psi of a convolutional
    network (Bruna, Sprechmann, LeCun 2016). The data are large pictures y; x = U(y) is made from
    them by antialiased bicubic downscaling. A point estimate learns y by least squares, Phi learns
    E[Psi(y)|x] by regression, as a correction of the estimate's own statistics; y is then inferred
    by descending the energy from the point estimate, whose missing texture the statistics ask for.
    Statistics that both the estimate and the truth show alike are trusted most: each is
    measured in units of its root mean squared error at the point estimate, which is ours.
    The regression is not maximum likelihood. Fine-tuning is meant to be: it lowers the energy of the truth
    and raises that of negatives, which are either where the descent ends (modes, not samples; the loss
    then needs its margin) or Langevin samples (the honest gradient, as far as the chains mix).

    Args:
        factor: how much larger y is than x in each direction.
        inference: what a sample is: the end of a descent from the point estimate or of a Langevin chain
            started there, the point estimate itself, or the variational
            baseline argmin 1/2 |U(y) - x|^2 + tv |grad y|_1, which needs no training.
        steps: of the inference.
        step_size: h of the descent at first (it adapts) and of Langevin, y' = y - h grad E + noise; a
            chain on photographs wants 1e-6, less than the squared errors of the statistics.
        start_noise: standard deviation of what is added to the point estimate before the descent, so
            that samples differ.
        tv: weight of the total variation of y in the inference, against textures of one pixel.
        consistency: weight of |U(y) - x|^2 in the inference.
        fine_tune_from: round from which on statistics and predictor are fine-tuned and the point
            estimate stays; 0 for never.
        negative: of fine-tuning, from the same start: descent or langevin.
        negative_steps: of the descent or chain of a negative.
        margin: m of [m - E]^+, per statistic: up to which the energy of descent negatives is raised.
        decay: weight of |theta - theta_0|^2, which holds fine-tuned statistics near their start.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "point": ("point",),
        "predictor": ("predictor",),
        "statistics": ("statistics",),
    }
    roles: ClassVar[Mapping[str, Role]] = {
        "point": POINT,
        "statistics": STATISTICS,
        "predictor": PREDICTOR,
    }
    staged: ClassVar[tuple[str, ...]] = ("statistics",)
    conditional: ClassVar[bool] = True

    def __init__(
        self,
        point: nn.Module,
        statistics: nn.Module,
        predictor: nn.Module,
        measure: Measure | Undefined,
        *,
        factor: Factor = 2,
        inference: Inference = "descent",
        steps: int = 50,
        step_size: float = 1e-5,
        start_noise: float = 0.02,
        tv: float = 0.0,
        consistency: float = 0.0,
        fine_tune_from: int = 0,
        negative: Negative = "descent",
        negative_steps: int = 10,
        margin: float = 1.0,
        decay: float = 1.0,
    ):
        shape = tuple(measure.shape)
        why = "the model is of a large picture given a small one; see energy_given"
        super().__init__(Undefined(shape, why))
        if factor not in get_args(Factor):
            raise ValueError(f"factor must be 2, 3 or 4, not {factor}")
        check_picture(shape, factor)
        check_choice("negative", negative, get_args(Negative))
        check_at_least("negative_steps", negative_steps, 1)
        check_at_least("fine_tune_from", fine_tune_from, 0)
        check_positive("step_size", step_size)
        check_positive("margin", margin)
        check_weight("start_noise", start_noise)
        check_weight("tv", tv)
        check_weight("consistency", consistency)
        check_weight("decay", decay)
        self.point = point
        self.statistics = statistics
        self.predictor = predictor
        self.factor = factor
        self.step_size = step_size
        self.start_noise = start_noise
        self.tv = tv
        self.consistency = consistency
        self.fine_tune_from = fine_tune_from
        self.negative = negative
        self.negative_steps = negative_steps
        self.margin = margin
        self.decay = decay
        self.adjust(inference, steps)
        with torch.no_grad():
            maps = call_frozen(statistics, torch.zeros(1, *shape)).shape[1]
        self.register_buffer("squares", torch.ones(maps, 1, 1))
        self.squares: Tensor
        for number, theta in enumerate(statistics.parameters()):
            self.register_buffer(f"start_{number}", theta.detach().clone())

    def adjust(self, inference: Inference | None = None, steps: int | None = None) -> None:
        """Infer in another way from now on, or for another number of steps; None leaves it as it is."""
        if inference is not None:
            check_choice("inference", inference, get_args(Inference))
            if inference == "variational" and self.tv == 0:
                raise ValueError(
                    "the variational inference needs a weight tv above 0, such as 0.01"
                )
            self.inference: Inference = inference
        if steps is not None:
            check_at_least("steps", steps, 1)
            self.steps = steps

    @property
    def scale(self) -> Tensor:
        """Units of the statistics, ``[K, 1, 1]``: root mean squared errors at the point estimate."""
        return self.squares.sqrt().clamp_min(1e-4)

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        """Point estimate and predictor on one batch; once fine-tuning, statistics and predictor."""
        y = next(data).x
        x = downscale(y, self.factor)
        if self.fine_tune_from == 0 or index < self.fine_tune_from:
            yield PlayerUpdate("point", self.point_loss, (x, y))
            self.measure_errors(x, y, index)
            yield PlayerUpdate("predictor", self.regression_loss, (x, y))
        else:
            y_model = self.negatives(x, index, rng)
            yield PlayerUpdate("statistics", self.fine_tuning_loss, (x, y, y_model))
            yield PlayerUpdate("predictor", self.fine_tuning_loss, (x, y, y_model))

    @torch.no_grad()
    def measure_errors(self, x: Tensor, y: Tensor, index: int) -> None:
        """Bring the units of the statistics up to date with the point estimate."""
        estimate = call_frozen(self.point, x)
        error = call_frozen(self.statistics, y) - call_frozen(self.statistics, estimate)
        now = error.square().mean((0, 2, 3))[:, None, None]
        self.squares.lerp_(now, 1.0 if index == 0 else 1.0 - MEMORY)

    def point_loss(self, x: Tensor, y: Tensor) -> Loss:
        """mean |G(x) - y|^2 per number, G the point estimate."""
        value = (self.point(x) - y).square().mean()
        return Loss(value)

    def regression_loss(self, x: Tensor, y: Tensor) -> Loss:
        """Stage 1: mean |Phi(x) - Psi(y)|^2 per statistic; Psi and the point estimate are still."""
        with torch.no_grad():
            truth = call_frozen(self.statistics, y)
            estimated = call_frozen(self.statistics, call_frozen(self.point, x))
        error = (self.predictor(estimated) - truth) / self.scale
        untrained = ((estimated - truth) / self.scale).square().mean()
        return Loss(error.square().mean(), {"untrained": untrained})

    def fine_tuning_loss(self, x: Tensor, y: Tensor, y_model: Tensor) -> Loss:
        """Stage 2: mean E(y; x) + mean [m - E(y_model; x)]^+ + decay |theta - theta_0|^2.

        E is per statistic. With Langevin negatives -mean E(y_model; x) takes the hinge's place: then
        it is the gradient of -log p(y|x), up to a constant factor and the chains' error; not bounded
        below.
        """
        prediction = self.predicted(x)
        truth = self.per_statistic(prediction, y)
        model = self.per_statistic(prediction, y_model)
        rest = (
            torch.relu(self.margin - model).mean() if self.negative == "descent" else -model.mean()
        )
        value = truth.mean() + rest + self.decay * self.distance_from_start()
        logs = {"energy_data": truth.detach().mean(), "energy_model": model.detach().mean()}
        return Loss(value, logs)

    def predicted(self, x: Tensor) -> Tensor:
        """Phi(x), ``[B, C, h, w] -> [B, K, h', w']``: the predictor on the point estimate's statistics."""
        estimate = call_frozen(self.point, x).detach()
        prediction: Tensor = self.predictor(self.statistics(estimate))
        return prediction

    def per_statistic(self, prediction: Tensor, y: Tensor) -> Tensor:
        """|Phi(x) - Psi(y)|^2 over the number of statistics, ``[B]``."""
        error = (prediction - self.statistics(y)) / self.scale
        return error.square().flatten(1).mean(1)

    def distance_from_start(self) -> Tensor:
        """|theta - theta_0|^2 of the parameters of Psi, scalar."""
        parts = [
            (theta - getattr(self, f"start_{number}")).square().sum()
            for number, theta in enumerate(self.statistics.parameters())
        ]
        return torch.stack(parts).sum()

    @torch.no_grad()
    def energy_given(self, x: Tensor) -> ConditionalEnergy:
        """E(.; x) of ``x [B or 1, C, h, w]`` as a function of y, for samplers and descents."""
        return ConditionalEnergy(
            self.statistics,
            x,
            self.predicted(x),
            self.scale,
            self.factor,
            self.tv,
            self.consistency,
        )

    @torch.no_grad()
    def start(self, x: Tensor, rng: Generator) -> Tensor:
        """The point estimate and noise, within the box, ``[B, C, f h, f w]``."""
        y = call_frozen(self.point, x)
        noise = torch.randn(y.shape, generator=rng, device=y.device, dtype=y.dtype)
        return (y + self.start_noise * noise).clamp(*BOX)

    def negatives(self, x: Tensor, index: int, rng: Generator) -> Tensor:
        """y_model ``[B, C, f h, f w]``; NonFiniteError where the energy is NaN or infinite."""
        try:
            start, energy = self.start(x, rng), self.energy_given(x)
            return self.inferred(energy, start, self.negative, self.negative_steps, rng)
        except ValueError as error:
            raise NonFiniteError(f"player 'statistics' in round {index}: {error}") from error

    def inferred(
        self, energy: Energy, start: Tensor, how: str, steps: int, rng: Generator
    ) -> Tensor:
        """Where the descent or the Langevin chain from ``start`` ends, ``[B, C, f h, f w]``."""
        if how == "descent":
            return descend(energy, start, steps, self.step_size, BOX)
        chain = ula(energy, self.step_size, box=BOX)
        return run_chains(chain, start, steps, rng, keep="last").state.x

    @torch.no_grad()
    def complete(self, x: Tensor, rng: Generator) -> Tensor:
        """One y for each row of ``x [B, C, h, w]``, of any size, ``[B, C, f h, f w]``."""
        if self.inference == "variational":
            return variational_inverse(x, self.factor, self.tv, self.steps, BOX)
        if self.inference == "point":
            return call_frozen(self.point, x).clamp(*BOX)
        energy = self.energy_given(x)
        return self.inferred(energy, self.start(x, rng), self.inference, self.steps, rng)

    @torch.no_grad()
    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        """``[n, C, f h, f w]``: n inferences of y given one small picture ``given [C, h, w]``.

        The point estimate and the variational baseline are the same n times. ValueError without a
        picture, or for one with other channels.
        """
        if given is None:
            raise ValueError(
                "super-resolution samples a large picture given a small one; give it one, as "
                "`gibbsian upscale RUN photo.png` does"
            )
        channels = self.measure.shape[0]
        if given.ndim != 3 or given.shape[0] != channels:
            raise ValueError(
                f"the small picture must have shape [{channels}, h, w], not {list(given.shape)}"
            )
        return self.complete(given.expand(n, *given.shape), rng)
