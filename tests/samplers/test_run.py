"""``run``: what is kept, what is printed, what is refused; steps that are compiled."""

from __future__ import annotations

import sys
import time

import pytest
import torch
from torch import Tensor, nn

from gibbsian.core import Energy
from gibbsian.core.measures import Box, Gaussian, RealSpace
from gibbsian.samplers import (
    AnnealingPath,
    ChainState,
    MarkovKernel,
    energy_with_base_measure,
    hmc,
    independence_metropolis,
    mala,
    parallel_tempering,
    random_walk_metropolis,
    run_chains,
    ula,
    underdamped,
)


def normal(x: Tensor) -> Tensor:
    return x.square().flatten(1).sum(1) / 2


def seed(n: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(n)


def test_what_is_kept() -> None:
    kernel, x0 = mala(normal, 0.5), torch.zeros(5, 2)
    everything = run_chains(kernel, x0, 12, seed())
    thinned = run_chains(kernel, x0, 12, seed(), thin=5)
    last = run_chains(kernel, x0, 12, seed(), keep="last")
    assert everything.draws.shape == (12, 5, 2)
    assert torch.equal(thinned.draws, everything.draws[[4, 9]])
    assert torch.equal(last.draws, everything.draws[-1:])
    assert torch.equal(last.state.x, everything.draws[-1])
    assert torch.equal(everything.x, everything.draws.reshape(60, 2))
    assert torch.equal(last.acceptance, everything.acceptance)
    assert everything.evaluations == 12
    seen: list[Tensor] = []
    run_chains(kernel, x0, 12, seed(), keep="last", thin=5, on_draw=seen.append)
    assert torch.equal(torch.stack(seen), thinned.draws)


def test_acceptance_and_divergences_are_those_of_the_steps() -> None:
    def walled(x: Tensor) -> Tensor:
        return torch.where(x[:, 0] > 0.5, torch.nan, normal(x))

    for kernel in (mala(walled, 1.5), ula(walled, 0.1)):
        chains = run_chains(kernel, torch.zeros(9, 2), 7, seed())
        rng, state, infos = seed(), kernel.init(torch.zeros(9, 2)), []
        for _ in range(7):
            state, info = kernel.step(state, rng)
            infos.append(info)
        acceptance = torch.stack([info.acceptance for info in infos]).mean(0)
        assert torch.allclose(chains.acceptance, acceptance)
        diverging = torch.stack([info.diverging for info in infos]).sum(0)
        assert torch.equal(chains.divergences, diverging)
        assert 0 < diverging.sum() < 63
    assert torch.equal(
        run_chains(ula(normal, 0.1), torch.zeros(9, 2), 7, seed()).acceptance, torch.ones(9)
    )


def test_going_on_from_a_state_equals_one_run() -> None:
    for kernel in (mala(normal, 0.5), underdamped(normal, 0.5, friction=1.0)):
        rng = seed()
        first = run_chains(kernel, torch.zeros(4, 2), 5, rng)
        second = run_chains(kernel, first.state, 5, rng)
        whole = run_chains(kernel, torch.zeros(4, 2), 10, seed())
        assert torch.equal(torch.cat([first.draws, second.draws]), whole.draws)


def test_expectation_has_an_honest_error() -> None:
    chains = run_chains(hmc(normal, 0.5, 3, jitter=0.3), torch.randn(50, 2), 400, seed())
    mean, error = chains.expectation(lambda x: x.square())
    assert mean.shape == error.shape == (2,)
    # 4.5 standard errors: false alarm 1.4e-5; and the error is near (2 / n)^(1/2) of free draws.
    assert ((mean - 1).abs() < 4.5 * error).all()
    assert (error < 4 * (2 / 20_000) ** 0.5).all()
    assert chains.expectation(normal)[0].shape == ()


def test_chains_print_a_table_and_a_verdict() -> None:
    good = run_chains(hmc(normal, 0.6, 4, jitter=0.5), torch.randn(8, 2), 500, seed())
    text = str(good)
    assert text.startswith("8 chains, 500 steps, 500 draws kept of each, acceptance 0.9")
    assert "ess_bulk" in text and "x[1]" in text
    assert text.endswith("\nconverged")
    slow = run_chains(mala(normal, 1e-3), 5 * torch.randn(8, 2), 100, seed())
    assert "\nnot converged: R-hat" in str(slow)
    assert "keep at least 4" in str(
        run_chains(mala(normal, 0.5), torch.zeros(3, 2), 9, seed(), keep="last")
    )


def test_export_in_the_layout_of_arviz() -> None:
    chains = run_chains(mala(normal, 0.5), torch.randn(3, 1, 2), 20, seed())
    x = chains.to_arviz()["posterior"]["x"]
    assert x.shape == (3, 20, 1, 2)
    assert (x[1, 5] == chains.draws[5, 1].numpy()).all()
    arviz = pytest.importorskip("arviz")
    data = arviz.from_dict(**chains.to_arviz())
    assert dict(data.posterior.sizes) == {"chain": 3, "draw": 20, "x_dim_0": 1, "x_dim_1": 2}


def test_superchains_start_together() -> None:
    x0 = torch.randn(8, 2).repeat_interleave(32, 0)
    chains = run_chains(mala(normal, 0.8), x0, 40, seed(), superchains=8)
    early = run_chains(mala(normal, 0.01), x0, 10, seed(), superchains=8)
    assert chains.superchains == 8
    assert "R-hat" in early.summary().verdict
    assert float(early.summary().r_hat.min()) > 1.5 > 1.02 > float(chains.summary().r_hat.max())
    with pytest.raises(ValueError, match="same point"):
        run_chains(mala(normal, 0.8), torch.randn(8, 2), 10, seed(), superchains=4)
    with pytest.raises(ValueError, match="do not split"):
        run_chains(mala(normal, 0.8), x0, 10, seed(), superchains=9)


def test_progress_is_quiet_unless_a_terminal_asks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_chains(mala(normal, 0.5), torch.zeros(2, 1), 3, seed(), progress=True)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run_chains(mala(normal, 0.5), torch.zeros(2, 1), 3, seed(), progress=True)
    captured = capsys.readouterr()
    assert "3/3" in captured.err and captured.out == ""


def test_walls_reject_and_are_no_divergence() -> None:
    energy = energy_with_base_measure(normal, Box((2,), -1.0, 1.0))
    for kernel in (mala(energy, 0.5), random_walk_metropolis(energy, 1.0), hmc(energy, 0.5, 3)):
        chains = run_chains(kernel, torch.zeros(2000, 2), 60, seed(), keep="last")
        assert chains.x.abs().max() <= 1
        assert chains.divergences.sum() == 0
        # A normal distribution cut to [-1, 1] has variance 0.29113; 4000 numbers, 4.5 standard errors.
        assert abs(float(chains.x.square().mean()) - 0.29113) < 4.5 * 0.28 / 4000**0.5


# -- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize("h", [0.0, -0.1, float("nan"), float("inf")])
def test_step_sizes_must_be_positive(h: float) -> None:
    for make in (ula, mala, random_walk_metropolis, hmc):
        with pytest.raises(ValueError, match="step_size must be positive and finite"):
            make(normal, h)
    with pytest.raises(ValueError, match="step_size must be positive"):
        underdamped(normal, h, friction=1.0)
    with pytest.raises(ValueError, match="friction must be positive"):
        underdamped(normal, 0.1, friction=h)


def test_start_points_must_be_finite_and_fit() -> None:
    x0 = torch.zeros(4, 2)
    x0[2, 1] = float("nan")
    with pytest.raises(ValueError, match=r"x0 holds NaN or infinity \(first at row 2, 1 rows"):
        run_chains(mala(normal, 0.1), x0, 5, seed())
    with pytest.raises(ValueError, match=r"shape \[chains, \*event\]; this one has shape \[4\]"):
        run_chains(mala(normal, 0.1), torch.zeros(4), 5, seed())
    net = nn.Sequential(nn.Linear(3, 1), nn.Flatten(0))
    with pytest.raises(ValueError, match=r"cannot be evaluated at start points of shape \[4, 2\]"):
        run_chains(mala(net, 0.1), torch.zeros(4, 2), 5, seed())
    box = energy_with_base_measure(normal, Box((3,), -1.0, 1.0))
    with pytest.raises(ValueError, match=r"points of shape \[2\] do not fit the base measure"):
        run_chains(mala(box, 0.1), torch.zeros(4, 2), 5, seed())
    with pytest.raises(ValueError, match=r"energy of x0 is not finite .*inside the support"):
        run_chains(mala(box, 0.1), 2 * torch.ones(4, 3), 5, seed())


def test_an_energy_returns_one_number_per_row() -> None:
    net = nn.Linear(2, 1)
    for make in (ula, mala, random_walk_metropolis, hmc):
        with pytest.raises(ValueError, match=r"shape \[4\]; this one returned \[4, 1\]"):
            make(net, 0.1).init(torch.zeros(4, 2))
        with pytest.raises(ValueError, match=r"shape \[4\]; this one returned \[\]"):
            make(torch.sum, 0.1).init(torch.zeros(4, 2))
        with pytest.raises(ValueError, match="this one returned"):
            make(AnnealingPath(net, normal), 0.1).init(torch.zeros(4, 2))


def test_a_bounded_energy_needs_a_box() -> None:
    class Squashed(nn.Module):
        bounded = True

        def forward(self, x: Tensor) -> Tensor:
            return x.square().sum(1).sigmoid()

    def proposal_kernel(energy: Energy, h: float) -> MarkovKernel[ChainState]:
        return independence_metropolis(energy, Gaussian((2,)))

    energy = Squashed()
    for make in (ula, mala, random_walk_metropolis, hmc, proposal_kernel):
        with pytest.raises(ValueError, match=r"Squashed is bounded, .* wrap it as constrained"):
            make(energy, 0.1)
        with pytest.raises(ValueError, match="Squashed is bounded"):
            make(AnnealingPath(normal, energy), 0.1)
        make(energy_with_base_measure(energy, Box((2,), -1.0, 1.0)), 0.1)
    with pytest.raises(ValueError, match="Squashed is bounded"):
        underdamped(energy, 0.1, friction=1.0)
    with pytest.raises(ValueError, match="Squashed is bounded"):
        energy_with_base_measure(energy, RealSpace((2,)))
    ula(energy, 0.1, box=(-1.0, 1.0))


def test_steps_and_options_are_checked() -> None:
    kernel, x0 = mala(normal, 0.1), torch.zeros(4, 2)
    for options in ({"steps": 0}, {"steps": 5, "thin": 0}, {"steps": 5, "thin": 6}):
        with pytest.raises(ValueError, match="run needs steps >= 1"):
            run_chains(kernel, x0, rng=seed(), **options)
    with pytest.raises(ValueError, match="at least one leapfrog step"):
        hmc(normal, 0.1, 0)
    with pytest.raises(ValueError, match="jitter"):
        hmc(normal, 0.1, 3, jitter=1.0)
    with pytest.raises(ValueError, match="low < high"):
        ula(normal, 0.1, box=(1.0, 1.0))
    with pytest.raises(ValueError, match="no deterministic move"):
        run_chains(parallel_tempering(kernel, [1, 0.5]), x0, 3, seed(), compile=True)


# -- compiled steps, and what a step costs ---------------------------------------------------------


def test_compiled_steps_draw_the_same() -> None:
    kernel = mala(normal, 0.5)
    x0 = torch.randn(64, 2)
    plain = run_chains(kernel, x0, 10, seed())
    fast = run_chains(kernel, x0, 10, seed(), compile=True)
    assert torch.allclose(plain.draws, fast.draws, atol=1e-4)
    assert torch.allclose(plain.acceptance, fast.acceptance, atol=1e-4)


def test_a_step_costs_little_more_than_its_gradient() -> None:
    # The bookkeeping of a step is a fixed number of small tensor operations: it must stay well
    # below one gradient of a small network at 4096 chains. Loose (1.6), as a guard against
    # synchronisation and copies; benchmarks/samplers.py measures it properly (1.25).
    net = nn.Sequential(
        nn.Linear(2, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 1)
    ).append(nn.Flatten(0))
    kernel, x, rng = mala(net, 0.01), torch.randn(4096, 2), seed()
    state = kernel.init(x)

    def bare() -> None:
        y = x.detach().requires_grad_()
        torch.autograd.grad(net(y).sum(), y)

    def step() -> None:
        kernel.step(state, rng)

    def cpu_time(f: object) -> float:
        start = time.process_time()
        for _ in range(5):
            f()  # type: ignore[operator]
        return time.process_time() - start

    pairs = [(cpu_time(bare), cpu_time(step)) for _ in range(7)]
    assert min(t for _, t in pairs) < 1.6 * min(t for t, _ in pairs)


def two_wells(x: Tensor) -> Tensor:
    """Wells at -5 and 5: no chain crosses between them."""
    return (x.abs() - 5).square().sum(1) / 2


def test_chains_that_start_in_one_place_are_told_from_chains_that_agree() -> None:
    """All of them sit in one well of two, and R-hat cannot know."""
    kernel = hmc(two_wells, 0.6, 4, jitter=0.5)
    together = run_chains(kernel, torch.full((8, 1), 5.0), 300, seed()).summary()
    assert together.r_hat.max() < 1.01
    assert "all started in one place" in together.verdict and not together.converged
    near = 5 + 0.01 * torch.randn(8, 1, generator=seed())
    assert run_chains(kernel, near, 300, seed()).summary().verdict == together.verdict
    # Started apart, as far as the draws of one well lie: this is what converged chains look like.
    apart = 5 + torch.randn(8, 1, generator=seed())
    assert run_chains(kernel, apart, 300, seed()).summary().verdict == "converged"
    # Chains that disagree are not converged, wherever they started.
    slow = run_chains(mala(two_wells, 1e-3), torch.full((8, 1), 5.0), 50, seed()).summary()
    assert slow.verdict.startswith("not converged: ")
    # A single chain has no other to agree with: nothing is said of its start.
    assert "one place" not in run_chains(kernel, apart[:1], 400, seed()).summary().verdict


def test_the_verdict_on_unadjusted_steps_speaks_of_their_bias() -> None:
    chains = run_chains(ula(normal, 0.8), torch.randn(16, 2, generator=seed()), 300, seed())
    assert not chains.exact
    summary = chains.summary()
    assert "half the step size" in summary.verdict and summary.converged
    # What the verdict warns of: the variance is 1 / (1 - h / 2) = 1.67, agreement or not.
    assert 1.5 < float(summary.std[0]) ** 2 < 1.85
    assert (
        run_chains(mala(normal, 0.8), chains.state.x, 600, seed()).summary().verdict == "converged"
    )
