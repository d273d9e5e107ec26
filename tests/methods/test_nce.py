"""Noise contrast: the loss, its noise's density, and a Gaussian's parameters and log Z found again."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn

from gibbsian.core import Batch, TrainingMethod
from gibbsian.core.measures import Box, Counting, Gaussian, RealSpace, Undefined
from gibbsian.core.protocols import HasLearnedLogZ
from gibbsian.methods.nce import NoiseContrastiveEstimation, logistic_loss
from gibbsian.methods.noise_law import DENSE, OFTEN, FittedGaussian, FittedLogitGaussian
from tests.methods.play import Quadratic, Stream, check_gradient, gradients, player, with_sampler

LINE, PLANE = RealSpace((1,)), RealSpace((2,))
PLAIN = Undefined((1,), "what is not known to have a normaliser is no tilt of the noise")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def nce(
    energy: nn.Module | None = None, measure: object = LINE, **options: object
) -> TrainingMethod:
    return NoiseContrastiveEstimation(
        energy or Quadratic(1.0, 0.0), measure, **with_sampler(**options)
    )


def normal(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=rng(seed), dtype=torch.float64)


@pytest.mark.parametrize("nu", [1, 3])
def test_loss_is_minus_the_log_probability_of_right_answers(nu: int) -> None:
    """h = p / (p + nu q): -mean log h at data - nu mean log(1 - h) at noise, in densities."""
    method = nce(Quadratic(1.3, 0.2), noise_ratio=nu).double()
    with torch.no_grad():
        method.A.fill_(0.4)
    x, noise = normal(6, 1), 1.5 * normal(6 * nu, 1, seed=1)
    both = torch.cat([x, noise])
    log_q = -both.square().squeeze(1) / 4.5 - 0.5 * math.log(2 * math.pi * 2.25)

    def truth() -> Tensor:
        p = torch.exp(-method.energy(both) - method.A)
        h = p / (p + nu * log_q.exp())
        return -h[:6].log().mean() - (1 - h[6:]).log().sum() / 6

    def value() -> Tensor:
        return method.energy_loss(x, noise, log_q).value

    assert torch.allclose(value(), truth(), rtol=1e-9)
    check_gradient(method, "energy", value, truth)
    logs = method.energy_loss(x, noise, log_q).logs
    h = truth() * 0 + torch.exp(-method.energy(both) - method.A) / log_q.exp() / nu
    assert logs["right_data"].item() == pytest.approx((h[:6] > 1).double().mean().item())
    assert logs["right_noise"].item() == pytest.approx((h[6:] < 1).double().mean().item())
    assert logs["A"].item() == pytest.approx(0.4)


def test_loss_of_a_blind_classifier() -> None:
    """G = 0 everywhere: log(1 + nu) + nu log(1 + 1 / nu)."""
    zeros = torch.zeros(5, dtype=torch.float64)
    expected = math.log(4) + 3 * math.log(4 / 3)
    assert logistic_loss(zeros, zeros, 3).item() == pytest.approx(expected)
    far = torch.full((5,), 1e4)
    assert logistic_loss(far, -far, 3).item() == 0.0


@pytest.mark.parametrize("nu", [1, 4])
def test_a_gaussian_s_parameters_and_log_z(nu: int) -> None:
    """Data N(0.5, 0.7^2): a = 1 / 0.49, b = -0.5 a and A = log Z, within errors known in theory.

    The logit is linear in (a, b, A), so the loss is convex and its minimum's covariance over 20 000
    rows is H^-1 V H^-1 (H its Hessian, V the variance of its gradient), here at the truth. Bounds of
    4.5 standard errors for six numbers: false alarm 4e-5.
    """
    n, a, b = 20_000, 1 / 0.49, -0.5 / 0.49
    log_z = 0.5 * math.log(2 * math.pi / a) + b**2 / (2 * a)
    x, noise = 0.5 + 0.7 * normal(n, 1), 1.2 * normal(n * nu, 1, seed=1)
    both = torch.cat([x, noise]).squeeze(1)
    log_q = -both.square() / (2 * 1.44) - 0.5 * math.log(2 * math.pi * 1.44)
    method = nce(Quadratic(1.0, 0.0), PLAIN, noise_ratio=nu).double()
    solver = torch.optim.LBFGS(method.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        value = method.energy_loss(x, noise, log_q).value
        value.backward()
        return value

    solver.step(closure)
    features = torch.stack([-0.5 * both.square(), -both, -torch.ones_like(both)], 1)
    h = torch.sigmoid(features @ torch.tensor([a, b, log_z]).double() - log_q - math.log(nu))
    data, other = -(1 - h[:n, None]) * features[:n], h[n:, None] * features[n:]
    V = (torch.cov(data.T) + nu * torch.cov(other.T)) / n
    H = (features * (h * (1 - h))[:, None]).T @ features / n
    errors = (torch.linalg.inv(H) @ V @ torch.linalg.inv(H)).diagonal().sqrt()
    found = torch.stack([method.energy.a, method.energy.b, method.A]).detach()
    assert ((found - torch.tensor([a, b, log_z]).double()).abs() < 4.5 * errors).all()
    assert errors.max() < 0.06


def test_training_finds_log_z() -> None:
    """By rounds, noise fitted as it goes: log Z of N(0, 1) is 0.919, a = 1; 100 rounds of 500."""
    method = nce(Quadratic(2.0, 0.5), PLAIN, noise_ratio=2)
    optimizer = torch.optim.Adam(method.parameters(), 0.05)
    stream, generator, tail = Stream(500, (1,)), rng(1), []
    for index in range(120):
        for move in method.round(index, stream, generator):
            found = gradients(method, move)
            for name, parameter in player(method, "energy").items():
                parameter.grad = found[name]
            optimizer.step()
        if index >= 60:
            tail.append(torch.stack([method.energy.a, method.energy.b, method.A]).detach())
    a, b, A = torch.stack(tail).mean(0).tolist()
    assert a == pytest.approx(1.0, abs=0.05)
    assert b == pytest.approx(0.0, abs=0.05)
    assert pytest.approx(0.5 * math.log(2 * math.pi), abs=0.05) == A
    assert torch.equal(method.learned_log_z(), method.A) and isinstance(method, HasLearnedLogZ)


@pytest.mark.parametrize("spread", [1.0, 1.7])
def test_noise_is_the_gaussian_of_what_was_seen(spread: float) -> None:
    """Density against scipy's, with the moments of the rows and a thousandth of their mean variance."""
    law = FittedGaussian((2,), spread).double()
    root = torch.tensor([[1.0, 0.0], [0.8, 0.4]], dtype=torch.float64)
    batches = [2.0 + normal(50, 2, seed=seed) @ root.T for seed in range(3)]
    for index, x in enumerate(batches):
        law.see(x, index)
    seen = torch.cat(batches)
    mean, covariance = seen.mean(0), torch.cov(seen.T, correction=0)
    covariance += 1e-3 * covariance.diagonal().mean() * torch.eye(2)
    known = scipy.stats.multivariate_normal(mean.numpy(), spread**2 * covariance.numpy())
    x = normal(9, 2, seed=7)
    assert np.allclose(law.log_density(x), known.logpdf(x.numpy()), rtol=1e-9)
    draws = law.sample(20_000, rng())
    # 4.5 standard errors: of a mean 0.032 standard deviations, of a covariance 4.5 %.
    deviations = spread * covariance.diagonal().sqrt()
    assert ((draws.mean(0) - mean).abs() < 0.032 * deviations).all()
    expected = spread**2 * covariance
    bound = 0.045 * torch.outer(deviations, deviations)
    assert ((torch.cov(draws.T) - expected).abs() < bound).all()


