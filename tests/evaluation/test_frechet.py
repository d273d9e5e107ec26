"""The Frechet distance against closed forms."""

import math

import pytest
import torch

from gibbsian.evaluation import frechet_distance
from gibbsian.evaluation.metrics.frechet import gaussian_frechet


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_commuting_covariances_have_a_closed_form():
    a, b = torch.tensor([4.0, 1.0, 0.25]).double(), torch.tensor([1.0, 9.0, 0.25]).double()
    m = torch.tensor([1.0, -2.0, 0.0]).double()
    value = gaussian_frechet(m, a.diag(), 0 * m, b.diag())
    assert float(value) == pytest.approx(5 + 1 + 4 + 0, abs=1e-12)


def test_it_is_the_squared_wasserstein_distance_between_gaussians():
    """The optimal map between N(0, S_a) and N(0, S_b) is linear; its cost is computed directly."""
    A, B = (torch.randn(4, 4, generator=rng(i), dtype=torch.float64) for i in (1, 2))
    S_a, S_b = A @ A.T + torch.eye(4), B @ B.T
    values, vectors = torch.linalg.eigh(S_a)
    root, inverse = (vectors * values**p @ vectors.T for p in (0.5, -0.5))
    values, vectors = torch.linalg.eigh(root @ S_b @ root)
    T = inverse @ (vectors * values.clamp_min(0).sqrt() @ vectors.T) @ inverse
    torch.testing.assert_close(T @ S_a @ T, S_b)
    cost = ((torch.eye(4) - T) @ S_a @ (torch.eye(4) - T).T).trace()
    zero = torch.zeros(4, dtype=torch.float64)
    torch.testing.assert_close(gaussian_frechet(zero, S_a, zero, S_b), cost)


def test_samples_of_shifted_gaussians():
    a, b = torch.randn(4000, 3, generator=rng(1)), torch.randn(4000, 3, generator=rng(2)) + 1.0
    found = frechet_distance(a, b, rng())
    # 4.5 standard errors: one false alarm in 150 000
    assert abs(found.value - 3.0) < 4.5 * found.stderr
    # the squared shift has standard error 2 sqrt(3) sqrt(2 / 4000)
    assert found.stderr == pytest.approx(2 * math.sqrt(3 * 2 / 4000), rel=0.3)
    assert not found.diagnostics["few"]


def test_a_degenerate_sample_and_itself():
    a = torch.ones(30, 2)
    assert frechet_distance(a, a, rng()).value == pytest.approx(0.0, abs=1e-12)
    assert frechet_distance(torch.randn(15, 2, generator=rng(1)), a, rng()).diagnostics["few"]


def test_refuses_tables_that_do_not_match():
    with pytest.raises(ValueError, match=r"equal width, not \[5, 2\] and \[5, 3\]"):
        frechet_distance(torch.zeros(5, 2), torch.zeros(5, 3), rng())
    with pytest.raises(ValueError, match="two rows"):
        frechet_distance(torch.zeros(1, 2), torch.zeros(5, 2), rng())
