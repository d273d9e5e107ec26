"""The chain F <= L <= KL on distributions that can be enumerated; the envelope gradient; weak convergence."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from gibbsian.bounds.kale import donsker_varadhan, effective_share, kale
from gibbsian.core.numerics import log_mean_exp


class Pair(NamedTuple):
    """P and B on ``p.numel()`` atoms; ``data`` and ``base`` repeat each atom as often as it weighs."""

    p: Tensor
    b: Tensor
    data: Tensor
    base: Tensor


def pair(seed: int, atoms: int = 6, draws: int = 60) -> Pair:
    rng = torch.Generator().manual_seed(seed)

    def law() -> Tensor:
        counts = torch.ones(atoms, dtype=torch.int64)
        counts += torch.bincount(torch.randint(atoms, (draws,), generator=rng), minlength=atoms)
        return counts

    p, b = law(), law()
    index = torch.arange(atoms)
    return Pair(
        p.double() / p.sum(),
        b.double() / b.sum(),
        index.repeat_interleave(p),
        index.repeat_interleave(b),
    )


def kl(p: Tensor, b: Tensor) -> float:
    return float((p * (p / b).log()).sum())


@pytest.mark.parametrize("seed", range(5))
def test_the_chain_of_bounds(seed: int) -> None:
    laws = pair(seed)
    rng = torch.Generator().manual_seed(seed)
    for _ in range(20):
        E = 2 * torch.randn(6, generator=rng, dtype=torch.float64)
        A = torch.randn((), generator=rng, dtype=torch.float64)
        E_data, E_base = E[laws.data], E[laws.base]
        lower, higher = float(kale(E_data, E_base, A)), float(donsker_varadhan(E_data, E_base))
        # Written out over the atoms.
        F_truth = -(laws.p * (E + A)).sum() - (laws.b * (-E - A).exp()).sum() + 1
        L_truth = -(laws.p * E).sum() - (laws.b * (-E).exp()).sum().log()
        assert lower == pytest.approx(float(F_truth), abs=1e-12)
        assert higher == pytest.approx(float(L_truth), abs=1e-12)
        assert lower <= higher + 1e-12 and higher <= kl(laws.p, laws.b) + 1e-12
        log_Z = log_mean_exp(-E_base)
        assert float(kale(E_data, E_base, log_Z)) == pytest.approx(higher, abs=1e-12)
        for shift in (-0.1, 0.1):
            assert float(kale(E_data, E_base, log_Z + shift)) < higher - 1e-4


@pytest.mark.parametrize("constant", [0.0, 3.0])
def test_minus_the_log_ratio_attains_the_divergence(constant: float) -> None:
    laws = pair(7)
    E = -(laws.p / laws.b).log() + constant
    value = donsker_varadhan(E[laws.data], E[laws.base])
    assert float(value) == pytest.approx(kl(laws.p, laws.b), abs=1e-12)
    A = torch.tensor(-constant, dtype=torch.float64)
    assert float(kale(E[laws.data], E[laws.base], A)) == pytest.approx(
        kl(laws.p, laws.b), abs=1e-12
    )


def test_donsker_varadhan_weighs_base_samples_by_softmax() -> None:
    E = torch.randn(9, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(donsker_varadhan(torch.zeros(3, dtype=torch.float64), E), E)
    assert torch.allclose(grad, torch.softmax(-E, 0), rtol=1e-9, atol=1e-14)


def test_no_overflow_where_energies_are_far_below_zero() -> None:
    assert float(donsker_varadhan(torch.zeros(2), torch.full((4,), -1e4))) == pytest.approx(-1e4)


def test_effective_share() -> None:
    assert float(effective_share(torch.tensor([0.0, 0.0, 1e4, 1e4]))) == pytest.approx(0.5)
    w = torch.tensor([1.0, 2.0, 5.0])
    assert float(effective_share(-w.log())) == pytest.approx(64 / (3 * 30))


def features(x: Tensor) -> Tensor:
    """Four bounded features of points ``[n]`` on the line, ``[n, 4]``."""
    return torch.stack([torch.tanh(x), torch.tanh(2 * x - 1), torch.cos(x), torch.exp(-x * x)], 1)


def best(x: Tensor, y: Tensor, ridge: float = 1e-2) -> Tensor:
    """argmax over psi of L(psi . features) - ridge |psi|^2 / 2, by Newton's method to rounding."""
    phi_x, phi_y = features(x).mean(0), features(y)
    psi = torch.zeros(4, dtype=torch.float64)
    for _ in range(60):
        w = torch.softmax(-phi_y @ psi, 0)
        mean = w @ phi_y
        gradient = -phi_x + mean - ridge * psi
        curvature = (phi_y.T * w) @ phi_y - mean.outer(mean) + ridge * torch.eye(4).double()
        psi = psi + 0.5 * torch.linalg.solve(curvature, gradient)
    return psi


