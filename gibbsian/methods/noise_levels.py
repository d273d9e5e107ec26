"""Energies at several levels of noise, E(x, t), each the negative log-density of the data with that noise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from gibbsian.bounds import DiffusionScoreMatching
from gibbsian.bounds.diffusion import TimeEnergy, slopes
from gibbsian.core import Batch, Loss, PlayerUpdate, TrainingMethod, check_energy
from gibbsian.core.healthy_ranges import HealthyRange
from gibbsian.core.measures import Gaussian, Measure, RealSpace, Undefined
from gibbsian.core.roles import ENERGY, Role
from gibbsian.methods._langevin import LangevinSampler, SamplerOptions
from gibbsian.methods.checks import (
    check_at_least,
    check_between,
    check_positive,
    check_time,
    check_weight,
    refuse_given,
)

MOST_CHURN = math.sqrt(2) - 1
"""By which share one step of sampling raises the noise at most (Karras et al. 2022, algorithm 2)."""
MOST_LEVELS = 10_000
"""Levels that are told apart: beyond, neighbours cannot differ in single precision."""


def always_timed(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Any energy of this method takes a noise level."""
    return {"time": True}


class LevelledEnergy(nn.Module):
    """E(x, t) = |x|^2 / (2 (s^2 + sigma_t^2)) + (s / sigma_t) U(x / sqrt(s^2 + sigma_t^2), t), nats.

    The first term is the energy of Gaussian data of standard deviation s, ``data_std``; the network U is what
    the data have beside it. The factors are such that x - sigma_t^2 grad E is the denoiser of Karras et al.
    (2022, table 1), with -grad U as its network: what U has to put out is of the same size at all levels.
    """

    takes_time: ClassVar[bool] = True

    def __init__(self, network: nn.Module, diffusion: DiffusionScoreMatching, data_std: float):
        super().__init__()
        self.network, self.diffusion, self.data_std = network, diffusion, data_std

    def forward(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """``[B, *event]``, ``[B] -> [B]``; no t is t = 0, the model."""
        t = x.new_zeros(len(x)) if t is None else t
        sigma = self.diffusion.levels(t)[1]
        variance = self.data_std**2 + sigma.square()
        scaled = x / variance.sqrt().view(-1, *[1] * (x.dim() - 1))
        U = check_energy(self.network(scaled, t), len(x))
        return 0.5 * scaled.flatten(1).square().sum(1) + self.data_std / sigma * U


class NoiseLevels(TrainingMethod):
    """Energies of noise levels: denoising score matching, and telling how much noise is in a row.

    x_t = x + sigma_t eps with log sigma_t linear in t, from ``noise_std_min`` at t = 0 to
    ``noise_std_max`` at t = 1. Score matching fits grad E(., t), and is blind to how much mass modes
    hold that are far apart. Classification of x_t by its level among K (Grenioux, OuYang and Hernandez-Lobato
    2026) is not: the posterior of level k is a softmax of -E(x, t_k) - A_k where exp(-E(., t_k)) / Z_k is the
    density of x_t, and A_k is then log Z_k. One class more is a Gaussian of known density, so that
    each A_k is a log Z and not one up to a constant. The model is E(., 0), of data with the least noise.

    Samples come from that Gaussian by Heun steps of the probability-flow equation down to
    ``noise_std_min`` (Song et al. 2021; Karras et al. 2022), then by Langevin steps in E(., 0).

    Args:
        noise_levels: K, levels that are told from each other; score matching has all those between, too.
        noise_std_min: the noise in the data that the model is of, in the networks' units.
        noise_std_max: the most noise, at t = 1; wider than the data.
        data_std: s, roughly the data's standard deviation in the networks' units; scales the network.
        level_classification_weight: of the cross-entropy of the level beside score matching; 0 leaves
            it out, and log Z unlearned.
        levels_told_apart: m, levels of which a row's is one; one more energy of the row for each.
        flow_steps: Heun steps from noise to a sample, two gradients each.
        sampling_churn: fresh noise on the way: each step first raises sigma by this over
            flow_steps, as a share, at most 0.41; 0 for none.
        sampler: of the chains of exp(-E(x, 0)) that end sampling; none run in training.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]] = {"energy": ("energy", "A")}
    roles: ClassVar[Mapping[str, Role]] = {"energy": ENERGY.but(images="mlp", demands=always_timed)}
    healthy: ClassVar[tuple[HealthyRange, ...]] = (
        HealthyRange(
            "energy/score",
            "an energy of 0 has an error of half a nat for each number of an observation, and this one is "
            "far worse; a slower energy (--energy-optimizer.lr) helps",
            high=100.0,
            per_dimension=10.0,
        ),
    )

    def __init__(
        self,
        energy: nn.Module,
        measure: Measure | Undefined,
        *,
        noise_levels: int = 16,
        noise_std_min: float = 0.05,
        noise_std_max: float = 5.0,
        data_std: float = 1.0,
        level_classification_weight: float = 1.0,
        levels_told_apart: int = 3,
        flow_steps: int = 20,
        sampling_churn: float = 2.0,
        sampler: SamplerOptions = SamplerOptions(step_size=1e-3, steps_per_sample=20),
    ):
        super().__init__(measure)
        check_between("noise_levels", noise_levels, 2, MOST_LEVELS)
        check_positive("noise_std_min", noise_std_min)
        check_positive("noise_std_max", noise_std_max)
        if noise_std_min >= noise_std_max:
            raise ValueError(
                f"noise_std_min must be less than noise_std_max, not {noise_std_min} beside {noise_std_max}"
            )
        check_positive("data_std", data_std)
        check_weight("level_classification_weight", level_classification_weight)
        check_between("levels_told_apart", levels_told_apart, 2, noise_levels + 1)
        check_at_least("flow_steps", flow_steps, 1)
        check_weight("sampling_churn", sampling_churn)
        check_time("noise-levels", energy)
        self.sampler = LangevinSampler(measure, sampler)
        self.diffusion = DiffusionScoreMatching(
            low=noise_std_min, high=noise_std_max, schedule="exploding", source="data"
        )
        self.energy = LevelledEnergy(energy, self.diffusion, data_std)
        self.reference = Gaussian(measure.shape, math.hypot(data_std, noise_std_max))
        sigma = self.diffusion.levels(torch.linspace(0, 1, noise_levels))[1]
        d = math.prod(measure.shape)
        # log Z of the levels' Gaussian terms: what A is where U = 0.
        self.A = nn.Parameter(0.5 * d * (2 * math.pi * (data_std**2 + sigma.square())).log())
        self.noise_levels, self.levels_told_apart = noise_levels, levels_told_apart
        self.level_classification_weight = level_classification_weight
        self.flow_steps, self.sampling_churn = flow_steps, sampling_churn

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        """One step of E and A on a batch, once with noise of any level and once with that of the K levels."""
        x = next(data).x
        t, eps = self.diffusion.randomness(x, x, rng)
        if self.level_classification_weight == 0:
            yield PlayerUpdate("energy", self.score_loss, (x, t, eps))
            return
        levels = self.levels_of(len(x), rng)
        x_t = self.noisy(x, levels[:, 0], rng)
        yield PlayerUpdate("energy", self.energy_loss, (x, t, eps, x_t, levels))

    def levels_of(self, n: int, rng: Generator) -> Tensor:
        """m distinct levels for each of n rows, ``[n, m]``, the row's own first; K is the known Gaussian.

        The m levels are drawn first, equally spaced, the logarithm of the spacing about uniform: near
        ones, whose overlap tells log Z, and far ones. Then the row's own is one of these, each as likely. So
        its posterior among them is the softmax of the m log-densities, and the minimum of the loss is
        where it is with all levels at once (as in the ranking form of noise contrast, Ma and Collins 2018).
        """
        m, widest = self.levels_told_apart, self.noise_levels // (self.levels_told_apart - 1)
        u = torch.rand(2, n, generator=rng, device=rng.device)
        spacing = ((widest + 1.0) ** u[0]).long().clamp(max=widest)
        free = self.noise_levels - (m - 1) * spacing + 1
        first = torch.minimum((u[1] * free).long(), free - 1)
        own = torch.randint(m, (n, 1), generator=rng, device=rng.device)
        steps = (own + torch.arange(m, device=rng.device)) % m
        return first[:, None] + steps * spacing[:, None]

    def noisy(self, x: Tensor, level: Tensor, rng: Generator) -> Tensor:
        """``x [B, *event]`` with the noise of ``level [B]``; at level K draws of the known Gaussian."""
        eps = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
        row = (-1, *[1] * (x.dim() - 1))
        known = (level == self.noise_levels).view(row)
        return torch.where(
            known, self.reference.scale * eps, self.diffusion.noisy(x, self.time_of(level), eps)
        )

    def time_of(self, level: Tensor) -> Tensor:
        """t of ``level``, of any shape; 1 for the known Gaussian, which has none."""
        return (level / (self.noise_levels - 1)).clamp(max=1)

    def energy_loss(self, x: Tensor, t: Tensor, eps: Tensor, x_t: Tensor, levels: Tensor) -> Loss:
        """The score loss of data ``x`` plus the weighted classification loss of ``x_t``.

        ``x``, ``eps`` and ``x_t`` are ``[B, *event]``, ``t [B]``, ``levels [B, m]``.
        """
        score, classification = self.score(x, t, eps), self.classification(x_t, levels)
        logs = {"score": score.detach(), "classification": classification.detach()}
        if (log_z := self.learned_log_z()) is not None:
            logs["A"] = log_z.clone()
        return Loss(score + self.level_classification_weight * classification, logs)

    def score_loss(self, x: Tensor, t: Tensor, eps: Tensor) -> Loss:
        """The score loss alone; ``x`` and ``eps [B, *event]``, ``t [B]``."""
        value = self.score(x, t, eps)
        # No score knows the constants: they are reached, as all a player has must be, and stay.
        reached = 0.0 * (self.energy(x).mean() + self.A.sum())
        return Loss(value + reached, {"score": value.detach()})

    def score(self, x: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """mean |sigma_t grad E(x_t, t) - eps|^2 / 2 at x_t = x + sigma_t eps, a scalar.

        Vincent (2011) at all levels: in expectation sigma_t^2 / 2 times the squared error of the score of
        x_t, up to a constant.
        """
        return 0.5 * self.diffusion.errors(self.energy, x, t, eps).mean()

    def classification(self, x_t: Tensor, levels: Tensor) -> Tensor:
        """-mean log p(own level | x_t, one of ``levels [B, m]``), the own one first, a scalar."""
        log_p = self.log_densities(x_t, levels)
        return (torch.logsumexp(log_p, 1) - log_p[:, 0]).mean()

    def log_densities(self, x: Tensor, levels: Tensor) -> Tensor:
        """-E(x, t_k) - A_k of each row's levels k, ``[B, m]``; at K the known Gaussian's log-density."""
        n, m = levels.shape
        rows = x.repeat_interleave(m, 0)
        E = self.energy(rows, self.time_of(levels).flatten().to(x.dtype)).view(n, m)
        A = torch.cat([self.A, self.A.new_zeros(1)]).expand(n, -1).gather(1, levels)
        known = self.reference.log_density(x)[:, None]
        return torch.where(levels == self.noise_levels, known, -E - A)

    def learned_log_z(self) -> Tensor | None:
        """A_0, log Z of E(., 0) on R^d, 0-d, nats; None on a box, and where A is not trained."""
        learned = self.level_classification_weight > 0 and isinstance(self.measure, RealSpace)
        return self.A[0].detach() if learned else None

    @torch.no_grad()
    def carried(self, n: int, rng: Generator) -> Tensor:
        """``[n, *event]``: draws of the known Gaussian carried down to ``noise_std_min``, inside a box."""
        x = self.reference.sample(n, rng)
        churn = self.sampling_churn
        x = probability_flow(self.energy, self.diffusion, x, self.flow_steps, churn, rng)
        return self.sampler.inside(x)

    @torch.no_grad()
    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        """``[n, *event]``: the probability flow from noise, then chains of exp(-E(x, 0))."""
        refuse_given(given)
        return self.sampler.sample(self.energy, self.carried(n, rng), rng)


def probability_flow(
    energy: TimeEnergy,
    diffusion: DiffusionScoreMatching,
    x: Tensor,
    steps: int,
    churn: float,
    rng: Generator,
) -> Tensor:
    """``x [B, *event]`` from t = 1 to t = 0 along dx / d sigma = sigma grad E(x, t), exploding schedule.

    The probability-flow equation with score -grad E (Song et al. 2021), whose marginals are those of
    x_t. ``steps`` steps of Heun's method between levels equally spaced in log sigma. Each first adds
    noise, with which sigma is 1 + min(``churn`` / steps, sqrt(2) - 1) times as large, but not beyond t = 1
    (Karras et al. 2022, algorithm 2).
    """

    def velocity(at: Tensor, sigma: float) -> Tensor:
        t = math.log(sigma / diffusion.low) / math.log(diffusion.high / diffusion.low)
        return sigma * slopes(energy, at, at.new_full((len(at),), t))

    factor = 1 + min(churn / steps, MOST_CHURN)
    ratio = diffusion.low / diffusion.high
    for sigma, after in pairwise(diffusion.high * ratio ** (i / steps) for i in range(steps + 1)):
        before = min(sigma * factor, diffusion.high)
        if before > sigma:
            xi = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
            x = x + math.sqrt(before**2 - sigma**2) * xi
        start = velocity(x, before)
        end = velocity(x + (after - before) * start, after)
        x = x + 0.5 * (after - before) * (start + end)
    return x
