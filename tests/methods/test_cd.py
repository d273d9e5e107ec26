"""Contrastive divergence: its gradient is that of the likelihood, and its chains do what is said."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gibbsian.config.recipes import default_config, recipe
from gibbsian.core import Batch, NonFiniteError, TrainingMethod
from gibbsian.core.measures import Box, Counting, Gaussian, RealSpace, Undefined
from gibbsian.core.protocols import HasEnergy, HasLatentTarget
from gibbsian.methods.cd import ContrastiveDivergence
from tests.methods.play import Quadratic, Stream, check_gradient, gradients, player, with_sampler

LINE, PLANE = RealSpace((1,)), RealSpace((2,))
STILL = 1e-12  # a step size so small that nothing visibly moves


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cd(
    energy: nn.Module | None = None, measure: object = LINE, **options: object
) -> TrainingMethod:
    defaults = {"kernel": "ula", "steps": 10, "steps_per_sample": 200}
    settings = with_sampler(**(defaults | options))
    return ContrastiveDivergence(energy or Quadratic(2.0, -1.0), measure, **settings)


def negatives(
    method: TrainingMethod, rounds: int, stream: Stream, generator: torch.Generator
) -> Tensor:
    """The negatives of the last of ``rounds`` rounds, the energy standing still."""
    for index in range(rounds):
        (move,) = list(method.round(index, stream, generator))
    return move.inputs[1]


@pytest.mark.parametrize("energy_l2", [0.0, 0.2])
def test_loss_is_data_minus_samples_plus_energy_l2(energy_l2: float) -> None:
    method = cd(Quadratic(1.3, 0.4), energy_l2=energy_l2).double()
    x, x_model = (torch.randn(n, 1, generator=rng(n), dtype=torch.float64) for n in (8, 5))

    def truth() -> Tensor:
        data, model = method.energy(x), method.energy(x_model)
        return (
            data.sum() / 8
            - model.sum() / 5
            + energy_l2 * ((data**2).sum() / 8 + (model**2).sum() / 5)
        )

    def value() -> Tensor:
        return method.energy_loss(x, x_model).value

    assert torch.allclose(value(), truth(), rtol=1e-9, atol=1e-12)
    check_gradient(method, "energy", value, truth)
    logs = method.energy_loss(x, x_model).logs
    assert torch.allclose(logs["energy_data"], method.energy(x).mean())
    assert torch.allclose(logs["energy_model"], method.energy(x_model).mean())


@pytest.mark.parametrize("kernel", ["mala", "ula"])
def test_gradient_is_that_of_the_likelihood(kernel: str) -> None:
    """E_data[dE] - E_model[dE] with known moments: N(1/2, 1/2), for ULA of step h its own variance.

    ULA's variance is 1 / (a (1 - a h / 2)). 20 000 chains after 150 steps (memory (1 - a h)^150)
    have independent ends: bounds of 4.5 standard errors, false alarm 3e-5 for four of them.
    """
    h, n = 0.2, 20_000
    method = cd(kernel=kernel, chains=n, steps=50, step_size=h)
    stream = Stream(256, (1,))
    for index in range(3):
        (move,) = list(method.round(index, stream, rng(index)))
    x = move.inputs[0]
    assert torch.equal(x, stream.taken[-1])
    variance = 0.5 / (1 - h) if kernel == "ula" else 0.5
    second = variance + 0.25
    found = gradients(method, move)
    slope_b = found["energy.b"].item() - (x.mean().item() - 0.5)
    slope_a = found["energy.a"].item() - 0.5 * (x.square().mean().item() - second)
    error_b = math.sqrt(variance / n)
    error_a = 0.5 * math.sqrt((2 * variance**2 + 4 * variance * 0.25) / n)
    assert abs(slope_b) < 4.5 * error_b
    assert abs(slope_a) < 4.5 * error_a


@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_noise_is_the_root_of_the_temperature(noise: float) -> None:
    """x' = x - h a x + noise sqrt(2 h) xi has variance noise^2 / (a (1 - a h / 2)).

    20 000 independent chains: 4.5 standard errors of a variance are 4.5 %.
    """
    method = cd(Quadratic(2.0, 0.0), noise_scale=noise, chains=20_000, steps=200, step_size=0.1)
    x = negatives(method, 1, Stream(8, (1,)), rng())
    expected = noise**2 / (2 * (1 - 0.1))
    assert x.var().item() == pytest.approx(expected, rel=0.045)


def test_first_step_is_langevin_of_the_stated_size() -> None:
    """One step from known points: drift and noise separately, by regression on 20 000 points.

    Slope 1 - h a, intercept -h b, residual variance 2 h noise^2; bounds of 4.5 standard errors.
    """
    h, noise, n = 0.1, 0.7, 20_000
    method = cd(Quadratic(2.0, -1.0), chain_init="data", steps=1, step_size=h, noise_scale=noise)
    stream = Stream(n, (1,))
    y = negatives(method, 1, stream, rng(1))
    x = stream.taken[0]
    design = torch.cat([x, torch.ones_like(x)], 1).double()
    slope, intercept = torch.linalg.lstsq(design, y.double()).solution.flatten().tolist()
    residual = (y - slope * x - intercept).var().item()
    spread = 2 * h * noise**2
    assert abs(slope - 0.8) < 4.5 * math.sqrt(spread / n)
    assert abs(intercept - 0.1) < 4.5 * math.sqrt(spread / n)
    assert residual == pytest.approx(spread, rel=0.045)


def test_negatives_start_where_they_should() -> None:
    stream = Stream(400)
    data = cd(measure=PLANE, chain_init="data", step_size=STILL)
    assert torch.allclose(negatives(data, 2, stream, rng()), stream.taken[-1], atol=1e-4)
    short = cd(measure=PLANE, chain_init="noise", step_size=STILL)
    x = negatives(short, 1, stream, rng())
    assert x.shape == (400, 2)
    # 800 numbers: 4.5 standard errors of a mean are 0.16, of a standard deviation 0.11.
    assert abs(x.mean().item()) < 0.16
    assert abs(x.std().item() - 1) < 0.11
    assert not torch.allclose(x, stream.taken[-1], atol=0.1)
    assert (negatives(short, 2, stream, rng(1)) - x).abs().mean() > 0.5


def test_noise_is_uniform_on_a_box() -> None:
    method = cd(measure=Box((2,), -1.0, 3.0), chain_init="noise", step_size=STILL)
    x = negatives(method, 1, Stream(400), rng())
    assert -1 <= x.min() < -0.9
    assert 2.9 < x.max() <= 3


def test_persistent_chains_go_on_where_they_ended() -> None:
    stream = Stream(16)
    method = cd(measure=PLANE, chains=40, step_size=STILL)
    assert (method.chains == 0).all()
    first = negatives(method, 1, stream, rng())
    assert first.shape == (40, 2)
    assert torch.equal(method.chains, first)
    assert first.std() > 0.5  # round 0 starts them at noise
    for index in (1, 2):
        (move,) = list(method.round(index, stream, rng(index)))
        assert torch.allclose(move.inputs[1], first, atol=1e-4)
    assert torch.equal(method.chains, move.inputs[1])
    assert method.chains.data_ptr() != move.inputs[1].data_ptr()


def test_chains_are_a_local_buffer_and_the_only_thing_a_round_changes() -> None:
    method = cd(measure=PLANE, chains=7, step_size=0.1)
    assert method.local == ("chains",)
    assert method.state_dict()["chains"].shape == (7, 2)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    list(method.round(0, Stream(4), rng()))
    after = method.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"chains"}
    assert set(player(method, "energy")) == {"energy.a", "energy.b"}
    assert cd(chain_init="data").chains.shape == (0, 1)


def test_restarts_are_as_frequent_as_said() -> None:
    """4000 still chains, probability 0.2: 800 restarts, standard deviation 25, bound 4.5 of it."""
    method = cd(measure=PLANE, chains=4000, step_size=STILL, reinit_prob=0.2)
    stream = Stream(4)
    first = negatives(method, 1, stream, rng(0))
    (move,) = list(method.round(1, stream, rng(1)))
    moved = (move.inputs[1] - first).abs().sum(1) > 1e-3
    assert abs(moved.sum().item() - 800) < 115
    assert abs(move.inputs[1][moved].std().item() - 1) < 0.12


@pytest.mark.parametrize("kernel", ["ula", "mala"])
def test_each_round_costs_its_steps(kernel: str) -> None:
    """steps gradients and one to start, then two evaluations in the loss."""
    energy = Quadratic(2.0, -1.0)
    method = cd(energy, kernel=kernel, steps=7)
    (move,) = list(method.round(0, Stream(4, (1,)), rng()))
    assert energy.calls == 8
    move.loss(*move.inputs)
    assert energy.calls == 10


class TwoWells(nn.Module):
    """-log of the mixture 0.8 N(-4, 0.3^2) + 0.2 N(4, 0.3^2); ``t`` is there to be a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.t = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        x = x.squeeze(1)
        left = math.log(0.8) - 0.5 * ((x + 4) / 0.3) ** 2
        right = math.log(0.2) - 0.5 * ((x - 4) / 0.3) ** 2
        return -self.t * torch.logaddexp(left, right)


