"""Energies on bits and categories against finite differences, enumeration and each other."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from gibbsian.core import DataSpace
from gibbsian.networks import IsingEnergy, PottsEnergy, RBMEnergy, build_energy
from gibbsian.samplers import RBM


def states(shape: tuple[int, ...]) -> Tensor:
    """All binary events of a shape, ``[2^d, *shape]`` in float64."""
    every = list(itertools.product([0.0, 1.0], repeat=math.prod(shape)))
    return torch.tensor(every, dtype=torch.float64).reshape(-1, *shape)


def scrambled(energy: torch.nn.Module) -> torch.nn.Module:
    """``energy`` in float64 with other values of its parameters."""
    for parameter in energy.double().parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return energy


def machine() -> RBMEnergy:
    energy = scrambled(RBMEnergy((1, 2, 3), 4))
    assert isinstance(energy, RBMEnergy)
    return energy


def test_rbm_energy_sums_the_joint_over_the_hidden_units() -> None:
    energy = machine()
    joint = RBM(energy.weight, energy.visible_bias, energy.hidden_bias)
    v, h = states((6,)), states((4,))
    both = torch.cat([v.repeat_interleave(16, 0), h.repeat(64, 1)], 1)
    summed = -(-joint(both).reshape(64, 16)).logsumexp(1)
    assert torch.allclose(energy(v.reshape(-1, 1, 2, 3)), summed, atol=1e-12)
    assert torch.allclose(joint.free_energy(v), summed, atol=1e-12)


def test_gradients_of_the_rbm_energy_by_finite_differences() -> None:
    energy = machine()
    x = states((1, 2, 3))[::7]
    assert torch.autograd.gradcheck(energy, x.clone().requires_grad_())
    for parameter in energy.parameters():
        (found,) = torch.autograd.grad(energy(x).sum(), parameter)
        for place in itertools.product(*map(range, parameter.shape)):
            before, ends = parameter.data[place].item(), []
            for step in (1e-5, -1e-5):
                parameter.data[place] = before + step
                ends.append(energy(x).sum().item())
            parameter.data[place] = before
            # Central differences are right to step^2 and rounding to 1e-16 / step.
            assert found[place].item() == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-7)


def by_loops(energy: IsingEnergy, x: Tensor, rows: int, columns: int, periodic: bool) -> float:
    """The Ising energy of one configuration, pair by pair."""
    s = 2 * x.reshape(rows, columns) - 1
    lattice, total = energy.lattice, 0.0
    for i, j in itertools.product(range(rows), range(columns)):
        total -= (lattice.field[0, i, j] * s[i, j]).item()
        if columns > 1 and (j + 1 < columns or periodic):
            total -= (lattice.horizontal[i, j] * s[i, j] * s[i, (j + 1) % columns]).item()
        if rows > 1 and (i + 1 < rows or periodic):
            total -= (lattice.vertical[i, j] * s[i, j] * s[(i + 1) % rows, j]).item()
    return total


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("shape", [(5,), (1, 3, 4)])
def test_ising_energy_is_the_sum_over_pairs(shape: tuple[int, ...], periodic: bool) -> None:
    energy = scrambled(IsingEnergy(shape, periodic=periodic))
    assert isinstance(energy, IsingEnergy)
    rows, columns = (shape[0], 1) if len(shape) == 1 else shape[1:]
    x = states(shape)[::37]
    expected = [by_loops(energy, row, rows, columns, periodic) for row in x]
    assert torch.allclose(energy(x), torch.tensor(expected, dtype=torch.float64), atol=1e-10)


def test_ising_is_linear_in_every_site() -> None:
    """The gradient is what flipping a bit changes, which checkerboard sampling relies on."""
    energy = scrambled(IsingEnergy((1, 2, 3)))
    x = states((1, 2, 3)).requires_grad_()
    (slope,) = torch.autograd.grad(energy(x).sum(), x)
    for site in range(6):
        zero, one = x.detach().flatten(1).clone(), x.detach().flatten(1).clone()
        zero[:, site], one[:, site] = 0, 1
        change = energy(one.reshape(x.shape)) - energy(zero.reshape(x.shape))
        assert torch.allclose(slope.flatten(1)[:, site], change, atol=1e-10)


def test_two_categories_are_an_ising_lattice_of_half_the_coupling() -> None:
    x = states((1, 3, 2))
    one_hot = torch.cat([1 - x, x], 1)
    potts = PottsEnergy((2, 3, 2), coupling=0.8, field=torch.tensor([0.3, -0.2])).double()(one_hot)
    ising = IsingEnergy((1, 3, 2), coupling=0.4, field=-0.25, learned=False).double()(x)
    assert torch.allclose(potts - ising, (potts - ising)[0].expand(64), atol=1e-6)


def test_flattened_bits_lie_on_the_lattice_that_is_asked_for() -> None:
    grid = build_energy("ising", DataSpace((6,), "binary"), lattice="2x3")
    assert isinstance(grid, IsingEnergy)
    assert grid.lattice.horizontal.shape == (2, 2) and grid.lattice.vertical.shape == (1, 3)
    chain = build_energy("ising", DataSpace((6,), "binary"))
    assert isinstance(chain, IsingEnergy) and chain.lattice.vertical.shape == (5, 1)
    assert chain(torch.zeros(3, 6)).shape == (3,)
    hidden = build_energy("rbm", DataSpace((6,), "binary"), hidden=9)
    assert isinstance(hidden, RBMEnergy) and hidden.weight.shape == (6, 9)


def test_colours_are_no_neighbours() -> None:
    colours = IsingEnergy((1, 4, 6), periodic=True).colours()[0]
    for dim in (0, 1):
        assert (colours != colours.roll(1, dim)).all()
    with pytest.raises(ValueError, match="no checkerboard pattern"):
        IsingEnergy((1, 3, 4), periodic=True).colours()


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="at least one hidden unit"):
        RBMEnergy((4,), 0)
    with pytest.raises(ValueError, match="is a chain"):
        IsingEnergy((3, 4, 4))
    with pytest.raises(ValueError, match="sides of at least 3"):
        IsingEnergy((1, 2, 4), periodic=True)
    with pytest.raises(ValueError, match="does not hold events of 16 bits"):
        IsingEnergy((16,), sides=(4, 5))
    with pytest.raises(ValueError, match="q >= 2"):
        PottsEnergy((1, 3, 3), coupling=1.0)
    with pytest.raises(ValueError, match="one value per category"):
        PottsEnergy((3, 3, 3), coupling=1.0, field=torch.zeros(2))
    with pytest.raises(ValueError, match="rows x columns"):
        build_energy("ising", DataSpace((6,), "binary"), lattice="two")
    for name in ("rbm", "ising"):
        with pytest.raises(ValueError, match="energy on bits"):
            build_energy(name, DataSpace((6,), "vector"))
