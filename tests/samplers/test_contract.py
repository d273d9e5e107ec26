"""What holds for every kernel: shapes, purity, randomness, broken energies, honest counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gibbsian.core.measures import Gaussian
from gibbsian.samplers import (
    RBM,
    AnnealingPath,
    MarkovKernel,
    block_gibbs,
    discrete_mala,
    gibbs_with_gradients,
    hmc,
    independence_metropolis,
    kernel,
    mala,
    meads,
    parallel_tempering,
    random_walk_metropolis,
    run_chains,
    ula,
    underdamped,
)

Energy = Callable[[Tensor], Tensor]


def independent(energy: Any, shape: tuple[int, ...]) -> MarkovKernel[Any]:
    return independence_metropolis(energy, Gaussian(shape, 1.2))


CONTINUOUS: dict[str, Callable[[Any, tuple[int, ...]], MarkovKernel[Any]]] = {
    "random walk": lambda energy, shape: random_walk_metropolis(energy, 0.3),
    "independence": independent,
    "ula": lambda energy, shape: ula(energy, 0.05),
    "mala": lambda energy, shape: mala(energy, 0.05),
    "underdamped": lambda energy, shape: underdamped(energy, 0.2, friction=1.0),
    "hmc": lambda energy, shape: hmc(energy, 0.1, 10),
    "jittered hmc": lambda energy, shape: hmc(energy, 0.1, 10, jitter=0.5),
    "parallel tempering": lambda energy, shape: parallel_tempering(mala(energy, 0.05), [1, 0.5]),
    "meads": lambda energy, shape: meads(energy),
}
BINARY: dict[str, Callable[[Any, tuple[int, ...]], MarkovKernel[Any]]] = {
    "gibbs with gradients": lambda energy, shape: gibbs_with_gradients(energy),
    "discrete mala": lambda energy, shape: discrete_mala(energy, 0.3),
}
COST = {"hmc": 10, "jittered hmc": 10, "parallel tempering": 2}
ALL = CONTINUOUS | BINARY
SHAPES = [(2,), (1, 4, 4)]


def make(name: str, energy: Any, shape: tuple[int, ...]) -> tuple[MarkovKernel[Any], Tensor]:
    """The kernel and 6 start points."""
    rng = torch.Generator().manual_seed(7)
    x0 = 0.3 * torch.randn(6, *shape, generator=rng)
    return ALL[name](energy, shape), (x0 > 0).float() if name in BINARY else x0


def smooth(x: Tensor) -> Tensor:
    return (x.square() / 2 + 0.1 * x.sin()).flatten(1).sum(1)


def tensors(state: Any) -> list[Tensor]:
    """All tensors of a state, those of an inner state included."""
    found = []
    for f in fields(state):
        value = getattr(state, f.name)
        if isinstance(value, Tensor):
            found.append(value)
        elif hasattr(value, "__dataclass_fields__"):
            found += tensors(value)
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", list(ALL))
def test_shapes_purity_and_randomness(name: str, shape: tuple[int, ...]) -> None:
    kernel, x0 = make(name, smooth, shape)
    before = x0.clone()
    state = kernel.init(x0)
    kept = [t.clone() for t in tensors(state)]
    seed = torch.Generator().manual_seed
    one, info = kernel.step(state, seed(1))
    two, _ = kernel.step(state, seed(1))
    other, _ = kernel.step(state, seed(2))
    assert torch.equal(x0, before)
    assert all(map(torch.equal, tensors(state), kept))
    assert all(map(torch.equal, tensors(one), tensors(two)))
    assert not torch.equal(one.x, other.x)
    assert one.x.shape == x0.shape and one.x.dtype == x0.dtype
    assert info.acceptance.shape == info.diverging.shape == (6,)
    assert info.diverging.dtype == torch.bool
    assert info.acceptance.min() >= 0 and info.acceptance.max() <= 1
    assert not any(t.requires_grad for t in tensors(one))
    assert run_chains(kernel, x0, 4, seed(1)).draws.shape == (4, 6, *shape)


@pytest.mark.parametrize("name", list(ALL))
def test_double_precision_is_kept(name: str) -> None:
    kernel, x0 = make(name, smooth, (2,))
    state, info = kernel.step(kernel.init(x0.double()), torch.Generator().manual_seed(0))
    assert {t.dtype for t in tensors(state)} == {torch.float64}
    assert info.acceptance.dtype == torch.float64


@pytest.mark.parametrize("name", list(ALL))
def test_the_state_holds_the_energy_and_gradient_of_its_point(name: str) -> None:
    kernel, x0 = make(name, smooth, (3,))
    state = run_chains(kernel, x0, 5, torch.Generator().manual_seed(0), keep="last").state
    state = getattr(state, "inner", state)
    if name != "underdamped":  # it evaluates half way
        assert torch.allclose(state.energy, smooth(state.x), atol=1e-5)
        if state.grad is not None:
            assert torch.allclose(state.grad, state.x + 0.1 * state.x.cos(), atol=1e-5)


@pytest.mark.parametrize("name", list(ALL))
def test_unadjusted_kernels_say_so(name: str) -> None:
    assert make(name, smooth, (2,))[0].exact == (name not in ("ula", "underdamped"))


@pytest.mark.parametrize("bad", [float("nan"), -float("inf")])
@pytest.mark.parametrize("name", list(ALL))
def test_broken_energies_are_rejected_and_counted(name: str, bad: float) -> None:
    def broken(x: Tensor) -> Tensor:
        return torch.where(x[:, 0] > 0.5, bad, smooth(x))

    kernel, x0 = make(name, broken, (2,))
    x0 = x0.clamp(max=0.4) if name in CONTINUOUS else torch.zeros_like(x0)
    chains = run_chains(kernel, x0, 150, torch.Generator().manual_seed(0))
    # Kinetic Langevin evaluates half way: it may rest where the energy is broken for half a step.
    slack = 0.5 if name == "underdamped" else 0.0
    assert (chains.draws[..., 0] <= 0.5 + slack).all()
    assert torch.isfinite(chains.draws).all()
    assert chains.divergences.sum() > 0
    assert (chains.draws[0] != chains.draws[-1]).any()


@pytest.mark.parametrize("name", list(ALL))
def test_evaluations_are_counted_and_no_more_are_made(name: str) -> None:
    class Counted:
        calls = 0

        def __call__(self, x: Tensor) -> Tensor:
            Counted.calls += 1
            return smooth(x)

    kernel, x0 = make(name, Counted(), (2,))
    state = kernel.init(x0)
    assert Counted.calls == 1
    _, info = kernel.step(state, torch.Generator().manual_seed(0))
    assert info.evaluations == COST.get(name, 1)
    # The replicas of parallel tempering share one batch; the chains of meads move in two halves.
    calls = {"parallel tempering": 1, "meads": 2}.get(name, COST.get(name, 1))
    assert Counted.calls == 1 + calls


@pytest.mark.parametrize("name", list(ALL))
def test_parameters_of_the_energy_receive_no_gradient(name: str) -> None:
    net = nn.Sequential(nn.Linear(2, 8), nn.SiLU(), nn.Linear(8, 1), nn.Flatten(0))
    kernel, x0 = make(name, net, (2,))
    state, _ = kernel.step(kernel.init(x0), torch.Generator().manual_seed(0))
    assert all(p.grad is None for p in net.parameters())
    assert not any(t.requires_grad for t in tensors(state))


@pytest.mark.parametrize("name", [n for n in ALL if n not in ("parallel tempering", "meads")])
def test_step_size_beta_and_scale_are_tensors_of_the_state(name: str) -> None:
    kernel, x0 = make(name, smooth, (2,))
    state = kernel.init(x0)
    per_chain = state.replace(
        step_size=state.step_size * torch.ones(6), beta=torch.ones(6), scale=torch.ones(2)
    )
    seed = torch.Generator().manual_seed
    assert torch.allclose(kernel.step(state, seed(3))[0].x, kernel.step(per_chain, seed(3))[0].x)
    cold = kernel.step(state.replace(beta=5.0), seed(3))
    warm = kernel.step(state, seed(3))
    same_moves = torch.equal(warm[0].x, cold[0].x)
    assert not (same_moves and torch.equal(warm[1].acceptance, cold[1].acceptance))


@pytest.mark.parametrize("energy", [smooth, AnnealingPath(smooth, smooth)])
@pytest.mark.parametrize("name", [*ALL, "block gibbs"])
def test_the_path_of_other_devices_gives_the_same_draws(
    name: str, energy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(x: Tensor) -> bool:
        return False

    if name == "block gibbs":
        torch.manual_seed(0)
        kernel_, x0 = block_gibbs(RBM(torch.randn(3, 2), torch.zeros(3), torch.zeros(2))), None
        x0 = torch.zeros(2000, 5)
    else:
        kernel_, x0 = make(name, energy, (3,))
        x0 = x0.repeat(500, 1)
    here = run_chains(kernel_, x0, 6, torch.Generator().manual_seed(0)).draws
    monkeypatch.setattr(kernel, "eager_on_cpu", never)
    there = run_chains(kernel_, x0, 6, torch.Generator().manual_seed(0)).draws
    assert torch.equal(here, there)


@pytest.mark.parametrize("name", list(CONTINUOUS))
def test_the_noise_does_not_depend_on_how_the_start_lies_in_memory(name: str) -> None:
    kernel_, x0 = make(name, smooth, (2, 3, 3))
    strided = x0.to(memory_format=torch.channels_last)
    draws = [
        run_chains(kernel_, x, 3, torch.Generator().manual_seed(0)).draws for x in (x0, strided)
    ]
    assert torch.allclose(*draws, atol=1e-5)
