"""log Z intervals against closed forms, enumeration and quadrature, and what they warn of.

Estimates are held to 4.5 of their own standard errors (plus 0.01 nats for float32): a false alarm in
1e-5 of the seeds each where the errors are normal.
"""

from __future__ import annotations

import math
from inspect import unwrap

import pytest
import torch
from torch import Tensor, nn

from gibbsian.core import Interval, NotDefined
from gibbsian.core.measures import Box, Counting, Gaussian, RealSpace, Undefined
from gibbsian.evaluation import LogZEffort, log_partition, log_partition_quadrature
from gibbsian.evaluation.log_z.annealing import pick
from gibbsian.evaluation.log_z.references import UniformBox, annealing_path, normal_fit
from gibbsian.networks import RBMEnergy
from gibbsian.samplers import RBM, hmc
from gibbsian.samplers.tempering import AnnealedParticles

EFFORT = LogZEffort(draws=2000, particles=300, runs=6, run_particles=60, pilot=60, moves=3)
DOUBLE_WELL = 0.68848


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def square(x: Tensor) -> Tensor:
    return 0.5 * x.square().flatten(1).sum(1)


def double_well(x: Tensor) -> Tensor:
    return 2 * (x.square() - 1).square().sum(1)


def check(result: Interval | NotDefined, truth: float, warned: bool = False) -> Interval:
    assert isinstance(result, Interval), str(result)
    for estimate in result.lower.diagnostics["estimates"].values():
        if not estimate.diagnostics["concerns"]:
            assert abs(estimate.value - truth) < 4.5 * estimate.stderr + 0.01, estimate.how
    assert abs(result.lower.value - truth) < 4.5 * result.lower.stderr + 0.01
    assert abs(result.upper.value - truth) < 4.5 * result.upper.stderr + 0.01
    error = math.hypot(result.lower.stderr, result.upper.stderr)
    assert result.lower.value < result.upper.value + 4.5 * error + 0.01
    assert (result.lower.side, result.upper.side) == ("lower", "upper")
    assert bool(result.warnings) == warned, result.warnings
    return result


def test_gaussian_in_ten_dimensions_from_both_sides():
    samples = 2.0 + 0.5 * torch.randn(1200, 10, generator=rng(1))

    def energy(x: Tensor) -> Tensor:
        return square((x - 2.0) / 0.5) - 3.0

    truth = 3.0 + 10 * (math.log(0.5) + 0.5 * math.log(2 * math.pi))
    result = check(
        log_partition(
            energy, RealSpace((10,)), rng=rng(), samples=samples, exact=True, effort=EFFORT
        ),
        truth,
    )
    assert result.lower.standing == result.upper.standing == "bound in expectation"
    estimates = result.lower.diagnostics["estimates"]
    assert set(estimates) == {"importance", "bridge", "reverse-ais"}
    assert estimates["importance"].diagnostics["markov_lower_95"] < truth
    assert "bound in expectation" in str(result)
    # Without exact samples the upper side is an estimate, and says so.
    near = check(
        log_partition(energy, RealSpace((10,)), rng=rng(), reference_points=samples, effort=EFFORT),
        truth,
    )
    assert near.upper.standing == "estimate"


def test_double_well_by_sampling():
    grid = torch.linspace(-2.5, 2.5, 2001)
    weights = torch.softmax(-2 * (grid.square() - 1).square(), 0)
    x = grid[torch.multinomial(weights, 2 * 800, True, generator=rng(1))].reshape(-1, 2)
    methods = ("importance", "ais", "smc", "reverse-ais", "bridge", "thermodynamic")
    result = log_partition(
        double_well, RealSpace((2,)), rng=rng(2), samples=x, exact=True, methods=methods,
        effort=EFFORT,
    )  # fmt: skip
    check(result, DOUBLE_WELL)
    exact = log_partition(double_well, RealSpace((2,)), rng=rng())
    assert isinstance(exact, Interval)
    assert exact.lower.standing == "exact"  # quadrature, where nothing else is asked for
    assert exact.lower.value == pytest.approx(DOUBLE_WELL, abs=1e-4)


def test_box_with_mass_at_the_walls():
    def energy(x: Tensor) -> Tensor:
        return 1.5 * x.flatten(1).sum(1)

    truth = 4 * math.log(2 * math.sinh(1.5) / 1.5)
    measure = Box((1, 2, 2), -1.0, 1.0)
    check(log_partition(energy, measure, rng=rng(), effort=EFFORT), truth)
    hamiltonian = log_partition(
        energy, measure, rng=rng(), effort=EFFORT, methods=["smc", "ais"],
        kernel=lambda path: hmc(path, 0.2, 3),
    )  # fmt: skip
    check(hamiltonian, truth)


