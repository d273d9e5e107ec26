"""Contrastive divergence on bits: its chains, its gradient and what it learns, by enumeration."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from gibbsian import data
from gibbsian.core import Batch
from gibbsian.core.measures import Counting, RealSpace
from gibbsian.evaluation.log_z.boltzmann import machine_log_partition
from gibbsian.evaluation.log_z.enumeration import exact_log_partition
from gibbsian.methods import TRAINING_METHODS
from gibbsian.methods._langevin import SamplerOptions
from gibbsian.methods.cd import ContrastiveDivergence
from gibbsian.networks import IsingEnergy, RBMEnergy
from gibbsian.samplers import RBM

FOUR = Counting((4,))


class Smooth(nn.Module):
    """An energy that is neither a machine nor a lattice."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor([1.0, -2.0, 1.5, 0.5]))

    def forward(self, x: Tensor) -> Tensor:
        s = x @ self.slope
        return 0.5 * s.square() + (2 * s).sin()


def scrambled(energy: nn.Module) -> nn.Module:
    for parameter in energy.parameters():
        nn.init.normal_(parameter, std=0.8)
    return energy


ENERGIES = {
    "rbm": lambda: scrambled(RBMEnergy((4,), 3)),
    "ising": lambda: scrambled(IsingEnergy((4,), sides=(2, 2))),
    "other": Smooth,
}


def states(d: int) -> Tensor:
    return (torch.arange(2**d)[:, None] >> torch.arange(d) & 1).float()


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stream(x: Tensor, size: int, generator: torch.Generator) -> object:
    while True:
        index = torch.randint(len(x), (size,), generator=generator)
        yield Batch(x[index], index)


# Eight p-values, each below 1e-5 by chance with 1e-5.
@pytest.mark.parametrize("noise", [1.0, 1.5])
@pytest.mark.parametrize(("name", "kernel"), [*((n, "gibbs") for n in ENERGIES), ("rbm", "mala")])
def test_chains_are_draws_of_the_model(name: str, kernel: str, noise: float) -> None:
    energy, n = ENERGIES[name](), 20_000
    method = ContrastiveDivergence(
        energy,
        FOUR,
        chains=n,
        sampler=SamplerOptions(steps=60, kernel=kernel, step_size=0.5, noise_scale=noise),
    )
    (move,) = list(method.round(0, stream(states(4), 8, rng()), rng(1)))
    x_model = move.inputs[1]
    seen = torch.bincount((x_model @ 2.0 ** torch.arange(4)).long(), minlength=16).double()
    with torch.no_grad():
        expected = n * (-energy(states(4)).double() / noise**2).softmax(0)
        wrong = n * (-energy(states(4)).double() * 0.8 / noise**2).softmax(0)
    p, p_wrong = (float(stats.chi2.sf(((seen - e) ** 2 / e).sum(), 15)) for e in (expected, wrong))
    assert p > 1e-5
    assert p_wrong < 1e-8  # a wrong temperature would have been seen
    assert torch.equal(method.chains, x_model)


def test_gradient_is_that_of_the_likelihood() -> None:
    """mean over data of dE - E_model[dE], the second by enumeration; bounds of 5 standard errors.

    19 numbers: false alarm 1e-5.
    """
    energy, n = ENERGIES["rbm"](), 20_000
    method = ContrastiveDivergence(energy, FOUR, chains=n, sampler=SamplerOptions(steps=60))
    data_ = stream(states(4)[:5], 64, rng())
    (move,) = list(method.round(0, data_, rng(1)))
    x, x_model = move.inputs
    found = torch.autograd.grad(method.energy_loss(x, x_model).value, list(energy.parameters()))
    log_z = (-energy(states(4))).logsumexp(0)
    exact = torch.autograd.grad(energy(x).mean() + log_z, list(energy.parameters()))
    p = (-energy(states(4))).softmax(0).detach()
    for parameter, a, b in zip(energy.parameters(), found, exact, strict=True):
        rows = torch.stack(
            [torch.autograd.grad(e, parameter, retain_graph=True)[0] for e in energy(states(4))]
        )
        mean = torch.tensordot(p, rows, 1)
        variance = torch.tensordot(p, rows.square(), 1) - mean.square()
        assert ((a - b).abs() < 5 * (variance / n).sqrt() + 1e-6).all()


