"""Score matching: both objectives in closed form for a Gaussian, their gradients, their optima."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gibbsian.core import TrainingMethod
from gibbsian.core.measures import Box, Counting, RealSpace
from gibbsian.methods.score_matching import ScoreMatching, denoising, sliced
from tests.methods.play import Stream, check_gradient, descend, gradients, player, with_sampler

PLANE = RealSpace((2,))


class Quadratic(nn.Module):
    """E(x) = (x - m)^T P (x - m) / 2 with P = R^T R, in the plane."""

    def __init__(self, root: list[list[float]], mean: list[float]):
        super().__init__()
        self.root = nn.Parameter(torch.tensor(root))
        self.mean = nn.Parameter(torch.tensor(mean))
        self.calls = 0

    def precision(self) -> Tensor:
        return self.root.T @ self.root

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return 0.5 * ((x - self.mean) @ self.root.T).square().sum(1)


class Wavy(nn.Module):
    """E(x) = sum a cos(w . x) + |x|^2: neither quadratic nor separable."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(5, 2, generator=rng(3)))
        self.a = nn.Parameter(torch.randn(5, generator=rng(4)))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cos(x @ self.w.T) @ self.a + x.square().sum(1)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def matching(
    energy: nn.Module | None = None, measure: object = PLANE, **options: object
) -> TrainingMethod:
    return ScoreMatching(
        energy or Quadratic([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0]),
        measure,
        **with_sampler(**options),
    )


def normal(n: int, seed: int) -> Tensor:
    return torch.randn(n, 2, generator=rng(seed), dtype=torch.float64)


def differences(energy: nn.Module, x: Tensor, h: float = 1e-4) -> tuple[Tensor, Tensor]:
    """grad E ``[B, 2]`` and Hessian ``[B, 2, 2]`` by central differences of energies."""
    steps = h * torch.eye(2, dtype=x.dtype)
    slope = [(energy(x + e) - energy(x - e)) / (2 * h) for e in steps]
    second = [
        [
            energy(x + e + f) - energy(x + e - f) - energy(x - e + f) + energy(x - e - f)
            for f in steps
        ]
        for e in steps
    ]
    hessian = torch.stack([torch.stack(row, 1) for row in second], 1) / (4 * h * h)
    return torch.stack(slope, 1), hessian


@pytest.mark.parametrize("sigma", [0.3, 1.5])
def test_denoising_is_the_squared_error_of_the_kernel_s_score(sigma: float) -> None:
    """sigma^2 / 2 mean |-grad E(x~) - (x - x~) / sigma^2|^2, with grad E by differences."""
    energy, x, xi = Wavy().double(), normal(7, 0), normal(7, 1)
    noisy = x + sigma * xi
    slope, _ = differences(energy, noisy)
    error = -slope - (x - noisy) / sigma**2
    expected = sigma**2 / 2 * error.square().sum(1).mean()
    assert denoising(energy, x, xi, sigma).item() == pytest.approx(expected.item(), rel=1e-6)


def test_sliced_is_half_the_square_minus_the_curvature_along_the_noise() -> None:
    energy, x, xi = Wavy().double(), normal(7, 0), normal(7, 1)
    slope, hessian = differences(energy, x)
    curvature = torch.einsum("bi,bij,bj->b", xi, hessian, xi)
    expected = (0.5 * slope.square().sum(1) - curvature).mean()
    assert sliced(energy, x, xi).item() == pytest.approx(expected.item(), rel=1e-5)