def test_gaussian_measure():
    def energy(x: Tensor) -> Tensor:
        return 0.5 * x.sum(1)

    truth = 8 * 0.5 * (0.5 * 0.8) ** 2  # E_b[exp(-0.5 sum x)] under N(0, 0.8^2 I)
    check(log_partition(energy, Gaussian((8,), 0.8), rng=rng(), effort=EFFORT), truth)
    near = 0.8 * torch.randn(300, 8, generator=rng(2)) - 0.3
    check(
        log_partition(energy, Gaussian((8,), 0.8), rng=rng(), reference_points=near, effort=EFFORT),
        truth,
    )


def test_restricted_boltzmann_machine():
    weight = 0.6 * torch.randn(12, 6, generator=rng(3))
    machine = RBM(weight, torch.randn(12, generator=rng(4)), torch.randn(6, generator=rng(5)))
    exact = log_partition(machine.free_energy, Counting((12,)), rng=rng())
    assert isinstance(exact, Interval)
    assert "enumeration of 2^12 states" in exact.lower.how
    joint = log_partition_quadrature(machine, Counting((18,)))
    assert isinstance(joint, Interval)
    assert joint.lower.value == pytest.approx(exact.lower.value, abs=1e-4)
    methods = ("ais", "smc", "reverse-ais", "bridge", "thermodynamic")
    for energy, bits in ((machine, 18), (machine.free_energy, 12)):
        result = log_partition(energy, Counting((bits,)), rng=rng(), methods=methods, effort=EFFORT)
        check(result, exact.lower.value)
    known = log_partition(RBMEnergy((300,), 12).double(), Counting((300,)), rng=rng())
    assert isinstance(known, Interval) and known.lower.standing == "exact"
    assert "smaller layer" in known.lower.how


def test_a_flow_as_proposal():
    zuko = pytest.importorskip("zuko")
    flow = zuko.flows.NSF(4, transforms=1, hidden_features=(8,))
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.mul_(0.1)
    before = torch.random.get_rng_state()
    result = log_partition(
        square, RealSpace((4,)), rng=rng(), proposal=flow(), effort=EFFORT,
        methods=["importance", "ais", "reverse-ais"],
    )  # fmt: skip
    assert torch.equal(torch.random.get_rng_state(), before)
    check(result, 2 * math.log(2 * math.pi))


def test_poor_estimates_warn():
    """Two modes 12 apart in 6 dimensions, and a fit that has seen one of them."""

    def energy(x: Tensor) -> Tensor:
        other = x.clone()
        other[:, 0] = x[:, 0] - 12.0
        return -torch.logaddexp(-square(x), -square(other))

    tight = LogZEffort(draws=300, particles=40, runs=3, run_particles=20, pilot=20, moves=1)
    both = torch.randn(400, 6, generator=rng(1))
    both[::2, 0] += 12.0
    result = log_partition(
        lambda x: 40 * energy(x), RealSpace((6,)), rng=rng(), reference_points=both, effort=tight,
        methods=["importance", "ais", "smc"],
    )  # fmt: skip
    assert isinstance(result, Interval)
    assert any("effective draws" in w or "runs differ" in w for w in result.warnings)


def test_sides_that_disagree_say_so():
    """Two equal modes 12 apart, one of which the fit has not seen: AIS alone finds half of Z."""

    def energy(x: Tensor) -> Tensor:
        shift = 12.0 * torch.nn.functional.one_hot(torch.tensor(0), 5)
        return -torch.logaddexp(-square(x), -square(x - shift))

    samples = torch.randn(800, 5, generator=rng(1))
    samples[::2, 0] += 12.0
    result = log_partition(
        energy, RealSpace((5,)), rng=rng(), reference_points=torch.randn(500, 5, generator=rng(2)),
        samples=samples, exact=True, effort=EFFORT, methods=["ais", "reverse-ais"],
    )  # fmt: skip
    assert isinstance(result, Interval)
    truth = math.log(2) + 2.5 * math.log(2 * math.pi)
    assert result.lower.value == pytest.approx(truth - math.log(2), abs=0.1)
    assert any("disagree" in w and "standard errors apart" in w for w in result.warnings)


@pytest.mark.parametrize("measure", [Counting((20,)), Box((5,), -1.0, 1.0)])
def test_equal_weights_have_no_error_but_rounding_and_do_not_disagree(measure):
    """A constant energy where the base is drawn from exactly: every weight is Z."""
    result = log_partition(
        lambda x: torch.full((len(x),), 0.3), measure, rng=rng(), effort=EFFORT,
        methods=["importance", "ais", "smc", "bridge"],
    )  # fmt: skip
    assert isinstance(result, Interval) and result.warnings == ()
    truth = math.prod(measure.shape) * math.log(2) - 0.3
    assert result.lower.value == pytest.approx(truth, abs=1e-5)
    assert result.upper.value == pytest.approx(truth, abs=1e-5)


