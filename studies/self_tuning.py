"""A kernel that tunes itself, MEADS, against HMC: effective draws per gradient with many chains.

Four targets: a Gaussian in 50 dimensions, randomly rotated, with variances from 0.01 to 100; a banana,
x_2 ~ N(x_1^2, 0.1); Neal's funnel in 10 dimensions, v ~ N(0, 1.5^2); the posterior of a logistic
regression on scikit-learn's breast cancer data, standardised, 30 columns and a constant with N(0, 1) priors.

128 chains start at exact draws, for the logistic regression at N(0, 0.3^2). MEADS has no setting; its
first 500 steps are not counted, and then come 2 000 gradients. HMC has its step size and the scale of
every coordinate from 200 steps of warm-up to an acceptance of 0.7, jitter 0.5, and L leapfrog steps:
L = 10 is the default, and L from {5, 10, 20, 40, 80} with the most effective draws is what a person
finds who tries all five. Then come 2 000 gradients, but at least 40 steps. The efficiency is the smallest
bulk effective sample size of all coordinates and their squares, per chain and 1 000 gradients after the
warm-up, the mean of three seeds, of which
two have been run so far and one of the logistic regression. Fixed before the first run, which had one seed:
MEADS *pays* where it has
more than HMC with L = 10; it becomes a kernel of ``gibbsian sample --refine`` only if it does on every
target.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import fmean

import torch
from sklearn.datasets import load_breast_cancer
from torch import Generator, Tensor
from torch.nn.functional import softplus

from gibbsian.core import Energy
from gibbsian.samplers import Chains, adapt_step_size, hmc, meads, run_chains
from gibbsian.samplers.diagnostics import ess_bulk
from gibbsian.samplers.meads import SelfTuned
from studies.harness import Result, Study, run_study

CHAINS, GRADIENTS, SEEDS = 128, 2_000, (0, 1, 2)
BURN_IN, THIN, WARM_UP = 500, 5, 200
LENGTHS = (5, 10, 20, 40, 80)


@dataclass(frozen=True)
class Target:
    """An energy and where its chains start."""

    energy: Energy
    start: Callable[[int, Generator], Tensor]


def gaussian() -> Target:
    """Variances from 0.01 to 100 along random axes."""
    d, rng = 50, Generator().manual_seed(1)
    variance = torch.logspace(-2, 2, d)
    axes = torch.linalg.qr(torch.randn(d, d, generator=rng)).Q
    precision, factor = axes / variance @ axes.T, axes * variance.sqrt()

    def energy(x: Tensor) -> Tensor:
        return 0.5 * ((x @ precision) * x).sum(1)

    def start(n: int, rng: Generator) -> Tensor:
        return torch.randn(n, d, generator=rng) @ factor.T

    return Target(energy, start)


def banana() -> Target:
    """x_1 ~ N(0, 1), x_2 ~ N(x_1^2, 0.1)."""

    def energy(x: Tensor) -> Tensor:
        return x[:, 0].square() / 2 + (x[:, 1] - x[:, 0].square()).square() / 0.2

    def start(n: int, rng: Generator) -> Tensor:
        x = torch.randn(n, 2, generator=rng)
        return torch.stack([x[:, 0], x[:, 0].square() + math.sqrt(0.1) * x[:, 1]], 1)

    return Target(energy, start)


def funnel() -> Target:
    """v ~ N(0, 1.5^2), nine others N(0, e^v)."""

    def energy(x: Tensor) -> Tensor:
        v = x[:, 0]
        return v.square() / 4.5 + 0.5 * x[:, 1:].square().sum(1) * torch.exp(-v) + 4.5 * v

    def start(n: int, rng: Generator) -> Tensor:
        v = 1.5 * torch.randn(n, 1, generator=rng)
        return torch.cat([v, (v / 2).exp() * torch.randn(n, 9, generator=rng)], 1)

    return Target(energy, start)


def logistic() -> Target:
    """Posterior of the coefficients, standard normal a priori."""
    table, label = load_breast_cancer(return_X_y=True)
    x = torch.from_numpy((table - table.mean(0)) / table.std(0)).float()
    x, y = torch.cat([x, torch.ones(len(x), 1)], 1), torch.from_numpy(label).float()

    def energy(b: Tensor) -> Tensor:
        logit = b @ x.T
        return (softplus(logit) - logit * y).sum(1) + b.square().sum(1) / 2

    def start(n: int, rng: Generator) -> Tensor:
        return 0.3 * torch.randn(n, x.shape[1], generator=rng)

    return Target(energy, start)


TARGETS: Mapping[str, Callable[[], Target]] = {
    "correlated Gaussian, d = 50": gaussian,
    "banana": banana,
    "funnel, d = 10": funnel,
    "logistic regression, d = 31": logistic,
}


def efficiency(draws: Tensor, gradients: int) -> float:
    """Smallest bulk effective sample size, per chain and 1 000 gradients."""
    columns = torch.cat([draws, draws.square()], 2)
    return 1_000 * float(ess_bulk(columns).min()) / (draws.shape[1] * gradients)


def measure(name: str, seed: int, quick: bool) -> Result:
    """MEADS and HMC of every length on one target."""
    target, rng = TARGETS[name](), Generator().manual_seed(seed)
    chains, gradients = (16, 200) if quick else (CHAINS, GRADIENTS)
    x0 = target.start(chains, rng)
    kernel = meads(target.energy)
    burnt: Chains[SelfTuned] = run_chains(kernel, x0, BURN_IN, rng, keep="last")
    tuned = run_chains(kernel, burnt.state, gradients, rng, thin=THIN)
    result: Result = {"meads": efficiency(tuned.draws, gradients), "meads burn-in": BURN_IN}
    for length in LENGTHS:
        leapfrog = hmc(target.energy, 0.1, length, jitter=0.5)
        warm = adapt_step_size(leapfrog, x0, WARM_UP, rng)
        found = run_chains(leapfrog, warm, max(gradients // length, 40), rng)
        result[f"hmc {length}"] = efficiency(found.draws, found.evaluations)
        result[f"hmc {length} warm-up"] = WARM_UP * length
    return result


def cells(quick: bool) -> Mapping[str, Callable[[], Result]]:
    """Every target with every seed."""
    seeds = SEEDS[:1] if quick else SEEDS
    return {
        f"{name}, seed {s}": partial(measure, name, s, quick) for s in seeds for name in TARGETS
    }


def render(results: Mapping[str, Result]) -> str:
    """The Markdown of the efficiencies, means over seeds."""
    lines = [
        "| target | MEADS | HMC, L = 10 | MEADS over it | best HMC (L) | MEADS over it | gradients "
        "before the first draw: MEADS, HMC L = 10, all five L |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in TARGETS:
        own = [cell for key, cell in results.items() if key.startswith(f"{name}, seed")]
        if not own:
            continue
        mean = {key: fmean(cell[key] for cell in own) for key in own[0]}
        best = max(LENGTHS, key=lambda length: mean[f"hmc {length}"])
        here, default, most = mean["meads"], mean["hmc 10"], mean[f"hmc {best}"]
        every = sum(mean[f"hmc {length} warm-up"] for length in LENGTHS)
        lines.append(
            f"| {name} | {here:.2f} | {default:.2f} | {here / default:.2f} | {most:.2f} ({best}) | "
            f"{here / most:.2f} | {mean['meads burn-in']:.0f}, {mean['hmc 10 warm-up']:.0f}, {every:.0f} |"
        )
    return "\n".join(lines)


STUDY = Study("self-tuning", __doc__ or "", cells, render)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