def test_jumps_set_the_weights_of_distant_modes_right() -> None:
    """Langevin alone keeps half the chains in each well; one wide step a round finds 80 : 20.

    2000 chains: the share of 0.8 has standard error 0.009; bound of 4.5.
    """
    settings = {"kernel": "mala", "chains": 2000, "steps": 1, "step_size": 0.02}
    still = negatives(cd(TwoWells(), **settings), 30, Stream(4, (1,)), rng())
    assert abs((still < 0).float().mean().item() - 0.5) < 0.05
    crossing = cd(TwoWells(), **settings, metropolis_step_std=8.0)
    x = negatives(crossing, 100, Stream(4, (1,)), rng())
    assert abs((x < 0).float().mean().item() - 0.8) < 0.04


def test_jumps_know_the_temperature() -> None:
    """Still Langevin steps, jumps only: variance noise^2 / a. 4.5 standard errors are 7 %."""
    method = cd(
        Quadratic(2.0, 0.0),
        chains=4000,
        steps=1,
        step_size=STILL,
        metropolis_step_std=1.0,
        noise_scale=0.5,
    )
    assert negatives(method, 60, Stream(4, (1,)), rng()).var().item() == pytest.approx(
        0.125, rel=0.07
    )


@pytest.mark.parametrize("kernel", ["ula", "mala"])
@pytest.mark.parametrize("start", ["persistent", "noise"])
def test_chains_never_leave_a_box(kernel: str, start: str) -> None:
    """A steep energy pushes against the wall at x = 1; with b = -1, a = 0 the mean is coth 1 - 1.

    ULA reflects, MALA rejects; both keep p proportional to exp(x) on [-1, 1]: mean 0.3130, standard
    deviation 0.525; 4000 chains, bound 4.5 standard errors and ULA's small bias.
    """
    measure = Box((1,), -1.0, 1.0)
    energy = Quadratic(0.0, -1.0)
    method = cd(
        energy,
        measure,
        kernel=kernel,
        chain_init=start,
        chains=4000,
        steps=100,
        metropolis_step_std=0.5,
    )
    x = negatives(method, 2, Stream(4000, (1,)), rng())
    assert x.abs().max() <= 1
    assert abs(x.mean().item() - (1 / math.tanh(1) - 1)) < 0.045
    wild = cd(energy, measure, kernel=kernel, chain_init=start, step_size=3.0)
    assert negatives(wild, 2, Stream(16, (1,)), rng()).abs().max() <= 1
    beyond = cd(energy, measure, kernel=kernel, chain_init="data", metropolis_step_std=0.5)
    stream = Stream(200, (1,))
    assert negatives(beyond, 1, stream, rng()).abs().max() <= 1
    assert stream.taken[0].abs().max() > 1


