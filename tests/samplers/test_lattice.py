"""Checkerboard Gibbs sampling against enumeration."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from gibbsian.networks import IsingEnergy, PottsEnergy
from gibbsian.samplers import (
    AnnealingPath,
    adapt_annealing_schedule,
    ais,
    checkerboard_gibbs,
    run_chains,
)

CHAINS = 20_000


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bits(d: int) -> Tensor:
    return (torch.arange(2**d)[:, None] >> torch.arange(d) & 1).float()


def one_hot(q: int, sites: int) -> Tensor:
    every = torch.tensor(list(itertools.product(range(q), repeat=sites)))
    return nn.functional.one_hot(every, q).float().movedim(-1, 1)


def p_value(index: Tensor, log_weight: Tensor) -> float:
    """Of Pearson's test that states ``index`` have probabilities softmax(log_weight)."""
    seen = torch.bincount(index, minlength=len(log_weight)).double()
    expected = log_weight.double().softmax(0) * len(index)
    return float(stats.chi2.sf(((seen - expected) ** 2 / expected).sum(), len(log_weight) - 1))


# Three p-values, each below 1e-5 by chance with 1e-5.
@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_ising_frequencies_equal_enumeration(beta: float) -> None:
    energy = IsingEnergy((1, 2, 3))
    for parameter in energy.parameters():
        nn.init.normal_(parameter, std=0.6)
    kernel = checkerboard_gibbs(energy, energy.colours(), beta=beta)
    x0 = bits(6)[torch.randint(64, (CHAINS,), generator=rng())].reshape(-1, 1, 2, 3)
    x = run_chains(kernel, x0, 40, rng(1), keep="last").x
    with torch.no_grad():
        log_weight = -energy(bits(6).reshape(-1, 1, 2, 3))
    index = (x.flatten(1) @ 2.0 ** torch.arange(6)).long()
    assert p_value(index, beta * log_weight) > 1e-5
    assert p_value(index, 0.7 * beta * log_weight) < 1e-8


def test_potts_frequencies_equal_enumeration() -> None:
    energy = PottsEnergy((3, 2, 2), coupling=0.9, field=torch.tensor([0.4, 0.0, -0.3]))
    states = one_hot(3, 4).reshape(-1, 3, 2, 2)
    kernel = checkerboard_gibbs(energy, energy.colours(), categories=True)
    x0 = states[torch.randint(81, (CHAINS,), generator=rng())]
    x = run_chains(kernel, x0, 40, rng(1), keep="last").x
    assert torch.equal(x.sum(1), torch.ones(CHAINS, 2, 2))
    index = (x.argmax(1).flatten(1) @ 3 ** torch.arange(3, -1, -1)).long()
    with torch.no_grad():
        log_weight = -energy(states)
    assert p_value(index, log_weight) > 1e-5
    assert p_value(index, 0.7 * log_weight) < 1e-8


def flat(x: Tensor) -> Tensor:
    return 0 * x.flatten(1).sum(1)


def test_log_z_of_a_potts_lattice_from_both_sides() -> None:
    """Annealing from independent fair categories, forward and in reverse from exact draws.

    The truth by enumeration lies within 4.5 standard errors of both: false alarm 1e-5.
    """
    energy = PottsEnergy((3, 3, 2), coupling=0.8)
    states = one_hot(3, 6).reshape(-1, 3, 3, 2)
    log_weight = -energy(states).double()
    truth = float(log_weight.logsumexp(0)) - 6 * math.log(3)
    kernel = checkerboard_gibbs(AnnealingPath(flat, energy), energy.colours(), categories=True)
    start = states[torch.randint(729, (2000,), generator=rng())]
    schedule = adapt_annealing_schedule(kernel, start[:200], rng(1))
    forward = ais(kernel, start, schedule, rng(2)).log_weights[0]
    draws = states[torch.multinomial(log_weight.softmax(0), 2000, True, generator=rng(3))]
    backward = -ais(kernel, draws, schedule, rng(4), reverse=True).log_weights[0]
    for log_w, sign in ((forward, 1), (-backward, -1)):
        value = float(log_w.logsumexp(0)) - math.log(2000)
        error = float((log_w - value).exp().std()) / math.sqrt(2000)
        assert abs(sign * value - truth) < 4.5 * error
        assert error < 0.05


def test_bad_input() -> None:
    energy = PottsEnergy((3, 2, 2), coupling=1.0)
    kernel = checkerboard_gibbs(energy, energy.colours(), categories=True)
    with pytest.raises(ValueError, match="one-hot"):
        kernel.init(torch.ones(2, 3, 2, 2))
    with pytest.raises(ValueError, match="points of 0 and 1"):
        kernel.init(torch.full((2, 3, 2, 2), 0.5))
