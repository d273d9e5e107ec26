"""Energy matching: one potential, whose gradient carries noise to the data and whose wells weigh them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from gibbsian.core import Batch, Loss, NonFiniteError, PlayerUpdate, TrainingMethod, check_energy
from gibbsian.core.measures import Gaussian, Measure, Undefined
from gibbsian.core.roles import ENERGY, Role
from gibbsian.methods._langevin import LangevinSampler, SamplerOptions
from gibbsian.methods.checks import check_at_least, check_positive, check_weight, refuse_given
from gibbsian.methods.gradient_flow import (
    annealed_flow,
    flow_log_density,
    gradient_flow,
    optimal_coupling,
)


class PotentialEnergy(nn.Module):
    """E(x) = V(x) / epsilon, nats: the equilibrium of Langevin dynamics in V at temperature epsilon."""

    def __init__(self, potential: nn.Module, temperature: float):
        super().__init__()
        self.potential = potential
        self.temperature = temperature

    def forward(self, x: Tensor) -> Tensor:
        """``[B, *event] -> [B]``."""
        return self.V(x) / self.temperature

    def V(self, x: Tensor) -> Tensor:
        """The potential itself, ``[B, *event] -> [B]``."""
        return check_energy(self.potential(x), len(x))


class EnergyMatching(TrainingMethod):
    """Energy matching (Balcerak et al. 2025): flow matching on the gradient of a scalar, then contrast.

    Far from the data -grad V is the velocity of optimal transport from N(0, I) to the data: it is fitted
    to x1 - x0 at x_t = (1 - t) x0 + t x1 with x0 and x1 coupled within the batch; V knows no time. After
    ``warmup_rounds`` of this it is fitted less and less from ``noise_start_time`` to t = 1, where the data
    are, and contrastive divergence at temperature epsilon is added, whose negatives
    start at data and at noise that the flow has carried over, so that exp(-V / epsilon) becomes the
    density of the data near them. Samples are made the same way: noise, flow, Langevin steps.

    Args:
        warmup_rounds: of flow matching alone, at the start.
        temperature: epsilon; the model is exp(-V / epsilon).
        contrastive_weight: lambda of mean V(data) - mean V(negatives) beside flow matching.
        flow_time: up to which the flow carries noise before the chains at temperature epsilon begin.
        noise_start_time: from which on epsilon(t) rises linearly from 0, to reach ``temperature`` at
            ``flow_time``; at or after that, all of the flow is without noise. With contrast the weight of
            flow matching falls from there to 0 at t = 1.
        flow_steps: Heun steps of the flow, and Euler-Maruyama steps where there is noise in it.
        sampler: of the chains of exp(-V / epsilon) that make negatives and samples.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"energy": ("energy",)}
    roles: ClassVar[Mapping[str, Role]] = {"energy": ENERGY.but(images="mlp")}

    def __init__(
        self,
        energy: nn.Module,
        measure: Measure | Undefined,
        *,
        warmup_rounds: int = 2_000,
        temperature: float = 0.01,
        contrastive_weight: float = 1e-3,
        flow_time: float = 1.0,
        noise_start_time: float = 1.0,
        flow_steps: int = 20,
        sampler: SamplerOptions = SamplerOptions(steps=20, step_size=1e-4, steps_per_sample=100),
    ):
        super().__init__(measure)
        check_at_least("warmup_rounds", warmup_rounds, 0)
        check_positive("temperature", temperature)
        check_weight("contrastive_weight", contrastive_weight)
        check_positive("flow_time", flow_time)
        check_weight("noise_start_time", noise_start_time)
        check_at_least("flow_steps", flow_steps, 1)
        self.energy = PotentialEnergy(energy, temperature)
        self.sampler = LangevinSampler(measure, sampler)
        self.warmup, self.contrastive_weight = warmup_rounds, contrastive_weight
        self.flow_time, self.flow_steps = flow_time, flow_steps
        self.noise_start_time = min(noise_start_time, flow_time)

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        """One step of flow matching; after the warm-up one of flow matching and contrast, with fresh rows.

        Raises NonFiniteError when the energy of a negative is NaN or infinite.
        """
        points, velocity, weight = self.paths(next(data).x, rng)
        if index < self.warmup:
            yield PlayerUpdate("energy", self.matching_loss, (points, velocity))
            return
        x = next(data).x
        try:
            x_model = self.negatives(x, rng)
        except ValueError as error:
            raise NonFiniteError(f"player 'energy' in round {index}: {error}") from error
        yield PlayerUpdate("energy", self.contrastive_loss, (points, velocity, weight, x, x_model))

    def paths(self, x1: Tensor, rng: Generator) -> tuple[Tensor, Tensor, Tensor]:
        """x_t, x1 - x0, both ``[B, *event]``, and w(t), ``[B]``, at uniform times t.

        x0 from N(0, I) is coupled with data ``x1``. w(t) is 1 up to ``noise_start_time`` and falls linearly
        to 0 at t = 1: beside the data the velocity, which points out of them, would outweigh the contrast.
        """
        x0 = Gaussian(tuple(x1.shape[1:])).sample(len(x1), rng).to(x1.dtype)
        x1 = optimal_coupling(x0, x1)
        t = torch.rand(len(x1), generator=rng, device=x1.device, dtype=x1.dtype)
        onset = self.noise_start_time
        weight = ((1 - t) / (1 - onset)).clamp(max=1) if onset < 1 else torch.ones_like(t)
        return torch.lerp(x0, x1, t.view(-1, *[1] * (x1.dim() - 1))), x1 - x0, weight

    @torch.no_grad()
    def negatives(self, x: Tensor, rng: Generator) -> Tensor:
        """``[B, *event]``: half of the rows ``x`` and as much noise as is needed, by flow and chains."""
        at_data = x[: len(x) // 2]
        carried = self.carried(len(x) - len(at_data), rng)
        return self.sampler.step(self.energy, torch.cat([at_data, carried.to(x.dtype)]), rng)

    @torch.no_grad()
    def carried(self, n: int, rng: Generator) -> Tensor:
        """``[n, *event]``: draws of N(0, I) carried to ``flow_time``, inside the box if there is one."""
        x, V = Gaussian(self.measure.shape).sample(n, rng), self.energy.V
        onset, end = self.noise_start_time, self.flow_time
        if onset > 0:
            x = gradient_flow(V, x, onset, math.ceil(self.flow_steps * onset / end))
        if onset < end:
            noisy = math.ceil(self.flow_steps * (1 - onset / end))
            x = annealed_flow(V, x, onset, end, self.energy.temperature, noisy, rng)
        return self.sampler.inside(x)

    def matching_loss(self, points: Tensor, velocity: Tensor, weight: Tensor | None = None) -> Loss:
        """mean w |-grad V(x_t) - (x1 - x0)|^2 at ``points`` x_t with ``velocity`` x1 - x0, ``[B, *event]``.

        ``weight`` w, ``[B]``, is 1 unless given.
        """
        slope, total = torch.func.grad_and_value(self.total_potential)(points)
        misses = (slope + velocity).flatten(1).square().sum(1)
        value = (misses if weight is None else weight * misses).mean()
        # No gradient knows the potential's constant: it is reached, as all a player has must be, and stays.
        return Loss(value + 0.0 * total, {"matching": value.detach()})

    def total_potential(self, x: Tensor) -> Tensor:
        """Sum of V over the rows of ``x [B, *event]``, 0-d."""
        return self.energy.V(x).sum()

    def contrastive_loss(
        self, points: Tensor, velocity: Tensor, weight: Tensor, x: Tensor, x_model: Tensor
    ) -> Loss:
        """The weighted matching loss + contrastive_weight (mean V(x) - mean V(x_model)).

        All ``[B, *event]`` but ``weight [B]``.
        """
        loss = self.matching_loss(points, velocity, weight)
        data, model = self.energy.V(x).mean(), self.energy.V(x_model).mean()
        logs = {"potential_data": data.detach(), "potential_model": model.detach()}
        return Loss(loss.value + self.contrastive_weight * (data - model), {**loss.logs, **logs})

    @torch.no_grad()
    def flow_log_prob(self, x: Tensor, steps: int = 40) -> Tensor:
        """log-density of what the flow alone makes of N(0, I), ``[B, *event] -> [B]``, nats.

        By the divergence along the flow, for a flow without noise; a check of the matching, and not the
        density of the model. Raises ValueError where the flow has noise in it.
        """
        if self.noise_start_time < self.flow_time:
            raise ValueError(
                "a flow with noise has no density by its divergence; set noise_start_time to flow_time"
            )
        return flow_log_density(self.energy.V, x, self.flow_time, steps)

    @torch.no_grad()
    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        """``[n, *event]``: noise carried over by the flow, then chains of exp(-V / epsilon)."""
        refuse_given(given)
        return self.sampler.sample(self.energy, self.carried(n, rng), rng)
