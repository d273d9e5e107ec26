"""One to three dimensions: "exact" holds as far as the search for mass reached, and no exact value is wrong
where that search could have seen the mass."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gibbsian.core import Interval, NotDefined
from gibbsian.core.measures import Box, RealSpace
from gibbsian.evaluation import log_partition
from gibbsian.evaluation.log_z.grids import coarse_draws
from gibbsian.evaluation.log_z.mode_search import _scattered, find_modes


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(x: Tensor, mean: float | tuple[float, float], std: float) -> Tensor:
    d = x.shape[1]
    square = ((x - torch.tensor(mean).to(x)) / std).square().sum(1)
    return -0.5 * square - d * (math.log(std) + 0.5 * math.log(2 * math.pi))


def far(x: Tensor) -> Tensor:
    return -torch.logaddexp(normal(x, 0.0, 1.0), math.log(1e6) + normal(x, (100.0, 100.0), 1.0))


def spike_at(where: tuple[float, float]):
    def energy(x: Tensor) -> Tensor:
        return -torch.logaddexp(normal(x, 0.0, 1.0), normal(x, where, 1e-4))

    return energy


def test_a_heavy_mode_far_away_is_found():
    found = log_partition(far, RealSpace((2,)), rng=rng())
    assert isinstance(found, Interval)
    assert found.lower.standing == "exact"
    assert found.lower.value == pytest.approx(math.log(1 + 1e6), abs=1e-3)


@pytest.mark.parametrize("measure", [RealSpace((2,)), Box((2,), -4.0, 4.0)])
def test_a_spike_is_found_by_points_in_it_and_is_no_longer_called_exact(measure: RealSpace | Box):
    where = (0.731, -0.413)
    near = torch.cat(
        [
            torch.randn(250, 2, generator=rng()),
            torch.tensor(where) + 1e-4 * torch.randn(250, 2, generator=rng(1)),
        ]
    ).clamp(-4, 4)
    found = log_partition(spike_at(where), measure, rng=rng(), reference_points=near)
    assert isinstance(found, Interval)
    assert found.lower.standing != "exact"
    truth = math.log(2)
    assert (
        found.lower.value - 4 * found.lower.stderr
        < truth
        < found.upper.value + 4 * found.upper.stderr
    )


def test_a_spike_at_the_foot_of_the_slope_is_found_by_descents():
    found = log_partition(spike_at((1e-4, 1e-4)), RealSpace((2,)), rng=rng())
    assert isinstance(found, Interval)
    assert found.lower.standing != "exact"
    assert found.upper.value == pytest.approx(math.log(2), abs=0.1)


def test_what_is_too_heavy_for_a_grid_is_estimated():
    """A product of Cauchy densities, and a funnel in the plane: proper, and never refused."""

    def cauchy(x: Tensor) -> Tensor:
        return torch.log1p(x.square()).sum(1)

    def funnel(x: Tensor) -> Tensor:
        v = x[:, 0]
        return v.square() / 18 + 0.5 * v + 0.5 * x[:, 1].square() * (-v).exp()

    for energy, truth in ((cauchy, 2 * math.log(math.pi)), (funnel, math.log(3 * 2 * math.pi))):
        found = log_partition(energy, RealSpace((2,)), rng=rng())
        assert isinstance(found, Interval), str(found)
        low, high = found.lower, found.upper
        assert low.value - 4 * low.stderr < truth < high.value + 4 * high.stderr


def test_scales_from_narrow_to_wide():
    for std in (1e-3, 1.0, 300.0):
        found = log_partition(lambda x, s=std: -normal(x, 0.0, s), RealSpace((2,)), rng=rng())
        assert isinstance(found, Interval)
        assert found.lower.standing == "exact"
        assert found.lower.value == pytest.approx(0.0, abs=2e-3)


def test_improper_in_the_plane():
    for energy in (lambda x: 0 * x.sum(1), lambda x: x.sum(1), lambda x: -(x**4).sum(1)):
        found = log_partition(energy, RealSpace((2,)), rng=rng())
        assert isinstance(found, NotDefined)
        assert "does not confine" in found.why


def test_minima_and_their_widths():
    def energy(x: Tensor) -> Tensor:
        return -torch.logaddexp(normal(x, (2.0, 0.0), 0.5), normal(x, (-3.0, 1.0), 0.02))

    modes = find_modes(energy, RealSpace((2,)), [], rng(), torch.float64)
    found = modes.x[modes.x[:, 0].argsort()]
    torch.testing.assert_close(found[0], torch.tensor([-3.0, 1.0]).double(), rtol=0, atol=1e-3)
    torch.testing.assert_close(found[-1], torch.tensor([2.0, 0.0]).double(), rtol=0, atol=1e-2)
    narrow = modes.std[modes.x[:, 0].argmin()]
    torch.testing.assert_close(
        narrow, torch.full((2,), 0.02).double(), rtol=0.3, atol=0
    )  # grid of widths


def test_coarse_draws_follow_the_mass():
    x = coarse_draws(
        lambda x: normal(x, 0.0, 1.0), torch.zeros(2), 2000, RealSpace((2,)), rng(), torch.float64
    )
    assert x.shape == (2000, 2)
    # Overlapping grids count a region several times, finer ones where they lie: about normal only.
    assert 0.3 < float(x.std()) < 1.2


@pytest.mark.parametrize("place", [-3.0, 3.0, 6.0])
@pytest.mark.parametrize("d", [4, 5, 6])
def test_narrower_modes_far_from_the_first_are_found(place, d):
    """Half as wide as the one at 0: their basins are a small part of all directions."""

    def energy(x):
        wide, narrow = x.square().sum(1) / 2, 2 * (x - place).square().sum(1)
        return -torch.logsumexp(torch.stack([-wide, 1 - narrow]), 0)

    found = find_modes(energy, RealSpace((d,)), [], rng(), torch.float32)
    near = (found.x - place).abs().amax(1) < 0.1
    assert int(near.sum()) == 1 and len(found.x) == 2


def test_scattered_starts_are_of_all_directions_and_radii():
    x = _scattered(5)
    r = x.norm(dim=1)
    assert 1 <= float(r.min()) < 1.02 and 31 < float(r.max()) <= 32
    assert float(r.log().mean()) == pytest.approx(math.log(32) / 2, abs=0.01)
    assert bool(((x / r[:, None]).mean(0).abs() < 0.01).all())
