"""The self-tuning kernel: exactness, what it finds, and that no chain tunes itself."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gibbsian.samplers import meads, run_chains
from gibbsian.samplers.diagnostics import ess
from gibbsian.samplers.meads import largest_eigenvalue, tuning
from tests.samplers.targets import CorrelatedGaussian, Funnel, TwoWells


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Five statistics of each of three targets within 4.5 standard errors: false alarm 1e-4.
@pytest.mark.parametrize("target", [CorrelatedGaussian(), TwoWells(), Funnel()])
def test_moments_and_tails(target: CorrelatedGaussian | TwoWells | Funnel) -> None:
    """Chains that start at exact draws must stay there; the errors are those of the chains' means."""
    chains = run_chains(meads(target), target.sample(200, rng()), 500, rng(1), thin=2)
    x = chains.draws.double()
    level, share = target.tail
    below = x[..., :1] < level if level < 0 else x[..., :1] > level
    columns = torch.cat([x, (x - target.mean).square(), below.double()], 2)
    truth = torch.tensor([*target.mean, *target.covariance.diagonal(), share])
    error = columns.flatten(0, 1).std(0) / ess(columns).sqrt()
    # Tails of the funnel's second coordinate are so heavy that its square has no reliable error.
    used = [0, 1, 2, 4] if isinstance(target, Funnel) else [0, 1, 2, 3, 4]
    z = (columns.flatten(0, 1).mean(0) - truth) / error
    assert (z[used].abs() < 4.5).all(), z


def test_it_finds_the_scales_of_a_badly_scaled_gaussian() -> None:
    """Standard deviations from 0.01 to 100, started at a tenth of them: no warm-up, no settings."""
    std = torch.logspace(-2, 2, 9)

    def energy(x: Tensor) -> Tensor:
        return (x / std).square().sum(1) / 2

    chains = run_chains(
        meads(energy), 0.1 * std * torch.randn(128, 9, generator=rng()), 300, rng(1)
    )
    late = chains.draws[100:]
    assert chains.acceptance.mean() > 0.8
    # 128 chains worth 10 draws each: 6 % of a standard deviation are more than 3 errors.
    assert torch.allclose(late.flatten(0, 1).std(0) / std, torch.ones(9), atol=0.06)
    assert float(ess(late.double()).min()) > 128 * 10


def test_eigenvalues() -> None:
    """Of N(0, diag(4, 1, 1)): (16 + 1 + 1) / 6 = 3 by traces; without bias, so the mean of many."""
    std = torch.tensor([2.0, 1.0, 1.0], dtype=torch.float64)
    draws = std * torch.randn(4000, 20, 3, generator=rng(), dtype=torch.float64)
    wide = largest_eigenvalue(draws.flatten(0, 1))
    assert float(wide) == pytest.approx(3.0, rel=0.03)
    # Never below the mean eigenvalue, however few the rows; the same through either Gram matrix.
    assert float(largest_eigenvalue(torch.eye(3)[:2])) == pytest.approx(2 / 3 / 2)
    tall = torch.randn(3, 7, generator=rng())
    by_rows, by_columns = (tall @ tall.T).square().sum(), (tall.T @ tall).square().sum()
    assert float(by_rows) == pytest.approx(float(by_columns), rel=1e-5)


def test_no_half_is_moved_by_what_itself_shows() -> None:
    """Moving one chain of a half changes the settings of the other half only, in the first turn."""
    kernel = meads(square)
    x0 = torch.randn(8, 2, generator=rng())
    moved = x0.clone()
    moved[0] += 1.0  # an even row: it is moved first, by what the odd ones show
    h = [kernel.step(kernel.init(x), rng(1))[0].step_size for x in (x0, moved)]
    assert torch.equal(h[0][::2], h[1][::2])
    assert not torch.equal(h[0][1::2], h[1][1::2])


def square(x: Tensor) -> Tensor:
    return x.square().sum(1) / 2


def test_settings_are_those_of_the_formulas() -> None:
    """Of many exact draws of N(0, diag(s^2)): in x / s gradients and positions are standard normal."""
    std = torch.tensor([0.1, 10.0])

    def energy(x: Tensor) -> Tensor:
        return (x / std).square().sum(1) / 2

    state = meads(energy).init(std * torch.randn(40_000, 2, generator=rng())).inner
    h, alpha, scale = tuning(state, torch.tensor(1e6))
    assert torch.allclose(scale, std, rtol=0.02)
    assert float(h) == pytest.approx(0.5, rel=0.02)
    assert float(alpha) == pytest.approx(1 - math.exp(-1), rel=0.02)
    early = tuning(state, torch.tensor(0.0))
    assert float(early.damping) == pytest.approx(1 - math.exp(-2), rel=0.02)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="at least 4"):
        meads(square).init(torch.randn(3, 2))
    together = torch.randn(1, 2, generator=rng()).repeat(10, 1)
    with pytest.raises(ValueError, match="start the chains apart"):
        meads(square).init(together)
