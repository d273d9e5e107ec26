"""A flow that is trained first, then tilted: p(x) = q(x) exp(s T(x)) / Z with q exact and T bounded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor, nn

from gibbsian.bounds.kale import effective_share, kale
from gibbsian.core import Batch, Loss, PlayerUpdate, TrainingMethod, check_energy
from gibbsian.core.measures import Box, Gaussian, Measure, Undefined
from gibbsian.core.numerics import log_mean_exp_with_error
from gibbsian.core.roles import ENERGY, FLOW, Role
from gibbsian.methods.checks import check_at_least, check_choice, check_positive, refuse_given
from gibbsian.methods.flow import support_of
from gibbsian.methods.invertible import as_invertible, log_density
from gibbsian.methods.nce import logistic_loss
from gibbsian.samplers import importance_ess
from gibbsian.samplers.importance import resample_by_weight

NOISE, DRAWS = 65_536, 32_768
"""Draws of q that T is told from data by, and others that log Z of every scale is estimated from at a look
at the validation rows. They are made once: a step of T on fresh ones would cost several times as much."""
DRAWS_SEED = 7_919
"""Of these draws; those that evaluation uses come from another."""
MOST_ERROR, LEAST_SHARE = 0.02, 0.01
"""A scale is admitted if the standard error of its log Z, in nats, is at most the first and the effective
share of the draws at least the second."""
SCALES = torch.linspace(0.0, 1.0, 11, dtype=torch.float64)
"""Scales s among which validation chooses; 0 is the flow itself."""
CANDIDATES, FEWEST = 10, 2_000
"""Candidates per sample of sampling-importance-resampling, and the least number of them."""


class TiltedFlow(TrainingMethod):
    """A flow, trained until validation rows no longer gain, then tilted by a bounded function of x.

    p(x) = q(x) exp(s T(x)) / Z, T = c tanh(-E / c), |T| <= c, with E the energy network. Stage one is maximum
    likelihood of the flow q. In stage two q is frozen at its best weights and T tells data from draws of q:
    noise-contrastive estimation with q as noise (Gutmann, Hyvarinen 2012), in whose logit T - A the
    density of q cancels, or KALE (Arbel, Zhou, Gretton 2021) with q as base. Z = E_q[exp(s T)] is estimated
    without bias by draws of q, whose weights are bounded. The scale s is chosen on validation rows, 0
    among others, so that a tilt that does not help leaves the flow.

    Args:
        tilt_objective: nce, or kale, whose ascent is noisier.
        tilt_bound: c, nats; the tilt changes no log-density by more, log Z apart.
        noise_ratio: draws of the flow per row of data in stage two.
        energy_steps: steps of T, each on a fresh batch, per round of stage two.
        flow_early_stopping_patience: looks at the validation rows without a gain after which the flow stops.
        max_flow_rounds_fraction: share of the rounds after which it stops in any case.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "flow": ("flow",),
        "energy": ("potential", "A"),
    }
    roles: ClassVar[Mapping[str, Role]] = {"flow": FLOW, "energy": ENERGY.but(default="mlp")}
    staged: ClassVar[tuple[str, ...]] = ("energy",)

    def __init__(
        self,
        flow: nn.Module,
        energy: nn.Module,
        measure: Measure | Undefined,
        *,
        tilt_objective: Literal["nce", "kale"] = "nce",
        tilt_bound: float = 6.0,
        noise_ratio: int = 4,
        energy_steps: int = 5,
        flow_early_stopping_patience: int = 10,
        max_flow_rounds_fraction: float = 0.6,
    ):
        check_choice("tilt_objective", tilt_objective, ("nce", "kale"))
        check_positive("tilt_bound", tilt_bound)
        check_at_least("noise_ratio", noise_ratio, 1)
        check_at_least("energy_steps", energy_steps, 1)
        check_at_least("flow_early_stopping_patience", flow_early_stopping_patience, 1)
        if not 0 < max_flow_rounds_fraction <= 1:
            raise ValueError(
                f"max_flow_rounds_fraction must lie in (0, 1], not {max_flow_rounds_fraction}"
            )
        support = support_of(flow, measure)
        super().__init__(support)
        as_invertible(flow)
        self.support = support
        self.flow, self.potential = flow, energy
        self.A = nn.Parameter(torch.zeros(()))
        self.base = Gaussian((math.prod(measure.shape),))
        self.tilt_objective, self.tilt_bound = tilt_objective, tilt_bound
        self.noise_ratio, self.energy_steps = noise_ratio, energy_steps
        self.flow_early_stopping_patience, self.max_flow_rounds_fraction = (
            flow_early_stopping_patience,
            max_flow_rounds_fraction,
        )
        self.register_buffer("scale", torch.zeros(()))
        self.register_buffer("tilting", torch.zeros((), dtype=torch.bool))
        self.register_buffer("looks_without_gain", torch.zeros((), dtype=torch.int64))
        # Made again from a seed where it is needed, and so no part of what is saved.
        self.register_buffer("draws", torch.empty(0, *measure.shape), persistent=False)
        self.scale: Tensor
        self.tilting: Tensor
        self.looks_without_gain: Tensor
        self.draws: Tensor
        self.stage_two: bool | None = None  # `tilting` on the host; None: not asked yet
        self.register_load_state_dict_post_hook(forget_stage)

    def in_stage_two(self) -> bool:
        """Whether the flow is frozen; the device is asked once a stage, not once a round."""
        if self.stage_two is None:
            self.stage_two = bool(self.tilting)
        return self.stage_two

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        """One step of the flow in stage one; in stage two steps of T and A against draws of it."""
        if not self.in_stage_two():
            yield PlayerUpdate("flow", self.flow_loss, (next(data).x,))
            return
        if len(self.draws) == 0:
            seeded = Generator(rng.device).manual_seed(DRAWS_SEED)
            self.draws = self.draw_flow(NOISE + DRAWS, seeded)
        for _ in range(self.energy_steps):
            x = next(data).x
            size = (self.noise_ratio * len(x),)
            chosen = torch.randint(NOISE, size, generator=rng, device=rng.device)
            yield PlayerUpdate("energy", self.tilt_loss, (x, self.draws[chosen]))

    def flow_loss(self, x: Tensor) -> Loss:
        """-mean log q(x) of ``x [B, *event]``, nats per row; ValueError for rows outside the flow's box."""
        return Loss(-log_density(as_invertible(self.flow), self.base, x).mean())

    def tilt_loss(self, x: Tensor, x_flow: Tensor) -> Loss:
        """The logistic loss, or minus KALE, of T - A at data ``x [B, *event]`` and at draws of q."""
        T_data, T_flow = self.tilt(x), self.tilt(x_flow)
        logs = {
            "A": self.A.detach().clone(),
            "effective_share": effective_share(-T_flow.detach()),
        }
        if self.tilt_objective == "kale":
            return Loss(-kale(-T_data, -T_flow, self.A), logs)
        return Loss(logistic_loss(T_data - self.A, T_flow - self.A, self.noise_ratio), logs)

    def tilt(self, x: Tensor) -> Tensor:
        """T(x), ``[B, *event] -> [B]``, nats, between -tilt_bound and tilt_bound."""
        E = check_energy(self.potential(x), len(x))
        return self.tilt_bound * torch.tanh(-E / self.tilt_bound)

    @torch.no_grad()
    def draw_flow(self, n: int, rng: Generator) -> Tensor:
        """``[n, *event]`` independent draws of q."""
        x: Tensor = self.flow(self.base.sample(n, rng))
        return x

    def flow_log_prob(self, x: Tensor) -> Tensor:
        """log q(x), ``[B, *event] -> [B]``, nats; -inf outside the flow's box."""
        support = self.support
        inside = x.clamp(support.low, support.high) if isinstance(support, Box) else x
        log_q = log_density(as_invertible(self.flow), self.base, inside)
        return log_q + support.log_density(x)

    def energy(self, x: Tensor) -> Tensor:
        """-log q(x) - s T(x), ``[B, *event] -> [B]``: the density is exp(-energy) / Z."""
        return -self.flow_log_prob(x) - self.scale * self.tilt(x)

    @torch.no_grad()
    def z_log_weights(self, n: int, rng: Generator) -> Tensor:
        """s T at n fresh draws of q, ``[n]``: the mean of their exponentials is Z, without bias."""
        return self.scale * self.tilt(self.draw_flow(n, rng))

    @torch.no_grad()
    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        """``[n, *event]``: draws of q, in stage two resampled by exp(s T) from ten times as many."""
        refuse_given(given)
        if float(self.scale) == 0.0:
            return self.draw_flow(n, rng)
        x = self.draw_flow(max(CANDIDATES * n, FEWEST), rng)
        return x[resample_by_weight(self.scale * self.tilt(x), n, rng)]

    @torch.no_grad()
    def validate(self, x: Tensor) -> float:
        """Mean log-density of the validation rows ``x [N, *event]``, nats, at the scale that it chooses.

        Of each admitted scale the mean gain over the flow less its standard error, log Z's included: a
        gain that may be chance is none.
        """
        log_q = float(self.flow_log_prob(x).double().mean())
        if not self.in_stage_two():
            return log_q
        gain, scale = best_scale(self.tilt(x), self.tilt(self.draws[NOISE:]))
        self.scale.fill_(scale)
        return log_q + gain

    def stage_ends(self, gained: bool, share: float) -> bool:
        """Whether the flow stops after a look that ``gained`` or not, at this ``share`` of the rounds."""
        looks = 0 if gained else int(self.looks_without_gain) + 1
        self.looks_without_gain.fill_(looks)
        waited = looks >= self.flow_early_stopping_patience
        return not self.in_stage_two() and (waited or share >= self.max_flow_rounds_fraction)

    def stage_limit(self) -> float:
        """The share of the rounds at which the present stage ends in any case."""
        return 1.0 if self.in_stage_two() else self.max_flow_rounds_fraction

    def next_stage(self) -> None:
        """Freeze the flow as it is; from now on T is trained."""
        self.tilting.fill_(True)
        self.stage_two = None


