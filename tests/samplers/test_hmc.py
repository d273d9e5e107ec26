"""The leapfrog integrator and the trajectories of HMC."""

from __future__ import annotations

import torch
from torch import Tensor

from gibbsian.samplers import hmc, run_chains
from gibbsian.samplers.hmc import leapfrog
from gibbsian.samplers.kernel import ChainState
from gibbsian.samplers.potential import Evaluate


def coupled(x: Tensor) -> Tensor:
    """An anharmonic potential that does not separate."""
    square = x.square().sum(1)
    return square.square() / 4 + square / 2 + 0.3 * x[:, 0] * x[:, 1].sin()


def start(n: int = 7) -> tuple[Evaluate, ChainState, Tensor]:
    torch.manual_seed(0)
    x, r = torch.randn(n, 2, dtype=torch.float64), torch.randn(n, 2, dtype=torch.float64)
    evaluate = Evaluate(coupled)
    return evaluate, evaluate.init(x, 1.0, torch.tensor([1.0, 0.7]), 0.8), r


def hamiltonian(state: ChainState, r: Tensor) -> Tensor:
    return state.potential + r.square().sum(1) / 2


def test_leapfrog_is_of_second_order() -> None:
    evaluate, state, r = start()
    before = hamiltonian(state, r)
    errors = []
    for steps in (20, 40, 80):
        h = torch.tensor(1.0 / steps, dtype=torch.float64)
        errors.append((hamiltonian(*leapfrog(evaluate, state, r, h, steps)) - before).abs().mean())
    assert abs(errors[0] / errors[1] - 4) < 0.1
    assert abs(errors[1] / errors[2] - 4) < 0.03


def test_leapfrog_runs_backwards_and_keeps_volume() -> None:
    evaluate, state, r = start()
    h = torch.tensor(0.2, dtype=torch.float64)
    end, r_end = leapfrog(evaluate, state, r, h, 9)
    back, r_back = leapfrog(evaluate, end, -r_end, h, 9)
    assert torch.allclose(back.x, state.x, rtol=1e-9, atol=1e-12)
    assert torch.allclose(-r_back, r, rtol=1e-9, atol=1e-12)
    # The Jacobian of (x, r) -> (x', r') by central differences has determinant 1.
    columns = []
    for i in range(4):
        ends = []
        for sign in (1, -1):
            step = torch.zeros(1, 4, dtype=torch.float64)
            step[0, i] = sign * 1e-5
            moved = evaluate(state, state.x + step[:, :2])
            x, p = leapfrog(evaluate, moved, r + step[:, 2:], h, 9)
            ends.append(torch.cat([x.x, p], 1))
        columns.append((ends[0] - ends[1]) / 2e-5)
    determinant = torch.linalg.det(torch.stack(columns, 2))
    assert torch.allclose(determinant, torch.ones_like(determinant), atol=1e-7)


def test_leapfrog_carries_the_gradient_of_its_end() -> None:
    evaluate, state, r = start()
    end, _ = leapfrog(evaluate, state, r, torch.tensor(0.2, dtype=torch.float64), 3)
    fresh = evaluate(state, end.x)
    assert end.grad is not None and fresh.grad is not None
    assert torch.equal(end.grad, fresh.grad)
    assert torch.equal(end.energy, fresh.energy)


def test_a_rejected_chain_keeps_the_gradient_of_where_it_is() -> None:
    rng = torch.Generator().manual_seed(0)
    kernel = hmc(coupled, 0.9, 5)
    state = kernel.init(torch.randn(4000, 2, generator=rng))
    moved, _ = kernel.step(state, rng)
    stayed = (moved.x == state.x).all(1)
    assert 0 < stayed.sum() < 4000
    fresh = kernel.init(moved.x)
    assert moved.grad is not None and fresh.grad is not None
    assert torch.allclose(moved.grad, fresh.grad, atol=1e-5)
    assert torch.allclose(moved.energy, fresh.energy, atol=1e-5)


def test_a_diverging_trajectory_is_rejected_and_counted() -> None:
    def steep(x: Tensor) -> Tensor:
        return 1e4 * x.square().sum(1) / 2

    rng = torch.Generator().manual_seed(0)
    x0 = 0.01 * torch.randn(100, 2, generator=rng)
    # The error grows by a factor of about 98^2 a step: overflow at 20 steps, 1e4 nats and more at 2.
    for steps in (20, 2):
        chains = run_chains(hmc(steep, 0.1, steps), x0, 3, rng)
        assert torch.equal(chains.draws, x0.expand(3, 100, 2))
        assert chains.divergences.float().mean() > 2.9
        assert chains.acceptance.max() == 0
    # Rejected, but for no more than 1000 nats.
    assert run_chains(hmc(steep, 0.03, 1), x0, 3, rng).divergences.sum() == 0


def test_jitter_gives_every_chain_its_own_step() -> None:
    # u = 0, 1/2, 1 stand for the step sizes h (1 - j), h, h (1 + j).
    x0, xi, h = torch.randn(1, 2).expand(3, 2), torch.randn(1, 2).expand(3, 2), 0.2
    kernel = hmc(coupled, h, 3, jitter=0.5)
    assert kernel.move is not None
    moved, _ = kernel.move(kernel.init(x0), (xi, torch.zeros(3), torch.tensor([0.0, 0.5, 1.0])))
    for row, step in enumerate((0.1, 0.2, 0.3)):
        plain = hmc(coupled, step, 3)
        assert plain.move is not None
        alone, _ = plain.move(plain.init(x0[:1]), (xi[:1], torch.zeros(1)))
        assert torch.allclose(moved.x[row], alone.x[0], atol=1e-5)


def test_jitter_breaks_the_resonance_of_a_fixed_length() -> None:
    # On N(0, 1) a trajectory of half a period, pi, is x -> -x: |x| never changes.
    def normal(x: Tensor) -> Tensor:
        return x.square().sum(1) / 2

    x0 = torch.full((2000, 1), 0.3)
    for jitter, moves in ((0.0, False), (0.9, True)):
        rng = torch.Generator().manual_seed(0)
        x = run_chains(hmc(normal, torch.pi / 50, 50, jitter=jitter), x0, 3, rng, keep="last").x
        assert bool((x.abs() - 0.3).abs().max() > 0.5) == moves