@pytest.mark.parametrize("kernel", ["ula", "mala"])
def test_a_gaussian_base_counts_in_the_chains_target(kernel: str) -> None:
    """E = x^2 / 2 on N(0, 1): variance 1/2 (ULA at h = 0.02: 1 / (2 (1 - h))). 4.5 errors are 7 %."""
    method = cd(
        Quadratic(1.0, 0.0), Gaussian((1,)), kernel=kernel, chains=4000, steps=300, step_size=0.02
    )
    assert negatives(method, 1, Stream(4, (1,)), rng()).var().item() == pytest.approx(0.5, rel=0.09)


def test_an_energy_without_a_measure_can_be_trained() -> None:
    method = cd(measure=Undefined((2,), "no envelope"), kernel="mala", metropolis_step_std=1.0)
    assert torch.isfinite(negatives(method, 2, Stream(4), rng())).all()


def test_images_keep_their_shape() -> None:
    method = cd(measure=Box((1, 4, 4), -1.0, 1.0), chains=3, reinit_prob=0.5)
    stream = Stream(5, (1, 4, 4))
    assert negatives(method, 2, stream, rng()).shape == (3, 1, 4, 4)
    assert method.sample(4, rng()).shape == (4, 1, 4, 4)


def apart(x: Tensor, y: Tensor) -> Tensor:
    """Distances ``[n, m]`` as sums of squared differences; matrix products are off by some 1e-3."""
    return (x[:, None] - y).square().sum(2).sqrt()


