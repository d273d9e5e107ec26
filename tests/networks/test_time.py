"""Energies that take a noise level: t = 0 is the model, t matters, and rows stay independent."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gibbsian.core import DataSpace
from gibbsian.networks import ENERGIES
from gibbsian.networks.trunks import Time
from tests.nets import build_energy

SMALL = dict(width=12, num_experts=10, channels=4, activation="tanh")
TIMED = dict(width=12, num_experts=10, channels=4, activation="tanh", fourier_features=3, time=True)
IMAGE = DataSpace((1, 8, 8), "image", (-1.0, 1.0))


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def x() -> Tensor:
    return torch.rand(5, 1, 8, 8, dtype=torch.float64)


@pytest.mark.parametrize("name", ENERGIES)
def test_no_noise_level_means_the_cleanest(name: str, x: Tensor) -> None:
    energy = build_energy(name, IMAGE, TIMED).double()
    assert energy.takes_time
    levels = torch.linspace(0, 1, 5, dtype=torch.float64)
    assert torch.equal(energy(x), energy(x, torch.zeros(5, dtype=torch.float64)))
    # Row i sees its own level: row 0 has t = 0, the others have not.
    differs = (energy(x, levels) - energy(x)).abs() > 1e-6
    assert differs.tolist() == [False, True, True, True, True]
    one_by_one = torch.cat([energy(x[i : i + 1], levels[i : i + 1]) for i in range(5)])
    assert torch.allclose(energy(x, levels), one_by_one, rtol=1e-9, atol=1e-12)
    if hasattr(energy, "experts"):
        expected = energy.energy_from_experts(energy.experts(x, levels))
        assert torch.equal(energy(x, levels), expected)


def test_features_of_the_noise_level() -> None:
    time = Time(3).double()
    with torch.no_grad():
        time.linear.weight.copy_(torch.eye(3))
        time.linear.bias.zero_()
    expected = [0.3, math.sin(math.pi * 0.15), math.cos(math.pi * 0.15)]
    features = time(torch.tensor([0.3], dtype=torch.float64))
    assert features[0].tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_noise_level_shifts_what_the_first_layer_sums(name: str, x: Tensor) -> None:
    """E(x, t) is the network's own E(x) with time(t) - time(0) added to its first bias."""
    energy = build_energy(name, IMAGE, TIMED).double()
    first = next(
        layer
        for layer in energy.trunk.layers
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)
    )
    t = torch.full((5,), 0.4, dtype=torch.float64)
    value = energy(x, t)
    with torch.no_grad():
        first.bias += energy.trunk.time(t)[0] - energy.trunk.time(0 * t)[0]
    assert torch.allclose(energy(x), value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ENERGIES)
def test_without_the_option_nothing_changes(name: str, x: Tensor) -> None:
    """The same names, the same numbers drawn, and no noise level taken."""
    torch.manual_seed(3)
    plain = build_energy(name, IMAGE, SMALL).double()
    assert not plain.takes_time
    assert not any("time" in key for key in plain.state_dict())
    trunk = plain.encoder if hasattr(plain, "encoder") else plain.trunk
    by_hand = torch.nn.Sequential(*trunk.layers)(x)
    assert torch.equal(trunk(x), by_hand)
    with pytest.raises(ValueError, match="takes no noise level"):
        plain(x, torch.zeros(5, dtype=torch.float64))


@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_levels_must_be_one_per_row(name: str, x: Tensor) -> None:
    energy = build_energy(name, IMAGE, TIMED).double()
    for shape in [(1,), (5, 1), ()]:
        with pytest.raises(ValueError, match="one noise level per row"):
            energy(x, torch.zeros(shape, dtype=torch.float64))


@pytest.mark.parametrize("name", ["confined", "conv-bounded"])
def test_derivatives_through_functional_transforms(name: str, x: Tensor) -> None:
    """grad, jvp and vmap agree with autograd and central differences, h = 1e-5: error about 1e-9."""
    energy = build_energy(name, IMAGE, TIMED).double()
    t = torch.linspace(0.1, 0.9, 5, dtype=torch.float64)

    def total(points: Tensor, levels: Tensor) -> Tensor:
        return energy(points, levels).sum()

    def one(row: Tensor, level: Tensor) -> Tensor:
        return energy(row[None], level[None]).squeeze(0)

    points = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(energy(points, t).sum(), points)
    assert torch.allclose(torch.func.grad(total)(x, t), expected, rtol=1e-9, atol=1e-12)
    rows = torch.func.vmap(torch.func.grad(one))(x, t)
    assert torch.allclose(rows, expected, rtol=1e-9, atol=1e-12)
    _, slope = torch.func.jvp(energy, (x, t), (torch.zeros_like(x), torch.ones_like(t)))
    with torch.no_grad():
        difference = (energy(x, t + 1e-5) - energy(x, t - 1e-5)) / 2e-5
    assert torch.allclose(slope, difference, atol=1e-6)
    assert slope.abs().min() > 1e-6