@pytest.mark.parametrize("spread", [1.0, 1.3])
def test_noise_on_a_box_has_gaussian_logits(spread: float) -> None:
    """Density against scipy's of the scaled logits and their derivative; its integral over the box is 1."""
    law = FittedLogitGaussian(Box((1, 2), -1.0, 2.0), spread).double()
    seen = 1.8 * torch.rand(200, 1, 2, generator=rng(), dtype=torch.float64) - 0.9
    seen[:, 0, 1] = 0.3 + (seen[:, 0, 1] + seen[:, 0, 0]) / 2
    law.see(seen, 0)

    def logits(x: Tensor) -> Tensor:
        return 0.75 * torch.log((x + 1) / (2 - x)).flatten(1)

    u = logits(seen)
    covariance = torch.cov(u.T, correction=0)
    covariance += 1e-3 * covariance.diagonal().mean() * torch.eye(2)
    known = scipy.stats.multivariate_normal(u.mean(0).numpy(), spread**2 * covariance.numpy())
    x = 2.9 * torch.rand(9, 1, 2, generator=rng(1), dtype=torch.float64) - 0.95
    slope = (2.25 / ((x + 1) * (2 - x))).log().flatten(1).sum(1)  # du / dx, 1 in the middle
    expected = torch.from_numpy(known.logpdf(logits(x).numpy())) + slope
    assert torch.allclose(law.log_density(x), expected, rtol=1e-9)
    assert torch.allclose(law.from_coordinates(law.to_coordinates(x)), x, rtol=1e-12)
    side = torch.linspace(-1, 2, 801, dtype=torch.float64)
    side = (side[1:] + side[:-1]) / 2
    grid = torch.cartesian_prod(side, side).view(-1, 1, 2)
    total = law.log_density(grid).exp().sum() * (3 / 800) ** 2
    assert total.item() == pytest.approx(1.0, abs=1e-3)
    x[0, 0, 0] = 2.5
    assert law.log_density(x)[0] == -math.inf
    assert law.log_density(torch.tensor([[[-1.0, 2.0]]])).isfinite().all()