def test_denoising_is_the_fisher_divergence_to_the_smoothed_law() -> None:
    """sigma^2 / 2 E|score error|^2 plus a constant: differences between two energies in closed form.

    Data N(0, S), smoothed S + sigma^2 I = C; an energy of precision P has score error (C^-1 - P) x,
    mean square tr (C^-1 - P) C (C^-1 - P). 200 000 rows: bound of 4.5 standard errors.
    """
    sigma, n = 0.8, 200_000
    root = torch.tensor([[1.0, 0.0], [0.7, 0.5]], dtype=torch.float64)
    x, xi = normal(n, 0) @ root.T, normal(n, 1)
    smoothed = root @ root.T + sigma**2 * torch.eye(2, dtype=torch.float64)
    energies = [
        Quadratic(r, [0.0, 0.0]).double()
        for r in ([[1.0, 0.2], [0.0, 0.8]], [[0.6, 0.0], [0.3, 1.1]])
    ]
    truths, losses = [], []
    for energy in energies:
        gap = torch.linalg.inv(smoothed) - energy.precision()
        truths.append(0.5 * sigma**2 * torch.trace(gap @ smoothed @ gap).item())
        noisy = x + sigma * xi
        losses.append(0.5 * (sigma * noisy @ energy.precision() - xi).square().sum(1))
        assert denoising(energy, x, xi, sigma).item() == pytest.approx(losses[-1].mean().item())
    difference = losses[0] - losses[1]
    error = difference.std().item() / math.sqrt(n)
    assert abs(difference.mean().item() - (truths[0] - truths[1])) < 4.5 * error


def test_sliced_is_hyvarinen_s_objective_in_expectation() -> None:
    """E |P x|^2 / 2 - tr P for N(0, S): tr(P S P) / 2 - tr P. 200 000 rows: 4.5 standard errors."""
    n = 200_000
    root = torch.tensor([[1.0, 0.0], [0.7, 0.5]], dtype=torch.float64)
    x, xi = normal(n, 0) @ root.T, normal(n, 1)
    energy = Quadratic([[1.0, 0.2], [0.0, 0.8]], [0.0, 0.0]).double()
    P = energy.precision().detach()
    expected = 0.5 * torch.trace(P @ root @ root.T @ P) - torch.trace(P)
    terms = 0.5 * (x @ P).square().sum(1) - ((xi @ P) * xi).sum(1)
    found = sliced(energy, x, xi).item()
    assert abs(found - expected.item()) < 4.5 * terms.std().item() / math.sqrt(n)
    assert found == pytest.approx(terms.mean().item(), rel=1e-9)


@pytest.mark.parametrize("objective", ["denoising", "sliced"])
def test_gradients_are_those_of_the_objective(objective: str) -> None:
    energy, x, xi = Wavy(), normal(5, 0), normal(5, 1)
    method = matching(energy, score_objective=objective, denoising_noise_std=0.5).double()
    points = x + 0.5 * xi

    def truth() -> Tensor:
        w, a = method.energy.w, method.energy.a
        at = points if objective == "denoising" else x
        slope = -(torch.sin(at @ w.T) * a) @ w + 2 * at
        if objective == "denoising":
            return 0.5 * (0.5 * slope - xi).square().sum(1).mean()
        curvature = -(torch.cos(x @ w.T) * a * (xi @ w.T).square()).sum(1) + 2 * xi.square().sum(1)
        return (0.5 * slope.square().sum(1) - curvature).mean()

    def value() -> Tensor:
        return method.energy_loss(x, xi).value

    assert torch.allclose(value(), truth(), rtol=1e-9)
    check_gradient(method, "energy", value, truth)


