"""Quadrature against closed forms, and the cases that have no number."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gibbsian.core import Estimate, Interval, NotDefined
from gibbsian.core.measures import Box, Counting, Gaussian, RealSpace, Undefined
from gibbsian.evaluation import kl_to_model, log_partition_quadrature

DOUBLE_WELL = 0.68848  # log Z of 2 sum (x_i^2 - 1)^2 in two dimensions


def value(result: Interval | NotDefined) -> float:
    assert isinstance(result, Interval), str(result)
    assert result.lower == result.upper
    assert result.lower.standing == "exact"
    return result.lower.value


def quadratic(precision: float, centre: float = 0.0):
    def energy(x: Tensor) -> Tensor:
        return 0.5 * precision * (x - centre).square().flatten(1).sum(1)

    return energy


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize(("precision", "centre"), [(1.0, 0.0), (0.01, 0.0), (4.0, 7.5)])
def test_gaussian(dim: int, precision: float, centre: float):
    result = log_partition_quadrature(quadratic(precision, centre), RealSpace((dim,)))
    truth = 0.5 * dim * math.log(2 * math.pi / precision)
    assert value(result) == pytest.approx(truth, abs=1.5e-3)
    assert result.lower.diagnostics["error"] < 2e-3


def test_double_well():
    def energy(x: Tensor) -> Tensor:
        return 2 * (x.square() - 1).square().sum(1)

    assert value(log_partition_quadrature(energy, RealSpace((2,)))) == pytest.approx(
        DOUBLE_WELL, abs=1e-4
    )


def test_energy_far_from_the_origin_is_found_beyond_an_empty_shell():
    def energy(x: Tensor) -> Tensor:  # a second mode of equal mass at 9, outside [-4, 4]
        return -torch.logaddexp(-0.5 * x[:, 0].square() * 4, -0.5 * (x[:, 0] - 7).square() * 4)

    truth = math.log(2) + 0.5 * math.log(2 * math.pi / 4)
    assert value(log_partition_quadrature(energy, RealSpace((1,)))) == pytest.approx(
        truth, abs=2e-3
    )


def test_narrow_density():
    """One of width 1e-4 is found by its slope, which is felt everywhere, as well as by points near it."""
    energy = quadratic(1e8, 0.3)
    alone = log_partition_quadrature(energy, RealSpace((2,)), dtype=torch.float64)
    assert value(alone) == pytest.approx(math.log(2 * math.pi / 1e8), abs=1e-3)
    near = 0.3 + 1e-4 * torch.randn(100, 2, generator=torch.Generator().manual_seed(0)).double()
    result = log_partition_quadrature(energy, RealSpace((2,)), near=near, dtype=torch.float64)
    assert value(result) == pytest.approx(math.log(2 * math.pi / 1e8), abs=1e-3)


def test_box_and_gaussian_measure():
    def linear(x: Tensor) -> Tensor:
        return x.sum(1)

    truth = 2 * math.log(2 * math.sinh(1.5))  # integral of exp(-x) over [-1.5, 1.5], twice
    assert value(log_partition_quadrature(linear, Box((2,), -1.5, 1.5))) == pytest.approx(
        truth, abs=1e-3
    )
    # E_b[exp(-sum x)] = exp(d scale^2 / 2) under N(0, scale^2 I)
    assert value(log_partition_quadrature(linear, Gaussian((3,), 0.8))) == pytest.approx(
        1.5 * 0.64, abs=1e-3
    )


def test_image_shaped_events():
    result = log_partition_quadrature(quadratic(1.0), RealSpace((1, 1, 2)))
    assert value(result) == pytest.approx(math.log(2 * math.pi), abs=1e-3)


def test_enumeration():
    def energy(x: Tensor) -> Tensor:
        return 0.7 * x.sum(1)

    assert value(log_partition_quadrature(energy, Counting((10,)))) == pytest.approx(
        10 * math.log1p(math.exp(-0.7)), abs=1e-5
    )
    assert isinstance(log_partition_quadrature(energy, Counting((30,))), NotDefined)


def test_what_is_not_defined():
    def flat(x: Tensor) -> Tensor:
        return torch.zeros(len(x))

    result = log_partition_quadrature(flat, RealSpace((2,)))
    assert isinstance(result, NotDefined)
    assert "confine" in result.why
    assert value(log_partition_quadrature(flat, Box((2,), 0.0, 2.0))) == pytest.approx(math.log(4))
    result = log_partition_quadrature(quadratic(-1.0), Gaussian((2,)))  # cancels the base
    assert isinstance(result, NotDefined)
    result = log_partition_quadrature(flat, Undefined((2,), "a critic has no density"))
    assert result == NotDefined("a critic has no density")


def test_bad_input():
    with pytest.raises(ValueError, match="one to three dimensions"):
        log_partition_quadrature(quadratic(1.0), RealSpace((4,)))
    with pytest.raises(ValueError, match="one number per row"):
        log_partition_quadrature(lambda x: x.square(), RealSpace((2,)))
    with pytest.raises(ValueError, match="NaN"):
        log_partition_quadrature(lambda x: x[:, 0].log(), RealSpace((1,)))


@pytest.mark.parametrize("dim", [1, 2])
def test_kl_between_gaussians(dim: int):
    mean, std = 0.5, 2.0

    def log_p(x: Tensor) -> Tensor:
        z = (x - mean) / std
        return (-0.5 * z.square() - math.log(std) - 0.5 * math.log(2 * math.pi)).sum(1)

    result = kl_to_model(log_p, quadratic(1.0), RealSpace((dim,)))
    assert isinstance(result, Estimate)
    truth = dim * 0.5 * (std**2 + mean**2 - 1 - 2 * math.log(std))
    assert result.value == pytest.approx(truth, abs=3e-3 * truth)
    assert result.diagnostics["log_partition"] == pytest.approx(
        0.5 * dim * math.log(2 * math.pi), abs=1e-3
    )


def test_kl_is_zero_for_the_true_energy_and_infinite_outside_the_box():
    def log_p(x: Tensor) -> Tensor:
        return -0.5 * x.square().sum(1) - math.log(2 * math.pi)

    result = kl_to_model(log_p, quadratic(1.0), RealSpace((2,)))
    assert isinstance(result, Estimate)
    assert abs(result.value) < 1e-5
    outside = kl_to_model(log_p, quadratic(1.0), Box((2,), -1.0, 1.0))
    assert isinstance(outside, NotDefined)
    assert "integrates to 0.46" in outside.why


def test_kl_is_refined_until_the_grid_sees_all_of_the_data():
    """The true energy, up to a constant: the ratio is exact on any grid, the data's mass is not."""
    std = 0.02

    def log_p(x: Tensor) -> Tensor:
        z = (x - torch.tensor([-1.0, 1.07])) / std
        return torch.logsumexp(-0.5 * z.square(), 1) - math.log(2 * std * math.sqrt(2 * math.pi))

    def energy(x: Tensor) -> Tensor:
        return 3.0 - log_p(x)

    wide = torch.tensor([[-13.0], [13.0]])
    result = kl_to_model(log_p, energy, RealSpace((1,)), near=wide)
    assert isinstance(result, Estimate)
    assert result.diagnostics["data_mass"] == pytest.approx(1.0, abs=1e-3)
    assert result.diagnostics["log_partition"] == pytest.approx(-3.0, abs=2e-3)


def test_jumps_of_the_density_are_never_called_exact_by_chance():
    # Two grids whose cells fill each other's agree on a wrong integral of 40 % of such boxes; and two
    # that do not, on one in ten. The half-widths are fixed: nothing here is left to chance.
    wrong = []
    for k in range(20):
        half = 0.5 + 0.08 * k

        def energy(x: Tensor, half: float = half) -> Tensor:
            return torch.where(x.abs().amax(1) < half, 0.0, math.inf)

        found = log_partition_quadrature(energy, RealSpace((2,)))
        if isinstance(found, Interval) and abs(found.lower.value - 2 * math.log(2 * half)) > 5e-3:
            wrong.append(half)
    assert not wrong


def test_a_kink_is_exact():
    result = log_partition_quadrature(lambda x: 3 * x.abs().sum(1), RealSpace((2,)))
    assert value(result) == pytest.approx(2 * math.log(2 / 3), abs=1e-3)