def forget_stage(method: nn.Module, keys: object) -> None:
    """Weights were loaded: the stage is theirs, and draws of another flow are none of this one."""
    assert isinstance(method, TiltedFlow)
    method.stage_two, method.draws = None, method.draws[:0]


def best_scale(T_data: Tensor, T_flow: Tensor) -> tuple[float, float]:
    """Gain, nats, and scale s of `SCALES` that is best for validation rows; (0, 0) where none helps.

    ``T_data [N]`` at validation rows and ``T_flow [M]`` at draws of q. The gain of s is the mean of
    s T - log Z(s) less its standard error. Admitted are scales whose log Z is known well enough.
    """
    found = (0.0, 0.0)
    mean = float(T_data.double().mean())
    error = float(T_data.double().std()) / math.sqrt(len(T_data)) if len(T_data) > 1 else math.inf
    for s in SCALES[1:].tolist():
        log_weight = s * T_flow.double()
        log_z, log_z_error = (float(value) for value in log_mean_exp_with_error(log_weight))
        share = float(importance_ess(log_weight)) / len(log_weight)
        if log_z_error > MOST_ERROR or share < LEAST_SHARE:
            continue
        gain = s * mean - log_z - math.hypot(s * error, log_z_error)
        found = max(found, (gain, s))
    return found