@pytest.mark.parametrize(("objective", "variance"), [("denoising", 1.25), ("sliced", 1.0)])
def test_the_optimum_is_the_smoothed_data_or_the_data(objective: str, variance: float) -> None:
    """On a fixed set of 4000 whitened rows and antithetic noise the least squares fit is exact.

    Denoising: P = (I + sigma^2 I)^-1; sliced: P = I. What remains is the noise's own covariance
    with the rows, of order 1 / sqrt(4000) = 0.016 times small factors; bound 0.05.
    """
    x = normal(4000, 0)
    x = (x - x.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T
    xi = normal(4000, 1)
    xi = (xi - xi.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(xi.T))).T
    energy = Quadratic([[1.5, 0.3], [0.0, 0.7]], [0.4, -0.3])
    method = matching(energy, score_objective=objective, denoising_noise_std=0.5).double()
    solver = torch.optim.LBFGS(energy.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        value = method.energy_loss(x, xi).value
        value.backward()
        return value

    solver.step(closure)
    covariance = torch.linalg.inv(energy.precision().detach())
    assert torch.allclose(covariance, variance * torch.eye(2, dtype=torch.float64), atol=0.05)
    assert energy.mean.abs().max() < 0.05


@pytest.mark.parametrize("objective", ["denoising", "sliced"])
def test_the_energy_s_constant_is_left_alone(objective: str) -> None:
    """A player is exactly the parameters its losses reach, the constant with a gradient of 0."""

    class Shifted(Wavy):
        def __init__(self) -> None:
            super().__init__()
            self.c = nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + self.c

    method = matching(Shifted(), score_objective=objective)
    (move,) = method.round(0, Stream(6), rng())
    found = gradients(method, move)
    assert found["energy.c"] == 0 and found["energy.w"].abs().max() > 0


def test_a_round_is_one_move_with_fresh_noise() -> None:
    method, stream = matching(), Stream(2000)
    moves = [list(method.round(index, stream, rng(index))) for index in range(2)]
    assert [len(m) for m in moves] == [1, 1] and moves[0][0].player == "energy"
    (x, xi), (_, other) = (m[0].inputs for m in moves)
    assert torch.equal(x, stream.taken[0]) and not torch.equal(xi, other)
    # 4000 numbers: 4.5 standard errors of a mean are 0.07, of a standard deviation 0.05.
    assert abs(xi.mean().item()) < 0.07 and abs(xi.std().item() - 1) < 0.05
    assert set(player(method, "energy")) == {"energy.root", "energy.mean"}
    assert descend(method, method.round(0, stream, rng()), 0.01)


def test_samples_are_those_of_the_energy() -> None:
    """MALA from N(0, I) to N(1, 1/4 I): 3000 chains, 4.5 standard errors of mean and variance."""
    energy = Quadratic([[2.0, 0.0], [0.0, 2.0]], [1.0, 1.0])
    chains = {"kernel": "mala", "step_size": 0.1, "steps": 10, "steps_per_sample": 45}
    method = matching(energy, **chains)
    x = method.sample(3000, rng())
    assert energy.calls == 5 * 11  # whole rounds of ten steps
    assert x.shape == (3000, 2) and not x.requires_grad
    assert (x.mean(0) - 1).abs().max() < 4.5 * 0.5 / math.sqrt(3000)
    assert x.var(0).tolist() == pytest.approx([0.25, 0.25], rel=4.5 * math.sqrt(2 / 3000))


def test_samples_stay_in_a_box() -> None:
    method = matching(measure=Box((2,), -0.5, 0.5), steps_per_sample=10, metropolis_step_std=1.0)
    assert method.sample(200, rng()).abs().max() <= 0.5


def test_unusable_options() -> None:
    for options, words in (
        ({"denoising_noise_std": 0.0}, "denoising_noise_std must be finite and positive"),
        ({"step_size": 0.0}, "step_size must be finite and positive"),
        ({"steps": 0}, "steps must be a whole number"),
        ({"steps_per_sample": 0}, "steps_per_sample must be a whole number"),
        ({"metropolis_step_std": -1.0}, "metropolis_step_std must be finite"),
        ({"class_loss_weight": 1.0}, "energy that classifies"),
    ):
        with pytest.raises(ValueError, match=words):
            matching(**options)
    with pytest.raises(ValueError, match="continuous data"):
        matching(measure=Counting((2,)))
    with pytest.raises(ValueError, match="samples unconditionally"):
        matching().sample(2, rng(), torch.tensor(1))