def test_envelope_gradient_against_finite_differences() -> None:
    """d/dtheta max_E L is the partial derivative at the best E: sum of w dG grad E (section 3.2)."""
    rng = torch.Generator().manual_seed(3)
    x = 0.5 + 1.2 * torch.randn(200, generator=rng, dtype=torch.float64)
    z = torch.randn(150, generator=rng, dtype=torch.float64)

    def base(theta: Tensor) -> Tensor:
        return theta[0] + theta[1] * z

    def value(psi: Tensor, theta: Tensor) -> Tensor:
        y = base(theta)
        return donsker_varadhan(features(x) @ psi, features(y) @ psi) - 0.5e-2 * psi @ psi

    theta = torch.tensor([-0.3, 0.8], dtype=torch.float64, requires_grad=True)
    psi = best(x, base(theta.detach()))
    (gradient,) = torch.autograd.grad(value(psi, theta), theta)
    y = base(theta.detach()).requires_grad_()
    (slope,) = torch.autograd.grad((features(y) @ psi).sum(), y)
    w = torch.softmax(-(features(y.detach()) @ psi), 0)
    by_hand = torch.stack([(w * slope).sum(), (w * slope * z).sum()])
    assert torch.allclose(gradient, by_hand, rtol=1e-9, atol=1e-12)
    for i in range(2):
        step = torch.zeros(2, dtype=torch.float64)
        step[i] = 1e-4
        up, down = (theta.detach() + sign * step for sign in (1, -1))
        difference = (value(best(x, base(up)), up) - value(best(x, base(down)), down)) / 2e-4
        assert abs(float(difference - gradient[i])) < 1e-6


def kale_in_box(p: np.ndarray, base: np.ndarray, phi: np.ndarray) -> tuple[float, np.ndarray]:
    """max of L over E = phi psi with |psi_j| <= 0.3, and the best E on the atoms."""

    def loss(psi: np.ndarray) -> tuple[float, np.ndarray]:
        weights = base * np.exp(-phi @ psi)
        slope = p @ phi - weights @ phi / weights.sum()
        return p @ phi @ psi + math.log(weights.sum()), slope

    done = minimize(loss, np.zeros(3), jac=True, bounds=[(-0.3, 0.3)] * 3, tol=1e-12)
    return -done.fun, phi @ done.x


def test_training_the_energy_brings_the_model_nearer() -> None:
    """KALE(P || Q) <= KALE(P || B) for a convex class with 0, Q = exp(-E*) B / Z, by enumeration."""
    found = []
    for seed in range(12):
        laws = pair(seed)
        phi = np.random.default_rng(seed).normal(size=(6, 3))

        before, E = kale_in_box(laws.p.numpy(), laws.b.numpy(), phi)
        q = laws.b.numpy() * np.exp(-E)
        found.append((before, kale_in_box(laws.p.numpy(), q / q.sum(), phi)[0]))
    assert all(after <= before + 1e-9 for before, after in found)
    assert sum(before > 1e-3 for before, _ in found) >= 8  # the statement is not empty
    assert any(after > 1e-4 for _, after in found)
