"""What has no integral over R^d is refused; what has one never is."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gibbsian.core import NotDefined
from gibbsian.core.measures import RealSpace
from gibbsian.evaluation import log_partition
from gibbsian.evaluation.log_z.propriety import improper, tail_power
from studies.logz_targets import banana, funnel, gaussian, mixture, student, student_product


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def square(x: Tensor) -> Tensor:
    return 0.5 * x.square().sum(1)


TURN = torch.linalg.qr(torch.randn(10, 10, generator=rng(3), dtype=torch.float64))[0]
IMPROPER = {
    "flat": lambda x: 0 * x.sum(1),
    "linear": lambda x: x.sum(1),
    "tanh": lambda x: x.sum(1).tanh(),
    "slowly logarithmic": lambda x: 4 * torch.log1p(x.square().sum(1)),  # 8 ln r, and 10 are needed
    "falling": lambda x: -(x**4).sum(1),
    "one coordinate unseen": lambda x: square(x[:, 1:]),
    "one direction unseen": lambda x: square((x.double() @ TURN)[:, 1:]),
    "one coordinate too slow": lambda x: square(x[:, 1:]) + 0.4 * torch.log1p(x[:, 0].square()),
    "flat on one side": lambda x: square(x[:, 1:]) + x[:, 0].relu(),
}


@pytest.mark.parametrize("name", IMPROPER)
def test_improper_energies_are_refused(name: str):
    x = torch.randn(500, 10, generator=rng())
    found = log_partition(IMPROPER[name], RealSpace((10,)), rng=rng(), reference_points=x)
    assert isinstance(found, NotDefined)
    assert "does not confine on R^10" in found.why
    assert "Box" in found.why  # the remedy


PROPER = {
    "Gaussian": lambda: gaussian(20, 0.9, 0.01, 10.0),
    "funnel": lambda: funnel(4, 1.5),
    "Neal's funnel": lambda: funnel(10, 3.0),
    "very heavy tails": lambda: student(10, 0.5),
    "a product of Cauchy": lambda: student_product(10, 1.0, 3),
    "banana": lambda: banana(8, 2.0, 2),
    "modes": lambda: mixture([0.7, 0.3], [1.0, 0.1], 12, 5.0, 1),
}


@pytest.mark.parametrize("name", PROPER)
def test_proper_densities_never_are(name: str):
    truth = PROPER[name]()
    for seed in range(20):
        assert improper(truth.energy, truth.draw(500, rng(seed)), rng(seed)) is None


def test_points_far_from_a_funnel_are_no_tube():
    """Lines from them cut across the valley and rise again, from 1e18 nats below where they began."""
    x, truth = torch.randn(500, 5, generator=rng()), funnel(5, 3.0)
    x[:, 0] = 7 * x[:, 0] - 16
    for seed in range(20):
        assert improper(truth.energy, x, rng(seed)) is None


@pytest.mark.parametrize("d", [2, 10])
def test_the_power_of_tails_is_that_of_students_t(d: int):
    for nu in (0.3, 1.0, 3.0):
        truth = student(d, nu)
        power = tail_power(truth.energy, truth.draw(500, rng()))
        assert power == pytest.approx(nu, abs=0.01)
    x = torch.randn(500, d, generator=rng())
    assert tail_power(square, x) == tail_power(lambda x: x.abs().sum(1), x) == math.inf


def test_networks():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(10, 64), nn.SiLU(), nn.Linear(64, 1))
    x = torch.randn(500, 10, generator=rng())
    bare = improper(lambda x: net(x)[:, 0], x, rng())
    assert isinstance(bare, NotDefined)
    assert improper(lambda x: net(x)[:, 0] + 0.1 * square(x), x, rng()) is None


def test_minus_infinity_at_a_point_between():
    def energy(x: Tensor) -> Tensor:
        return torch.where(x.norm(dim=1) < 0.3, -math.inf, square(x))

    found = improper(energy, torch.randn(200, 6, generator=rng()), rng())
    assert found is not None and "minus infinity" in found.why
