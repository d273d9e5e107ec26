"""Energy matching: losses in closed form, the potential of a known pair, equilibrium, log Z in the plane."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import gibbsian
from gibbsian.core import Interval, NonFiniteError
from gibbsian.core.measures import Box, Counting, RealSpace
from gibbsian.methods.energy_matching import EnergyMatching
from tests.methods.play import Quadratic, Stream, check_gradient, gradients, player, with_sampler

PLANE = RealSpace((2,))
FEW = {"steps": 2, "steps_per_sample": 2}


class Wavy(nn.Module):
    """V(x) = sum a cos(w . x) + |x|^2: neither quadratic nor separable."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(5, 2, generator=rng(3)))
        self.a = nn.Parameter(torch.randn(5, generator=rng(4)))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cos(x @ self.w.T) @ self.a + x.square().sum(1)


class Line:
    """Endless batches of N(mean, std^2) on the line."""

    def __init__(self, n: int, mean: float, std: float):
        self.stream, self.mean, self.std = Stream(n, (1,)), mean, std

    def __iter__(self):
        return self

    def __next__(self):
        batch = next(self.stream)
        return batch._replace(x=self.mean + self.std * batch.x.double())


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def matching(energy: nn.Module | None = None, measure: object = PLANE, **options: object):
    return EnergyMatching(energy or Quadratic(1.0, 0.0), measure, **with_sampler(**options))


def normal(n: int, seed: int) -> Tensor:
    return torch.randn(n, 2, generator=rng(seed), dtype=torch.float64)


def differences(V: nn.Module, x: Tensor, h: float = 1e-5) -> Tensor:
    """grad V ``[B, 2]`` by central differences of potentials."""
    return torch.stack([(V(x + h * e) - V(x - h * e)) / (2 * h) for e in torch.eye(2).double()], 1)


def test_the_matching_loss_is_the_squared_error_of_minus_the_gradient() -> None:
    method = matching(Wavy()).double()
    points, velocity = normal(7, 0), normal(7, 1)
    slope = differences(method.energy.potential, points)
    truth = (-slope - velocity).square().sum(1).mean()
    assert method.matching_loss(points, velocity).value.item() == pytest.approx(
        truth.item(), rel=1e-7
    )


def test_the_contrast_adds_lambda_times_the_difference_of_mean_potentials() -> None:
    method = matching(Wavy(), contrastive_weight=0.3).double()
    at, velocity, x, x_model = (normal(n, seed) for seed, n in enumerate((7, 7, 5, 9)))
    weight = torch.linspace(0, 1, 7, dtype=torch.float64)

    def truth() -> Tensor:
        w, a = method.energy.potential.w, method.energy.potential.a
        slope = -(torch.sin(at @ w.T) * a) @ w + 2 * at
        V = method.energy.potential
        gap = V(x).mean() - V(x_model).mean()
        return (weight * (-slope - velocity).square().sum(1)).mean() + 0.3 * gap

    def value() -> Tensor:
        return method.contrastive_loss(at, velocity, weight, x, x_model).value

    assert value().item() == pytest.approx(truth().item(), rel=1e-10)
    check_gradient(method, "energy", value, truth)


def test_points_lie_on_the_segments_between_coupled_pairs() -> None:
    """x_t - t (x1 - x0) = x0 for the t of the same draw; x0 is standard normal, x1 the batch permuted."""
    method = matching()
    x = next(Stream(500)).x + 3
    points, velocity, weight = method.paths(x, rng())
    x0 = torch.randn(500, 2, generator=rng())
    x1 = velocity + x0
    assert torch.allclose(x1[x1[:, 0].argsort()], x[x[:, 0].argsort()], atol=1e-5)
    along = ((points - x0) / velocity).mean(1)
    assert torch.allclose(points, x0 + along[:, None] * velocity, atol=1e-4)
    # 500 uniform numbers: 4.5 standard errors of their mean.
    assert along.min() > -1e-4 and along.max() < 1 + 1e-4
    assert abs(along.mean().item() - 0.5) < 4.5 * math.sqrt(1 / 12 / 500)
    assert (weight == 1).all()
    *_, weight = matching(noise_start_time=0.6).paths(x, rng())
    torch.testing.assert_close(weight, ((1 - along) / 0.4).clamp(max=1), atol=1e-3, rtol=0)


