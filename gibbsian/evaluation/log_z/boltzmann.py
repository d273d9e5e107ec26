"""log Z of a restricted Boltzmann machine from both sides, annealed from the data's base rates.

Salakhutdinov and Murray, "On the quantitative analysis of deep belief networks" (ICML 2008): the path
starts at a machine without weights whose visible biases are the log-odds of the data's bits. Every
machine on it is one that block Gibbs sampling knows. Annealing from the base rates finds what looks like
the data and may miss a mode elsewhere, which a machine in training has; annealing from fair coins finds
that and may miss the data. Both are made, and the higher lower side counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor
from torch.nn.functional import softplus

from gibbsian.core import Interval, NotDefined
from gibbsian.evaluation.log_z.annealing import Problem, default_binary_kernel
from gibbsian.evaluation.log_z.effort import Amount, LogZEffort
from gibbsian.evaluation.log_z.enumeration import exact_log_partition
from gibbsian.evaluation.log_z.partition import combine
from gibbsian.evaluation.log_z.references import Reference
from gibbsian.evaluation.log_z.variational import join
from gibbsian.samplers import RBM, AnnealingPath
from gibbsian.samplers.tempering import ScheduleError

EFFORTS: Mapping[str, LogZEffort] = {
    "quick": LogZEffort(particles=128, runs=4, run_particles=64, moves=1, conditional_ess=0.98),
    "normal": LogZEffort(particles=256, runs=8, run_particles=64, moves=1, conditional_ess=0.99),
    "high": LogZEffort(
        particles=1024,
        runs=16,
        run_particles=128,
        moves=1,
        conditional_ess=0.995,
        max_temperatures=5000,
    ),
}
"""One step of block Gibbs sampling at each of many temperatures."""


@dataclass(frozen=True)
class IndependentBits(Reference):
    """A machine without weights: independent bits of given log-odds, exactly drawn."""

    machine: RBM
    runs: int = 1

    @property
    def log_odds(self) -> Tensor:
        """Of the visible and then of the hidden bits."""
        return torch.cat([self.machine.visible_bias, self.machine.hidden_bias])

    @property
    def log_normaliser(self) -> float:  # type: ignore[override]
        return float(softplus(self.log_odds.double()).sum())

    def draw(self, n: int, rng: Generator) -> Tensor:
        odds = self.log_odds
        u = torch.rand(self.runs * n, len(odds), generator=rng, device=rng.device, dtype=odds.dtype)
        return (u < odds.sigmoid()).to(odds)

    def energy(self, y: Tensor) -> Tensor:
        return self.machine(y)


def base_rates(machine: RBM, points: Tensor | None) -> IndependentBits:
    """Bits at the rates of ``points [N, n_visible]`` beside fair hidden bits; all fair without points.

    One observation of each kind is added to the counts, so that no rate is 0 or 1.
    """
    a, b = torch.zeros_like(machine.visible_bias), torch.zeros_like(machine.hidden_bias)
    if points is not None:
        rate = (points.to(a).sum(0) + 1) / (len(points) + 2)
        a = rate.logit()
    return IndependentBits(RBM(torch.zeros_like(machine.weight), a, b))


def machine_log_partition(
    machine: RBM,
    *,
    rng: Generator,
    points: Tensor | None = None,
    samples: Tensor | None = None,
    effort: Amount = "normal",
) -> Interval | NotDefined:
    """log Z of exp(-E(v, h)) summed over all bits, in nats; exact where the smaller layer has 20 units.

    ``points [N, n_visible]``: data (or else ``samples``), whose base rates one path starts from; another
    starts from fair coins, and takes the lower side where it finds more mass, which is warned of.
    ``samples [N, n_visible]``: draws of the model (long chains), from which the reverse pass starts;
    the last particles of SMC otherwise. Block Gibbs sampling is not reversible, so there is no bridge
    between both passes. ``effort``: quick, normal or high.
    """
    points = samples if points is None else points
    known = exact_log_partition(machine)
    if known is not None:
        return known
    work = EFFORTS[effort]
    joint = None if samples is None else with_hidden(machine, samples, rng)
    try:
        estimates = annealed_from(points, machine, work).estimates(
            ("ais", "smc", "reverse-ais"), joint, False, rng
        )
        found = combine(estimates)
        if points is None:
            return found
        wide = annealed_from(None, machine, work)
        smc = wide.smc_estimate(wide.sequential(wide.schedule(rng), rng)[0]).estimate()
    except ScheduleError as problem_in_words:
        return NotDefined(f"no estimate of log Z: {problem_in_words}")
    return join(found, {"smc-from-coins": replace(smc, how=f"{smc.how} from fair coins")})


def annealed_from(points: Tensor | None, machine: RBM, effort: LogZEffort) -> Problem:
    """The path from the base rates of ``points`` to the machine."""
    reference = base_rates(machine, points)
    return Problem(
        AnnealingPath(reference.machine, machine), reference, default_binary_kernel, effort
    )


def with_hidden(machine: RBM, v: Tensor, rng: Generator) -> Tensor:
    """Joint states ``[N, n_visible + n_hidden]``: hidden bits drawn given ``v [N, n_visible]``."""
    field = machine.hidden_field(v)
    u = torch.rand(field.shape, generator=rng, device=rng.device, dtype=field.dtype)
    return torch.cat([v, (u < field.sigmoid()).to(v)], 1)