def test_draws_on_a_box_have_the_logits_of_what_was_seen() -> None:
    """4.5 standard errors of 20 000: of a mean 0.032 standard deviations, of a variance 4.5 %."""
    law = FittedLogitGaussian(Box((2,), -1.0, 1.0), 1.0).double()
    law.see(torch.rand(500, 2, generator=rng(), dtype=torch.float64), 0)
    draws = law.sample(20_000, rng())
    assert draws.min() > -1 and draws.max() < 1
    u, root = law.to_coordinates(draws), law.gaussian.scale()
    covariance = root @ root.T
    deviations = covariance.diagonal().sqrt()
    assert ((u.mean(0) - law.gaussian.mean).abs() < 0.032 * deviations).all()
    bound = 0.045 * torch.outer(deviations, deviations)
    assert ((torch.cov(u.T) - covariance).abs() < bound).all()


def test_a_large_covariance_s_root_is_made_in_rounds_of_powers_of_two() -> None:
    """And independent columns have the density of a product, far above as many numbers."""
    d = OFTEN + 1
    law = FittedGaussian((d,), 1.0).double()
    roots = []
    for index in range(4):
        law.see(normal(200, d, seed=index), index)
        roots.append(law.scale().clone())
        fitted = torch.allclose(law.scale(), law.fitted_root())
        assert fitted == (index in (0, 1, 3))
    assert torch.equal(roots[1], roots[2])
    wide = FittedLogitGaussian(Box((DENSE + 1,), -1.0, 1.0), 1.0).double()
    x = 2 * torch.rand(30, DENSE + 1, generator=rng(), dtype=torch.float64) - 1
    wide.see(x, 0)
    u = wide.to_coordinates(x)
    variance = u.var(0, correction=0)
    std = (variance + 1e-3 * variance.mean()).sqrt()
    expected = torch.distributions.Normal(u.mean(0), std).log_prob(u).sum(1)
    assert torch.allclose(wide.log_density(x), expected - wide.log_jacobian(u), rtol=1e-9)


def test_noise_of_data_far_from_zero_is_as_wide_as_they_are() -> None:
    """From the first batch on, in single precision: standard deviations 0.2 and 3 around 2000."""
    law = FittedGaussian((2,), 1.2)
    for index in range(3):
        x = 2000 + torch.tensor([0.2, 3.0]) * torch.randn(5_000, 2, generator=rng(index))
        law.see(x, index)
        draws = law.sample(5_000, rng(9))
        # A deviation of 5 000 draws is off by 1 %; the ridge adds 5 % to the smaller one.
        ratio = (draws - 2000).std(0) / (1.2 * torch.tensor([0.2, 3.0]))
        assert draws.dtype == torch.float32 and ((ratio - 1).abs() < 0.1).all()


def test_a_round_is_one_move_against_nu_times_the_rows() -> None:
    method, stream = nce(measure=PLANE, noise_ratio=3), Stream(40)
    for index in range(2):
        (move,) = list(method.round(index, stream, rng(index)))
        x, noise, log_noise = move.inputs
        assert torch.equal(x, stream.taken[-1]) and noise.shape == (120, 2)
        expected = method.noise.log_density(torch.cat([x, noise]))
        assert torch.equal(log_noise, expected)
    assert set(player(method, "energy")) == {"energy.network.a", "energy.network.b", "A"}
    assert torch.allclose(method.noise.mean, torch.cat(stream.taken).double().mean(0), atol=1e-6)


