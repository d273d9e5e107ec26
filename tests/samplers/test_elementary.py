"""Inverse transform, rejection, importance sampling, resampling and grid sums."""

from __future__ import annotations

import math
from inspect import unwrap

import numpy
import pytest
import torch
from torch import Generator, Tensor

from gibbsian.core.measures import Gaussian
from gibbsian.samplers import (
    TabulatedCDF,
    TransformedDistribution,
    importance_ess,
    importance_sampling,
    independence_metropolis,
    inverse_transform_sampling,
    invert_cdf,
    log_partition_on_grid,
    pareto_k,
    rejection_sampling,
    resample_by_weight,
    sir,
)

# Statistical limits below are 4.5 standard errors, or p-values of 1e-4; about 30 comparisons in the
# file: false alarm below 1e-3 in all.


def normal(x: Tensor) -> Tensor:
    """E of N(0, I) without its constant: log Z = d/2 log 2 pi."""
    return x.square().sum(1) / 2


def log_z(d: int) -> float:
    return d / 2 * math.log(2 * math.pi)


def double_well(x: Tensor) -> Tensor:
    return 2 * (x.square() - 1).square().sum(1)


# -- inverse transform and change of variables ---------------------------------------------------


def test_inverse_transform_of_the_exponential_law() -> None:
    rng = torch.Generator().manual_seed(0)
    y = inverse_transform_sampling(lambda u: -torch.log1p(-u), (100_000,), rng)
    assert abs(float(y.mean()) - 1) < 4.5 / 100_000**0.5
    assert abs(float((y > 3).double().mean()) - math.exp(-3)) < 4.5 * (0.0498 / 100_000) ** 0.5
    assert y.min() > 0


def test_inverse_of_a_distribution_function_by_bisection() -> None:
    inverse = invert_cdf(torch.special.ndtr, -10.0, 10.0)
    u = torch.tensor([1e-6, 0.025, 0.5, 0.9], dtype=torch.float64)
    assert torch.allclose(inverse(u), torch.special.ndtri(u), rtol=1e-9, atol=1e-9)
    # Unnormalised and cut off: the distribution truncated to [0, 1].
    inverse = invert_cdf(lambda x: 7 * x.square(), 0.0, 1.0)
    assert torch.allclose(inverse(u), u.sqrt(), rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match="must rise"):
        invert_cdf(lambda x: -x, 0.0, 1.0)


def test_tabulated_density() -> None:
    # Piecewise linear between (0, 0), (1, 2), (3, 1), unnormalised: area 1 + 3 = 4.
    grid = torch.tensor([0.0, 1.0, 3.0])
    law = TabulatedCDF(grid, torch.tensor([0.0, 2.0, 1.0]).log())
    assert law.log_z == pytest.approx(math.log(4))
    x = torch.tensor([[0.5], [1.0], [2.0], [3.5]])
    expected = torch.tensor([0.25, 0.5, 0.375, 0.0]).log()
    assert torch.allclose(law.log_density(x), expected, atol=1e-6)
    u = torch.linspace(0, 1, 101, dtype=torch.float64)
    y = law.inverse_cdf(u)
    # cdf: x^2 / 4 up to 1, then 1/4 + (t - t^2 / 8) / 2 with t = x - 1.
    t = y - 1
    cdf = torch.where(y < 1, y.square() / 4, 0.25 + (t - t.square() / 8) / 2)
    assert torch.allclose(cdf, u, rtol=1e-9, atol=1e-12)
    draws = law.sample(100_000, torch.Generator().manual_seed(1))
    assert draws.shape == (100_000, 1)
    # E = int x p: 1/6 + int_1^3 x (5 - x) / 8 dx = 1/6 + (20 - 26/3) / 8.
    assert abs(float(draws.mean()) - (1 / 6 + (20 - 26 / 3) / 8)) < 4.5 / 100_000**0.5