def test_of_a_translation_the_linear_potential_has_no_error() -> None:
    """N(0, I) to N(m, I): x1 = x0 + m, and V = -m . x is optimal at all times at once."""
    m = torch.tensor([1.5, -0.5], dtype=torch.float64)

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.slope = nn.Parameter(torch.zeros(2, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.slope

    method = matching(Linear())
    x0, t = normal(50, 0), torch.rand(50, 1, generator=rng()).double()
    points, velocity = x0 + t * m, m.expand(50, 2)
    assert method.matching_loss(points, velocity).value.item() == pytest.approx(m.square().sum())
    with torch.no_grad():
        method.energy.potential.slope.copy_(-m)
    assert method.matching_loss(points, velocity).value.item() == pytest.approx(0.0, abs=1e-20)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.5), (1.0, 1.0), (0.5, 2.0)])
def test_the_optimal_quadratic_of_a_gaussian_pair(mean: float, std: float) -> None:
    """Least squares over batches against the closed form of the monotone coupling x1 = m + s x0.

    x_t = (1 - t + s t) x0 + t m and velocity (s - 1) x0 + m. With slope a x + b the errors' means give
    a = -cov(x_t, velocity) / var(x_t), b = -m - a m / 2, where E[(1 - t + s t)^2] = (1 + s + s^2) / 3 and
    E[1 - t + s t] = (1 + s) / 2; t m adds m^2 / 12 to var(x_t). 40 batches of 250: 4.5 errors of their
    mean, plus 0.03 for the coupling of batches, which is monotone only between their own quantiles.
    """
    variance = (1 + std + std**2) / 3 + mean**2 / 12
    a = -(std - 1) * (1 + std) / 2 / variance
    b = -mean - a * mean / 2
    method, data, found = matching(Quadratic(0.0, 0.0), RealSpace((1,))), Line(250, mean, std), []
    for seed in range(40):
        points, velocity, _ = method.paths(next(data).x, rng(seed))
        design = torch.cat([points, torch.ones_like(points)], 1)
        found.append(torch.linalg.lstsq(design, -velocity).solution[:, 0])
    mean_fit = torch.stack(found).mean(0)
    error = torch.stack(found).std(0) / math.sqrt(len(found))
    gaps = (mean_fit - torch.tensor([a, b], dtype=torch.float64)).abs()
    assert (gaps < 4.5 * error + 0.03).all(), (mean_fit, a, b)
    # That fit is where the method's own gradient vanishes.
    with torch.no_grad():
        method.energy.potential.a.copy_(found[-1][0])
        method.energy.potential.b.copy_(found[-1][1])
    slopes = torch.autograd.grad(
        method.matching_loss(points, velocity).value, list(method.energy.parameters())
    )
    assert all(slope.abs() < 1e-5 for slope in slopes)


def test_the_flow_of_the_optimal_translation_is_the_data_s_density() -> None:
    """V = -x: the flow shifts N(0, 1) by 1; an exact density, which the divergence must give back."""
    method = matching(Quadratic(0.0, -1.0), RealSpace((1,)))
    x = torch.linspace(-2, 4, 7)[:, None]
    truth = -0.5 * (x[:, 0] - 1).square() - 0.5 * math.log(2 * math.pi)
    assert torch.allclose(method.flow_log_prob(x), truth, atol=1e-5)
    with pytest.raises(ValueError, match="flow with noise"):
        matching(noise_start_time=0.5).flow_log_prob(torch.zeros(1, 2))


def test_rounds_of_two_kinds() -> None:
    method, stream = matching(Wavy(), warmup_rounds=2, **FEW), Stream(20)
    kinds = []
    for index in range(4):
        (move,) = method.round(index, stream, rng(index))
        kinds.append(move.loss.__name__)
        assert set(gradients(method, move)) == set(player(method, "energy"))
    assert kinds == ["matching_loss", "matching_loss", "contrastive_loss", "contrastive_loss"]
    points, _, _, x, x_model = move.inputs
    assert len(points) == len(x) == len(x_model) == 20
    assert torch.equal(x, stream.taken[-1]) and not x_model.requires_grad


def test_half_of_the_negatives_start_at_data() -> None:
    """Chains that hardly move stay where they start: odd rows go to noise."""
    method = matching(Quadratic(0.0, 0.0), step_size=1e-10, kernel="ula", **FEW)
    x = 100 + next(Stream(7)).x
    x_model = method.negatives(x, rng())
    assert torch.allclose(x_model[:3], x[:3], atol=1e-3)
    assert x_model[3:].abs().max() < 10