@pytest.mark.parametrize("measure", [PLAIN, LINE, Gaussian((1,)), Box((1,), -2.0, 2.0)])
def test_A_starts_at_the_mean_log_ratio(measure: object) -> None:
    """E = x^2 + c against N(0, 1): E[-x^2 - c - log N(x)]; of a tilt -c - E[x^2] under the noise."""

    class Shifted(Quadratic):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + 5.0

    method = nce(Shifted(2.0, 0.0), measure)
    method.initialise_A(4000)
    entropy = 0.5 * math.log(2 * math.pi) + 0.5
    u = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    square = (2 * torch.tanh(u / 2)).square() @ torch.exp(-u.square() / 2) / math.sqrt(2 * math.pi)
    expected = {
        Undefined: -1.0 + entropy,
        RealSpace: -1.0,
        Gaussian: -1.0,
        Box: -square.item() * (u[1] - u[0]).item(),
    }
    # x^2 has standard deviation 1.4 at most: 4.5 standard errors of 4000 are 0.1.
    assert method.A.item() == pytest.approx(expected[type(measure)] - 5.0, abs=0.1)


def test_the_base_measure_counts() -> None:
    """log p = -E + log b - A: a Gaussian base adds its density, nothing where there is no measure."""
    x = torch.tensor([[0.5], [3.0]])
    assert torch.allclose(nce(measure=LINE).log_model(x), -nce().energy(x))
    based = nce(measure=Gaussian((1,))).log_model(x)
    assert torch.allclose(based, -0.5 * x.square().squeeze(1) + Gaussian((1,)).log_density(x))
    assert nce(measure=Box((1,), -2.0, 2.0)).log_model(x)[1] == -math.inf
    assert torch.allclose(nce(measure=PLAIN).log_model(x), -0.5 * x.square().squeeze(1))


def test_the_energy_is_a_tilt_of_the_noise() -> None:
    """E = f - log q, of what has been seen: exp(-E) has a normaliser, and a network of 0 is the noise."""
    method = nce(Quadratic(0.0, 0.0), PLANE)
    method.noise.see(3 + normal(50, 2).float(), 0)
    x = normal(5, 2).float()
    assert torch.allclose(method.log_model(x), method.noise.log_density(x).float())
    plain = nce(Quadratic(1.0, 0.0), PLANE)
    f = 0.5 * x.square().sum(1)
    assert torch.allclose(plain.energy(x), f - plain.noise.log_density(x).float())


def test_rows_outside_a_box_are_moved_onto_its_walls() -> None:
    method = nce(measure=Box((1,), -1.0, 1.0))
    batch = Batch(torch.tensor([[0.5], [3.0]]), torch.arange(2))
    (move,) = list(method.round(0, iter([batch]), rng()))
    assert move.inputs[0].flatten().tolist() == [0.5, 1.0]
    assert torch.isfinite(move.loss(*move.inputs).value)


def test_samples_are_those_of_the_energy() -> None:
    """MALA from the noise law to N(1, 1/4): 3000 chains, 4.5 standard errors of mean and variance."""
    chains = {"kernel": "mala", "step_size": 0.1, "steps": 10, "steps_per_sample": 45}
    method = nce(Quadratic(3.0, -4.0), PLANE, **chains)  # beside the noise, N(0, 1)
    x = method.sample(3000, rng())
    assert method.energy.network.calls == 5 * 11  # whole rounds of ten steps
    assert x.shape == (3000, 2) and not x.requires_grad
    assert (x.mean(0) - 1).abs().max() < 4.5 * 0.5 / math.sqrt(3000)
    assert x.var(0).tolist() == pytest.approx([0.25, 0.25], rel=4.5 * math.sqrt(2 / 3000))


def test_samples_start_at_the_noise_law() -> None:
    method = nce(measure=PLANE, kernel="mala", step_size=1e-12, steps=1, steps_per_sample=1)
    method.noise.mean.fill_(7.0)
    method.noise.second.copy_(50.0 * torch.eye(2) + 49.0 * (1 - torch.eye(2)))
    x = method.sample(2000, rng())
    assert (x.mean(0) - 7).abs().max() < 0.1 and abs(x.std().item() - 1) < 0.1


def test_unusable_options() -> None:
    for options, words in (
        ({"noise_ratio": 0}, "noise_ratio must be a whole number"),
        ({"nce_noise_std_scale": 0.0}, "nce_noise_std_scale must be finite and positive"),
        ({"step_size": 0.0}, "step_size must be finite and positive"),
        ({"steps": 0}, "steps must be a whole number"),
        ({"steps_per_sample": 0}, "steps_per_sample must be a whole number"),
        ({"class_loss_weight": 1.0}, "energy that classifies"),
    ):
        with pytest.raises(ValueError, match=words):
            nce(**options)
    with pytest.raises(ValueError, match="continuous data"):
        nce(measure=Counting((2,)))
    with pytest.raises(ValueError, match="samples unconditionally"):
        nce().sample(2, rng(), torch.tensor(1))
