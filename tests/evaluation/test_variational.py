"""Variational bounds on log Z against closed forms and quadrature, and their place in an interval."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from gibbsian.bounds import LogDetEntropy
from gibbsian.core import Estimate, Interval
from gibbsian.core.measures import Box, Gaussian, RealSpace
from gibbsian.evaluation import (
    log_partition,
    log_z_lower_variational,
    log_z_upper_log_sobolev,
    log_z_upper_strong_convexity,
)
from gibbsian.evaluation.log_z.effort import LogZEffort
from gibbsian.evaluation.log_z.log_sobolev import ball, latent_log_importance_weight, oscillation
from gibbsian.evaluation.log_z.variational import join

# Checklist C2: E = a |x|^2 / 2 and q = N(0, c^2 I) in the plane.
A, C = 1.7, 0.6
LOG_Z, LOWER, KL, FISHER, GAP = 1.307249, 1.204226, 0.103023, 0.836356, 0.245987
LINE, PLANE = RealSpace((1,)), RealSpace((2,))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def quadratic(x: Tensor) -> Tensor:
    return 0.5 * A * x.square().sum(1)


def log_q(x: Tensor) -> Tensor:
    return Gaussian((2,), C).log_density(x)


def corners() -> Tensor:
    """Four points with |x|^2 = 2 c^2: every mean over q of a quadratic is exact on them."""
    return C * torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]).double()


def lower_of_c2(is_bound: bool = True) -> Estimate:
    x = corners()
    return log_z_lower_variational(
        quadratic, PLANE, (x, -log_q(x)), is_bound=is_bound, how="a normal distribution"
    )


def test_lower_side_has_the_closed_form() -> None:
    lower = lower_of_c2()
    assert lower.value == pytest.approx(LOWER, abs=1e-6)
    assert lower.stderr == pytest.approx(0, abs=1e-12)
    assert lower.diagnostics["entropy"] - lower.diagnostics["energy"] == pytest.approx(
        LOWER, abs=1e-6
    )
    assert lower.diagnostics["energy"] == pytest.approx(A * C**2, abs=1e-12)
    assert (lower.side, lower.standing) == ("lower", "bound in expectation")
    assert lower_of_c2(is_bound=False).standing == "estimate"
    assert pytest.approx(LOG_Z - LOWER, abs=2e-6) == KL


def test_lower_side_knows_its_error_and_its_measure() -> None:
    """Var of a quadratic in 2 normals: (1 - a c^2)^2; 40 000 draws know it to 3 %, within 15 %."""
    x = C * torch.randn(40_000, 2, generator=rng(), dtype=torch.float64)
    lower = log_z_lower_variational(
        quadratic, PLANE, (x, -log_q(x)), is_bound=True, how="a normal distribution"
    )
    assert lower.stderr == pytest.approx(abs(1 - A * C**2) / 200, rel=0.15)
    # 4.5 standard errors: a false alarm in 7e-6 of the seeds.
    assert abs(lower.value - LOWER) < 4.5 * lower.stderr
    # The same density, its Gaussian part declared as the base measure: log Z falls by log(2 pi).
    base = Gaussian((2,))

    def rest(x: Tensor) -> Tensor:
        return quadratic(x) - 0.5 * x.square().sum(1)

    x = corners()
    based = log_z_lower_variational(
        rest, base, (x, -log_q(x)), is_bound=True, how="a normal distribution"
    )
    assert based.value == pytest.approx(LOWER - math.log(2 * math.pi), abs=1e-6)


def test_strong_convexity_covers_the_gap() -> None:
    upper = log_z_upper_strong_convexity(quadratic, PLANE, log_q, corners(), convexity=A, how="C2")
    assert upper.diagnostics["fisher"] == pytest.approx(FISHER, abs=1e-6)
    assert upper.diagnostics["gap"] == pytest.approx(GAP, abs=1e-6)
    assert upper.value == pytest.approx(LOWER + GAP, abs=1e-6)
    assert (upper.side, upper.standing) == ("upper", "bound in expectation")
    perturbed = log_z_upper_strong_convexity(
        quadratic, PLANE, log_q, corners(), convexity=A, oscillation=0.7, how="C2"
    )
    assert perturbed.diagnostics["gap"] == pytest.approx(GAP * math.exp(0.7), abs=1e-5)
    assert perturbed.value == pytest.approx(LOWER + GAP * math.exp(0.7), abs=1e-5)
    # With a Gaussian base the modulus is that of E - log b, and log Z falls by log(2 pi).
    based = log_z_upper_strong_convexity(
        lambda x: quadratic(x) - 0.5 * x.square().sum(1),
        Gaussian((2,)),
        log_q,
        corners(),
        convexity=A,
        how="C2",
    )
    assert based.value == pytest.approx(upper.value - math.log(2 * math.pi), abs=1e-6)


@pytest.mark.parametrize(("mu", "half_fisher"), [(4.0, 3e-4), (5.0, 5e-6)])
def test_between_modes_no_convexity_and_no_bound(mu: float, half_fisher: float) -> None:
    """Weights .9 / .1 against .5 / .5: KL -> 0.368, to which the Fisher divergence is blind."""

    def minus_log_mixture(x: Tensor, left: float) -> Tensor:
        one, two = (-0.5 * (x[:, 0] - s * mu).square() for s in (-1, 1))
        return 0.9189385332 - torch.logaddexp(math.log(left) + one, math.log(1 - left) + two)

    gap = value = 0.0  # by quadrature, 0.1 apart: a mean over two equal draws is the value there
    for at in torch.arange(-9, 9, 0.1, dtype=torch.float64):
        x = at.expand(2, 1)
        here = log_z_upper_strong_convexity(
            partial(minus_log_mixture, left=0.5),
            LINE,
            lambda x: -minus_log_mixture(x, 0.9),
            x,
            convexity=1.0,
            how="a claim that is false",
        )
        mass = 0.1 * float((-minus_log_mixture(x, 0.9)).exp()[0])
        gap, value = gap + mass * here.diagnostics["gap"], value + mass * here.value
    assert gap == pytest.approx(half_fisher, rel=0.1)
    assert gap - value == pytest.approx(0.368, abs=2e-3)  # KL, as log Z = 0
    assert value < -0.36, "the constant was not there, and the bound lies below log Z = 0"


class Curve(nn.Module):
    """G(z) = a z + b tanh z."""

    def __init__(self, a: float, b: float):
        super().__init__()
        self.a, self.b = a, b

    def forward(self, z: Tensor) -> Tensor:
        return self.a * z + self.b * torch.tanh(z)


def wavy(x: Tensor, c: float = 0.0) -> Tensor:
    return (0.5 * (x - c).square() + 0.3 * torch.cos(2 * x)).squeeze(1)


def weight_of(G: nn.Module, c: float):
    return latent_log_importance_weight(
        partial(wavy, c=c), LINE, partial(LogDetEntropy(Gaussian((1,))), G)
    )


# (a, b, c), radius -> gap log Z_R - log P_R - E h, osc h, E |grad h|^2, by quadrature of D3's cases.
CASES = [
    ((1.0, 0.0, 0.0), 6.0, 0.022004, 0.600000, 0.179940),
    ((1.0, 0.0, 0.0), 1.0, 0.008422, 0.424844, 0.197710),
    ((0.8, 0.3, 0.2), 3.0, 0.034380, 1.230143, 0.101319),
    ((0.5, 0.5, 0.0), 3.0, 0.064227, 2.318826, 0.220313),
    ((1.2, -0.3, 0.5), 2.0, 0.161996, 2.184061, 0.630923),
    ((2.0, 0.5, 1.0), 2.0, 1.482926, 13.274259, 19.582729),
]


@pytest.mark.parametrize(("curve", "radius", "gap", "osc", "squared"), CASES)
def test_latent_bound_on_five_generators(
    curve: tuple[float, float, float], radius: float, gap: float, osc: float, squared: float
) -> None:
    """4000 draws: 5 standard errors of the mean square, a false alarm in 6e-7 of the seeds each."""
    a, b, c = curve
    h = weight_of(Curve(a, b), c)
    upper = log_z_upper_log_sobolev(h, radius, 1, rng(), draws=4000, dtype=torch.float64)
    figures = upper.diagnostics
    assert figures["oscillation"] == pytest.approx(osc, abs=2e-4)
    z = ball(4000, radius, 1, rng(), torch.float64)
    slopes = torch.func.grad(lambda z: h(z).sum())(z).square().sum(1)
    error = float(slopes.std()) / math.sqrt(4000)
    assert figures["squared_gradient"] == pytest.approx(squared, abs=5 * error)
    assert figures["gap"] == pytest.approx(
        0.5 * math.expm1(osc) / osc * figures["squared_gradient"], rel=1e-3
    )
    # log Z_R by quadrature over the ball's image.
    line = torch.linspace(-radius, radius, 4001, dtype=torch.float64)[:, None]
    log_z = float(torch.logsumexp(h(line) + Gaussian((1,)).log_density(line), 0)) + math.log(
        2 * radius / 4000
    )
    lower = upper.value - figures["gap"]  # log P_R + E h
    assert log_z - lower == pytest.approx(gap, abs=5 * upper.stderr + 1e-3)
    assert log_z < upper.value + 4.5 * upper.stderr
    assert bool(figures["concerns"]) == (math.exp(osc) > 1e3) == ("vacuous" in upper.how)
    assert upper.standing == "estimate", "of log Z: what lies outside is not covered"


@pytest.mark.parametrize(("slope", "gap", "bound"), [(A * C**2, 0.0515, 81), (0.5, 0.0966, 1013)])
def test_at_radius_six_the_bound_is_vacuous(slope: float, gap: float, bound: float) -> None:
    """D3: 1/2 exp(osc h) E |grad h|^2 is 81 and 1013 where the gap is .05 and .10."""
    truth = 0.5 * (slope - 1 - math.log(slope))
    assert truth == pytest.approx(gap, abs=5e-4)

    def h(z: Tensor) -> Tensor:
        return 0.5 * (1 - slope) * z.square().sum(1)

    upper = log_z_upper_log_sobolev(h, 6.0, 1, rng(), draws=40_000, dtype=torch.float64)
    figures = upper.diagnostics
    stated = 0.5 * figures["exp_oscillation"] * figures["squared_gradient"]
    assert stated == pytest.approx(bound, rel=0.04)  # the mean of 40 000 squares: 0.7 % error
    assert figures["gap"] < stated / 6, "the tilt is integrated rather than bounded by its end"
    assert "vacuous" in upper.how


def test_with_what_lies_outside_it_bounds_log_z() -> None:
    """G(z) = z: outside |x| <= 3 the integral is at most e^0.3 times the normal tail's."""
    outside = 0.3 + math.log(math.sqrt(2 * math.pi) * math.erfc(3 / math.sqrt(2)))
    h = weight_of(Curve(1.0, 0.0), 0.0)
    within, whole = (
        log_z_upper_log_sobolev(h, 3.0, 1, rng(), outside=o, dtype=torch.float64)
        for o in (None, outside)
    )
    assert whole.standing == "bound in expectation" and within.standing == "estimate"
    assert math.exp(whole.value) == pytest.approx(math.exp(within.value) + math.exp(outside))
    line = torch.linspace(-12, 12, 4001, dtype=torch.float64)[:, None]
    log_z = float(torch.logsumexp(-wavy(line), 0)) + math.log(24 / 4000)
    assert log_z < whole.value + 4.5 * whole.stderr < log_z + 0.2


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_oscillation_of_a_tilted_bowl(dim: int) -> None:
    """h = |z|^2 - 2 k . z on |z| <= R: from -|k|^2 (k inside) to R^2 + 2 R |k|."""
    k = torch.full((dim,), 0.7 / math.sqrt(dim), dtype=torch.float64)
    z = ball(500, 2.5, dim, rng(), torch.float64)
    assert torch.linalg.vector_norm(z, dim=1).max() <= 2.5
    found = oscillation(lambda z: z.square().sum(1) - 2 * z @ k, z, 2.5)
    assert found == pytest.approx(2.5**2 + 2 * 2.5 * 0.7 + 0.7**2, abs=1e-5)
    upper = log_z_upper_log_sobolev(
        lambda z: 0.1 * z.sum(1), 2.5, dim, rng(), outside=-50.0, dtype=torch.float64
    )
    assert ("by search" in upper.how) == (dim > 2) == (upper.standing == "estimate")


