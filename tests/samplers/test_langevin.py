"""Unadjusted and kinetic Langevin against their closed forms."""

from __future__ import annotations

import pytest
import torch
from numpy.polynomial.hermite_e import hermegauss
from torch import Tensor, nn

from gibbsian.samplers import AnnealingPath, mala, run_chains, ula, underdamped, value_and_grad
from gibbsian.samplers.langevin import reflect
from tests.samplers.targets import anharmonic


def normal(x: Tensor) -> Tensor:
    return x.square().sum(1) / 2


def assert_variance(x: Tensor, expected: float) -> None:
    """Within 4.5 standard errors of a Gaussian's sample variance: false alarm 7e-6 each."""
    n = x.numel()
    assert abs(float(x.double().square().mean()) / expected - 1) < 4.5 * (2 / n) ** 0.5


@pytest.mark.parametrize("h", [0.1, 0.3, 1.0])
def test_ula_has_variance_one_over_one_minus_half_h(h: float) -> None:
    rng = torch.Generator().manual_seed(0)
    x0 = (1 - h / 2) ** -0.5 * torch.randn(100_000, 2, generator=rng)
    x = run_chains(ula(normal, h), x0, 20, rng, keep="last").x
    assert_variance(x, 1 / (1 - h / 2))


def test_one_step_of_ula_is_the_formula() -> None:
    # z' = z - h s^2 beta grad U + s sqrt(2 h) xi, checked against the same noise drawn again.
    x0, scale = torch.randn(5, 3), torch.tensor([1.0, 0.5, 2.0])
    kernel = ula(anharmonic_sum, 0.2, scale=scale, beta=0.7)
    x = kernel.step(kernel.init(x0), torch.Generator().manual_seed(9))[0].x
    xi = torch.randn(5, 3, generator=torch.Generator().manual_seed(9))
    grad = x0**3 + x0
    expected = x0 - 0.2 * scale**2 * 0.7 * grad + scale * 0.4**0.5 * xi
    assert torch.allclose(x, expected, atol=1e-6)


@pytest.mark.parametrize("beta", [torch.tensor(0.3), torch.tensor([0.0, 0.2, 0.5, 1.0])])
def test_one_step_of_ula_on_a_path(beta: Tensor) -> None:
    # grad Phi = (1 - beta) grad V + beta grad U, V normal, U anharmonic.
    x0 = torch.randn(4, 3)
    kernel = ula(AnnealingPath(normal, anharmonic_sum), 0.2, beta=beta)
    state = kernel.init(x0)
    b = beta.reshape(-1, 1)
    grad = (1 - b) * x0 + b * (x0**3 + x0)
    assert torch.allclose(state.potential_grad, grad, atol=1e-5)
    b = beta.expand(4)
    potential = (1 - b) * normal(x0) + b * anharmonic_sum(x0)
    assert torch.allclose(state.potential, potential, atol=1e-5)
    x = kernel.step(state, torch.Generator().manual_seed(9))[0].x
    xi = torch.randn(4, 3, generator=torch.Generator().manual_seed(9))
    assert torch.allclose(x, x0 - 0.2 * grad + 0.4**0.5 * xi, atol=1e-5)


def anharmonic_sum(x: Tensor) -> Tensor:
    return (x**4 / 4 + x**2 / 2).sum(1)


def test_mala_acceptance_is_the_ratio_of_densities() -> None:
    # p(z') q(z | z') / (p(z) q(z' | z)) with q(z' | z) = N(z - h s^2 beta grad U(z), 2 h s^2).
    x0 = torch.randn(6, 3, dtype=torch.float64)
    h, beta, scale = 0.3, 0.7, torch.tensor([1.0, 0.5, 2.0], dtype=torch.float64)
    kernel = mala(anharmonic_sum, h, scale=scale, beta=beta)
    state = kernel.init(x0)
    assert kernel.noise is not None and kernel.move is not None
    xi, _ = kernel.noise(state, torch.Generator().manual_seed(0))
    # u = 0 accepts everything that has a positive probability.
    moved, info = kernel.move(state, (xi, torch.zeros(6, dtype=torch.float64)))

    def log_q(to: Tensor, start: Tensor) -> Tensor:
        mean = start - h * scale**2 * beta * (start**3 + start)
        return -((to - mean) ** 2 / (4 * h * scale**2)).sum(1)

    y = moved.x
    log_ratio = beta * (anharmonic_sum(x0) - anharmonic_sum(y)) + log_q(x0, y) - log_q(y, x0)
    assert torch.allclose(info.acceptance, log_ratio.exp().clamp(max=1.0), rtol=1e-9)
    assert info.acceptance.min() < 0.9


@pytest.mark.parametrize(("h", "friction"), [(0.5, 1.0), (1.0, 0.3), (1.0, 5.0)])
def test_aboba_on_a_gaussian(h: float, friction: float) -> None:
    # Position variance 1 for every h and friction, velocity variance 1 / (1 - h^2 / 4).
    rng = torch.Generator().manual_seed(1)
    kernel = underdamped(normal, h, friction=friction)
    state = kernel.init(torch.randn(100_000, 2, generator=rng))
    velocity = (1 - h**2 / 4) ** -0.5 * torch.randn(100_000, 2, generator=rng)
    state = run_chains(kernel, state.replace(velocity=velocity), 15, rng, keep="last").state
    assert state.velocity is not None
    assert_variance(state.x, 1.0)
    assert_variance(state.velocity, 1 / (1 - h**2 / 4))


