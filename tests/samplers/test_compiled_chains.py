"""Compiled chains: the graphs are the kernels' own moves and see the same random numbers."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gibbsian.core.execution import compiled_chains
from gibbsian.core.measures import Box, RealSpace
from gibbsian.methods import ContrastiveDivergence
from gibbsian.methods._langevin import SamplerOptions
from gibbsian.samplers import (
    AnnealingPath,
    MarkovKernel,
    hmc,
    mala,
    random_walk_metropolis,
    run_chains,
    transitions,
    ula,
    underdamped,
)
from tests.methods.play import Stream


def seed(n: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(n)


def well(x: Tensor) -> Tensor:
    return 2 * (x.square() - 1).square().sum(1)


def wide(x: Tensor) -> Tensor:
    return x.square().sum(1) / 8


class Counted(nn.Module):
    """A double well that counts who asks for its gradient, and who for its value alone."""

    def __init__(self) -> None:
        super().__init__()
        self.gradients = self.values = 0

    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad:
            self.gradients += 1
        else:
            self.values += 1
        return well(x)


KERNELS: dict[str, Callable[[], MarkovKernel[Any]]] = {
    "ula": lambda: ula(well, 0.02),
    "ula in a box": lambda: ula(well, 0.05, box=(-1.2, 1.2)),
    "mala": lambda: mala(well, 0.05),
    "mala on a path": lambda: mala(AnnealingPath(wide, well), 0.05, beta=0.3),
    "hmc": lambda: hmc(well, 0.1, 2, jitter=0.2),
    "underdamped": lambda: underdamped(well, 0.05, friction=1.0),
    "random walk": lambda: random_walk_metropolis(well, 0.3),
}


@pytest.mark.parametrize("name", sorted(KERNELS))
def test_compiled_chains_are_the_eager_ones(name: str) -> None:
    make, x0 = KERNELS[name], torch.randn(32, 2, generator=seed(1)).clamp(-1, 1)
    plain = run_chains(make(), x0, 5, seed(), compile=False, record=True)
    fast = run_chains(make(), x0, 5, seed(), compile=True, record=True)
    assert plain.execution == "eager" and fast.execution == "compiled"
    assert torch.allclose(plain.draws, fast.draws, atol=1e-4)
    assert torch.allclose(plain.acceptance, fast.acceptance, atol=1e-4)
    assert torch.equal(plain.divergences, fast.divergences)
    assert plain.evaluations == fast.evaluations
    for key, value in plain.record.items():
        assert torch.allclose(value.double(), fast.record[key].double(), atol=1e-4), key


def test_compiled_chains_go_on_where_they_were_left_and_thin_as_eager_ones_do() -> None:
    x0 = torch.randn(32, 2, generator=seed(1))
    whole = run_chains(mala(well, 0.05), x0, 12, seed(), compile=False)
    thinned = run_chains(mala(well, 0.05), x0, 12, seed(), thin=5, compile=True)
    assert torch.allclose(thinned.draws, whole.draws[[4, 9]], atol=1e-4)
    assert torch.allclose(thinned.state.x, whole.draws[-1], atol=1e-4)
    rng = seed()
    state = run_chains(mala(well, 0.05), x0, 6, rng, keep="last", compile=True).state
    end = run_chains(mala(well, 0.05), state, 6, rng, keep="last", compile=True).state
    assert torch.allclose(end.x, whole.draws[-1], atol=1e-4)


def test_compiled_chains_see_a_network_that_is_trained() -> None:
    net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
    x0 = torch.randn(32, 2, generator=seed(1))
    for factor in (1.0, -3.0):
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.mul_(factor)
        plain = run_chains(ula(net, 0.1), x0, 4, seed(), keep="last", compile=False)
        fast = run_chains(ula(net, 0.1), x0, 4, seed(), keep="last", compile=True)
        assert fast.execution == "compiled"
        assert torch.allclose(plain.draws, fast.draws, atol=1e-5)


def test_a_compiled_kernel_that_is_built_again_is_not_compiled_again() -> None:
    x0 = torch.randn(32, 2, generator=seed(1))
    counters = torch._dynamo.utils.counters["stats"]
    run_chains(ula(wide, 0.1), x0, 4, seed(), keep="last", compile=True)
    graphs = counters["unique_graphs"]
    run_chains(ula(wide, 0.1), x0, 4, seed(), keep="last", compile=True)
    assert counters["unique_graphs"] == graphs > 0


def test_compiled_chains_of_training_repeat_to_the_bit() -> None:
    def rounds(compile: bool) -> Tensor:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
        sampler = SamplerOptions(steps=4, step_size=0.05, kernel="ula", metropolis_step_std=0.5)
        cd = ContrastiveDivergence(net, RealSpace((2,)), chains=16, sampler=sampler)
        rng = seed()
        with compiled_chains(compile):
            for index in range(2):
                list(cd.round(index, Stream(8), rng))
        return cd.chains

    assert torch.equal(rounds(True), rounds(True))
    assert torch.allclose(rounds(True), rounds(False), atol=1e-4)


def test_what_compiled_chains_cannot_trace_runs_eagerly_and_says_so_once() -> None:
    def peeking(x: Tensor) -> Tensor:
        return wide(x) if float(x.sum()) < 1e9 else well(x)

    def steep(energy: Callable[[Tensor], Tensor]) -> MarkovKernel[Any]:
        kernel = ula(energy, 0.1)
        assert kernel.noise is not None and kernel.move is not None

        def move(state: Any, noise: Any) -> Any:  # code of its own, so that no other is refused
            return kernel.move(state, noise)  # type: ignore[misc]

        return MarkovKernel(kernel.init, kernel.step, kernel.noise, move, exact=False)

    kernel, x0 = steep(peeking), torch.randn(8, 2, generator=seed(1))
    plain = run_chains(kernel, x0, 6, seed(), compile=False)
    with pytest.warns(UserWarning, match="chains run eagerly"):
        tried = run_chains(kernel, x0, 6, seed(), compile=True)
    assert tried.execution == "eager" and torch.equal(plain.draws, tried.draws)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = run_chains(kernel, x0, 6, seed(), compile=True)
    assert torch.equal(plain.draws, again.draws)


# -- the choice, without compiling anything --------------------------------------------------------


def compiles(monkeypatch: pytest.MonkeyPatch, guess: float, steps: int) -> bool:
    """Whether auto would compile, were a graph to take ``guess`` seconds."""
    asked = []

    def uncompiled(device: str) -> Callable[..., Any]:
        asked.append(True)
        return transitions.unrolled

    monkeypatch.setattr(transitions, "FIRST_GUESS", guess)
    monkeypatch.setattr(transitions.Loop, "seconds_seen", [])
    monkeypatch.setattr(transitions, "graphs", uncompiled)
    x0 = torch.randn(8, 2, generator=seed(1))
    chains = run_chains(mala(well, 0.05), x0, steps, seed(), compile="auto")
    assert torch.equal(
        chains.draws, run_chains(mala(well, 0.05), x0, steps, seed(), compile=False).draws
    )
    return chains.execution == "compiled"


def test_chains_compile_where_pytorch_has_moved_its_private_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "gibbsian.samplers.narrow_products", None)  # ImportError
    transitions.graphs.cache_clear()
    try:
        kernel, x0 = ula(well, 0.02), torch.zeros(4, 2)
        eager = run_chains(kernel, x0, 5, seed(), keep="last", compile=False)
        compiled = run_chains(kernel, x0, 5, seed(), keep="last", compile=True)
    finally:
        transitions.graphs.cache_clear()
    assert compiled.execution == "compiled"
    torch.testing.assert_close(compiled.state.x, eager.state.x)


def test_auto_compiles_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiles(monkeypatch, 0.0, 60)
    assert not compiles(monkeypatch, 1e6, 60)
    assert not compiles(monkeypatch, 0.0, 20), "too short to be looked at"


def test_the_last_step_of_unadjusted_langevin_takes_no_gradient() -> None:
    energy, x0 = Counted(), torch.randn(8, 2, generator=seed(1))
    whole = run_chains(ula(well, 0.02), x0, 20, seed(), compile=False)
    rng = seed()
    half = run_chains(ula(energy, 0.02), x0, 10, rng, keep="last", compile=False)
    assert (energy.gradients, energy.values) == (10, 1)
    assert half.state.grad is None
    rest = run_chains(ula(energy, 0.02), half.state, 10, rng, keep="last", compile=False)
    assert (energy.gradients, energy.values) == (20, 2)
    assert torch.equal(rest.state.x, whole.state.x), "to the bit"
    on = run_chains(mala(energy, 0.02), rest.state, 5, rng, compile=False)
    assert on.state.grad is not None


def test_a_last_point_outside_the_box_of_a_walled_energy_is_not_taken() -> None:
    from gibbsian.samplers import energy_with_base_measure

    energy = energy_with_base_measure(well, Box((2,), -1.0, 1.0))
    x0 = torch.full((64, 2), 0.95)
    chains = run_chains(ula(energy, 0.5), x0, 1, seed())
    assert int(chains.divergences.sum()) > 32  # each leaves with probability above a half
    assert (chains.state.x.abs() <= 1).all()


def test_many_chains_of_a_network_go_through_graphs_in_blocks():
    """The same chains whatever the blocks; a cheap energy's stay together."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(2, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1)
    )
    network.requires_grad_(False)

    def energy(x: Tensor) -> Tensor:
        return network(x).squeeze(1) + x.square().sum(1) / 2

    for kernel, parts in ((ula(energy, 0.05), 2), (ula(well, 0.05), 1)):
        x0 = torch.randn(2 * transitions.BLOCK, 2, generator=seed(1))
        kernel_loop = transitions.loop_of(kernel.move, None)
        state = kernel.init(x0)
        noise = ((kernel.noise(state, seed(2)),),)
        split = kernel_loop.blocks(state, noise)
        assert [len(part.x) for part, _ in split] == [len(x0) // parts] * parts
        whole = transitions.unrolled(kernel.move, None, state, noise)
        found = transitions.joined(
            [transitions.unrolled(kernel.move, None, *part) for part in split]
        )
        for (a, info), (b, other) in zip(whole, found, strict=True):
            torch.testing.assert_close(a.x, b.x, rtol=0, atol=1e-5)
            torch.testing.assert_close(a.energy, b.energy, rtol=0, atol=1e-5)
            torch.testing.assert_close(info.acceptance, other.acceptance, rtol=0, atol=1e-4)
            assert a.step_size is b.step_size
