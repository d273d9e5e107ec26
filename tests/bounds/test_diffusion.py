"""The diffusion bound: its integral is the divergence, under both schedules."""

import math

import pytest
import torch
from torch import Tensor, nn

from gibbsian.bounds import DiffusionScoreMatching
from gibbsian.bounds.diffusion import gaussian_terminal_kl
from gibbsian.bounds.upper import Points
from tests.bounds.closed import whitened


class Diffused(nn.Module):
    """E(x, t) of N(0, variance) carried along by ``diffusion``."""

    takes_time = True

    def __init__(self, diffusion: DiffusionScoreMatching, variance: float):
        super().__init__()
        self.diffusion, self.variance = diffusion, variance

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = self.diffusion.levels(t)
        return 0.5 * x.square().flatten(1).sum(1) / (alpha**2 * self.variance + sigma**2)


def gaussian_kl(p: float, q: float) -> float:
    """KL(N(0, p) || N(0, q)), variances."""
    return 0.5 * (p / q - 1 - math.log(p / q))


def grid(n: int, std: float = 1.0):
    """Levels t at midpoints, each with the four (x0, eps) whose moments are those of two normals."""
    t = ((torch.arange(n, dtype=torch.float64) + 0.5) / n).repeat_interleave(4)
    signs = torch.tensor([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64)
    pairs = signs.repeat(n, 1)
    return t, std * pairs[:, :1], pairs[:, 1:]


@pytest.mark.parametrize("schedule", ["exploding", "preserving"])
@pytest.mark.parametrize("source", ["samples", "data"])
def test_the_integral_is_the_divergence(schedule, source):
    """KL(N(0,1) || N(0,2.5)) = 0.158145: the penalty of p less that of q, which is the least."""
    diffusion = DiffusionScoreMatching(low=1e-3, high=1e3, schedule=schedule, source=source)
    t, x0, eps = grid(4000)
    other = torch.full_like(x0, 7.0)
    at = Points(other, other, x0, other)
    if source == "data":
        at = Points(x0, other, other, other)
    of_p, of_q = (
        diffusion.penalty(Diffused(diffusion, variance), nn.Identity(), at, t, eps)
        for variance in (2.5, 1.0)
    )
    assert gaussian_kl(1.0, 2.5) == pytest.approx(0.158145, abs=1e-6)
    # What lies below low and above high is of order 1e-6.
    assert float(of_p - of_q) == pytest.approx(0.158145, abs=5e-6)


def test_a_short_range_leaves_the_last_level_s_divergence():
    diffusion = DiffusionScoreMatching(low=1e-3, high=1.5, schedule="exploding")
    t, x0, eps = grid(4000)
    of_p, of_q = (
        diffusion.penalty(Diffused(diffusion, v), nn.Identity(), Points(x0, x0, x0, x0), t, eps)
        for v in (2.5, 1.0)
    )
    last = gaussian_kl(1.0 + 1.5**2, 2.5 + 1.5**2)
    assert float(of_p - of_q) + last == pytest.approx(0.158145, abs=5e-6)


@pytest.mark.parametrize("schedule", ["exploding", "preserving"])
def test_levels_have_the_stated_noise_to_signal_ratio(schedule):
    diffusion = DiffusionScoreMatching(low=0.02, high=7.0, schedule=schedule)
    alpha, sigma = diffusion.levels(torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(sigma / alpha, torch.tensor([0.02, (0.02 * 7.0) ** 0.5, 7.0]))
    if schedule == "preserving":
        torch.testing.assert_close(alpha**2 + sigma**2, torch.ones(3))
    else:
        assert alpha.tolist() == [1.0, 1.0, 1.0]
    assert diffusion.log_snr_range == pytest.approx(2 * math.log(350))


def test_noise_levels_cover_the_range_evenly_and_come_from_the_seed():
    diffusion, z = DiffusionScoreMatching(low=0.1, high=1.0), torch.zeros(64, 3)
    t, eps = diffusion.randomness(torch.zeros(64, 2), z, torch.Generator().manual_seed(0))
    again = diffusion.randomness(torch.zeros(64, 2), z, torch.Generator().manual_seed(0))
    assert eps.shape == (64, 2) and torch.equal(t, again[0])
    gaps = t.sort().values.diff()
    torch.testing.assert_close(gaps, torch.full((63,), 1 / 64))


@pytest.mark.parametrize("schedule", ["exploding", "preserving"])
def test_the_last_level_s_divergence_is_bounded(schedule):
    """q_0 = N(0, s^2): KL(q_T || pi) in closed form, below the bound and near it for long ranges."""
    for high in (1.0, 5.0):
        diffusion = DiffusionScoreMatching(low=0.1, high=high, schedule=schedule)
        s = 1.3
        alpha, sigma = (float(a[0]) for a in diffusion.levels(torch.ones(1, dtype=torch.float64)))
        variance = alpha**2 * s**2 + sigma**2
        exact = 2 * gaussian_kl(variance, sigma**2 if schedule == "exploding" else 1.0)
        bound = float(gaussian_terminal_kl(diffusion, s * whitened(100, 2)))
        assert exact <= bound
    assert bound < 0.1


def test_refuses_unordered_levels():
    with pytest.raises(ValueError, match="score_matching_noise_min < "):
        DiffusionScoreMatching(low=1.0, high=0.5)