def test_samples_are_those_of_the_potential_at_its_temperature() -> None:
    """exp(-V / epsilon) of V = a x^2 / 2 + b x is N(-b / a, epsilon / a): 3000 chains, 4.5 errors."""
    method = matching(
        Quadratic(2.0, -2.0), temperature=0.5, step_size=0.1, steps=50, steps_per_sample=50
    )
    x = method.sample(3000, rng())
    assert x.shape == (3000, 2) and not x.requires_grad
    assert (x.mean(0) - 1).abs().max() < 4.5 * 0.5 / math.sqrt(3000)
    assert x.var(0).tolist() == pytest.approx([0.25, 0.25], rel=4.5 * math.sqrt(2 / 3000))
    at = torch.tensor([[1.0, 1.0], [0.0, 2.0]])
    assert method.energy(at).tolist() == pytest.approx([-4.0, 0.0], abs=1e-6)


def test_samples_stay_in_a_box() -> None:
    method = matching(measure=Box((2,), -0.5, 0.5), flow_time=0.2, **FEW)
    assert method.sample(200, rng()).abs().max() <= 0.5


def test_noise_in_the_flow_reaches_the_samples() -> None:
    """With V = 0 a ramp from 0 to epsilon over half the time adds 2 epsilon (1 / 4) (1 + 1 / steps)."""
    method = matching(
        Quadratic(0.0, 0.0), temperature=0.8, noise_start_time=0.5, flow_time=1.0, flow_steps=20
    )
    x = method.carried(20_000, rng())
    variance = 1 + 0.8 * 0.5 * (1 + 1 / 10)
    assert x.var().item() == pytest.approx(variance, rel=4.5 * math.sqrt(2 / 40_000))
    assert method.carried(3, rng()).shape == (3, 2)


def test_log_z_and_the_flow_s_density_are_those_of_quadrature_in_the_plane() -> None:
    """After training, on a grid over [-5, 5]^2: log Z of exp(-V / epsilon), and a flow of mass 1."""
    training = {"rounds": 150, "batch": 128, "seed": 0, "device": "cpu", "log_every": 50}
    model = gibbsian.train(
        "energy-matching",
        "moons",
        training=training,
        warmup_rounds=100,
        temperature=0.1,
        noise_start_time=1.0,
        energy={"width": 32, "fourier_features": 8},
        sampler={"steps": 2, "steps_per_sample": 2},
    )
    axis = torch.linspace(-5, 5, 401)
    grid = torch.cartesian_prod(axis, axis)
    cell = math.log(float(axis[1] - axis[0]) ** 2)
    with torch.no_grad():
        energies = model.method.energy(grid).double()
    truth = float(torch.logsumexp(-energies, 0)) + cell
    z = model.log_z(seed=0)
    assert isinstance(z, Interval) and z.lower.standing == "exact"
    assert z.lower.value == pytest.approx(truth, abs=0.02)
    coarse = torch.linspace(-5, 5, 81)
    points = torch.cartesian_prod(coarse, coarse)
    mass = model.method.flow_log_prob(points, steps=40).double().exp().sum() * (10 / 80) ** 2
    assert float(mass) == pytest.approx(1.0, abs=0.03)


def test_a_potential_that_is_not_finite_names_the_round() -> None:
    class Broken(Quadratic):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + math.nan

    method = matching(Broken(1.0, 0.0), warmup_rounds=0, **FEW)
    with pytest.raises(NonFiniteError, match="round 3"):
        next(method.round(3, Stream(4), rng()))


def test_unusable_options() -> None:
    for options, words in (
        ({"temperature": 0.0}, "temperature must be finite and positive"),
        ({"warmup_rounds": -1}, "warmup_rounds must be a whole number"),
        ({"contrastive_weight": -1.0}, "contrastive_weight must be finite"),
        ({"flow_time": 0.0}, "flow_time must be finite and positive"),
        ({"noise_start_time": -0.1}, "noise_start_time must be finite"),
        ({"flow_steps": 0}, "flow_steps must be a whole number"),
    ):
        with pytest.raises(ValueError, match=words):
            matching(**options)
    with pytest.raises(ValueError, match="continuous data"):
        matching(measure=Counting((2,)))
    with pytest.raises(ValueError, match="samples unconditionally"):
        matching().sample(2, rng(), torch.tensor(1))