def offer(value: float, side: str, standing: str, concerns: tuple[str, ...] = ()) -> Estimate:
    return Estimate(value, 0.01, side, standing, f"{side} {value}", {"concerns": concerns})  # type: ignore[arg-type]


def test_sides_are_chosen_by_standing() -> None:
    own = Interval(
        offer(1.0, "lower", "bound in expectation"),
        offer(1.02, "upper", "estimate"),
        warnings=("w",),
    )
    assert join(own, {}) is own
    loose = offer(0.5, "lower", "bound in expectation")
    joined = join(own, {"loose": loose, "guess": offer(9.0, "lower", "estimate")})
    assert (joined.lower.value, joined.upper.value, joined.warnings) == (1.0, 1.02, ("w",))
    assert set(joined.lower.diagnostics["estimates"]) == {"quadrature", "loose", "guess"}
    proved = offer(1.4, "upper", "bound in expectation")
    vacuous = offer(1.3, "upper", "bound in expectation", ("vacuous",))
    joined = join(own, {"proved": proved, "vacuous": vacuous})
    assert joined.upper == proved and joined.warnings == ("w",)
    tight = Interval(own.lower, offer(1.02, "upper", "bound in expectation"))
    assert join(tight, {"proved": proved}).upper == tight.upper, "the lower of two upper bounds"
    high = offer(2.0, "lower", "bound in expectation")
    joined = join(own, {"high": high})
    assert joined.lower.value == 2.0
    assert any("missed some of the mass" in w for w in joined.warnings)
    assert any("one does not hold" in w for w in joined.warnings), "the estimate above is below it"


