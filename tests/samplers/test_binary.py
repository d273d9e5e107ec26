"""Kernels on {0, 1}^d against enumeration."""

from __future__ import annotations

import itertools

import pytest
import torch
from scipy import stats
from torch import Tensor

from gibbsian.samplers import (
    RBM,
    AnnealingPath,
    MarkovKernel,
    block_gibbs,
    discrete_mala,
    gibbs_with_gradients,
    run_chains,
)

CHAINS = 20_000


def machine(seed: int = 0) -> RBM:
    rng = torch.Generator().manual_seed(seed)
    weight = torch.randn(4, 3, generator=rng)
    return RBM(weight, torch.randn(4, generator=rng) / 2, torch.randn(3, generator=rng) / 2)


def states(d: int) -> Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=d)))


def p_value(x: Tensor, energy: Tensor) -> float:
    """Of Pearson's test that draws ``x [n, d]`` have probabilities softmax(-energy [2^d])."""
    d = x.shape[1]
    place = (x @ 2.0 ** torch.arange(d - 1, -1, -1)).long()
    seen = torch.bincount(place, minlength=2**d).double()
    expected = (-energy.double()).softmax(0) * len(x)
    return float(stats.chi2.sf(((seen - expected) ** 2 / expected).sum(), 2**d - 1))


KERNELS = {
    "block gibbs": lambda e, beta: block_gibbs(e, beta=beta),
    "gibbs with gradients": lambda e, beta: gibbs_with_gradients(e, beta=beta),
    "discrete mala": lambda e, beta: discrete_mala(e, 0.5, beta=beta),
}


# Six p-values, each below 1e-4 by chance with 1e-4: false alarm 6e-4.
@pytest.mark.parametrize("beta", [1.0, 0.4])
@pytest.mark.parametrize("name", list(KERNELS))
def test_frequencies_equal_enumeration(name: str, beta: float) -> None:
    rbm, rng = machine(), torch.Generator().manual_seed(1)
    kernel: MarkovKernel = KERNELS[name](rbm, beta)
    x0 = torch.randint(2, (CHAINS, 7), generator=rng).float()
    chains = run_chains(kernel, x0, 60, rng, keep="last")
    assert p_value(chains.x, beta * rbm(states(7))) > 1e-4
    # A wrong temperature would have been seen.
    assert p_value(chains.x, 0.8 * beta * rbm(states(7))) < 1e-8


def test_informed_kernels_on_an_energy_that_is_not_linear() -> None:
    # The gradient is only a guess of the change here: the Metropolis step has to correct it.
    def energy(x: Tensor) -> Tensor:
        s = x @ torch.tensor([1.0, -2.0, 1.5, 0.5, 1.0])
        return 0.5 * s.square() + (2 * s).sin()

    for kernel in (gibbs_with_gradients(energy), discrete_mala(energy, 0.4)):
        rng = torch.Generator().manual_seed(2)
        x0 = torch.randint(2, (CHAINS, 5), generator=rng).float()
        chains = run_chains(kernel, x0, 80, rng, keep="last")
        assert p_value(chains.x, energy(states(5))) > 1e-4
        assert chains.acceptance.mean() < 0.95


def test_block_gibbs_anneals_along_a_path_of_machines() -> None:
    base, end = machine(1), machine(2)
    rng = torch.Generator().manual_seed(3)
    kernel = block_gibbs(AnnealingPath(base, end), beta=0.3)
    x0 = torch.randint(2, (CHAINS, 7), generator=rng).float()
    x = run_chains(kernel, x0, 40, rng, keep="last").x
    assert p_value(x, 0.7 * base(states(7)) + 0.3 * end(states(7))) > 1e-4


def test_free_energy_sums_over_the_hidden_units() -> None:
    rbm = machine()
    joint = rbm(states(7)).reshape(16, 8)
    assert torch.allclose(rbm.free_energy(states(4)), -torch.logsumexp(-joint, 1), atol=1e-5)


def test_images_of_bits() -> None:
    def energy(x: Tensor) -> Tensor:
        return -x.flatten(1).sum(1)

    x0 = torch.zeros(2000, 1, 2, 2)
    for kernel in (gibbs_with_gradients(energy), discrete_mala(energy, 0.5)):
        x = run_chains(kernel, x0, 40, torch.Generator().manual_seed(0), keep="last").x
        assert x.shape == x0.shape
        # P(1) = e / (1 + e) = 0.731; 8000 bits, 4.5 standard errors.
        assert abs(float(x.mean()) - 0.7311) < 4.5 * (0.7311 * 0.2689 / 8000) ** 0.5


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="points of 0 and 1"):
        gibbs_with_gradients(machine()).init(torch.full((2, 7), 0.5))
    with pytest.raises(ValueError, match="conditionals of an RBM"):
        block_gibbs(AnnealingPath(torch.sum, machine()))
    with pytest.raises(ValueError, match="step_size must be positive"):
        discrete_mala(machine(), 0.0)
