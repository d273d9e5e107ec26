"""Every built-in density against quadrature, closed forms and its own samples."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch
from torch import Tensor

from gibbsian.data import densities
from gibbsian.data.curves import line, moons, pinwheel, spirals, swiss_roll
from gibbsian.data.densities import DENSITIES, toy_density

# name: half-width of a square that holds all but 1e-6 of the mass, grid points per side. The midpoint
# rule on Gaussian bumps errs by exp(-2 pi^2 (std/step)^2) < 1e-7 as soon as the step is below the std.
PLANES = {
    "ring8": (1.75, 80),
    "grid25": (2.0, 80),
    "grid25-sharp": (1.6, 240),
    "grid100": (1.0, 280),
    "moons": (3.0, 100),
    "swiss-roll": (4.2, 80),
    "checkerboard": (2.0, 80),
    "pinwheel": (6.0, 100),
    "spirals": (3.8, 120),
    "gaussian": (6.0, 60),
    "line": (1.2, 260),
}
DRAWS = 20_000


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def plane(name: str) -> tuple[Tensor, Tensor, float, int]:
    """Midpoints ``[n*n, 2]``, their log-density, the area of a cell, and n."""
    half, n = PLANES[name]
    axis = torch.from_numpy((np.arange(n) + 0.5) / n * 2 * half - half)
    grid = torch.cartesian_prod(axis, axis)
    return grid, toy_density(name).log_prob(grid), (2 * half / n) ** 2, n


def draws(name: str) -> Tensor:
    return toy_density(name).sample(DRAWS, rng(1)).double()


def test_the_list_is_covered() -> None:
    assert set(PLANES) | {"mixture1d"} == set(DENSITIES)


@pytest.mark.parametrize("name", PLANES)
def test_integrates_to_one_and_agrees_with_samples(name: str) -> None:
    grid, log_p, cell, n = plane(name)
    p = log_p.exp() * cell
    assert abs(float(p.sum()) - 1) < 2e-6
    x = draws(name)

    # Entropy, means and second moments: |z| < 5 for 6 numbers of 11 distributions, false alarm 4e-5.
    plogp = torch.where(p > 0, p * log_p, torch.zeros(()))
    expected = [plogp.sum(), *(p @ grid), *(p @ grid.square()), p @ grid.prod(1)]
    observed = [toy_density(name).log_prob(x), *x.T, *x.square().T, x.prod(1)]
    for truth, values in zip(expected, observed, strict=True):
        error = values.std() / DRAWS**0.5 + 1e-6  # the checkerboard's entropy has no error
        assert abs(values.mean() - truth) < 5 * error

    # Counts in 10 x 10 blocks of cells: chi-square, false alarm 1e-7 per distribution.
    mass = p.reshape(10, n // 10, 10, n // 10).sum((1, 3)).flatten() * DRAWS
    half = PLANES[name][0]
    block = ((x + half) / (2 * half) * 10).floor().clamp(0, 9).long()
    counts = torch.bincount(block[:, 0] * 10 + block[:, 1], minlength=100)
    kept = mass > 5
    statistic = float(((counts - mass)[kept].square() / mass[kept]).sum())
    assert statistic < scipy.stats.chi2.isf(1e-7, int(kept.sum()))
    assert float(counts[~kept].sum()) < float(mass[~kept].sum()) * 3 + 30


def test_mixture1d() -> None:
    law = toy_density("mixture1d")
    axis = torch.linspace(-4, 4, 2001, dtype=torch.float64)
    truth = sum(
        w * scipy.stats.norm.pdf(axis, m, 0.25) for w, m in ((0.2, -1.5), (0.5, 0.0), (0.3, 1.5))
    )
    np.testing.assert_allclose(law.log_prob(axis[:, None]).exp(), truth, rtol=1e-10)
    x = law.sample(DRAWS, rng(0)).double()
    # Share of each component, |z| < 5: false alarm 2e-6.
    for low, high, weight in ((-9, -0.75, 0.2), (-0.75, 0.75, 0.5), (0.75, 9, 0.3)):
        share = float(((x > low) & (x < high)).double().mean())
        assert abs(share - weight) < 5 * (weight * (1 - weight) / DRAWS) ** 0.5 + 0.002


def test_mixtures_are_scipys() -> None:
    law = toy_density("grid25")
    x = torch.randn(50, 2, dtype=torch.float64, generator=rng())
    modes = law.modes()
    assert modes is not None and modes.means.shape == (25, 2)
    truth = np.mean(
        [scipy.stats.multivariate_normal(m, modes.std**2).pdf(x) for m in law.means.numpy()], 0
    )
    np.testing.assert_allclose(law.log_prob(x).exp(), truth, rtol=1e-8)
    assert modes.std == pytest.approx(0.2 / 2.828)
    assert float(modes.means.max()) == pytest.approx(4 / 2.828)


@pytest.mark.parametrize(("dim", "rho"), [(1, 0.0), (2, -0.9), (10, 0.7)])
def test_gaussian(dim: int, rho: float) -> None:
    law = densities.gaussian(dim, rho)
    covariance = (1 - rho) * np.eye(dim) + rho
    x = torch.randn(20, dim, dtype=torch.float64, generator=rng())
    truth = scipy.stats.multivariate_normal(np.zeros(dim), covariance).logpdf(x)
    np.testing.assert_allclose(law.log_prob(x), truth, rtol=1e-9, atol=1e-9)
    sample = law.sample(DRAWS, rng(0)).double().numpy()
    # Largest entry of the covariance's error: standard error <= sqrt(2/N) = 0.01, 6 of them.
    assert np.abs(np.cov(sample.T) - covariance).max() < 0.06


@pytest.mark.parametrize("name", ["gaussian-10-1.5", "gaussian-3--0.6", "gaussian-0", "gausian"])
def test_no_such_law(name: str) -> None:
    with pytest.raises(ValueError, match=r"correlation|there are ring8"):
        toy_density(name)


def test_gaussian_by_name() -> None:
    assert toy_density("gaussian-10").shape == (10,)
    assert float(toy_density("gaussian-3-0.25").covariance[0, 1]) == 0.25


@pytest.mark.parametrize("law", [moons, swiss_roll, spirals, pinwheel, line])
def test_quadrature_has_converged(law) -> None:
    coarse = law()
    fine = type(coarse)(**{**vars_of(coarse), "nodes_per_noise": 9.0})
    x = 6 * torch.rand(3000, 2, dtype=torch.float64, generator=rng()) - 3
    x = torch.cat([x, coarse.sample(1000, rng(0)).double()])
    truth = fine.log_prob(x)
    error = (coarse.log_prob(x) - truth).abs()
    assert float(error[truth > -10].max()) < 1e-5
    assert float((error / (1 + truth.abs())).max()) < 1e-3


def vars_of(law) -> dict:
    return {name: getattr(law, name) for name in law.__dataclass_fields__ if name != "shape"}


def test_moons_from_their_definition() -> None:
    """Adaptive quadrature of the two noisy half circles, then standardised by hand."""

    def raw(x: float, y: float) -> float:
        def integrand(t: float) -> float:
            upper = (x - math.cos(t)) ** 2 + (y - math.sin(t)) ** 2
            lower = (x - 1 + math.cos(t)) ** 2 + (y - 0.5 + math.sin(t)) ** 2
            return (math.exp(-upper / 0.02) + math.exp(-lower / 0.02)) / (2 * math.pi * 0.02)

        return scipy.integrate.quad(integrand, 0, math.pi, epsabs=1e-12, limit=200)[0] / math.pi

    law = moons()
    sx, sy = law.spread
    for x, y in ((0.0, 1.0), (1.1, 0.2), (0.5, 0.25), (-1.2, 0.0), (2.0, 0.4)):
        point = torch.tensor([[(x - 0.5) / sx, (y - 0.25) / sy]], dtype=torch.float64)
        assert float(law.log_prob(point).exp()) == pytest.approx(raw(x, y) * sx * sy, rel=1e-8)
    grid, log_p, cell, _ = plane("moons")
    p = log_p.exp() * cell
    np.testing.assert_allclose(p @ grid, 0, atol=1e-6)  # standardised: mean 0, variance 1
    np.testing.assert_allclose(p @ grid.square(), 1, atol=1e-5)


def test_lines_mass_is_heavy_at_both_ends() -> None:
    law = line()
    u = torch.linspace(0, 1, 101, dtype=torch.float64)
    t = law.quantile(u)
    np.testing.assert_allclose(t / 4 + 3 * (t - 0.5) ** 3 + 0.375, u, rtol=1e-9, atol=1e-12)
    assert float(law.mass(torch.tensor([0.0]))) == 10 * float(law.mass(torch.tensor([0.5])))


def test_checkerboard_alternates() -> None:
    law = toy_density("checkerboard")
    corners = torch.cartesian_prod(torch.arange(-2.0, 2.0), torch.arange(-2.0, 2.0)) + 0.5
    dark = law.log_prob(corners).isfinite().reshape(4, 4)
    assert int(dark.sum()) == 8
    assert bool((dark != dark.roll(1, 0)).all() and (dark != dark.roll(1, 1)).all())
    assert float(law.log_prob(torch.tensor([[2.5, 0.5]]))) == -math.inf
    x = law.sample(100_000, rng(0))
    assert bool(law.log_prob(x).isfinite().all())


@pytest.mark.parametrize("name", [*PLANES, "mixture1d"])
def test_contract(name: str) -> None:
    law = toy_density(name)
    again = [law.sample(7, rng(3)) for _ in range(2)]
    assert torch.equal(*again) and again[0].dtype == torch.float32
    assert again[0].shape == (7, *law.shape)
    assert law.log_prob(again[0]).dtype == torch.float32
    assert law.log_prob(again[0].double()).dtype == torch.float64
    with pytest.raises(ValueError, match=r"\[B, "):
        law.log_prob(torch.zeros(3, law.shape[0] + 1))