def test_in_an_interval_by_quadrature_and_by_annealing() -> None:
    lower = lower_of_c2()
    upper = log_z_upper_strong_convexity(quadratic, PLANE, log_q, corners(), convexity=A, how="C2")
    given = {"gibbs": lower, "convexity": upper}
    exact = log_partition(quadratic, PLANE, rng=rng(), variational=given)
    assert isinstance(exact, Interval) and exact.lower == exact.upper
    assert exact.lower.value == pytest.approx(LOG_Z, abs=1e-3) and not exact.warnings
    assert exact.lower.diagnostics["estimates"]["gibbs"] is lower
    swapped = {"false": Estimate(LOG_Z + 0.1, 0.0, "lower", "bound in expectation", "a lie")}
    wrong = log_partition(quadratic, PLANE, rng=rng(), variational=swapped)
    assert isinstance(wrong, Interval) and "a lie, 1.407, lies above" in wrong.warnings[0]
    effort = LogZEffort(draws=500, particles=60, runs=3, run_particles=30, pilot=30, moves=2)
    near = corners().float() + 0.3 * torch.randn(4, 2, generator=rng())
    sampled = log_partition(
        quadratic, PLANE, rng=rng(), reference_points=near.repeat(20, 1), effort=effort, variational=given,
        methods=["importance", "ais", "reverse-ais"],
    )  # fmt: skip
    assert isinstance(sampled, Interval)
    assert sampled.upper == upper, "a bound comes before an estimate"
    assert sampled.lower.how != lower.how, "the looser of two lower bounds is only listed"
    assert sampled.lower.value == pytest.approx(LOG_Z, abs=4.5 * sampled.lower.stderr + 0.01)


