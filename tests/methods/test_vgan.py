"""VGAN against its equations: every term's sign, weight and reach, the surrogate's closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gibbsian.core import DataSpace
from gibbsian.core.measures import Box, Gaussian, RealSpace
from gibbsian.core.protocols import HasEnergy, HasLatentTarget
from gibbsian.methods.experts import entropy_surrogate
from gibbsian.methods.vgan import VGAN
from tests.methods.play import Stream, check_gradient, descend, gradients, player, reached
from tests.nets import build_energy, build_generator

K = 6
OPTIONS = dict(width=8, depth=1, num_experts=K, activation="tanh")
PRIOR = Gaussian((3,))


def vgan(energy: str = "bounded", **options: object) -> VGAN:
    """A small pair on [-4, 4]^2 in float64; the head is widened so that experts differ."""
    space = DataSpace((2,), "vector", (-4.0, 4.0))
    network = build_energy(energy, space, OPTIONS)
    with torch.no_grad():
        network.head.weight.mul_(6)
    generator = build_generator("mlp", space, 3, OPTIONS)
    return VGAN(network, generator, PRIOR, Box((2,), -4.0, 4.0), **options).double()


def noise(n: int, d: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=rng, dtype=torch.float64)


def h(s: Tensor) -> Tensor:
    """Written out: -s log s - (1 - s) log(1 - s)."""
    return -s * s.log() - (1 - s) * (1 - s).log()


def surrogate(energy: nn.Module, x: Tensor) -> Tensor:
    """Equation 9, written out."""
    s = torch.sigmoid(energy.head(energy.trunk(x))).clamp(1e-4, 1 - 1e-4)
    return sum(h(s[:, j].sum() / len(x)) for j in range(s.shape[1]))


@pytest.mark.parametrize("entropy", ["surrogate", "none"])
@pytest.mark.parametrize("energy", ["bounded", "sigmoid"])
def test_generator_descends_energy_minus_surrogate(entropy: str, energy: str) -> None:
    method, z = vgan(energy, generator_entropy=entropy), noise(16, 3, 0)
    weight = 1.0 if entropy == "surrogate" else 0.0

    def truth() -> Tensor:
        x = method.generator(z)
        return method.energy(x).mean() - weight * surrogate(method.energy, x)

    def loss() -> Tensor:
        return method.generator_loss(z).value

    assert torch.allclose(loss(), truth(), atol=1e-12)
    check_gradient(method, "generator", loss, truth)


@pytest.mark.parametrize("regulariser", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("energy", ["bounded", "sigmoid"])
def test_energy_descends_data_minus_samples_minus_regulariser(
    regulariser: float, energy: str
) -> None:
    method, x, z = (
        vgan(energy, expert_entropy_weight=regulariser),
        noise(16, 2, 1),
        noise(16, 3, 2),
    )

    def truth() -> Tensor:
        contrast = method.energy(x).mean() - method.energy(method.generator(z)).mean()
        return contrast - regulariser * surrogate(method.energy, x)

    def loss() -> Tensor:
        return method.energy_loss(x, z).value

    assert torch.allclose(loss(), truth(), atol=1e-12)
    check_gradient(method, "energy", loss, truth)


def test_only_the_mover_is_reached() -> None:
    method = vgan()
    value = method.energy_loss(noise(8, 2, 1), noise(8, 3, 2)).value
    assert reached(value, method.energy)
    assert not reached(value, method.generator)
    assert reached(method.generator_loss(noise(8, 3, 2)).value, method.generator)
    assert set(method.players) == {"generator", "energy"}
    assert all(n.startswith("energy.") for n in player(method, "energy"))
    assert all(n.startswith("generator.") for n in player(method, "generator"))


def test_logs_are_what_they_say() -> None:
    method, x, z = vgan(), noise(16, 2, 1), noise(16, 3, 2)
    x_model = method.generator(z)
    logs = method.energy_loss(x, z).logs
    assert torch.allclose(logs["energy_data"], method.energy(x).mean())
    assert torch.allclose(logs["energy_model"], method.energy(x_model).mean())
    assert torch.allclose(logs["entropy_data"], surrogate(method.energy, x))
    logs = method.generator_loss(z).logs
    assert torch.allclose(logs["energy_model"], method.energy(x_model).mean())
    assert torch.allclose(logs["entropy_model"], surrogate(method.energy, x_model))


@pytest.mark.parametrize("spread", [0.1, 1.0, 30.0])
def test_mean_energy_surrogate_and_ceiling_are_ordered(spread: float) -> None:
    """0 <= mean E <= H~ <= K ln 2, from flat to saturated experts (A corollary of concavity of h)."""
    s = torch.sigmoid(spread * noise(32, K, 3)).clamp(1e-4, 1 - 1e-4)
    mean_energy = h(s).sum(1).mean()
    assert 0 <= mean_energy <= entropy_surrogate(s) <= K * math.log(2) + 1e-12


def test_surrogate_minus_energy_is_information_about_the_sample() -> None:
    """H~ - mean E = sum_j KL(p(i, s_j) || p(i) p(s_j)), i the sample's index, by enumeration."""
    s = torch.sigmoid(2 * noise(5, K, 4))
    n = len(s)
    joint = torch.stack([s, 1 - s], 2) / n
    independent = joint.sum(0, keepdim=True) / n
    information = (joint * (joint / independent).log()).sum()
    gap = entropy_surrogate(s) - h(s).sum(1).mean()
    assert torch.allclose(gap, information, atol=1e-12)


