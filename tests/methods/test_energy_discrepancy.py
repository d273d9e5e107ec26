"""Energy discrepancy against enumeration, the heat equation and known densities."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from scipy.linalg import expm
from torch import Generator, Tensor, nn

from gibbsian.core.measures import Box, Counting, Mixed, RealSpace
from gibbsian.methods import EnergyDiscrepancy
from gibbsian.methods.energy_discrepancy import contrast

P = torch.tensor([0.5, 0.1, 0.4], dtype=torch.float64)
REDRAW = 0.6
KERNEL = (1 - REDRAW) * torch.eye(3, dtype=torch.float64) + REDRAW / 3
"""q(y|x) of one category of three values."""


class Zero(nn.Module):
    """An energy of 0 that owns a parameter."""

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.a * x.flatten(1).sum(1)


def method(measure, **options) -> EnergyDiscrepancy:
    return EnergyDiscrepancy(Zero(), measure, **options)


def expected_contrast(U: Tensor, negatives: int, w: float) -> Tensor:
    """The mean of the estimate over x, y and every combination of negatives, by enumeration."""
    total = torch.zeros((), dtype=torch.float64)
    for x, y in itertools.product(range(3), repeat=2):
        for other in itertools.product(range(3), repeat=negatives):
            rows = torch.tensor(other)
            weight = P[x] * KERNEL[x, y] * KERNEL[y, rows].prod()
            total = total + weight * contrast(U[x : x + 1], U[rows][:, None], w)
    return total


def exact_discrepancy(U: Tensor) -> Tensor:
    """E_p U + E_p E_q(y|x) log sum_x' q(y|x') exp(-U(x'))."""
    contrastive = (KERNEL @ (-U).exp()).log()
    return (P * (U + KERNEL @ contrastive)).sum()


@pytest.mark.parametrize("negatives", [1, 3])
def test_the_truth_is_stationary_for_one_negative_and_nearly_so_for_more(negatives: int) -> None:
    """With one negative and w = 1 it is a logistic regression on pairs, least at -log p exactly."""
    U = (-P.log()).requires_grad_()
    (gradient,) = torch.autograd.grad(expected_contrast(U, negatives, 1.0), U)
    elsewhere = torch.tensor([2.0, 0.0, 0.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(expected_contrast(elsewhere, negatives, 1.0), elsewhere)
    assert float(slope.abs().max()) > 0.05
    if negatives == 1:
        assert float(gradient.abs().max()) < 1e-14
    else:
        assert float(gradient.abs().max()) < 0.2 * float(slope.abs().max())


def test_the_discrepancy_is_least_at_the_truth_and_the_estimate_tends_to_it() -> None:
    U = (-P.log()).requires_grad_()
    (gradient,) = torch.autograd.grad(exact_discrepancy(U), U)
    assert float(gradient.abs().max()) < 1e-14
    # The bias of the estimate falls as 1 / M.
    V = torch.tensor([0.0, 1.0, 0.5], dtype=torch.float64)
    errors = [float(expected_contrast(V, M, 0.0) - exact_discrepancy(V)) for M in (2, 4)]
    assert errors[0] < errors[1] < 0.0
    assert errors[1] / errors[0] == pytest.approx(0.5, abs=0.1)


def test_the_estimate_does_not_see_a_constant_and_stays_finite() -> None:
    rng = Generator().manual_seed(0)
    a, b = torch.randn(5, generator=rng), torch.randn(3, 5, generator=rng)
    torch.testing.assert_close(contrast(a, b, 1.0), contrast(a + 7.0, b + 7.0, 1.0))
    beyond = torch.full((3, 5), math.inf)
    assert float(contrast(a, beyond, 1.0)) == pytest.approx(math.log(1 / 3))


def test_a_category_follows_the_heat_equation() -> None:
    """Frequencies after one perturbation: 5 standard errors, wrong in 1 of 100 000 at nine cells."""
    measure = Mixed(0, (3, 2))
    t = 0.7
    rate = torch.full((3, 3), 1 / 3).double() - torch.eye(3).double()
    theirs = torch.as_tensor(expm(t * rate.numpy()))
    ours = method(measure, category_redraw_probability=1 - math.exp(-t))
    n, rng = 20_000, Generator().manual_seed(0)
    for value in range(3):
        x = torch.zeros(n, 5)
        x[:, value] = 1.0
        x[:, 3] = 1.0
        y = ours.perturbed(x, rng)
        assert bool((y[:, :3].sum(1) == 1).all()) and bool((y[:, 3:].sum(1) == 1).all())
        share = y[:, :3].double().mean(0)
        error = (theirs[value] * (1 - theirs[value]) / n).sqrt()
        assert bool(((share - theirs[value]).abs() < 5 * error).all())


def test_bits_are_drawn_anew_as_fair_coins() -> None:
    ours = method(Counting((4,)), category_redraw_probability=0.5)
    x = torch.zeros(20_000, 4)
    share = float(ours.perturbed(x, Generator().manual_seed(0)).mean())
    assert abs(share - 0.25) < 5 * math.sqrt(0.25 * 0.75 / 80_000)  # 1 in 2 million


def test_numbers_are_noised_and_stay_between_walls() -> None:
    x = torch.full((20_000, 1), 0.9)
    free = method(RealSpace((1,)), perturbation_std=0.5).perturbed(x, Generator().manual_seed(0))
    assert abs(float(free.std()) - 0.5) < 5 * 0.5 / math.sqrt(40_000)
    walled = method(Box((1,), -1.0, 1.0), perturbation_std=0.5)
    inside = walled.perturbed(x, Generator().manual_seed(0))
    assert float(inside.abs().max()) <= 1.0
    # The scaled logits are what is noised: half of log((1 + x) / (1 - x)) on this box.
    u = torch.atanh(inside.double())
    assert abs(float(u.mean()) - math.atanh(0.9)) < 5 * 0.5 / math.sqrt(20_000)
    assert abs(float(u.std()) - 0.5) < 5 * 0.5 / math.sqrt(40_000)


def test_numbers_beside_categories_are_both_moved() -> None:
    measure = Mixed(2, (3,), (-1.0, 1.0))
    x = measure.sample(500, Generator().manual_seed(1))
    y = method(measure).perturbed(x, Generator().manual_seed(2))
    assert float(y[:, :2].abs().max()) <= 1.0 and bool((y[:, :2] != x[:, :2]).all())
    changed = float((y[:, 2:] != x[:, 2:]).any(1).double().mean())
    # Drawn anew with 0.3, and then another of three values with 2/3: 5 standard errors.
    assert abs(changed - 0.2) < 5 * math.sqrt(0.2 * 0.8 / 500)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"negatives_per_row": 0}, "negatives_per_row"),
        ({"perturbation_std": 0.0}, "perturbation_std"),
        ({"category_redraw_probability": 0.0}, "category_redraw_probability"),
        ({"category_redraw_probability": 1.5}, "category_redraw_probability"),
        ({"stabilisation": -1.0}, "stabilisation"),
    ],
)
def test_refuses_settings_that_make_no_sense(options, words) -> None:
    with pytest.raises(ValueError, match=words):
        method(RealSpace((2,)), **options)