@pytest.fixture(scope="module")
def digits() -> tuple[RBMEnergy, Tensor]:
    """A machine of 16 + 10 units trained for two CPU seconds on 4x4 binary digits, and these."""
    x = data.load_dataset("digits-4-binary").train.float()
    torch.manual_seed(0)
    energy = RBMEnergy((16,), 10)
    method = ContrastiveDivergence(
        energy, Counting((16,)), chains=256, sampler=SamplerOptions(steps=1)
    )
    optimizer = torch.optim.Adam(method.parameters(), 0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1000)
    rows, generator = stream(x, 256, rng()), rng(1)
    for index in range(1000):
        (move,) = list(method.round(index, rows, generator))
        optimizer.zero_grad()
        move.loss(*move.inputs).value.backward()
        optimizer.step()
        schedule.step()
    return energy, x


def test_a_trained_machine_is_close_to_the_data(digits: tuple[RBMEnergy, Tensor]) -> None:
    """KL of the empirical distribution to the model, exact: 0.40 nats; independent bits reach 0.81."""
    energy, x = digits
    rows, counts = torch.unique(x, dim=0, return_counts=True)
    p = (counts / counts.sum()).double()
    log_z = exact_log_partition(energy)
    assert log_z is not None
    with torch.no_grad():
        log_model = -energy(rows).double() - log_z.lower.value
    divergence = float((p * (p.log() - log_model)).sum())
    rate = x.mean(0).double().clamp(1e-6, 1 - 1e-6)
    log_bits = (rows * rate.log() + (1 - rows) * (-rate).log1p()).sum(1)
    independent = float((p * (p.log() - log_bits)).sum())
    assert 0 < divergence < 0.6 * independent


def test_log_z_of_a_trained_machine_lies_in_its_interval(
    digits: tuple[RBMEnergy, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both sides by annealing, 4 standard errors each: false alarm 6e-5, if they are calibrated."""
    energy, x = digits
    truth = exact_log_partition(energy)
    machine = RBM.behind(energy)
    assert truth is not None and machine is not None
    monkeypatch.setattr("gibbsian.evaluation.log_z.boltzmann.exact_log_partition", nothing)
    found = machine_log_partition(machine, rng=rng(2), points=x)
    lower, upper = found.lower, found.upper
    value = truth.lower.value
    assert lower.value - 4 * lower.stderr < value < upper.value + 4 * upper.stderr
    assert upper.value - lower.value < 0.5
    assert found.warnings == ()
    assert lower.standing == "bound in expectation" and upper.standing == "estimate"


def nothing(energy: object) -> None:
    """As if no sum were short enough."""


def test_samples_come_from_the_model(digits: tuple[RBMEnergy, Tensor]) -> None:
    """The mean energy of 4000 samples against its exact mean, 4.5 standard errors."""
    energy, _ = digits
    method = ContrastiveDivergence(
        energy, Counting((16,)), chain_init="noise", sampler=SamplerOptions(steps_per_sample=300)
    )
    x = method.sample(4000, rng(3))
    with torch.no_grad():
        exact = energy(states(16)).double()
        mean = float(((-exact).softmax(0) * exact).sum())
        found = energy(x).double()
    assert set(x.unique().tolist()) == {0.0, 1.0}
    assert abs(float(found.mean()) - mean) < 4.5 * float(found.std()) / math.sqrt(4000)


def test_kernels_of_the_other_kind_are_refused() -> None:
    energy = RBMEnergy((4,), 3)
    with pytest.raises(ValueError, match=r"use sampler\.kernel gibbs or mala"):
        ContrastiveDivergence(energy, FOUR, sampler=SamplerOptions(kernel="ula"))
    with pytest.raises(ValueError, match="gibbs is for bits"):
        ContrastiveDivergence(Smooth(), RealSpace((4,)), sampler=SamplerOptions(kernel="gibbs"))
    with pytest.raises(ValueError, match="leave it at 0"):
        ContrastiveDivergence(energy, FOUR, sampler=SamplerOptions(metropolis_step_std=1.0))
    with pytest.raises(ValueError, match="flips no bits"):
        ContrastiveDivergence(energy, FOUR, sampler=SamplerOptions(kernel="mala"))
    assert TRAINING_METHODS["cd"] is ContrastiveDivergence
