"""Kernels that claim exactness keep their target, recover from a wrong start, and are reversible."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gibbsian.core.measures import Gaussian
from gibbsian.samplers import (
    AnnealingPath,
    MarkovKernel,
    adapt_step_size,
    hmc,
    independence_metropolis,
    mala,
    parallel_tempering,
    random_walk_metropolis,
    run_chains,
    ula,
)
from tests.samplers.targets import CorrelatedGaussian, Funnel, TwoWells, deviations

TARGETS = {"gaussian": CorrelatedGaussian(), "two wells": TwoWells(), "funnel": Funnel()}
Target = CorrelatedGaussian | TwoWells | Funnel

# 5 kernels x 3 targets x 6 numbers, and 2 x 3 x 6 after a wrong start or on a path: 126 comparisons.
# At 4.5 standard errors each fails by chance with 6.8e-6: together below 1e-3.
LIMIT = 4.5


def wide(x: Tensor) -> Tensor:
    return x.square().sum(1) / 8


def kernels(energy: Target | AnnealingPath) -> dict[str, MarkovKernel]:
    return {
        "random walk": random_walk_metropolis(energy, 0.8),
        "independence": independence_metropolis(energy, Gaussian((2,), 2.0)),
        "mala": mala(energy, 0.15, scale=torch.tensor([1.0, 0.8])),
        "hmc": hmc(energy, 0.35, 4, jitter=0.3, scale=torch.tensor([0.8, 1.0])),
        "parallel tempering": parallel_tempering(mala(energy, 0.2), [1.0, 0.4, 0.1]),
    }


@pytest.mark.parametrize("name", list(kernels(TARGETS["gaussian"])))
@pytest.mark.parametrize("target", list(TARGETS))
def test_exact_draws_stay_exact(name: str, target: str) -> None:
    law = TARGETS[target]
    rng = torch.Generator().manual_seed(1)
    kernel = kernels(law)[name]
    if name == "parallel tempering":  # its hot replicas have to find their own distribution first
        chains = run_chains(kernel, law.sample(10_000, rng), 150, rng, keep="last")
    else:
        chains = run_chains(kernel, law.sample(100_000, rng), 50, rng, keep="last")
    assert deviations(chains.x, law).abs().max() < LIMIT
    assert 0.1 < chains.acceptance.mean() < 0.999


def test_unadjusted_langevin_fails_the_same_test() -> None:
    law, rng = TARGETS["gaussian"], torch.Generator().manual_seed(1)
    chains = run_chains(ula(law, 0.3), law.sample(100_000, rng), 50, rng, keep="last")
    assert deviations(chains.x, law).abs().max() > 2 * LIMIT


@pytest.mark.parametrize("target", ["gaussian", "two wells"])
def test_recovery_from_a_wrong_start(target: str) -> None:
    law, rng = TARGETS[target], torch.Generator().manual_seed(2)
    start = torch.tensor([1.5, 0.5]).expand(10_000, 2)  # all in the lighter well
    chains = run_chains(hmc(law, 0.5, 4, jitter=0.3), start, 120, rng, keep="last")
    assert deviations(chains.x, law).abs().max() < LIMIT


def test_a_point_of_a_path_is_the_geometric_mean() -> None:
    # (1 - beta) x^2 / 8 + beta x^2 / 2 at beta = 0.3 has precision 0.475, variance 2.105.
    class Middle(CorrelatedGaussian):
        covariance = torch.eye(2) / 0.475
        tail = (1.5, 0.5 * math.erfc(1.5 * (0.475 / 2) ** 0.5))

    def narrow(x: Tensor) -> Tensor:
        return x.square().sum(1) / 2

    rng = torch.Generator().manual_seed(3)
    x0 = 0.475**-0.5 * torch.randn(50_000, 2, generator=rng)
    for kernel in (
        mala(AnnealingPath(wide, narrow), 0.4, beta=0.3),
        hmc(AnnealingPath(wide, narrow), 0.6, 3),
    ):
        state = kernel.init(x0).replace(beta=0.3)
        chains = run_chains(kernel, state, 20, rng, keep="last")
        assert deviations(chains.x, Middle()).abs().max() < LIMIT
        gap = narrow(chains.x) - wide(chains.x)
        assert torch.allclose(chains.state.energy_gap, gap, atol=1e-5)


def test_the_verdict_on_a_hard_funnel_is_not_converged() -> None:
    rng = torch.Generator().manual_seed(4)
    law = Funnel(width=3.0, dim=10)
    kernel = hmc(law, 0.3, 5, jitter=0.5)
    warm = adapt_step_size(kernel, torch.randn(32, 10, generator=rng), 100, rng)
    chains = run_chains(kernel, warm, 200, rng)
    assert chains.summary().verdict.startswith("not converged: ")


@pytest.mark.parametrize("name", ["random walk", "independence", "mala", "hmc"])
def test_detailed_balance(name: str) -> None:
    # From exact draws, (x, x') and (x', x) have the same distribution: E[f(x) g(x') - g(x) f(x')] = 0.
    # 4 kernels x 3 targets, at 4.5 standard errors: false alarm 8e-5.
    rng = torch.Generator().manual_seed(5)
    for law in TARGETS.values():
        kernel = kernels(law)[name]
        state = kernel.init(law.sample(100_000, rng))
        x, y = state.x, kernel.step(state, rng)[0].x
        difference = (x[:, 0] > 0.5).float() * y[:, 1].abs() - (y[:, 0] > 0.5).float() * x[
            :, 1
        ].abs()
        assert difference.mean().abs() < LIMIT * difference.std() / len(x) ** 0.5
