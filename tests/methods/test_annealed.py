"""Samples annealed from a fitted distribution: weights of distant modes, walls, temperatures."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor

from gibbsian.core.measures import Box, Counting, RealSpace
from gibbsian.methods import _annealed
from gibbsian.methods._annealed import AnnealedSampler
from gibbsian.methods._langevin import SamplerOptions
from gibbsian.methods.noise_law import fitted_noise

FEW = SamplerOptions(steps_per_sample=10)


def rng(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def two_modes(x: Tensor) -> Tensor:
    """-log of 0.8 N(-4, 0.3^2) + 0.2 N(4, 0.3^2)."""
    means, weights = torch.tensor([-4.0, 4.0]), torch.tensor([0.8, 0.2])
    each = torch.distributions.Normal(means, 0.3).log_prob(x) + weights.log()
    return -torch.logsumexp(each, 1)


def wide() -> AnnealedSampler:
    noise = fitted_noise(RealSpace((1,)), 1.0)
    noise.see(4.0 * torch.randn(500, 1, generator=rng()), 0)
    return AnnealedSampler(RealSpace((1,)), FEW, noise)


def test_modes_that_no_chain_crosses_have_their_weights() -> None:
    """The share on the right is 0.2; over 60 seeds it had a standard deviation of 0.011, here are 7 of it.

    Plain chains from the same noise keep the half that start there.
    """
    sampler = wide()
    x = sampler.draw(two_modes, 2000, rng(1))
    share = (x > 0).double().mean().item()
    assert share == pytest.approx(0.2, abs=0.08)
    assert (x.abs() - 4).std().item() == pytest.approx(0.3, rel=0.15)
    plain = AnnealedSampler(
        sampler.measure, SamplerOptions(kernel="mala", step_size=0.05), sampler.noise
    )
    assert (plain.draw(two_modes, 500, rng(1)) > 0).double().mean().item() > 0.35


def test_walls_of_a_box_are_reached() -> None:
    """exp(3 x_1) on [-1, 1]^2: x_1 has mean coth 3 - 1 / 3 and lies above 0.9 with probability 0.26.

    Of 4000 chains that hang together a little: 0.05 are 6 standard errors of a mean and 7 of a share.
    """
    measure = Box((2,), -1.0, 1.0)
    sampler = AnnealedSampler(
        measure, SamplerOptions(steps_per_sample=20), fitted_noise(measure, 1.0)
    )
    x = sampler.draw(lambda x: -3 * x[:, 0], 4000, rng(2))
    assert x.abs().max() <= 1
    assert x[:, 0].mean().item() == pytest.approx(1 / math.tanh(3) - 1 / 3, abs=0.05)
    above = (math.exp(3) - math.exp(2.7)) / (math.exp(3) - math.exp(-3))
    assert (x[:, 0] > 0.9).double().mean().item() == pytest.approx(above, abs=0.05)
    assert x[:, 1].mean().item() == pytest.approx(0.0, abs=0.07)
    assert x[:, 1].var().item() == pytest.approx(1 / 3, abs=0.05)


@pytest.mark.parametrize("box", [False, True])
def test_chains_of_another_energy_keep_it(box: bool) -> None:
    """`sample`, from draws of the energy itself: the variance stays, 6 standard errors of 4000."""
    measure = Box((1,), -8.0, 8.0) if box else RealSpace((1,))
    sampler = AnnealedSampler(
        measure, SamplerOptions(steps_per_sample=60), fitted_noise(measure, 1.0)
    )
    x0 = torch.randn(4000, 1, generator=rng())
    x = sampler.sample(lambda x: 0.5 * x[:, 0].square(), x0, rng(1))
    assert not torch.equal(x, x0) and (x != x0).double().mean() > 0.95
    assert x.var().item() == pytest.approx(1.0, rel=6 * math.sqrt(2 / 4000))


def test_temperature_widens() -> None:
    """exp(-x^2 / 2 / 4) has variance 4: 10 % are 4.5 standard errors of 4000 independent draws."""
    noise = fitted_noise(RealSpace((1,)), 1.0)
    options = SamplerOptions(noise_scale=2.0, steps_per_sample=50)
    sampler = AnnealedSampler(RealSpace((1,)), options, noise)
    x = sampler.draw(lambda x: 0.5 * x[:, 0].square(), 4000, rng(3))
    assert x.var().item() == pytest.approx(4.0, rel=0.1)


def test_blocks_and_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = wide()
    one = sampler.draw(two_modes, 1, rng(4))
    assert one.shape == (1, 1) and one.dtype == torch.float32 and not one.requires_grad
    assert torch.equal(one, sampler.draw(two_modes, 1, rng(4)))
    assert not torch.equal(one, sampler.draw(two_modes, 1, rng(5)))
    monkeypatch.setattr(_annealed, "BLOCK", 30)
    assert sampler.draw(two_modes, 70, rng(4)).shape == (70, 1)


def test_a_model_too_far_away_is_sampled_by_plain_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    """No schedule: chains from the noise, which move, and a word about them."""

    def refused(*_: object, **__: object) -> None:
        raise _annealed.ScheduleError("too long")

    monkeypatch.setattr(_annealed, "adapt_annealing_schedule", refused)
    with pytest.warns(UserWarning, match="too far from the Gaussian"):
        x = wide().draw(two_modes, 20, rng())
    assert x.shape == (20, 1) and x.isfinite().all()


def test_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="continuous data"):
        AnnealedSampler(Counting((2,)), FEW, fitted_noise(RealSpace((2,)), 1.0))
