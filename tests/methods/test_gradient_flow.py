"""The gradient flow of a potential: couplings by enumeration, flows and densities in closed form."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from gibbsian.core.numerics import input_gradient
from gibbsian.methods.gradient_flow import (
    annealed_flow,
    flow_log_density,
    gradient_flow,
    optimal_coupling,
)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=rng(seed), dtype=torch.float64)


PRECISION = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)


def well(x: Tensor) -> Tensor:
    """V(x) = x^T P x / 2, whose flow is x(t) = exp(-P t) x(0)."""
    return 0.5 * (x @ PRECISION * x).sum(1)


def wavy(x: Tensor) -> Tensor:
    """V(x) = sum cos(2 x) + |x|^4 / 4."""
    return torch.cos(2 * x).sum(1) + 0.25 * x.square().sum(1).square()


def transport_cost(x0: Tensor, x1: Tensor) -> float:
    return (x0 - x1).flatten(1).square().sum().item()


def test_the_coupling_is_the_cheapest_of_all_permutations() -> None:
    for seed in range(5):
        x0, x1 = normal(6, 2, seed=seed), 1.0 + normal(6, 2, seed=100 + seed)
        least = min(
            transport_cost(x0, x1[list(order)]) for order in itertools.permutations(range(6))
        )
        assert transport_cost(x0, optimal_coupling(x0, x1)) == pytest.approx(least, rel=1e-12)


def test_the_coupling_is_scipy_s_of_the_squared_distances_of_images() -> None:
    x0, x1 = normal(40, 1, 3, 3), normal(40, 1, 3, 3, seed=1)
    gaps = (x0.flatten(1)[:, None] - x1.flatten(1)[None]).square().sum(2)
    _, columns = linear_sum_assignment(gaps.numpy())
    assert torch.equal(optimal_coupling(x0, x1), x1[torch.as_tensor(columns)])
    assert transport_cost(x0, optimal_coupling(x0, x1)) < transport_cost(x0, x1)


def test_on_a_line_the_coupling_is_monotone() -> None:
    x0, x1 = normal(30, 1), 3 * normal(30, 1, seed=1) + 2
    paired = optimal_coupling(x0, x1)
    assert torch.equal(paired[x0[:, 0].argsort()], x1.sort(0).values)


def test_batches_of_unequal_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one shape, not \[3, 2\] and \[4, 2\]"):
        optimal_coupling(normal(3, 2), normal(4, 2))


def test_the_flow_goes_down_the_finite_differences_of_the_potential() -> None:
    """One tiny step: -grad V by central differences of V."""
    x, h = normal(9, 2), 1e-5
    slope = torch.stack(
        [(wavy(x + h * e) - wavy(x - h * e)) / (2 * h) for e in torch.eye(2, dtype=x.dtype)], 1
    )
    assert torch.allclose(input_gradient(wavy, x), slope, atol=1e-8)
    moved = gradient_flow(wavy, x, 1e-6, 1)
    assert torch.allclose((moved - x) / 1e-6, -slope, atol=1e-4)


def test_the_flow_of_a_quadratic_is_its_exponential_to_second_order() -> None:
    x, time = normal(5, 2), 0.8
    truth = x @ torch.matrix_exp(-PRECISION * time)
    errors = [
        (gradient_flow(well, x, time, steps) - truth).abs().max().item() for steps in (20, 40)
    ]
    assert errors[0] < 2e-3
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.15)  # Heun's order is two


def test_a_negative_time_goes_back() -> None:
    x = 0.3 * normal(5, 2)
    there = gradient_flow(wavy, x, 0.4, 400)
    assert torch.allclose(gradient_flow(wavy, there, -0.4, 400), x, atol=1e-4)


def test_the_flow_s_density_is_the_gaussian_that_it_makes() -> None:
    """N(0, I) under x(t) = exp(-P t) x(0) becomes N(0, exp(-2 P t))."""
    time = 0.7
    covariance = torch.matrix_exp(-2 * PRECISION * time)
    x = normal(6, 2) @ torch.linalg.cholesky(covariance).T
    truth = torch.distributions.MultivariateNormal(torch.zeros(2).double(), covariance).log_prob(x)
    assert torch.allclose(flow_log_density(well, x, time, 200), truth, atol=1e-4)


def test_the_flow_s_density_is_that_of_the_change_of_variables() -> None:
    """Of a flow that is not linear: log p(x) = log N(x0) - log |det dx/dx0|, by central differences."""
    x0, time, steps, h = 0.5 * normal(4, 2), 0.3, 300, 1e-4
    x = gradient_flow(wavy, x0, time, steps)
    columns = [
        (
            gradient_flow(wavy, x0 + h * e, time, steps)
            - gradient_flow(wavy, x0 - h * e, time, steps)
        )
        / (2 * h)
        for e in torch.eye(2, dtype=x0.dtype)
    ]
    log_det = torch.linalg.slogdet(torch.stack(columns, 2)).logabsdet
    truth = -0.5 * x0.square().sum(1) - math.log(2 * math.pi) - log_det
    assert torch.allclose(flow_log_density(wavy, x, time, steps), truth, atol=1e-3)


def test_noise_rises_linearly_to_the_temperature() -> None:
    """V = a x^2 / 2: the variance of Euler's steps is known step by step. 200 000 rows: 4.5 errors."""
    a, onset, end, highest, steps, n = 1.5, 0.4, 1.0, 0.3, 12, 200_000
    dt, variance = (end - onset) / steps, 1.0
    for step in range(1, steps + 1):
        variance = (1 - a * dt) ** 2 * variance + 2 * highest * step / steps * dt

    def V(x: Tensor) -> Tensor:
        return 0.5 * a * x.square().sum(1)

    x = annealed_flow(V, normal(n, 1), onset, end, highest, steps, rng(1))
    assert x.var().item() == pytest.approx(variance, rel=4.5 * math.sqrt(2 / n))