def test_two_complementary_points_attain_the_optimum() -> None:
    """H~ = K ln 2 and mean E at the clip's floor: severe mode loss is not excluded."""
    code = torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    s = torch.stack([code, 1 - code]).clamp(1e-4, 1 - 1e-4)
    assert entropy_surrogate(s).item() == pytest.approx(K * math.log(2), abs=1e-12)
    assert h(s).sum(1).mean().item() == pytest.approx(K * 1.02e-3, rel=1e-2)


class OddExperts(nn.Module):
    """Experts sigmoid(w_j . x), w_j on half a circle: opposite points have complementary codes."""

    def __init__(self) -> None:
        super().__init__()
        angles = torch.arange(K, dtype=torch.float64) * math.pi / K + 0.2
        self.W = nn.Parameter(torch.stack([angles.cos(), angles.sin()]))

    def experts(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x @ self.W).clamp(1e-4, 1 - 1e-4)

    def energy_from_experts(self, s: Tensor) -> Tensor:
        return h(s).sum(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.energy_from_experts(self.experts(x))


class TwoPoints(nn.Module):
    """A generator that has collapsed: one of two points, by the sign of the first latent number."""

    def __init__(self) -> None:
        super().__init__()
        self.points = nn.Parameter(torch.tensor([[0.3, 0.1], [0.2, -0.4]], dtype=torch.float64))

    def forward(self, z: Tensor) -> Tensor:
        return self.points[(z[:, 0] > 0).long()]


def test_a_generator_of_two_points_descends_to_the_best_loss_there_is() -> None:
    """Two points reach -K (ln 2 - h(1e-4)), below which no generator's loss can be."""
    method = VGAN(OddExperts(), TwoPoints(), PRIOR, Box((2,), -100.0, 100.0))
    z = torch.tensor([[-1.0, 0, 0], [1.0, 0, 0]], dtype=torch.float64)
    best = -K * (math.log(2) - h(torch.tensor(1e-4, dtype=torch.float64)).item())
    assert method.generator_loss(z).value.item() > 0.5 * best
    adam = torch.optim.Adam(method.generator.parameters(), 2.0)
    for _ in range(300):
        adam.zero_grad()
        method.generator_loss(z).value.backward()
        adam.step()
    assert method.generator_loss(z).value.item() == pytest.approx(best, abs=1e-3)
    a, b = method.generator.points.detach()
    assert torch.cosine_similarity(a, b, dim=0) < -0.5


def test_without_entropy_the_game_is_homogeneous_in_the_energy() -> None:
    """Both losses double with the energy, so nothing fixes its scale."""
    method = vgan("sigmoid", generator_entropy="none", expert_entropy_weight=0.0)
    x, z = noise(8, 2, 1), noise(8, 3, 2)
    before = [method.energy_loss(x, z).value, method.generator_loss(z).value]
    energy = method.energy
    method.energy = Doubled(energy)
    after = [method.energy_loss(x, z).value, method.generator_loss(z).value]
    assert torch.allclose(torch.stack(after), 2 * torch.stack(before), atol=1e-12)


class Doubled(nn.Module):
    def __init__(self, energy: nn.Module):
        super().__init__()
        self.inner = energy

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.inner(x)


@pytest.mark.parametrize("k", [1, 3])
def test_k_generator_steps_then_one_energy_step(k: int) -> None:
    """Algorithm 1: one batch a round, fresh noise for every move, as many rows as the batch."""
    method, stream = vgan(generator_steps=k).float(), Stream(8)
    for index in range(2):
        moves = list(method.round(index, stream, torch.Generator().manual_seed(index)))
        assert [move.player for move in moves] == ["generator"] * k + ["energy"]
        assert len(stream.taken) == index + 1
        assert torch.equal(moves[-1].inputs[0], stream.taken[index])
        noises = torch.stack([move.inputs[-1] for move in moves])
        assert noises.shape == (k + 1, 8, 3)
        assert len(torch.unique(noises)) == noises.numel()


def test_the_energy_meets_the_updated_generator() -> None:
    """The energy's move is evaluated after the generator's steps of the same round."""
    method = vgan(generator_steps=2).float()
    start = method.generator.layers[0].weight.detach().clone()
    seen = []
    for move in method.round(0, Stream(8), torch.Generator().manual_seed(0)):
        if move.player == "energy":
            seen.append(method.generator.layers[0].weight.detach().clone())
        descend(method, iter([move]), 0.1)
    assert not torch.equal(seen[0], start)


def test_energy_move_leaves_batch_statistics_alone() -> None:
    options = dict(width=8, batch_norm=True, num_experts=K)
    space = DataSpace((2,), "vector", (-4.0, 4.0))
    generator = build_generator("mlp", space, 3, options)
    energy = build_energy("bounded", space, options)
    method = VGAN(energy, generator, PRIOR, Box((2,), -4.0, 4.0))
    moves = list(method.round(0, Stream(8), torch.Generator().manual_seed(0)))
    buffers = {name: b.clone() for name, b in method.named_buffers()}
    gradients(method, moves[-1])
    method.sample(5, torch.Generator().manual_seed(0))
    assert all(torch.equal(b, buffers[name]) for name, b in method.named_buffers())
    gradients(method, moves[0])
    assert not all(torch.equal(b, buffers[name]) for name, b in method.named_buffers())


def test_sample_is_the_generator_at_the_prior() -> None:
    method = vgan().float()
    x = method.sample(7, torch.Generator().manual_seed(3))
    z = PRIOR.sample(7, torch.Generator().manual_seed(3))
    assert torch.equal(x, method.generator(z))
    assert not x.requires_grad
    with pytest.raises(ValueError, match="unconditionally"):
        method.sample(2, torch.Generator(), given=torch.zeros(2))


def test_capabilities() -> None:
    method = vgan()
    assert isinstance(method, HasEnergy)
    assert isinstance(method, HasLatentTarget)
    assert method.latent_target == "energy"


def test_unusable_options() -> None:
    plane = DataSpace((2,), "vector")
    energy = build_energy("confined", plane, OPTIONS)
    generator = build_generator("mlp", plane, 3, OPTIONS)
    with pytest.raises(ValueError, match="use the bounded energy"):
        VGAN(energy, generator, PRIOR, RealSpace((2,)))
    with pytest.raises(ValueError, match="expert_entropy_weight 0"):
        VGAN(energy, generator, PRIOR, RealSpace((2,)), generator_entropy="none")
    VGAN(
        energy,
        generator,
        PRIOR,
        RealSpace((2,)),
        generator_entropy="none",
        expert_entropy_weight=0.0,
    )
    with pytest.raises(ValueError, match="generator_steps must be a whole number"):
        vgan(generator_steps=0)
    with pytest.raises(ValueError, match="expert_entropy_weight must be finite"):
        vgan(expert_entropy_weight=-1.0)
    with pytest.raises(ValueError, match="one number per row"):
        wrong = VGAN(
            Column(),
            generator,
            PRIOR,
            RealSpace((2,)),
            generator_entropy="none",
            expert_entropy_weight=0.0,
        )
        wrong.energy_loss(torch.zeros(4, 2), torch.zeros(4, 3))


class Column(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1]
