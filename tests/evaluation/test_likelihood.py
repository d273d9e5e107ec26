"""Held-out log-likelihood from an interval for log Z, where the model is a known Gaussian."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gibbsian.core import Estimate, Interval, NotDefined
from gibbsian.core.measures import Box, Gaussian, RealSpace
from gibbsian.evaluation import held_out_log_likelihood, log_partition_quadrature, log_prob_bounds

X = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))


def energy(x: Tensor) -> Tensor:
    return 0.5 * x.square().sum(1) - 1.3


def log_normal(x: Tensor, scale: float = 1.0) -> Tensor:
    return -0.5 * x.square().sum(1) / scale**2 - math.log(2 * math.pi * scale**2)


def test_exact_log_z_gives_the_exact_likelihood():
    log_z = log_partition_quadrature(energy, RealSpace((2,)))
    assert isinstance(log_z, Interval)
    result = held_out_log_likelihood(energy, RealSpace((2,)), log_z, X)
    assert isinstance(result, Interval)
    truth = log_normal(X)
    assert result.lower.value == pytest.approx(float(truth.mean()), abs=1e-4)
    assert result.lower == result.upper
    assert (result.lower.side, result.lower.standing) == ("both", "exact")
    assert result.lower.stderr == pytest.approx(float(truth.std()) / math.sqrt(500), rel=1e-4)
    assert str(result).startswith("log p = ")
    lower, upper = log_prob_bounds(energy, RealSpace((2,)), log_z, X)
    torch.testing.assert_close(lower, truth, rtol=0, atol=1e-4)
    torch.testing.assert_close(upper, truth, rtol=0, atol=1e-4)


def test_sides_are_swapped_and_standings_carried_over():
    below = Estimate(2.0, 0.3, "lower", "bound in expectation", "AIS")
    above = Estimate(2.5, 0.4, "upper", "estimate", "reverse AIS")
    log_z = Interval(below, above, warnings=("few draws",))
    result = held_out_log_likelihood(energy, RealSpace((2,)), log_z, X)
    assert isinstance(result, Interval)
    assert (result.lower.side, result.lower.standing) == ("lower", "estimate")
    assert (result.upper.side, result.upper.standing) == ("upper", "bound in expectation")
    assert result.upper.value - result.lower.value == pytest.approx(0.5)
    rows = result.lower.diagnostics["stderr_rows"]
    assert result.lower.stderr == pytest.approx(math.hypot(rows, 0.4))
    assert result.upper.stderr == pytest.approx(math.hypot(rows, 0.3))
    assert result.warnings == ("few draws",)


def test_the_base_measure_counts():
    def flat(x: Tensor) -> Tensor:
        return torch.zeros(len(x))

    exact = Estimate(0.0, 0.0, "both", "exact", "known")
    lower, _ = log_prob_bounds(flat, Gaussian((2,), 0.5), Interval(exact, exact), X)
    torch.testing.assert_close(lower, log_normal(X, 0.5))
    lower, upper = log_prob_bounds(flat, Box((2,), -1.0, 1.0), Interval(exact, exact), X)
    outside = (X.abs() > 1).any(1)
    assert (lower[outside] == -math.inf).all() and (upper[~outside] == 0).all()


def test_not_defined_and_bad_input():
    nothing = NotDefined("no base measure")
    assert held_out_log_likelihood(energy, RealSpace((2,)), nothing, X) is nothing
    exact = Estimate(0.0, 0.0, "both", "exact", "known")
    with pytest.raises(ValueError, match="two rows"):
        held_out_log_likelihood(energy, RealSpace((2,)), Interval(exact, exact), X[:1])


def test_one_row_that_makes_the_error_is_told():
    energy, measure = (lambda x: 0.5 * x.square().sum(1)), RealSpace((1,))
    z = log_partition_quadrature(energy, measure)
    x = torch.linspace(-2, 2, 50)[:, None]
    plain = held_out_log_likelihood(energy, measure, z, x)
    assert isinstance(plain, Interval) and plain.warnings == ()
    found = held_out_log_likelihood(energy, measure, z, torch.cat([x, torch.tensor([[30.0]])]))
    assert isinstance(found, Interval)
    (said,) = found.warnings
    assert (
        "one of the 51 held-out rows lies 44" in said and "below the median" in said
    )  # 30^2/2 - 0.5
