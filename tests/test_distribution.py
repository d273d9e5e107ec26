"""A trained model where a torch distribution is expected: its distribution, its units, its refusals."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Distribution

import gibbsian
from gibbsian.core import Interval
from gibbsian.core.measures import Box
from gibbsian.data.transforms import pixels
from gibbsian.models.distribution import as_distribution, walls

TRAINING = {"rounds": 3, "batch": 32, "device": "cpu"}
NET = {"width": 8}


def train(method, x, **options):
    return gibbsian.train(method, x, training=TRAINING, **options)


@pytest.fixture(scope="module")
def plane():
    """Two columns in units of their own."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(100, 2)) * [3.0, 50.0] + [0.0, 1000.0]


@pytest.fixture(scope="module")
def cd(plane):
    return train("cd", plane, chains=64, sampler={"steps": 2, "steps_per_sample": 4}, energy=NET)


@pytest.fixture(scope="module")
def vgan(plane):
    return train("vgan", plane, energy=NET, generator=NET)


@pytest.fixture(scope="module")
def wide():
    rng = np.random.default_rng(0)
    return train(
        "cd", rng.normal(size=(60, 5)), chains=16, sampler={"steps_per_sample": 4}, energy=NET
    )


def integral(law, low, high):
    """Of exp(log_prob) over a rectangle, by the midpoint rule on 200 x 200 cells."""
    steps = (torch.tensor(high) - torch.tensor(low)) / 200
    axes = [low[i] + (torch.arange(200) + 0.5) * steps[i] for i in (0, 1)]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    log_p = law.log_prob(grid)
    assert log_p.shape == (200, 200)
    return float(log_p.double().exp().sum() * steps.prod())


def test_the_density_integrates_to_one_in_the_datas_units(cd):
    law = as_distribution(cd)
    assert isinstance(law, Distribution)
    assert (law.batch_shape, law.event_shape) == ((), (2,))
    assert integral(law, (-30.0, 500.0), (30.0, 1500.0)) == pytest.approx(1.0, abs=5e-3)
    assert law.log_prob(torch.tensor([0.0, 1000.0])).shape == ()


def test_a_box_is_the_support_and_holds_all_mass(vgan):
    law = as_distribution(vgan)
    box = law.support.base_constraint
    low, high = box.lower_bound.tolist(), box.upper_bound.tolist()
    assert integral(law, low, high) == pytest.approx(1.0, abs=5e-3)
    inside = torch.tensor([[low[0] + 1e-3, high[1] - 1e-2], [low[0] - 1.0, high[1]]]).double()
    assert law.support.check(inside).tolist() == [True, False]
    assert law.log_prob(inside).isfinite().tolist() == [True, False]


def test_a_box_of_grey_levels_keeps_their_whole_cells():
    low, high = walls(Box((1, 2, 2), -1.0, 1.0), pixels((1, 2, 2), 256))
    assert (low.tolist(), high.tolist()) == ([-0.5], [255.5])


def test_samples_go_on_in_one_stream_of_their_own(cd):
    before = torch.get_rng_state()
    law, again = as_distribution(cd, seed=4), as_distribution(cd, seed=4)
    first, second = law.sample((3, 2)), law.sample((3, 2))
    assert first.shape == (3, 2, 2) and not torch.equal(first, second)
    assert torch.equal(first, again.sample((3, 2))) and torch.equal(second, again.sample((3, 2)))
    assert law.sample().shape == (2,)
    assert torch.equal(first.view(6, 2), cd.sample(6, seed=4))
    assert torch.equal(torch.get_rng_state(), before)
    assert bool(law.support.check(first).all())


def test_draws_that_are_the_generators_carry_gradients(vgan):
    law = as_distribution(vgan, seed=1)
    assert law.has_rsample
    x = law.rsample((5,))
    assert torch.equal(x.detach(), as_distribution(vgan, seed=1).sample((5,)))
    x.sum().backward()
    gradients = [p.grad for p in vgan.method.generator.parameters()]
    assert all(g is not None for g in gradients) and any(g.abs().max() > 0 for g in gradients)


def test_other_draws_carry_none_and_say_so(cd, plane):
    noisy = train("bidirectional", plane, energy=NET, generator=NET, encoder=NET)
    counts = train("gan", np.random.default_rng(0).poisson(5.0, (60, 2)), generator=NET)
    for model in (cd, noisy, counts):
        law = as_distribution(model)
        assert not law.has_rsample
        with pytest.raises(ValueError, match="use sample"):
            law.rsample((2,))


def test_beyond_quadrature_there_are_bounds(wide):
    law = as_distribution(wide)
    x = law.sample((2, 3))
    below, above = law.log_prob_bounds(x)
    assert below.shape == above.shape == (2, 3) and isinstance(law.log_z, Interval)
    width = law.log_z.upper.value - law.log_z.lower.value
    assert above - below == pytest.approx(torch.full((2, 3), width), abs=1e-4)
    with pytest.raises(ValueError, match="log_prob_bounds"):
        law.log_prob(x)


def test_a_directed_model_is_bounded_from_below(plane):
    law = as_distribution(train("vae", plane))
    below, above = law.log_prob_bounds(torch.as_tensor(plane[:4]))
    assert bool(below.isfinite().all()) and above.tolist() == [math.inf] * 4
    with pytest.raises(ValueError, match="log_prob_bounds"):
        law.log_prob(torch.as_tensor(plane[:4]))


def test_without_a_measure_there_is_nothing(plane):
    law = as_distribution(train("gan", plane, generator=NET, critic=NET))
    assert law.sample((2,)).shape == (2, 2)
    with pytest.raises(ValueError, match="gan has no log-density: log Z is not defined"):
        law.log_prob_bounds(torch.zeros(1, 2))


def test_rows_of_another_shape_are_refused(cd):
    with pytest.raises(ValueError, match=r"shape \[2\]; these have shape \[3\]"):
        as_distribution(cd).log_prob(torch.zeros(4, 3))


def test_bits_have_bits_as_support():
    bits = np.random.default_rng(0).integers(0, 2, (60, 4))
    law = as_distribution(train("vae", bits))
    assert law.support.check(torch.tensor([[0.0, 1, 0, 1], [0, 2, 0, 1]])).tolist() == [True, False]
    assert set(law.sample((9,)).unique().tolist()) <= {0.0, 1.0}