def test_samples_come_from_the_chains() -> None:
    method = cd(measure=PLANE, chains=50, step_size=STILL)
    list(method.round(0, Stream(4), rng()))
    few = method.sample(50, rng(1))
    distances = apart(few, method.chains)
    assert (distances.min(1).values < 1e-3).all()
    assert len(distances.argmin(1).unique()) == 50  # without replacement
    many = method.sample(120, rng(1))
    assert many.shape == (120, 2)
    assert (apart(many, method.chains).min(1).values < 1e-3).all()
    with pytest.raises(ValueError, match="unconditionally"):
        method.sample(2, rng(), given=torch.zeros(2))


@pytest.mark.parametrize("start", ["persistent", "data", "noise"])
def test_samples_are_moved_on_before_they_are_handed_out(start: str) -> None:
    """Even untrained chains: 4000 samples of N(1/2, 1/2 / (1 - h)), 4.5 standard errors."""
    energy = Quadratic(2.0, -1.0)
    method = cd(energy, chain_init=start, chains=10, steps=30, step_size=0.05, steps_per_sample=100)
    x = method.sample(4000, rng())
    assert energy.calls == 4 * 31  # whole rounds
    assert abs(x.mean().item() - 0.5) < 4.5 * math.sqrt(0.53 / 4000)
    assert x.var().item() == pytest.approx(0.5 / 0.95, rel=0.1)
    assert not x.requires_grad


def test_a_broken_energy_stops_the_round_by_name() -> None:
    method = cd(Quadratic(math.nan, -1.0))
    with pytest.raises(NonFiniteError, match="'energy' in round 4"):
        list(method.round(4, Stream(4, (1,)), rng()))


def test_rounds_are_reproducible_from_their_generator() -> None:
    results = []
    for _ in range(2):
        method = cd(measure=PLANE, kernel="mala", reinit_prob=0.1, metropolis_step_std=1.0)
        results.append(negatives(method, 3, Stream(4), rng(5)))
    assert torch.equal(*results)


def test_capabilities() -> None:
    assert isinstance(cd(), HasEnergy)
    assert not isinstance(cd(), HasLatentTarget)


def test_unusable_options() -> None:
    for options, words in (
        ({"chains": 0}, "chains must be a whole number"),
        ({"steps": 0}, "steps must be a whole number"),
        ({"steps_per_sample": 0}, "steps_per_sample must be a whole number"),
        ({"step_size": 0.0}, "step_size must be finite and positive"),
        ({"noise_scale": -1.0}, "noise_scale must be finite and positive"),
        ({"reinit_prob": 1.5}, "probability"),
        ({"energy_l2": -1.0}, "energy_l2 must be finite"),
        ({"metropolis_step_std": math.inf}, "metropolis_step_std must be finite"),
    ):
        with pytest.raises(ValueError, match=words):
            cd(**options)
    with pytest.raises(ValueError, match="need real numbers"):
        cd(measure=Counting((4,)))
    with pytest.raises(ValueError, match="one number per row"):
        x = torch.zeros(4, 1)
        cd(Column()).energy_loss(x, x)


class Column(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.w * x


def test_trains_a_gaussian_to_its_maximum_likelihood() -> None:
    """Data N(0.3, 0.5^2): a = 4, b = -1.2. Adam with averaged parameters, exact within errors."""
    method = cd(Quadratic(2.5, -0.5), kernel="mala", chains=1000, steps=3, step_size=0.1)
    generator, stream = rng(1), Stream(1000, (1,))
    batches = (Batch(0.3 + 0.5 * batch.x, batch.index) for batch in stream)
    optimizer = torch.optim.Adam(player(method, "energy").values(), lr=0.1)
    tail = []
    for index in range(120):
        for move in method.round(index, batches, generator):
            found = gradients(method, move)
            for name, parameter in player(method, "energy").items():
                parameter.grad = found[name]
            optimizer.step()
        if index >= 60:
            tail.append(torch.stack([method.energy.a.detach(), method.energy.b.detach()]))
    a, b = torch.stack(tail).mean(0).tolist()
    assert -b / a == pytest.approx(0.3, abs=0.01)
    assert 1 / a == pytest.approx(0.25, rel=0.04)


def test_on_pictures_training_starts_from_steps_that_are_always_taken() -> None:
    """Adjusted chains of the same rate stood still on digits, and energies went to -90 000 in 300 rounds."""
    pictures, rows = default_config("cd", "digits"), default_config("cd", "wine")
    assert rows.sampler.kernel == "auto"  # mala, on bits gibbs
    for config in (
        pictures,
        recipe("digits-cd"),
    ):  # docs/methods/cd.md shows what these settings give
        sampler = config.sampler
        chains = (sampler.kernel, config.chains, sampler.steps, sampler.step_size)
        rest = (config.reinit_prob, config.energy_l2)
        assert (*chains, *rest) == ("ula", 256, 10, 2e-3, 0.005, 1e-3)