def test_tabulated_density_of_a_gaussian_has_its_normaliser() -> None:
    grid = torch.linspace(-9, 9, 4001, dtype=torch.float64)
    law = TabulatedCDF(grid, -grid.square() / 2)
    assert law.log_z == pytest.approx(log_z(1), abs=1e-9)


@pytest.mark.parametrize(
    ("grid", "values", "message"),
    [
        ([0.0, 0.0], [0.0, 0.0], "must increase"),
        ([0.0, 1.0], [0.0, math.nan], "NaN"),
        ([0.0], [0.0], "at least two"),
    ],
)
def test_bad_tables(grid: list[float], values: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TabulatedCDF(torch.tensor(grid), torch.tensor(values))


def test_change_of_variables() -> None:
    law = TransformedDistribution(Gaussian((2,)), torch.exp, torch.log)
    y = law.sample(7, torch.Generator().manual_seed(0)).double()
    expected = torch.distributions.LogNormal(0.0, 1.0).log_prob(y).sum(1)
    assert torch.allclose(law.log_density(y), expected)
    # A map that mixes coordinates: y = A z has the covariance A A^T.
    A = torch.tensor([[2.0, 0.5], [0.0, 1.0]], dtype=torch.float64)
    mixed = TransformedDistribution(
        Gaussian((2,)), lambda z: z @ A.T, lambda y: y @ torch.linalg.inv(A).T
    )
    truth = torch.distributions.MultivariateNormal(torch.zeros(2).double(), A @ A.T)
    assert torch.allclose(mixed.log_density(y), truth.log_prob(y))


# -- rejection -----------------------------------------------------------------------------------


@pytest.mark.parametrize("d", [1, 4])
def test_rejection_accepts_with_the_ratio_of_scales_to_the_d(d: int) -> None:
    # q = N(0, 1.2^2 I): the least k is (2 pi)^(d/2) 1.2^d, the acceptance 1.2^-d.
    rng = torch.Generator().manual_seed(0)
    log_k = log_z(d) + d * math.log(1.2)
    draws = rejection_sampling(normal, Gaussian((d,), 1.2), log_k, 50_000, rng)
    assert draws.acceptance is not None and draws.log_z is not None
    a = 1.2**-d
    assert abs(draws.acceptance - a) < 4.5 * (a * (1 - a) / 50_000) ** 0.5
    assert abs(draws.log_z.value - log_z(d)) < 4.5 * draws.log_z.stderr
    assert 0 < draws.log_z.stderr < 0.01
    assert draws.x.shape == (50_000, d)
    second = draws.x.square().mean(0)
    assert (second - 1).abs().max() < 4.5 * (2 / 50_000) ** 0.5
    mean, error = draws.expectation(lambda x: x.square())
    assert torch.allclose(error, torch.full((d,), (2 / 50_000) ** 0.5), rtol=0.1)
    assert torch.equal(mean, second)


def test_error_of_the_rejection_estimate_is_honest() -> None:
    # Over 300 repetitions error / stderr has variance 1: within 4.5 sqrt(2 / 300) = 0.37.
    rng = torch.Generator().manual_seed(6)
    z = []
    for _ in range(300):
        log_k = log_z(1) + math.log(3)
        estimate = rejection_sampling(normal, Gaussian((1,), 3.0), log_k, 500, rng, batch=500).log_z
        assert estimate is not None
        z.append((estimate.value - log_z(1)) / estimate.stderr)
    assert abs(float(torch.tensor(z).square().mean()) - 1) < 0.37


def test_rejection_says_by_how_much_its_envelope_is_too_low() -> None:
    rng = torch.Generator().manual_seed(0)
    log_k = log_z(2) + 2 * math.log(1.2) - math.log(3)
    with pytest.raises(ValueError, match=r"by a factor of (2\.9|3)") as error:
        rejection_sampling(normal, Gaussian((2,), 1.2), log_k, 1000, rng)
    remedy = float(str(error.value).split("log_k >= ")[1])
    rejection_sampling(normal, Gaussian((2,), 1.2), remedy + 0.01, 1000, rng)


def test_rejection_gives_up_on_a_hopeless_envelope() -> None:
    with pytest.raises(ValueError, match="lower log_k"):
        rejection_sampling(
            normal, Gaussian((1,)), 60.0, 10, torch.Generator(), max_proposals=10_000
        )


def test_a_proposal_needs_a_density() -> None:
    class Blind:
        def sample(self, n: int, rng: Generator) -> Tensor:
            return torch.randn(n, 1, generator=rng)

    # Without the run-time type checks, as users call them.
    with pytest.raises(ValueError, match=r"Blind has no log_density"):
        unwrap(importance_sampling)(normal, Blind(), 100, torch.Generator())
    with pytest.raises(ValueError, match=r"Blind has no log_density"):
        unwrap(rejection_sampling)(normal, Blind(), 1.0, 100, torch.Generator())
    with pytest.raises(ValueError, match=r"Blind has no log_density"):
        unwrap(independence_metropolis)(normal, Blind())


# -- importance ----------------------------------------------------------------------------------


def test_importance_sampling_of_the_double_well() -> None:
    rng = torch.Generator().manual_seed(1)
    draws = importance_sampling(double_well, Gaussian((2,), 1.3), 100_000, rng)
    assert draws.log_z is not None
    assert (draws.log_z.side, draws.log_z.standing) == ("lower", "bound in expectation")
    assert abs(draws.log_z.value - 0.68848) < 4.5 * draws.log_z.stderr
    for log_ratio in (None, 0.68848):  # self-normalised, and unbiased with the true constant
        mean, error = draws.expectation(lambda x: x.square(), log_ratio)
        assert (mean - 0.85214).abs().max() < 4.5 * error.max()
        assert error.max() < 0.01
    assert draws.verdict == "reliable"
    assert "log Z = 0.6" in str(draws)


def test_errors_of_importance_sampling_are_honest() -> None:
    # Over 300 repetitions z = error / stderr has variance 1: within 4.5 sqrt(2 / 300) = 0.37.
    rng = torch.Generator().manual_seed(2)
    z = []
    for _ in range(300):
        draws = importance_sampling(normal, Gaussian((1,), 1.5), 1000, rng)
        assert draws.log_z is not None
        mean, error = draws.expectation(lambda x: x[:, 0].square())
        z.append([(draws.log_z.value - log_z(1)) / draws.log_z.stderr, float((mean - 1) / error)])
    assert ((torch.tensor(z).square().mean(0) - 1).abs() < 0.37).all()


def test_effective_sample_size() -> None:
    assert importance_ess(torch.zeros(10)) == pytest.approx(10)
    one = torch.tensor([0.0, -math.inf, -math.inf])
    assert importance_ess(one) == pytest.approx(1)
    w = torch.tensor([[1.0, 2.0, 3.0], [1.0, 1.0, 4.0]])
    assert torch.allclose(importance_ess(w.log()), torch.tensor([36 / 14, 36 / 18]))


def test_a_narrow_proposal_is_called_unreliable() -> None:
    # Weights of N(0, 1) under N(0, s^2) have Pareto index 1 - s^2: 0.84 at s = 0.4.
    rng = torch.Generator().manual_seed(3)
    draws = importance_sampling(normal, Gaussian((1,), 0.4), 20_000, rng)
    assert "heavy-tailed" in draws.verdict
    assert float(pareto_k(draws.log_weight)) == pytest.approx(0.84, abs=0.15)  # type: ignore[arg-type]


def test_pareto_fit_equals_that_of_arviz() -> None:
    arviz = pytest.importorskip("arviz")
    rng = numpy.random.default_rng(0)
    for df, n in ((1.5, 5000), (3, 400), (20, 30)):
        log_weight = numpy.log(numpy.abs(rng.standard_t(df, n)))
        k = float(pareto_k(torch.from_numpy(log_weight)))
        assert k == pytest.approx(float(arviz.psislw(log_weight)[1]), abs=1e-9)


def test_pareto_fit_of_many_sets_at_once() -> None:
    sets = torch.randn(3, 200, generator=torch.Generator().manual_seed(0)).double()
    assert torch.allclose(pareto_k(sets), torch.stack([pareto_k(row) for row in sets]))
    assert pareto_k(torch.zeros(50)) == -math.inf
    with pytest.raises(ValueError, match="at least 25"):
        pareto_k(torch.zeros(10))


def test_a_proposal_that_misses_the_support() -> None:
    def nowhere(x: Tensor) -> Tensor:
        return torch.full((len(x),), math.inf)

    with pytest.raises(ValueError, match="covers the support"):
        importance_sampling(nowhere, Gaussian((1,)), 100, torch.Generator())


# -- resampling ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["multinomial", "stratified", "systematic"])
def test_resampling_is_unbiased(scheme: str) -> None:
    w = torch.tensor([0.1, 0.0, 0.5, 0.15, 0.25])
    rng = torch.Generator().manual_seed(4)
    counts = torch.stack(
        [
            torch.bincount(resample_by_weight(w.log(), 8, rng, scheme), minlength=5)  # type: ignore[arg-type]
            for _ in range(4000)
        ]
    ).double()
    expected = 8 * w.double()
    error = (counts.var(0) / 4000).sqrt()
    assert ((counts.mean(0) - expected).abs() <= 4.5 * error + 1e-12).all()
    spread = {
        "multinomial": 8 * w * (1 - w),
        "systematic": (8 * w).frac() * (1 - (8 * w).frac()),
    }
    if scheme in spread:
        assert torch.allclose(counts.var(0), spread[scheme].double(), atol=0.2)
    if scheme == "systematic":
        assert ((counts == expected.floor()) | (counts == expected.ceil())).all()


def test_sampling_importance_resampling() -> None:
    rng = torch.Generator().manual_seed(5)
    draws = sir(double_well, Gaussian((2,), 1.3), 100_000, 5000, rng)
    mean, error = draws.expectation(lambda x: x.square())
    assert (mean - 0.85214).abs().max() < 4.5 * error.max()
    assert draws.x.shape == (5000, 2)
    assert draws.ess < 5000
    assert draws.verdict == "reliable (approximate draws)"


# -- grid ----------------------------------------------------------------------------------------


def test_grid_sums_include_the_cell_volume() -> None:
    value, mean = log_partition_on_grid(double_well, -3.0, 3.0, 2, 300, lambda x: x.square())
    assert value == pytest.approx(0.68848, abs=1e-5)
    assert mean is not None
    assert torch.allclose(mean, torch.full((2,), 0.85214, dtype=torch.float64), atol=1e-5)
    # The same in chunks that do not divide the grid.
    again, mean = log_partition_on_grid(
        double_well, -3.0, 3.0, 2, 300, lambda x: x.square(), chunk=999
    )
    assert again == pytest.approx(value, abs=1e-9)
    assert torch.allclose(mean, torch.full((2,), 0.85214, dtype=torch.float64), atol=1e-5)  # type: ignore[arg-type]
    assert log_partition_on_grid(normal, -8.0, 8.0, 3, 60)[0] == pytest.approx(log_z(3), abs=1e-5)
    # At the middle of the cells: int_0^1 e^-x dx to second order, Delta^2 / 24.
    value, _ = log_partition_on_grid(lambda x: x.sum(1), 0.0, 1.0, 1, 10)
    assert value == pytest.approx(math.log(1 - math.exp(-1)) - 0.01 / 24, abs=1e-5)
    with pytest.raises(ValueError, match="a grid needs"):
        log_partition_on_grid(normal, 1.0, 0.0, 1, 10)
