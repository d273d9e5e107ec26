"""AIS, SMC and their schedules against Gaussian paths, where every integral is known.

V = |x|^2 / 2 and U = lam |x - m|^2 / 2 in d dimensions, so that at inverse temperature beta the
path is a Gaussian of precision p = 1 - beta + beta lam and mean beta lam m / p per coordinate, and
log Z_1 / Z_0 = -(d / 2) log lam. Tolerances of random quantities are 4.5 standard errors: a false
alarm in 7e-6 of the seeds each.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gibbsian.samplers import AnnealingPath, hmc, mala, random_walk_metropolis
from gibbsian.samplers.tempering import AnnealingSchedule, adapt_annealing_schedule, ais, smc

LAM, MEAN, DIM = 2.0, 0.7, 3
TRUTH = -0.5 * DIM * math.log(LAM)


def base(x: Tensor) -> Tensor:
    return 0.5 * x.square().flatten(1).sum(1)


def target(x: Tensor) -> Tensor:
    return 0.5 * LAM * (x - MEAN).square().flatten(1).sum(1)


PATH = AnnealingPath(base, target)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(n: int, seed: int = 1, shape: tuple[int, ...] = (DIM,)) -> Tensor:
    return torch.randn(n, *shape, generator=rng(seed))


def power_schedule(levels: int, step_size: float, runs: int = 1) -> AnnealingSchedule:
    """Squares of equal steps: the first temperatures lie close, as the reverse pass needs."""
    betas = (torch.arange(levels + 1) / levels)[:, None].expand(-1, runs) ** 2
    return AnnealingSchedule(betas, torch.full((levels, runs), step_size))


def gap_moments(beta: float) -> tuple[float, float]:
    """Mean and variance of U - V at beta, from the moments of a normal variable a + s xi."""
    precision = 1 - beta + beta * LAM
    a, s = beta * LAM * MEAN / precision, precision**-0.5
    # U - V = A x^2 + B x + C per coordinate
    A, B, C = 0.5 * (LAM - 1), -LAM * MEAN, 0.5 * LAM * MEAN**2
    mean = A * (a * a + s * s) + B * a + C
    variance = 2 * A * A * s**4 + (2 * A * a + B) ** 2 * s * s
    return DIM * mean, DIM * variance


def assert_mean_of_weights(log_weights: Tensor, truth: float) -> None:
    """E[exp(log_weights)] = exp(truth), within 4.5 standard errors."""
    w = (log_weights - truth).exp().flatten()
    assert abs(float(w.mean()) - 1) < 4.5 * float(w.std()) / math.sqrt(len(w))
    assert float(w.std()) / math.sqrt(len(w)) < 0.03  # the test is worth something


def test_one_temperature_is_importance_sampling():
    x = normal(50)
    passed = ais(mala(PATH, 0.1), x, power_schedule(1, 0.1), rng())
    torch.testing.assert_close(passed.log_weights[0], (base(x) - target(x)).double())
    expected = passed.log_weights.exp().mean().log()
    assert float(passed.log_ratio) == pytest.approx(float(expected))


@pytest.mark.parametrize(
    ("kernel", "step"), [(mala, 0.4), (hmc, 0.2), (random_walk_metropolis, 1.0)]
)
def test_forward_and_reverse_weights_are_unbiased(kernel, step: float):
    n, schedule = 20_000, power_schedule(12, step)
    forward = ais(kernel(PATH, step), normal(n), schedule, rng(), moves=5)
    assert_mean_of_weights(forward.log_weights, TRUTH)
    exact = MEAN + normal(n, seed=2) / math.sqrt(LAM)
    reverse = ais(kernel(PATH, step), exact, schedule, rng(), moves=5, reverse=True)
    assert_mean_of_weights(reverse.log_weights, -TRUTH)
    # Jensen: the forward log mean lies below on average, the reverse one above.
    assert float(forward.log_weights.mean()) < TRUTH < -float(reverse.log_weights.mean())


def test_moves_tighten_the_weights():
    spreads = [
        float(ais(mala(PATH, 0.15), normal(4000), power_schedule(k, 0.4), rng()).log_weights.std())
        for k in (1, 4, 32)
    ]
    assert spreads[0] > 1.2 * spreads[1] > 1.7 * spreads[2]


def test_the_schedule_keeps_its_promises():
    runs, n, wanted = 3, 1000, 0.9
    kernel = mala(PATH, 1e-3)  # far too small a step on purpose
    schedule = adapt_annealing_schedule(
        kernel, normal(runs * n), rng(), runs=runs, conditional_ess=wanted, target_acceptance=0.7
    )
    betas = schedule.betas
    assert (betas[0] == 0).all() and (betas[-1] == 1).all() and (betas.diff(dim=0) >= 0).all()
    assert schedule.step_sizes.shape == (len(betas) - 1, runs)
    # Conditional effective sample size of a full step, recomputed from exact draws.
    for k in range(len(betas) - 2):
        beta, step = float(betas[k, 0]), float(betas[k + 1, 0] - betas[k, 0])
        if beta + step == 1:
            break
        precision = 1 - beta + beta * LAM
        x = beta * LAM * MEAN / precision + normal(20_000, seed=k + 3) / math.sqrt(precision)
        u = (-step * (target(x) - base(x)).double()).exp()
        forward = float(u.mean() ** 2 / u.square().mean())
        back = float(1 / (u.mean() * (1 / u).mean()))
        assert min(forward, back) == pytest.approx(wanted, abs=0.03)
    passed = ais(kernel, normal(runs * n, seed=9), schedule, rng(2))
    assert float(passed.acceptance.mean()) == pytest.approx(0.7, abs=0.08)
    finer = adapt_annealing_schedule(
        kernel, normal(runs * n), rng(), runs=runs, conditional_ess=0.99
    )
    assert len(finer.betas) > 2 * len(betas)


def test_runs_are_independent_repetitions():
    one = AnnealingSchedule(torch.tensor([[0.0], [0.3], [1.0]]), torch.full((2, 1), 0.1))
    two = AnnealingSchedule(one.betas.expand(-1, 2), one.step_sizes.expand(-1, 2))
    x = normal(40)
    both = ais(mala(PATH, 0.1), x, two, rng())
    assert both.log_weights.shape == (2, 20)
    assert both.log_ratio[0] != both.log_ratio[1]
    torch.testing.assert_close(
        both.log_ratio, both.log_weights.logsumexp(1) - math.log(20), rtol=0, atol=1e-12
    )


def test_smc_is_unbiased_and_ends_at_the_target():
    runs, n = 200, 100
    schedule = power_schedule(6, 0.15, runs)
    passed = smc(mala(PATH, 0.15), normal(runs * n), schedule, rng(), moves=4, resample_below=0.9)
    assert_mean_of_weights(passed.log_ratio, TRUTH)
    weights = torch.softmax(passed.log_weights, 1).flatten() / runs
    ends = passed.x.double().reshape(-1, DIM)
    mean = (weights[:, None] * ends).sum(0)
    per_run = (weights.reshape(runs, n, 1) * ends.reshape(runs, n, DIM)).sum(1) * runs
    error = 4.5 * per_run.std(0) / math.sqrt(runs)
    assert ((mean - MEAN).abs() < error).all()
    variance = (weights[:, None] * (ends - MEAN).square()).sum(0)
    torch.testing.assert_close(variance, torch.full((DIM,), 1 / LAM).double(), rtol=0.06, atol=0)


def test_resampling_alone_is_unbiased():
    """Without moves the particles only repeat: a weight kept after resampling would count twice."""
    runs, n = 400, 100
    schedule = power_schedule(6, 0.15, runs)
    passed = smc(mala(PATH, 0.15), normal(runs * n), schedule, rng(), moves=0, resample_below=0.9)
    assert_mean_of_weights(passed.log_ratio, TRUTH)


def test_gap_moments_along_the_path():
    runs, n = 20, 1000
    schedule = power_schedule(6, 0.15, runs)
    passed = smc(mala(PATH, 0.15), normal(runs * n), schedule, rng(), moves=5)
    assert passed.gap_mean is not None and passed.gap_variance is not None
    for k, beta in enumerate(schedule.betas[:, 0].tolist()):
        mean, variance = gap_moments(beta)
        error = 4.5 * float(passed.gap_mean[k].std()) / math.sqrt(runs)
        assert float(passed.gap_mean[k].mean()) == pytest.approx(mean, abs=error)
        assert float(passed.gap_variance[k].mean()) == pytest.approx(variance, rel=0.15)


def test_a_support_smaller_than_the_base():
    def half(x: Tensor) -> Tensor:  # the half-normal distribution: log Z_1 / Z_0 = -log 2
        return base(x).masked_fill(x[:, 0] < 0, math.inf)

    x = normal(20_000, shape=(1,))
    schedule = power_schedule(2, 0.5)
    # Such start points are refused by a chain, so the first step is taken by hand.
    inside = x[x[:, 0] >= 0]
    passed = ais(mala(AnnealingPath(base, half), 0.5), inside, schedule, rng())
    assert float(passed.log_ratio) == pytest.approx(0.0, abs=1e-6)
    assert (passed.x[passed.log_weights[0] > -math.inf] >= 0).all()


def test_image_events_purity_and_reproducibility():
    shape = (1, 2, 2)
    x = normal(60, shape=shape)
    before = x.clone()
    kernel = hmc(PATH, 0.2, 3)
    schedules = [adapt_annealing_schedule(kernel, x, rng(4), runs=2) for _ in range(2)]
    torch.testing.assert_close(schedules[0].betas, schedules[1].betas, rtol=0, atol=0)
    passes = [smc(kernel, x, schedules[0], rng(5)) for _ in range(2)]
    assert torch.equal(passes[0].x, passes[1].x) and passes[0].x.shape == x.shape
    assert torch.equal(x, before)


def test_bad_input():
    with pytest.raises(ValueError, match=r"\(0, 1\)"):
        adapt_annealing_schedule(mala(PATH, 0.1), normal(20), rng(), conditional_ess=1.0)
    with pytest.raises(ValueError, match="more than 2 temperatures"):
        adapt_annealing_schedule(
            mala(PATH, 0.1), normal(20), rng(), conditional_ess=0.99, max_temperatures=2
        )
    with pytest.raises(ValueError, match="row"):
        ais(mala(PATH, 0.1), torch.full((4, DIM), math.nan), power_schedule(2, 0.1), rng())
