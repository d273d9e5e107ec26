"""The transition form of VGAN: both readings written out, the operator, its noise and its chains."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from gibbsian.core import DataSpace
from gibbsian.core.measures import Box, RealSpace
from gibbsian.core.protocols import HasEnergy, HasLatentTarget
from gibbsian.methods.transition_vgan import TransitionVGAN, mask_noise
from tests.methods.play import Stream, check_gradient, descend, gradients, player, reached
from tests.nets import build_autoencoder, build_energy

OPTIONS = dict(width=8, depth=1, num_experts=6, code_dim=3, activation="tanh")
SPACE = DataSpace((2,), "vector", (-4.0, 4.0))
READINGS = ("equation-10", "released-code")


def transition(energy: str = "bounded", net: dict = OPTIONS, **options) -> TransitionVGAN:
    """A small pair on [-4, 4]^2 in float64; the head is widened so that experts differ."""
    network = build_energy(energy, SPACE, OPTIONS)
    with torch.no_grad():
        network.head.weight.mul_(6)
    autoencoder = build_autoencoder("mlp", SPACE, net)
    return TransitionVGAN(network, autoencoder, Box((2,), -4.0, 4.0), **options).double()


def points(n: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, 2, generator=rng, dtype=torch.float64)


def noise(n: int, seed: int) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    drawn = torch.rand(2, n, 3, generator=rng, dtype=torch.float64)
    return (drawn[0] < 0.5).double(), 2 * drawn[1] - 1


def h(s: Tensor) -> Tensor:
    return -s * s.log() - (1 - s) * (1 - s).log()


def surrogate(energy: nn.Module, x: Tensor) -> Tensor:
    s = energy.experts(x)
    return sum(h(s[:, j].sum() / len(x)) for j in range(s.shape[1]))


def moved(method: TransitionVGAN, x: Tensor, mask: Tensor, u: Tensor) -> Tensor:
    """Decode(m u + (1 - m) Encode(x)), number by number."""
    code = method.autoencoder.encoder(x)
    return method.autoencoder.decoder(torch.where(mask == 1, u, code))


@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("reading", READINGS)
def test_transition_descends_its_reading(reading: str, rho: float) -> None:
    method = transition(transition_objective=reading, energy_loss_weight=rho)
    x, (mask, u) = points(10, 1), noise(10, 2)

    def truth() -> Tensor:
        x_model, back = moved(method, x, mask, u), method.autoencoder(x)
        energy = method.energy(x_model).mean()
        if reading == "equation-10":
            return rho * energy + (1 - rho) * ((back - x) ** 2).sum() / 10
        y, t = (back + 4) / 8, (x + 4) / 8
        error = -(t * y.log() + (1 - t) * (1 - y).log()).mean()
        return rho * (energy - surrogate(method.energy, x_model)) + (1 - rho) * error

    def loss() -> Tensor:
        return method.transition_loss(x, mask, u).value

    assert torch.allclose(loss(), truth(), atol=1e-12)
    check_gradient(method, "transition", loss, truth)


@pytest.mark.parametrize("regulariser", [0.0, 0.7])
def test_energy_descends_data_minus_transitions_minus_regulariser(regulariser: float) -> None:
    method = transition(expert_entropy_weight=regulariser)
    x, start, (mask, u) = points(10, 1), points(8, 3), noise(8, 2)

    def truth() -> Tensor:
        samples = method.energy(moved(method, start, mask, u)).mean()
        return method.energy(x).mean() - samples - regulariser * surrogate(method.energy, x)

    def loss() -> Tensor:
        return method.energy_loss(x, start, mask, u).value

    assert torch.allclose(loss(), truth(), atol=1e-12)
    check_gradient(method, "energy", loss, truth)


def test_mask_noise_replaces_what_the_mask_says() -> None:
    code, u = torch.tensor([[0.1, 0.2, 0.3]]), torch.tensor([[-1.0, -0.5, 0.5]])
    mixed = mask_noise(code, torch.tensor([[0.0, 1.0, 0.0]]), u)
    assert torch.allclose(mixed, torch.tensor([[0.1, -0.5, 0.3]]))


@pytest.mark.parametrize("corruption", [0.2, 0.5])
def test_noise_is_a_coin_and_uniform(corruption: float) -> None:
    """30 000 numbers: bands of five standard errors (a false alarm in 2 million)."""
    method = transition(latent_corruption_prob=corruption)
    mask, u = method.noise(points(10_000, 1), torch.Generator().manual_seed(0))
    assert mask.shape == u.shape == (10_000, 3)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    error = (corruption * (1 - corruption) / 30_000) ** 0.5
    assert abs(mask.mean().item() - corruption) < 5 * error
    assert u.min() >= -1 and u.max() <= 1
    assert abs(u.mean().item()) < 5 / (3 * 30_000) ** 0.5
    assert u.var().item() == pytest.approx(1 / 3, rel=0.03)
    apart = (mask - corruption) * u  # independent: mean 0, variance c (1 - c) / 3
    assert abs(apart.mean().item()) < 5 * error / 3**0.5


@pytest.mark.parametrize("k", [1, 3])
def test_k_transition_steps_then_one_energy_step_on_the_same_rows(k: int) -> None:
    method, stream = transition(transition_operator_steps=k).float(), Stream(8)
    moves = list(method.round(0, stream, torch.Generator().manual_seed(0)))
    assert [move.player for move in moves] == ["transition"] * k + ["energy"]
    (x,) = stream.taken
    assert all(torch.equal(move.inputs[0], x) for move in moves)
    assert torch.equal(moves[-1].inputs[1], x)
    noises = torch.stack([move.inputs[-1] for move in moves])
    assert len(torch.unique(noises)) == noises.numel()


def test_the_released_code_splits_its_batch() -> None:
    method, stream = transition(transition_objective="released-code").float(), Stream(9)
    moves = list(method.round(0, stream, torch.Generator().manual_seed(0)))
    (x,) = stream.taken
    assert torch.equal(moves[0].inputs[0], x[4:8])
    assert torch.equal(moves[-1].inputs[0], x[:4]) and torch.equal(moves[-1].inputs[1], x[4:8])
    with pytest.raises(ValueError, match="at least 2 rows"):
        next(method.round(0, Stream(1), torch.Generator()))


def test_only_the_mover_is_reached() -> None:
    method = transition()
    value = method.energy_loss(points(6, 1), points(6, 2), *noise(6, 3)).value
    assert reached(value, method.energy) and not reached(value, method.autoencoder)
    assert all(name.startswith("autoencoder.") for name in player(method, "transition"))
    assert all(name.startswith("energy.") for name in player(method, "energy"))


def test_the_energy_meets_the_updated_transition() -> None:
    method, seen = transition(transition_operator_steps=2).float(), []
    weight = next(method.autoencoder.parameters())
    start = weight.detach().clone()
    for move in method.round(0, Stream(8), torch.Generator().manual_seed(0)):
        if move.player == "energy":
            seen.append(weight.detach().clone())
        descend(method, iter([move]), 0.1)
    assert not torch.equal(seen[0], start)


def test_only_a_transition_move_touches_its_batch_statistics() -> None:
    net = dict(width=8, depth=2, code_dim=3, batch_norm=True)
    method = transition(net=net).float()
    moves = list(method.round(0, Stream(8), torch.Generator().manual_seed(0)))
    before = {name: buffer.clone() for name, buffer in method.named_buffers()}
    gradients(method, moves[-1])
    method.chain(torch.zeros(4, 2), 2, torch.Generator().manual_seed(0))
    method.sample(4, torch.Generator().manual_seed(0))
    assert before and all(torch.equal(b, before[n]) for n, b in method.named_buffers())
    gradients(method, moves[0])
    assert not any(torch.equal(b, before[n]) for n, b in method.named_buffers())


def test_chains_are_repeated_transitions() -> None:
    method, x = transition().float(), points(5, 1).float()
    chain = method.chain(x, 3, torch.Generator().manual_seed(4))
    assert chain.shape == (4, 5, 2) and not chain.requires_grad
    assert torch.equal(chain[0], x)
    rng = torch.Generator().manual_seed(4)
    for before, after in itertools.pairwise(chain):
        assert torch.allclose(moved(method, before, *method.noise(before, rng)), after)
    still = transition(latent_corruption_prob=0.0).float()
    chain = still.chain(x, 1, torch.Generator())
    assert torch.allclose(chain[1], still.autoencoder(x))


def test_samples_end_chains_from_noise_or_from_given_rows() -> None:
    method = transition(transitions_per_sample=2).float()
    given = points(3, 1).float()
    x = method.sample(7, torch.Generator().manual_seed(0), given)
    start = given[[0, 1, 2, 0, 1, 2, 0]]
    assert torch.equal(x, method.chain(start, 2, torch.Generator().manual_seed(0))[-1])
    free = method.sample(7, torch.Generator().manual_seed(0))
    rng = torch.Generator().manual_seed(0)
    start = method.autoencoder.decoder(2 * torch.rand(7, 3, generator=rng) - 1)
    assert torch.allclose(free, method.chain(start, 2, rng)[-1])


def test_logs_are_what_they_say() -> None:
    method = transition(transition_objective="released-code")
    x, (mask, u) = points(6, 1), noise(6, 2)
    logs = method.transition_loss(x, mask, u).logs
    x_model = moved(method, x, mask, u)
    assert torch.allclose(logs["energy_model"], method.energy(x_model).mean())
    assert torch.allclose(logs["entropy_model"], surrogate(method.energy, x_model))
    y, t = (method.autoencoder(x) + 4) / 8, (x + 4) / 8
    error = nn.functional.binary_cross_entropy(y, t)
    assert torch.allclose(logs["reconstruction"], error)


def test_capabilities() -> None:
    method = transition()
    assert isinstance(method, HasEnergy) and not isinstance(method, HasLatentTarget)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            {"energy_loss_weight": 1.5},
            r"energy_loss_weight must lie in \[0, 1\]",
        ),
        ({"transition_operator_steps": 0}, "transition_operator_steps must be a whole number"),
        ({"latent_corruption_prob": 2.0}, "latent_corruption_prob is a probability"),
        ({"expert_entropy_weight": -1.0}, "expert_entropy_weight must be finite"),
        ({"transitions_per_sample": 0}, "transitions_per_sample must be a whole number"),
    ],
)
def test_unusable_options(wrong: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        transition(**wrong)


def test_unfit_networks_and_measures() -> None:
    free = DataSpace((2,), "vector")
    autoencoder = build_autoencoder("mlp", free, OPTIONS)
    bounded = build_energy("bounded", free, OPTIONS)
    with pytest.raises(ValueError, match="needs data in a box"):
        TransitionVGAN(bounded, autoencoder, RealSpace((2,)), transition_objective="released-code")
    with pytest.raises(ValueError, match="encoder and decoder"):
        TransitionVGAN(bounded, nn.Linear(2, 2), RealSpace((2,)))
    confined = build_energy("confined", free, OPTIONS)
    with pytest.raises(ValueError, match="expert_entropy_weight 0"):
        TransitionVGAN(confined, autoencoder, RealSpace((2,)))
    method = TransitionVGAN(confined, autoencoder, RealSpace((2,)), expert_entropy_weight=0.0)
    assert method.transition_loss(torch.zeros(4, 2), *(n.float() for n in noise(4, 0))).value > 0