def test_bad_input() -> None:
    x = corners()
    with pytest.raises(ValueError, match=r"one per draw, \[4\], not \[4, 1\]"):
        log_z_lower_variational(quadratic, PLANE, (x, log_q(x)[:, None]), is_bound=True, how="q")
    with pytest.raises(ValueError, match="at least two draws"):
        log_z_lower_variational(quadratic, PLANE, (x[:1], log_q(x[:1])), is_bound=True, how="q")
    with pytest.raises(ValueError, match="4 of 4 draws lie outside"):
        log_z_lower_variational(
            quadratic, Box((2,), 0.7, 1.0), (x, log_q(x)), is_bound=True, how="q"
        )
    with pytest.raises(ValueError, match="convexity must be positive"):
        log_z_upper_strong_convexity(quadratic, PLANE, log_q, x, convexity=0.0, how="q")
    with pytest.raises(ValueError, match="oscillation must be finite"):
        log_z_upper_strong_convexity(
            quadratic, PLANE, log_q, x, convexity=1.0, oscillation=math.inf, how="q"
        )
    with pytest.raises(ValueError, match=r"take a radius of about 6\.5"):
        log_z_upper_log_sobolev(lambda z: z.sum(1), 1.0, 20, rng())
    with pytest.raises(ValueError, match="not finite on the ball"):
        log_z_upper_log_sobolev(lambda z: z.sum(1).log(), 2.0, 1, rng())
