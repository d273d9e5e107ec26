"""Replica exchange and warm-up."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gibbsian.samplers import (
    AnnealingPath,
    adapt_step_size,
    hmc,
    mala,
    parallel_tempering,
    random_walk_metropolis,
    run_chains,
    ula,
)
from gibbsian.samplers.adaptation import Moments, window_ends

BETAS = [1.0, 0.5, 0.25, 0.1, 0.04]


def far_wells(x: Tensor) -> Tensor:
    """0.3 N((4, 0), I / 2) + 0.7 N((-4, 0), I / 2), up to a constant: 16 nats between the wells."""
    far = x[:, 1].square()
    right = -((x[:, 0] - 4).square() + far) + math.log(0.3)
    return -torch.logaddexp(right, -((x[:, 0] + 4).square() + far) + math.log(0.7))


def test_weights_of_wells_that_one_chain_cannot_leave() -> None:
    rng = torch.Generator().manual_seed(0)
    start = torch.tensor([-4.0, 0.0]).expand(2000, 2)
    alone = run_chains(mala(far_wells, 0.2), start, 300, rng, keep="last").x
    assert (alone[:, 0] > 0).sum() == 0
    chains = run_chains(
        parallel_tempering(mala(far_wells, 0.2), BETAS), start, 400, rng, keep="last"
    )
    share = float((chains.x[:, 0] > 0).float().mean())
    # 2000 chains, 4.5 standard errors: false alarm 7e-6.
    assert abs(share - 0.3) < 4.5 * (0.3 * 0.7 / 2000) ** 0.5
    swaps = chains_swaps(chains.state)
    assert (swaps > 0.2).all()


def chains_swaps(state: object) -> Tensor:
    kernel = parallel_tempering(mala(far_wells, 0.2), BETAS)
    info = kernel.step(state, torch.Generator().manual_seed(1))[1]  # type: ignore[arg-type]
    assert info.swaps is not None
    return info.swaps


def test_every_replica_keeps_its_own_temperature() -> None:
    # On a Gaussian the replica at beta has variance 1 / beta; on a path, 1 / (1 + 3 beta).
    def narrow(x: Tensor) -> Tensor:
        return 2 * x.square().sum(1)

    def wide(x: Tensor) -> Tensor:
        return x.square().sum(1) / 2

    n, betas = 20_000, [1.0, 0.6, 0.3]
    rng = torch.Generator().manual_seed(2)
    expected = {"plain": [1 / b for b in betas], "path": [1 / (1 + 3 * b) for b in betas]}
    for name, kernel in (
        ("plain", parallel_tempering(hmc(wide, 0.8, 3), betas, step_power=0.5)),
        (
            "path",
            parallel_tempering(hmc(AnnealingPath(wide, narrow), 0.5, 3), betas, step_power=0.0),
        ),
    ):
        chains = run_chains(kernel, torch.randn(n, 1, generator=rng), 15, rng, keep="last")
        inner = chains.state.inner
        assert torch.equal(inner.beta, torch.tensor(betas).repeat_interleave(n))
        variance = inner.x.reshape(3, n).square().mean(1)
        # Six comparisons at 4.5 standard errors: false alarm 4e-5.
        off = (variance / torch.tensor(expected[name]) - 1).abs()
        assert off.max() < 4.5 * (2 / n) ** 0.5


@pytest.mark.parametrize("betas", [[1.0], [0.9, 0.5], [1.0, 1.0], [1.0, 0.5, -0.1], [0.5, 1.0]])
def test_a_ladder_that_does_not_fall_from_one_is_refused(betas: list[float]) -> None:
    with pytest.raises(ValueError, match="betas must fall strictly from 1"):
        parallel_tempering(mala(far_wells, 0.1), betas)


def stretched(x: Tensor) -> Tensor:
    return (x / torch.tensor([0.1, 1.0, 10.0])).square().sum(1) / 2


@pytest.mark.parametrize(("kind", "target"), [("random walk", 0.3), ("mala", 0.57), ("hmc", 0.8)])
def test_warm_up_reaches_its_target_and_finds_the_scale(kind: str, target: float) -> None:
    kernel = {
        "random walk": random_walk_metropolis(stretched, 1.0),
        "mala": mala(stretched, 1.0),
        "hmc": hmc(stretched, 0.1, 6, jitter=0.3),
    }[kind]
    rng = torch.Generator().manual_seed(3)
    steps = 800 if kind == "random walk" else 300
    state = adapt_step_size(kernel, torch.randn(128, 3), steps, rng, target_acceptance=target)
    assert torch.allclose(state.scale.log(), torch.tensor([0.1, 1.0, 10.0]).log(), atol=0.2)
    chains = run_chains(kernel, state, 200, rng)
    assert abs(float(chains.acceptance.mean()) - target) < 0.06
    assert torch.equal(chains.state.step_size, state.step_size)


def test_warm_up_of_each_temperature() -> None:
    rng = torch.Generator().manual_seed(4)
    inner = mala(far_wells, 0.2)
    kernel = parallel_tempering(inner, BETAS, step_power=0.0)  # the same step for all at first
    start = kernel.init(4 * torch.randn(64, 2, generator=rng))
    warm = adapt_step_size(
        inner, start.inner, 200, rng, groups=5, scale=False, target_acceptance=0.6
    )
    assert warm.step_size.shape == (5 * 64,)
    rates = run_chains(inner, warm, 100, rng).acceptance.reshape(5, 64).mean(1)
    assert (rates - 0.6).abs().max() < 0.1
    run_chains(kernel, replace(start, inner=warm), 2, rng)


def test_running_moments_equal_those_of_all_rows() -> None:
    rows = 3 + torch.randn(50, 4, dtype=torch.float64)
    moments = Moments.empty(rows)
    for part in rows.split([7, 13, 30]):
        moments = moments.update(part)
    assert torch.allclose(moments.mean, rows.mean(0))
    assert torch.allclose(moments.square / 49, rows.var(0))


def test_windows_double_and_leave_a_last_quarter() -> None:
    assert sorted(window_ends(200)) == [10, 30, 70, 150]
    assert sorted(window_ends(20)) == [15]
    assert max(window_ends(1000)) == 750


def test_warm_up_refuses_bad_input() -> None:
    rng, kernel, x0 = torch.Generator(), mala(stretched, 0.1), torch.zeros(6, 3)
    with pytest.raises(ValueError, match="at least 20 steps"):
        adapt_step_size(kernel, x0, 5, rng)
    with pytest.raises(ValueError, match="lie in"):
        adapt_step_size(kernel, x0, 50, rng, target_acceptance=1.0)
    with pytest.raises(ValueError, match="accepts every step"):
        adapt_step_size(ula(stretched, 0.1), x0, 50, rng)
    with pytest.raises(ValueError, match="equal groups"):
        adapt_step_size(kernel, x0, 50, rng, groups=4)