def test_not_defined():
    class Bounded(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.sigmoid(x.sum(1))

    near = torch.randn(200, 8, generator=rng())
    for energy in (Bounded(), lambda x: x.sum(1), lambda x: -square(x)):
        result = log_partition(energy, RealSpace((8,)), rng=rng(), reference_points=near)
        assert isinstance(result, NotDefined)
        assert "does not confine" in result.why and "Box" in result.why
    assert isinstance(
        log_partition(Bounded(), Box((8,), -1.0, 1.0), rng=rng(), effort=EFFORT), Interval
    )
    short = log_partition(
        lambda x: 500 * square(x), RealSpace((8,)), rng=rng(), reference_points=near, methods=["ais"],
        effort=LogZEffort(max_temperatures=3),
    )  # fmt: skip
    assert isinstance(short, NotDefined) and "3 temperatures" in short.why
    assert log_partition(square, Undefined((2,), "why not"), rng=rng()) == NotDefined("why not")


def test_bad_input():
    unchecked = unwrap(log_partition)  # without the run-time type checks, as users call it
    with pytest.raises(ValueError, match="where to look"):
        log_partition(square, RealSpace((5,)), rng=rng())
    with pytest.raises(ValueError, match="unknown estimators"):
        unchecked(square, RealSpace((5,)), rng=rng(), methods=["magic"])
    with pytest.raises(ValueError, match="has no sample"):
        unchecked(square, RealSpace((5,)), rng=rng(), proposal=torch.optim.SGD)
    with pytest.raises(ValueError, match="all equal"):
        log_partition(square, RealSpace((5,)), rng=rng(), reference_points=torch.ones(20, 5))
    with pytest.raises(ValueError, match="one number per row"):
        log_partition(lambda x: x, Box((5,), -1.0, 1.0), rng=rng())
    with pytest.raises(ValueError, match="no estimator"):
        log_partition(square, Box((5,), -1.0, 1.0), rng=rng(), methods=[])


def test_same_rng_same_answer():
    answers = [
        log_partition(square, Box((4,), -2.0, 2.0), rng=rng(7), effort=EFFORT) for _ in range(2)
    ]
    assert str(answers[0]) == str(answers[1])


def test_references_and_their_paths():
    x = torch.randn(2 * 300, 3, generator=rng()) @ torch.randn(3, 3, generator=rng(1))
    fit = normal_fit(x, runs=2)
    torch.testing.assert_close(fit.to_data(fit.from_data(x)), x, rtol=0, atol=1e-5)
    mean, covariance = x[:300].mean(0), torch.cov(x[:300].T)
    torch.testing.assert_close(fit.mean[0], mean)
    fitted = fit.factor[0] @ fit.factor[0].T
    torch.testing.assert_close(fitted.diagonal(), covariance.diagonal())
    torch.testing.assert_close(fitted[0, 1], covariance[0, 1] * 300 / 303)
    black = x.clone()
    black[:, 1] = 0.0  # a constant coordinate still has a distribution to start from
    assert torch.isfinite(normal_fit(black).from_data(black)).all()
    # exp(-U) of the fit's own log-density is the reference times Z = 1: V - U is the constant
    # -log_normaliser.
    law = torch.distributions.MultivariateNormal(fit.mean[1], scale_tril=fit.factor[1])
    path = annealing_path(lambda p: -law.log_prob(p), RealSpace((3,)), fit)
    y = fit.draw(50, rng(2))
    gap = fit.energy(y) - path.energy(y)
    torch.testing.assert_close(gap[50:], torch.full((50,), -fit.log_normaliser), rtol=0, atol=1e-4)
    box = UniformBox(Box((2,), -1.0, 3.0))
    inside = box.draw(100, rng())
    torch.testing.assert_close(box.to_data(inside), inside, rtol=0, atol=1e-5)
    torch.testing.assert_close(box.to_data(inside + 8.0), inside, rtol=0, atol=1e-5)
    mirrored = 2 * 3.0 - inside
    torch.testing.assert_close(box.to_data(mirrored), inside, rtol=0, atol=1e-5)


def test_particles_of_smc_are_picked_once_each():
    """Copies of one particle would be taken for independent draws by a bridge."""
    weights = torch.full((2, 50), -30.0, dtype=torch.float64)
    weights[0, 3] = weights[1, 7] = 0.0  # two particles hold all of the mass
    none = torch.zeros(2, dtype=torch.float64)
    annealed = AnnealedParticles(weights, none, torch.arange(100.0)[:, None], none, None, None, 0)
    assert sorted(pick(annealed, 40, rng())[:, 0].tolist()) == [3.0, 57.0]
