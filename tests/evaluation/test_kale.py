"""KALE between two samples: against closed forms, its dual, its limits and its rate."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gibbsian.core import NonFiniteError
from gibbsian.evaluation import kale_with_kernel, kale_with_network


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shifted_normals(n: int, shift: float, seed: int) -> tuple[Tensor, Tensor]:
    """``n`` rows each of N(shift, 1) and N(0, 1): the log-ratio is linear, KL = shift^2 / 2."""
    rng = seeded(seed)
    x, y = (torch.randn(n, 1, generator=rng, dtype=torch.float64) for _ in range(2))
    return x + shift, y


def affine(x: Tensor) -> Tensor:
    return torch.cat([torch.ones_like(x[:, :1]), x], 1)


def gaussian_kernel(a: Tensor, b: Tensor, width: float) -> Tensor:
    return 1.0 + (-(a[:, None] - b[None]).square().sum(2) / (2 * width**2)).exp()


def test_the_optimum_solves_primal_and_dual() -> None:
    x, y = shifted_normals(60, 0.8, 0)
    found = kale_with_kernel(x, y, seeded(0), ridge=1e-2, bandwidth=0.7)
    assert abs(found.diagnostics["duality_gap"]) < 1e-9
    # The stationary point of the dual, in the kernel alone: n a_i = exp(h(y_i)), i = 1..n.
    K_yy, K_yx = gaussian_kernel(y, y, 0.7), gaussian_kernel(y, x, 0.7)
    u = torch.zeros(60, dtype=torch.float64)
    for _ in range(400):
        a = u.exp() / 60
        residual = u - (K_yx.mean(1) - K_yy @ a) / 1e-2
        u = u - 0.2 * torch.linalg.solve(torch.eye(60) + (K_yy * a) / 1e-2, residual)
    a = u.exp() / 60
    distance = gaussian_kernel(x, x, 0.7).mean() - 2 * a @ K_yx.mean(1) + a @ K_yy @ a
    dual = (a * (60 * a).log() - a).sum() + 1 + distance / (2 * 1e-2)
    assert found.value == pytest.approx(float(dual), abs=1e-8)


def test_a_large_ridge_gives_the_maximum_mean_discrepancy() -> None:
    x, y = shifted_normals(50, 0.5, 1)
    kernel = [gaussian_kernel(a, b, 1.1).mean() for a, b in ((x, x), (y, y), (x, y))]
    squared = float(kernel[0] + kernel[1] - 2 * kernel[2])
    found = kale_with_kernel(x, y, seeded(0), ridge=1e5, bandwidth=1.1)
    assert 2e5 * found.value == pytest.approx(squared, rel=1e-4)


def test_few_landmarks_lose_little_and_never_gain() -> None:
    x, y = shifted_normals(150, 0.8, 2)
    whole = kale_with_kernel(x, y, seeded(0), ridge=1e-2, bandwidth=1.0)
    fewer = kale_with_kernel(x, y, seeded(0), ridge=1e-2, bandwidth=1.0, landmarks=12)
    assert whole.value - 1e-2 < fewer.value <= whole.value + 1e-9


def test_a_small_ridge_gives_the_divergence_at_the_rate_of_the_root() -> None:
    """Well-specified: |KALE_N - KL| falls as N^-1/2 (the abstract of the first version)."""
    sizes, runs = (100, 1_000, 10_000), 60
    errors = []
    for n in sizes:
        values = []
        for seed in range(runs):
            x, y = shifted_normals(n, 0.7, seed)
            values.append(kale_with_kernel(x, y, seeded(0), ridge=1 / n, features=affine).value)
        errors.append(np.abs(np.array(values) - 0.7**2 / 2).mean())
    # A mean of 60 |errors| is off by about 10 %, the slope by 0.03; the seeds are fixed.
    slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.1)
    assert errors[-1] < 0.02


def test_the_standard_error_is_that_of_repeated_samples() -> None:
    found = [
        kale_with_kernel(*shifted_normals(400, 0.7, seed), seeded(0), ridge=1e-3, features=affine)
        for seed in range(120)
    ]
    spread = np.std([one.value for one in found])
    # The spread of 120 draws is known to 6.5 %.
    assert np.mean([one.stderr for one in found]) == pytest.approx(spread, rel=0.3)


def test_two_diracs_that_approach_each_other() -> None:
    """KALE falls to zero with their distance W1, where KL is infinite and JS stays ln 2."""
    ridge, x = 1e-2, torch.zeros(8, 2)
    values = []
    for distance in (3.0, 1.0, 0.3, 0.1, 0.03, 0.01):
        y = x + torch.tensor([distance, 0.0])
        found = kale_with_kernel(x, y, seeded(0), ridge=ridge, bandwidth=1.0).value
        # L <= sup h(x) - h(y) - ridge |h|^2 / 2 = |k_x - k_y|^2 / (2 ridge).
        bound = (1 - math.exp(-(distance**2) / 2)) / ridge
        assert 0 < found <= bound + 1e-9
        values.append(found)
    assert values == sorted(values, reverse=True)
    assert values[0] > 1.5 and values[-1] < 6e-3


def test_kernel_takes_any_event_and_says_what_it_did() -> None:
    x = torch.randn(30, 1, 3, 3, generator=seeded(0))
    found = kale_with_kernel(x, x[torch.randperm(30, generator=seeded(1))], seeded(0), ridge=0.1)
    assert found.value == pytest.approx(0.0, abs=1e-9)
    assert (found.side, found.standing) == ("both", "estimate") and "bandwidth" in found.how


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.1))

    def forward(self, x: Tensor) -> Tensor:
        return -self.w * x[:, 0]


def test_network_reaches_the_divergence_from_below() -> None:
    found = []
    for seed in range(3):
        x, y = (part.float() for part in shifted_normals(8_000, 1.0, seed))
        network = Linear()
        found.append(kale_with_network(x, y, network, seeded(seed), steps=120, rate=4e-2))
        assert network.w.item() == pytest.approx(0.1)  # a copy was trained
        assert (found[-1].side, found[-1].standing) == ("lower", "bound in expectation")
        # 4.5 standard errors in three runs: false alarm 2e-5.
        assert abs(found[-1].value - 0.5) < 4.5 * found[-1].stderr
    again = kale_with_network(x, y, Linear(), seeded(2), steps=120, rate=4e-2)
    assert again == found[-1]


def test_network_is_measured_on_rows_it_has_not_seen() -> None:
    """Of equal distributions a big network learns the training rows by heart; its value stays below zero."""
    x, y = (torch.randn(40, 2, generator=seeded(s)) for s in (0, 1))
    big = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 1), nn.Flatten(0))
    found = kale_with_network(x, y, big, seeded(0), steps=80, batch=20, rate=2e-2)
    assert found.value < -0.1
    flat = kale_with_network(
        x, y, big, seeded(0), steps=40, batch=20, rate=2e-2, gradient_penalty_weight=100.0
    )
    assert abs(flat.value) < 0.05


def test_unusable_input() -> None:
    x = torch.randn(10, 2, generator=seeded(0))
    with pytest.raises(ValueError, match=r"one event shape; these have \[2\] and \[1\]"):
        kale_with_kernel(x, x[:, :1], seeded(0))
    with pytest.raises(ValueError, match="at least 4 rows"):
        kale_with_network(x[:3], x, Linear(), seeded(0))
    for ridge in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="ridge must be positive"):
            kale_with_kernel(x, x, seeded(0), ridge=ridge)
    with pytest.raises(ValueError, match="bandwidth must be positive"):
        kale_with_kernel(x, x, seeded(0), bandwidth=0.0)
    with pytest.raises(NonFiniteError, match="smaller rate"):
        kale_with_network(x + 5, x, Linear(), seeded(0), steps=30, rate=1e3)
