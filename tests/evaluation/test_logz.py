"""The estimators of log Z on weights whose distribution is known, and their intervals over many repetitions.

Coverage is tested over 2000 repetitions, whose 95 % interval misses 91.5-98 % with probability
1e-9 if the true coverage is 95 %.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gibbsian.evaluation.log_z.estimators import (
    LogZ,
    bridge,
    from_runs,
    from_weights,
    thermodynamic,
)

REPEATS = 2000


def normal(*shape: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def coverage(estimate: LogZ, truth: float) -> float:
    return float(((estimate.low <= truth) & (truth <= estimate.high)).double().mean())


def log_normal_weights(n: int, s: float, seed: int = 0) -> Tensor:
    """Weights of mean 1: log w ~ N(-s^2 / 2, s^2)."""
    return s * normal(REPEATS, n, seed=seed) - s * s / 2


@pytest.mark.parametrize(("n", "s"), [(1000, 0.3), (300, 0.7), (1000, 1.0)])
@pytest.mark.parametrize("reverse", [False, True])
def test_intervals_from_weights(n: int, s: float, reverse: bool):
    estimate = from_weights(log_normal_weights(n, s) + 5.0, "test", reverse=reverse)
    truth = -5.0 if reverse else 5.0
    assert 0.915 < coverage(estimate, truth) < 0.98
    error = float((estimate.value - truth).square().mean().sqrt())
    # The median: the mean of the errors hangs on the rare heavy repetition.
    assert float(estimate.stderr.median()) == pytest.approx(error, rel=0.12)
    bias = float((estimate.value - truth).mean())  # Jensen, -var(w) / (2 n) to first order
    jensen = math.expm1(s * s) / (2 * n)
    assert (-bias if not reverse else bias) == pytest.approx(jensen, abs=4.5 * error / REPEATS**0.5)
    assert estimate.side == ("upper" if reverse else "lower")


def test_skewness_is_corrected():
    """100 log-normal weights of spread 1: the delta method alone misses 6.5 % on the upper side."""
    estimate = from_weights(log_normal_weights(100, 1.0, seed=4), "test")
    plain = float((estimate.value + 1.96 * estimate.stderr < 0).double().mean())
    above, below = (float(x.double().mean()) for x in (estimate.low > 0, estimate.high < 0))
    assert below < plain - 0.008
    assert above < 0.03


def test_markov_bound_holds():
    heavy = from_weights(log_normal_weights(50, 2.5), "test")
    violated = (heavy.diagnostics["markov_lower_95"] > 0).double().mean()
    assert float(violated) <= 0.05
    torch.testing.assert_close(
        heavy.value - heavy.diagnostics["markov_lower_95"],
        torch.full((REPEATS,), math.log(20), dtype=torch.float64),
    )


def test_bad_weights_are_warned_of():
    sound = from_weights(log_normal_weights(1000, 0.7), "test")
    assert float(sound.warned.double().mean()) < 0.05
    poor = from_weights(log_normal_weights(1000, 3.0), "test")
    assert float(poor.warned.double().mean()) > 0.95
    single = poor.estimate(3)
    assert any("effective draws" in concern for concern in single.diagnostics["concerns"])
    assert single.standing == "bound in expectation"


def test_some_weights_may_be_zero():
    weights = torch.zeros(1, 400, dtype=torch.float64)
    weights[:, ::2] = -math.inf  # half of the draws fall outside the support
    estimate = from_weights(weights, "test").estimate()
    assert estimate.value == pytest.approx(-math.log(2))
    assert estimate.stderr == pytest.approx(1 / math.sqrt(400), rel=0.01)


def test_intervals_from_runs():
    estimate = from_runs(0.2 * normal(REPEATS, 8) - 0.02 + 3.0, "test")
    assert 0.915 < coverage(estimate, 3.0) < 0.98
    assert float(estimate.warned.double().mean()) < 0.02
    assert float(from_runs(normal(REPEATS, 8), "test").warned.double().mean()) > 0.95
    with pytest.raises(ValueError, match="two runs"):
        from_runs(torch.zeros(5, 1), "test")


@pytest.mark.parametrize(("n", "m"), [(200, 200), (400, 100)])
@pytest.mark.parametrize("shift", [0.5, 2.0])
def test_bridge_between_two_gaussians(n: int, m: int, shift: float):
    """q = N(0, 1), exp(-U) = e^3 N(shift, 1): the log-ratio is shift x - shift^2 / 2 + 3."""

    def log_ratio(x: Tensor) -> Tensor:
        return shift * x - shift**2 / 2 + 3.0

    forward = log_ratio(normal(REPEATS, n, seed=1))
    reverse = log_ratio(shift + normal(REPEATS, m, seed=2))
    estimate = bridge(forward, reverse)
    assert 0.915 < coverage(estimate, 3.0) < 0.98
    error = float((estimate.value - 3).square().mean().sqrt())
    assert float(estimate.stderr.median()) == pytest.approx(error, rel=0.12)
    assert not estimate.warned.any()
    # At the solution it equals the fixed point of Meng and Wong's iteration.
    c, a, b = estimate.value[:1, None], n / (n + m), m / (n + m)
    top = (forward[:1] - torch.log(b * forward[:1].exp() + a * c.exp())).logsumexp(1) - math.log(n)
    low = (-torch.log(b * reverse[:1].exp() + a * c.exp())).logsumexp(1) - math.log(m)
    torch.testing.assert_close(top - low, estimate.value[:1], rtol=0, atol=1e-9)


def test_bridge_far_apart_warns():
    estimate = bridge(12 * normal(20, 100) - 72, 72 + 12 * normal(20, 100, seed=1))
    assert estimate.warned.all()


def test_thermodynamic_integration_is_of_fourth_order():
    """The path from precision 1 to 4 of a Gaussian with exact moments: log Z_1 / Z_0 = -log(4) / 2.

    E_beta[U - V] = 3 / (2 p), Var = 9 / (2 p^2), p = 1 + 3 beta.
    """
    errors = []
    for levels in (8, 16, 32):
        beta = torch.linspace(0, 1, levels + 1, dtype=torch.float64)[:, None].expand(-1, 4)
        p = 1 + 3 * beta
        estimate = thermodynamic(beta, 1.5 / p, 4.5 / p.square(), repeats=2)
        assert estimate.value.shape == (2,)
        errors.append(abs(float(estimate.value[0]) + 0.5 * math.log(4)))
    assert errors[0] / errors[1] > 12
    assert errors[1] / errors[2] > 14
    assert errors[2] < 1e-6


def test_coarse_integration_warns():
    beta = torch.tensor([0.0, 1.0])[:, None].expand(-1, 2).double()
    estimate = thermodynamic(
        beta,
        torch.tensor([[5.0], [1.0]]).expand(-1, 2).double(),
        torch.tensor([[90.0], [1.0]]).expand(-1, 2).double(),
        repeats=2,
    )
    assert estimate.warned.all()
