"""Exact sums of log Z against brute force and closed forms."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from gibbsian.evaluation.log_z.enumeration import exact_log_partition, lattice_log_partition
from gibbsian.networks import IsingEnergy, PottsEnergy, RBMEnergy


def value(energy: object) -> float:
    """Exact log Z; both sides are one number."""
    found = exact_log_partition(energy)
    assert found is not None and found.lower == found.upper and found.lower.standing == "exact"
    return found.lower.value


def scrambled(energy: nn.Module, std: float = 0.6) -> nn.Module:
    """``energy`` in float64 with other parameters and buffers."""
    energy = energy.double()
    for tensor in (*energy.parameters(), *energy.buffers()):
        nn.init.normal_(tensor, std=std)
    return energy


def brute_force(energy: nn.Module, x: Tensor) -> float:
    with torch.no_grad():
        return float(torch.cat([-energy(part) for part in x.split(4096)]).logsumexp(0))


def bits(shape: tuple[int, ...]) -> Tensor:
    d = math.prod(shape)
    return (torch.arange(2**d)[:, None] >> torch.arange(d) & 1).double().reshape(-1, *shape)


def one_hot(shape: tuple[int, ...]) -> Tensor:
    q, *grid = shape
    every = torch.tensor(list(itertools.product(range(q), repeat=math.prod(grid))))
    return nn.functional.one_hot(every, q).double().movedim(-1, 1).reshape(-1, *shape)


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("shape", [(5,), (1, 3, 3), (1, 4, 4), (1, 3, 5), (1, 4, 3), (1, 1, 7)])
def test_ising_against_brute_force(shape: tuple[int, ...], periodic: bool) -> None:
    energy = scrambled(IsingEnergy(shape, periodic=periodic))
    assert value(energy) == pytest.approx(brute_force(energy, bits(shape)), abs=1e-9)


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("shape", [(3, 4), (3, 3, 3), (4, 3, 2), (2, 3, 4)])
def test_potts_against_brute_force(shape: tuple[int, ...], periodic: bool) -> None:
    periodic = periodic and 2 not in shape[1:]
    energy = scrambled(PottsEnergy(shape, coupling=0.0, periodic=periodic))
    assert value(energy) == pytest.approx(brute_force(energy, one_hot(shape)), abs=1e-9)


def test_a_wide_lattice_without_couplings_across_is_its_chains() -> None:
    """20 columns: log Z of independent chains is 20 times that of one, (2 cosh J)^(n - 1) 2."""
    energy = IsingEnergy((1, 24, 20), coupling=0.3, learned=False).double()
    energy.lattice.horizontal.zero_()
    one = math.log(2) + 23 * math.log(2 * math.cosh(0.3))
    assert value(energy) == pytest.approx(20 * one, abs=1e-5)


def test_onsager_is_approached() -> None:
    """Per site of a torus of 10 x 40 at K = 0.3, against Onsager's integral (1944) by quadrature.

    Corrections fall as exp(-10 / correlation length), the length 1.4 here: under 1e-2 of 1e-3.
    """
    k, n = 0.3, 400
    energy = IsingEnergy((1, 40, 10), coupling=k, periodic=True, learned=False)
    angle = (torch.arange(n, dtype=torch.float64) + 0.5) * (math.pi / n)
    a, b = math.cosh(2 * k) ** 2, math.sinh(2 * k)
    inside = a - b * (angle.cos()[:, None] + angle.cos())
    onsager = math.log(2) + 0.5 * float(inside.log().mean())
    assert value(energy) / 400 == pytest.approx(onsager, abs=2e-4)


@pytest.mark.parametrize(("visible", "hidden"), [(7, 4), (4, 9), (5, 5)])
def test_rbm_against_brute_force(visible: int, hidden: int) -> None:
    energy = scrambled(RBMEnergy((visible,), hidden), 1.0)
    assert value(energy) == pytest.approx(brute_force(energy, bits((visible,))), abs=1e-9)


def test_an_rbm_of_20_units_on_784_with_nothing_to_learn() -> None:
    energy = RBMEnergy((784,), 15)
    nn.init.zeros_(energy.weight)
    assert value(energy) == pytest.approx(799 * math.log(2), abs=1e-8)


def test_the_sum_over_a_chain_has_the_gradient_of_a_correlation() -> None:
    """d log Z / d J of two spins is tanh(J)."""
    coupling = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    spin = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    pair = coupling * spin[:, None] * spin
    log_z = lattice_log_partition(
        torch.zeros(2, 1, 2), torch.zeros(2, 0, 2, 2), pair.reshape(1, 1, 2, 2)
    )
    (slope,) = torch.autograd.grad(log_z, coupling)
    assert slope.item() == pytest.approx(math.tanh(0.7), abs=1e-12)


def test_too_long_sums_are_left_to_others() -> None:
    assert exact_log_partition(RBMEnergy((30,), 21)) is None
    assert exact_log_partition(IsingEnergy((1, 21, 21))) is None
    assert exact_log_partition(IsingEnergy((1, 12, 12), periodic=True)) is None
    assert exact_log_partition(nn.Linear(4, 1)) is None