def test_mass_rescales_time_only() -> None:
    # U of mass m with step h sqrt(m), friction kappa / sqrt(m) moves x as mass 1 with h, kappa does.
    x0 = torch.randn(4, 1)
    light = underdamped(anharmonic, 0.1, friction=2.0)
    heavy = underdamped(anharmonic, 0.2, friction=1.0, mass=4.0)
    a = run_chains(light, x0, 10, torch.Generator().manual_seed(0)).draws
    b = run_chains(heavy, x0, 10, torch.Generator().manual_seed(0)).draws
    assert torch.allclose(a, b, atol=1e-5)


def test_aboba_turns_round_at_a_wall_of_nan() -> None:
    def walled(x: Tensor) -> Tensor:
        return torch.where(x[:, 0] > 1, torch.nan, 0.0 * x[:, 0])

    kernel = underdamped(walled, 0.5, friction=1e-6)
    state = kernel.init(torch.full((1, 1), 0.9)).replace(velocity=torch.ones(1, 1))
    draws = run_chains(kernel, state, 4, torch.Generator().manual_seed(0)).draws.flatten()
    # Stays once, then leaves at the speed it came with.
    assert torch.allclose(draws, torch.tensor([0.9, 0.4, -0.1, -0.6]), atol=0.02)


def test_aboba_is_of_second_order() -> None:
    # From the exact distribution of (x, v) on an anharmonic potential one step changes E[f] by O(h^3):
    # halving h divides the change by 8 (a first-order scheme: by 4). By quadrature over x, v and
    # the noise of the step, so that nothing is left to chance.
    def tilted(x: Tensor) -> Tensor:
        return anharmonic(x) + 0.3 * x.sum(1)

    nodes, weights = hermegauss(40)
    node, weight = torch.from_numpy(nodes), torch.from_numpy(weights / weights.sum())
    grid = torch.linspace(-4, 4, 401, dtype=torch.float64)
    x, v, xi = (t.reshape(-1, 1) for t in torch.meshgrid(grid, node, node, indexing="ij"))
    p = torch.einsum("i,j,k->ijk", (-tilted(grid[:, None])).softmax(0), weight, weight).flatten()

    def change(h: float) -> Tensor:
        """Of E[x v], E[v^2] and E[v]."""
        kernel = underdamped(tilted, h, friction=1.0)
        assert kernel.move is not None
        end, _ = kernel.move(kernel.init(x).replace(velocity=v), (xi,))
        w = end.velocity
        assert w is not None
        return p @ torch.cat([end.x * w - x * v, w.square() - v.square(), w - v], 1)

    ratio = change(0.05) / change(0.025)
    assert torch.allclose(ratio, torch.full_like(ratio, 8.0), atol=0.4)


def test_ula_reflects_at_the_walls() -> None:
    x = torch.tensor([-0.2, 0.0, 0.3, 1.0, 1.25, 2.1, -1.7])
    folded = torch.tensor([0.2, 0.0, 0.3, 1.0, 0.75, 0.1, 0.3])
    assert torch.allclose(reflect(x, 0.0, 1.0), folded, atol=1e-6)

    def flat(x: Tensor) -> Tensor:
        return 0.0 * x.sum(1)

    rng = torch.Generator().manual_seed(3)
    x0 = 4 * torch.rand(50_000, 2, generator=rng) - 2
    x = run_chains(ula(flat, 0.5, box=(-2.0, 2.0)), x0, 20, rng, keep="last").x
    assert x.abs().max() <= 2
    # A flat energy keeps the uniform distribution: variance 4/3, kurtosis 1.8 (SE by 4.5 as above).
    assert abs(float(x.square().mean()) - 4 / 3) < 4.5 * (0.8 * 16 / 9 / x.numel()) ** 0.5


def test_value_and_grad_prefers_the_analytic_gradient() -> None:
    class Analytic:
        def __call__(self, x: Tensor) -> Tensor:
            raise AssertionError("the analytic gradient was not used")

        def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return normal(x), x

    x = torch.randn(4, 2)
    assert torch.equal(value_and_grad(Analytic(), x)[1], x)
    assert torch.allclose(value_and_grad(normal, x)[1], x)
    run_chains(mala(AnnealingPath(normal, Analytic()), 0.1), x, 2, torch.Generator().manual_seed(0))


def test_value_and_grad_is_that_of_autograd() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.SiLU(), nn.Linear(8, 1), nn.Flatten(0))
    x = torch.randn(5, 3, 2, 2).requires_grad_()
    (expected,) = torch.autograd.grad(net(x).sum(), x)
    energy, grad = value_and_grad(net, x.detach())
    assert torch.equal(grad, expected) and torch.equal(energy, net(x).detach())
    assert not energy.requires_grad and not grad.requires_grad

    def unmoved(x: Tensor) -> Tensor:
        return net[1].bias.sum().expand(len(x))

    for constant in (unmoved, ones):  # with parameters that want a gradient, and without
        energy, grad = value_and_grad(constant, x.detach())
        assert torch.equal(grad, torch.zeros(5, 3, 2, 2)) and energy.shape == (5,)


def ones(x: Tensor) -> Tensor:
    return torch.ones(len(x))
