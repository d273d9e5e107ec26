"""The kernel on numbers beside categories, against a density known in closed form."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor

from gibbsian.core.measures import Mixed
from gibbsian.evaluation import log_partition
from gibbsian.samplers import energy_with_base_measure, mixed_gibbs, run_chains
from gibbsian.samplers.mixed import with_every_value

MEASURE = Mixed(1, (3, 2))
MEANS = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64)
LOGITS = torch.tensor([[0.3, -0.2], [0.5, 1.5], [-1.7, -0.3]], dtype=torch.float64)
STD = 0.5
LOG_Z = 0.5 * math.log(2 * math.pi) + math.log(STD) + float(LOGITS.exp().sum().log())


def energy(x: Tensor) -> Tensor:
    """The number is normal about a mean that the first category chooses; the pair has joint logits."""
    first, second = x[:, 1:4], x[:, 4:]
    deviation = (x[:, 0] - first @ MEANS.to(x)) / STD
    return 0.5 * deviation.square() - ((first @ LOGITS.to(x)) * second).sum(1)


def exact_draws(n: int, rng: Generator) -> Tensor:
    pair = torch.multinomial(LOGITS.flatten().softmax(0), n, replacement=True, generator=rng)
    first, second = pair // 2, pair % 2
    number = MEANS[first] + STD * torch.randn(n, generator=rng, dtype=torch.float64)
    hot = torch.nn.functional.one_hot
    return torch.cat([number[:, None], hot(first, 3), hot(second, 2)], 1)


def chi_square(x: Tensor) -> float:
    """Of counts of (number in four cells given the first category) x pair against their probabilities."""
    first, second = x[:, 1:4].argmax(1), x[:, 4:].argmax(1)
    quarter = ((x[:, 0] - MEANS[first]) / STD * 2**-0.5).erf().add(1).mul(2).long().clamp(0, 3)
    counts = torch.bincount((first * 2 + second) * 4 + quarter, minlength=24).double()
    expected = LOGITS.flatten().softmax(0).repeat_interleave(4) / 4 * len(x)
    return float(((counts - expected).square() / expected).sum())


def test_the_kernel_leaves_the_density_invariant() -> None:
    """Chains that start exact stay so. Chi-square with 23 degrees of freedom is above 54 once in 3000."""
    rng = Generator().manual_seed(0)
    start = exact_draws(5_000, rng)
    kernel = mixed_gibbs(energy, MEASURE, 0.2)
    end = run_chains(kernel, start, 12, rng, keep="last").state.x
    assert chi_square(end) < 54
    moved = (end[:, 1:] != start[:, 1:]).any(1).double().mean()
    assert moved > 0.3  # else nothing would have been tested


def test_chains_reach_the_density_from_elsewhere() -> None:
    """The same threshold, from uniform categories and standard normal numbers."""
    rng = Generator().manual_seed(1)
    kernel = mixed_gibbs(energy, MEASURE, 0.2)
    start = MEASURE.sample(5_000, rng).double()
    assert chi_square(start) > 500
    assert chi_square(run_chains(kernel, start, 200, rng, keep="last").state.x) < 54


def test_a_category_is_drawn_from_its_enumerated_conditional() -> None:
    """Without numbers, one step from one state; chi-square with 2 degrees of freedom: 1 in 2000 above 15."""
    measure = Mixed(0, (3,))
    logits = torch.tensor([0.2, 1.3, -0.7], dtype=torch.float64)
    n, rng = 5_000, Generator().manual_seed(2)
    start = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64).repeat(n, 1)
    kernel = mixed_gibbs(lambda x: -x @ logits.to(x), measure, 0.1, beta=0.5)
    counts = run_chains(kernel, start, 1, rng, keep="last").state.x.sum(0)
    expected = n * (0.5 * logits).softmax(0)
    assert ((counts - expected).square() / expected).sum() < 15


def test_every_value_of_a_block() -> None:
    x = exact_draws(5, Generator().manual_seed(0))
    rows = with_every_value(x, MEASURE.blocks[0])
    assert rows.shape == (5, 3, 6)
    assert torch.equal(rows[:, :, 1:4], torch.eye(3).double().expand(5, 3, 3))
    assert torch.equal(rows[:, 0, [0, 4, 5]], x[:, [0, 4, 5]])


def test_chains_stay_in_the_box_and_start_at_rows() -> None:
    measure, rng = Mixed(1, (3, 2), (-1.0, 1.0)), Generator().manual_seed(0)
    kernel = mixed_gibbs(energy_with_base_measure(energy, measure), measure, 0.5)
    end = run_chains(kernel, measure.sample(500, rng), 50, rng, keep="last").state.x
    assert bool((end[:, 0].abs() <= 1).all())
    with pytest.raises(ValueError, match="one-hot blocks; coordinates 1 to 3"):
        kernel.init(torch.zeros(2, 6))
    with pytest.raises(ValueError, match="step_size must be positive"):
        mixed_gibbs(energy, measure, 0.0)


def test_log_z_by_quadrature_for_each_combination() -> None:
    rng = Generator().manual_seed(0)
    found = log_partition(energy, MEASURE, rng=rng, reference_points=exact_draws(500, rng))
    assert found.lower == found.upper and found.lower.standing == "exact"
    assert abs(found.lower.value - LOG_Z) < 1e-3


def test_log_z_by_enumeration_without_numbers() -> None:
    measure = Mixed(0, (3, 2, 4))
    weights = torch.randn(3, 2, 4, generator=Generator().manual_seed(0), dtype=torch.float64)

    def table(x: Tensor) -> Tensor:
        a, b, c = (part.argmax(1) for part in x.split((3, 2, 4), 1))
        return -weights[a, b, c]

    found = log_partition(table, measure, rng=Generator().manual_seed(0))
    assert found.lower.standing == "exact"
    assert abs(found.lower.value - float(weights.exp().sum().log())) < 1e-5


@pytest.mark.parametrize("method", ["importance", "ais", "smc", "bridge"])
def test_estimators_walk_from_a_product_to_the_density(method: str) -> None:
    """Each within 5 of its standard errors, which is missed once in 10^6 where they are right."""
    rng = Generator().manual_seed(3)
    points = exact_draws(1_000, rng)
    found = log_partition(
        energy, MEASURE, rng=rng, reference_points=points, methods=[method], effort="quick"
    )
    estimate = found.lower.diagnostics["estimates"][method]
    assert 0 < estimate.stderr < 0.15
    assert abs(estimate.value - LOG_Z) < 5 * estimate.stderr
