"""Mode coverage on samples whose coverage is known."""

from __future__ import annotations

import math

import pytest
import torch

from gibbsian.evaluation import mode_coverage

STD = 0.1
ANGLES = 2 * math.pi * torch.arange(8) / 8
RING = torch.stack([ANGLES.cos(), ANGLES.sin()], 1)


def ring_samples(n: int, modes: torch.Tensor, std: float = STD, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    which = torch.randint(len(modes), (n,), generator=rng)
    return modes[which] + std * torch.randn(n, 2, generator=rng)


def test_a_perfect_sampler():
    n = 20_000
    result = mode_coverage(ring_samples(n, RING), RING, STD)
    assert (result.covered, result.strictly_covered, result.samples) == (8, 8, n)
    # 3-sigma disc of a 2-D Gaussian: 1 - exp(-9/2); the tolerance is 5 standard errors.
    share = 1 - math.exp(-4.5)
    assert result.high_quality == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / n))
    # 2 N KL is chi-square with 7 degrees of freedom: below 32 with probability 1 - 4e-5.
    assert 0 <= result.histogram_kl < 32 / (2 * n)
    assert result.histogram_floor == pytest.approx(7 / (2 * n))
    # Keeping the points within 3 std shrinks each variance by the factor
    # 1 - 4.5 exp(-4.5) / (1 - exp(-4.5)), the only systematic part of the intra-mode divergence.
    r = 1 - 4.5 * math.exp(-4.5) / (1 - math.exp(-4.5))
    assert result.intra_mode_kl == pytest.approx(r - 1 - math.log(r), abs=2.5e-3)


def test_dropped_modes_and_a_collapsed_sampler():
    half = mode_coverage(ring_samples(4000, RING[:4]), RING, STD)
    assert half.covered == 4
    assert half.histogram_kl == pytest.approx(math.log(2), abs=0.01)
    collapsed = mode_coverage(RING[:1].repeat(50, 1), RING, STD)
    assert (collapsed.covered, collapsed.high_quality) == (1, 1.0)
    assert collapsed.histogram_kl == pytest.approx(math.log(8))
    assert collapsed.intra_mode_kl == math.inf


def test_one_stray_sample_covers_but_not_strictly():
    x = torch.cat([ring_samples(1000, RING[:7]), RING[7:]])
    result = mode_coverage(x, RING, STD)
    assert (result.covered, result.strictly_covered) == (8, 7)


def test_intra_mode_kl_sees_the_width():
    result = mode_coverage(ring_samples(40_000, RING, std=0.5 * STD), RING, STD)
    assert result.intra_mode_kl == pytest.approx(0.25 - 1 - 2 * math.log(0.5), abs=0.02)


def test_nothing_near_a_mode():
    result = mode_coverage(torch.zeros(10, 2), RING, STD)
    assert (result.covered, result.high_quality) == (0, 0.0)
    assert math.isnan(result.intra_mode_kl)
    assert "N = 10" in str(result)


def test_bad_input():
    with pytest.raises(ValueError, match="share d"):
        mode_coverage(torch.zeros(5, 3), RING, STD)
    with pytest.raises(ValueError, match="finite"):
        mode_coverage(torch.full((5, 2), math.nan), RING, STD)
