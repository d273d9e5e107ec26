"""The adversarial losses against the papers' formulas, their penalties, and who moves when."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gibbsian.core import DataSpace
from gibbsian.core.measures import Gaussian, Undefined
from gibbsian.core.protocols import HasEnergy, HasLatentTarget
from gibbsian.methods.gan import GAN, pack
from tests.methods.play import Stream, check_gradient, gradients, player, reached
from tests.nets import build_critic, build_energy, build_generator

LOSSES = ["minimax", "non-saturating", "wasserstein"]
OPTIONS = dict(width=8, depth=1, activation="tanh")
PLANE = DataSpace((2,), "vector")
PRIOR = Gaussian((3,))
NOWHERE = Undefined((2,), "a critic is not an energy of x")


def gan(critic: nn.Module | None = None, **options: object) -> GAN:
    critic = critic or build_energy("mlp", PLANE, OPTIONS)
    generator = build_generator("mlp", PLANE, 3, OPTIONS)
    return GAN(critic, generator, PRIOR, NOWHERE, **options).double()


def noise(n: int, d: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=rng, dtype=torch.float64)


def mixture(n: int) -> Tensor:
    return torch.linspace(0.05, 0.95, n, dtype=torch.float64)


def critic_truth(method: GAN, loss: str, x: Tensor, z: Tensor) -> Tensor:
    """The critic's loss as the papers write it."""
    f, f_model = method.critic(x), method.critic(method.generator(z))
    if loss == "wasserstein":
        return -(f.mean() - f_model.mean())
    return -torch.sigmoid(f).log().mean() - (1 - torch.sigmoid(f_model)).log().mean()


def generator_truth(method: GAN, loss: str, z: Tensor) -> Tensor:
    """The generator's loss as the papers write it."""
    f_model = method.critic(method.generator(z))
    if loss == "wasserstein":
        return -f_model.mean()
    if loss == "minimax":
        return (1 - torch.sigmoid(f_model)).log().mean()
    return -torch.sigmoid(f_model).log().mean()


@pytest.mark.parametrize("loss", LOSSES)
def test_critic_loss(loss: str) -> None:
    method = gan(loss=loss, gradient_penalty_weight=0.0)
    x, z, mix = noise(16, 2, 0), noise(16, 3, 1), mixture(16)

    def truth() -> Tensor:
        return critic_truth(method, loss, x, z)

    def value() -> Tensor:
        return method.critic_loss(x, z, mix).value

    assert torch.allclose(value(), truth(), rtol=1e-9, atol=1e-12)
    check_gradient(method, "critic", value, truth)


@pytest.mark.parametrize("loss", LOSSES)
def test_generator_loss(loss: str) -> None:
    method, z = gan(loss=loss), noise(16, 3, 1)

    def truth() -> Tensor:
        return generator_truth(method, loss, z)

    def value() -> Tensor:
        return method.generator_loss(z).value

    assert torch.allclose(value(), truth(), rtol=1e-9, atol=1e-12)
    check_gradient(method, "generator", value, truth)


def test_minimax_and_non_saturating_pull_the_same_way() -> None:
    """Both raise f at the samples; the non-saturating one more strongly where the critic wins."""
    f = torch.tensor([-4.0, 0.0, 3.0], dtype=torch.float64, requires_grad=True)
    slopes = {}
    for loss in ("minimax", "non-saturating"):
        value = gan(loss=loss).game.generator(f)
        slopes[loss] = torch.autograd.grad(value, f)[0]
        assert (slopes[loss] < 0).all()
    assert slopes["non-saturating"][0].abs() > 10 * slopes["minimax"][0].abs()


@pytest.mark.parametrize("loss", LOSSES)
def test_only_the_mover_is_reached(loss: str) -> None:
    method = gan(loss=loss, r1_penalty_weight=1.0)
    value = method.critic_loss(noise(8, 2, 0), noise(8, 3, 1), mixture(8)).value
    assert reached(value, method.critic)
    assert not reached(value, method.generator)
    assert reached(method.generator_loss(noise(8, 3, 1)).value, method.generator)
    assert all(n.startswith("critic.") for n in player(method, "critic"))
    assert all(n.startswith("generator.") for n in player(method, "generator"))


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([3.0, 4.0]))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.w


@pytest.mark.parametrize("weight", [0.0, 1.0, 10.0])
def test_wasserstein_penalty_of_a_linear_critic(weight: float) -> None:
    """f = w . x with |w| = 5 pays weight (5 - 1)^2 and its gradient gains 2 weight 4 w / 5."""
    method = gan(Linear(), loss="wasserstein", gradient_penalty_weight=weight)
    x, z, mix = noise(16, 2, 0), noise(16, 3, 1), mixture(16)
    loss = method.critic_loss(x, z, mix)
    bare = critic_truth(method, "wasserstein", x, z)
    assert torch.allclose(loss.value, bare + weight * 16, rtol=1e-9, atol=1e-10)
    w = method.critic.w
    (gradient,) = torch.autograd.grad(loss.value, w)
    (bare_gradient,) = torch.autograd.grad(bare, w)
    assert torch.allclose(gradient, bare_gradient + 8 * weight * w / 5, rtol=1e-9, atol=1e-10)
    if weight > 0:
        assert loss.logs["penalty"].item() == pytest.approx(16)


class Quadratic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * self.a * x.square().sum(1)


def test_wasserstein_penalty_lies_between_data_and_samples() -> None:
    """f = a |x|^2 / 2 has gradient norm a |x|, which tells where the penalty was taken."""
    method = gan(Quadratic(), loss="wasserstein", gradient_penalty_weight=1.0)
    x, z, mix = noise(16, 2, 0), noise(16, 3, 1), mixture(16)
    points = mix[:, None] * x + (1 - mix)[:, None] * method.generator(z)
    expected = (1.5 * points.norm(dim=1) - 1).square().mean()
    assert method.critic_loss(x, z, mix).logs["penalty"].item() == pytest.approx(expected.item())


@pytest.mark.parametrize("loss", LOSSES)
def test_r1_is_taken_at_the_data(loss: str) -> None:
    """r1 / 2 mean |a x|^2 is added for the quadratic critic, whatever the loss."""
    x, z, mix = noise(16, 2, 0), noise(16, 3, 1), mixture(16)
    torch.manual_seed(0)
    plain = gan(Quadratic(), loss=loss)
    torch.manual_seed(0)
    smooth = gan(Quadratic(), loss=loss, r1_penalty_weight=0.6)
    gap = smooth.critic_loss(x, z, mix).value - plain.critic_loss(x, z, mix).value
    expected = 0.3 * (1.5 * x).square().sum(1).mean()
    assert gap.item() == pytest.approx(expected.item())


def test_logit_games_have_no_wasserstein_penalty() -> None:
    method = gan(Quadratic(), loss="minimax", gradient_penalty_weight=10.0)
    x, z = noise(16, 2, 0), noise(16, 3, 1)
    loss = method.critic_loss(x, z, mixture(16))
    assert torch.allclose(loss.value, critic_truth(method, "minimax", x, z))
    assert "penalty" not in loss.logs


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("loss", LOSSES)
def test_critic_steps_then_one_generator_step(steps: int, loss: str) -> None:
    """Each critic step sees a fresh batch, fresh noise and fresh mixing weights in [0, 1]."""
    method, stream = gan(loss=loss, critic_steps=steps).float(), Stream(8)
    moves = list(method.round(0, stream, torch.Generator().manual_seed(0)))
    assert [move.player for move in moves] == ["critic"] * steps + ["generator"]
    assert len(stream.taken) == steps
    for move, x in zip(moves, stream.taken, strict=False):
        assert torch.equal(move.inputs[0], x)
        assert move.inputs[2].shape == (8,)
        assert 0 <= move.inputs[2].min() < move.inputs[2].max() <= 1
    noises = torch.stack([m.inputs[1] for m in moves[:-1]] + [moves[-1].inputs[0]])
    assert noises.shape == (steps + 1, 8, 3)
    assert len(torch.unique(noises)) == noises.numel()
    for move in moves:
        gradients(method, move)


def test_energy_is_minus_the_critic() -> None:
    method, x = gan(), noise(6, 2, 0)
    assert torch.equal(method.energy(x), -method.critic(x))
    method = gan(Column())
    with pytest.raises(ValueError, match="one number per row"):
        method.energy(x)


def test_a_perfect_critic_tilts_the_generator_to_the_data() -> None:
    """Data N(1, 1), samples N(0, 1): log-ratio f = x - 1/2 is stationary for the cross-entropy.

    p_G exp(-E) = N(x; 0, 1) exp(x - 1/2) = N(x; 1, 1), so E = -f has the right sign. The expected
    derivative of the loss in each coefficient of f = a x + b is 0 at a = 1, b = -1/2; 2e5 draws give
    standard errors below 0.002, the bound of 0.009 is 4.5 of them (false alarm 1e-5).
    """
    a = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    b = torch.tensor(-0.5, dtype=torch.float64, requires_grad=True)
    x, x_model = noise(200_000, 1, 0) + 1, noise(200_000, 1, 1)
    value = gan(loss="non-saturating").game.critic(a * x + b, a * x_model + b)
    for slope in torch.autograd.grad(value, (a, b)):
        assert abs(slope.item()) < 0.009


@pytest.mark.parametrize("loss", LOSSES)
def test_capabilities(loss: str) -> None:
    """Only a logit is a log-ratio: a Wasserstein critic has no latent target."""
    method = gan(loss=loss)
    assert isinstance(method, HasEnergy)
    assert isinstance(method, HasLatentTarget) == (loss != "wasserstein")
    if loss != "wasserstein":
        assert method.latent_target == "tilted"


def test_critic_move_and_sampling_leave_batch_statistics_alone() -> None:
    generator = build_generator("mlp", PLANE, 3, dict(width=8, batch_norm=True))
    method = GAN(build_energy("mlp", PLANE, OPTIONS), generator, PRIOR, NOWHERE)
    moves = list(method.round(0, Stream(8), torch.Generator().manual_seed(0)))
    buffers = {name: b.clone() for name, b in method.named_buffers()}
    gradients(method, moves[0])
    x = method.sample(5, torch.Generator().manual_seed(3))
    assert all(torch.equal(b, buffers[name]) for name, b in method.named_buffers())
    assert torch.equal(x, generator(PRIOR.sample(5, torch.Generator().manual_seed(3))))
    assert not x.requires_grad
    gradients(method, moves[-1])
    assert not all(torch.equal(b, buffers[name]) for name, b in method.named_buffers())


def test_a_batch_normalised_critic_stays_still_while_the_generator_moves() -> None:
    options = dict(width=8, depth=2, batch_norm=True)
    method = gan(build_critic("mlp", PLANE, options)).float()
    moves = list(method.round(0, Stream(8), torch.Generator().manual_seed(0)))
    buffers = {name: b.clone() for name, b in method.critic.named_buffers()}
    assert buffers
    gradients(method, moves[-1])
    assert all(torch.equal(b, buffers[name]) for name, b in method.critic.named_buffers())
    gradients(method, moves[0])
    assert not all(torch.equal(b, buffers[name]) for name, b in method.critic.named_buffers())


def test_batch_normalisation_is_refused_in_what_is_unrolled() -> None:
    options = dict(width=8, depth=2, batch_norm=True)
    with pytest.raises(ValueError, match="may hold no batch normalisation"):
        gan(build_critic("mlp", PLANE, options), unrolled_critic_steps=1)


def test_unusable_options() -> None:
    with pytest.raises(ValueError, match="critic_steps must be a whole number"):
        gan(critic_steps=0)
    with pytest.raises(ValueError, match="gradient_penalty_weight must be finite"):
        gan(gradient_penalty_weight=-1.0)
    with pytest.raises(ValueError, match="r1_penalty_weight must be finite"):
        gan(r1_penalty_weight=float("nan"))
    with pytest.raises(ValueError, match="unconditionally"):
        gan().sample(2, torch.Generator(), given=torch.zeros(2))


class Column(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1]


def test_packing_joins_rows_of_one_kind_in_order() -> None:
    x = torch.arange(14.0).view(7, 2)
    expected = torch.tensor([[0.0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]])
    assert torch.equal(pack(x, 3), expected)
    images = noise(4, 3 * 5 * 5, 0).view(4, 3, 5, 5)
    packed = pack(images, 2)
    assert packed.shape == (2, 6, 5, 5) and torch.equal(packed[1], torch.cat(list(images[2:])))
    with pytest.raises(ValueError, match="at least 3 observations, not 2"):
        pack(x[:2], 3)


def packed(m: int, **options: object) -> GAN:
    return gan(build_energy("mlp", DataSpace((2 * m,), "vector"), OPTIONS), packing=m, **options)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_packed_game_is_the_game_on_groups(loss: str) -> None:
    """Losses and penalties of the critic on joined rows; fresh mixing weights, one per group."""
    method, x, z = (
        packed(3, loss=loss, r1_penalty_weight=0.5, gradient_penalty_weight=2.0),
        noise(12, 2, 0),
        noise(12, 3, 1),
    )
    twin = gan(method.critic, loss=loss, r1_penalty_weight=0.5, gradient_penalty_weight=2.0)
    joined = method.generator(z).view(4, 6)
    expected = twin.contest(method.critic, x.view(4, 6), joined, mixture(4)).value
    assert method.critic_loss(x, z, mixture(4)).value.item() == pytest.approx(expected.item())
    expected = method.game.generator(method.critic(joined))
    assert method.generator_loss(z).value.item() == pytest.approx(expected.item())
    moves = list(method.float().round(0, Stream(10), torch.Generator().manual_seed(0)))
    assert moves[0].inputs[2].shape == (3,)
    for move in moves:
        gradients(method, move)


def test_energy_of_a_packed_critic_is_the_log_ratio_of_one() -> None:
    """For the optimal critic sum_i r(x_i) the energy must be -r(x), whatever m."""

    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.tensor([3.0, 4.0]))

        def forward(self, x: Tensor) -> Tensor:
            return (x.unflatten(1, (-1, 2)) @ self.w).sum(1)

    x = noise(5, 2, 0)
    for m in (1, 2, 4):
        method = gan(Sum(), packing=m)
        assert torch.allclose(method.energy(x), -x @ method.critic.w, rtol=1e-9, atol=1e-12)
        assert isinstance(method, HasLatentTarget)


def test_unrolled_generator_loss_is_that_of_metz() -> None:
    """Against Adam written out with autograd, from the live moments, v constant, data and noise the same."""
    method = gan(unrolled_critic_steps=3, unrolled_critic_lr=0.05, r1_penalty_weight=0.3)
    memory = method.memory
    memory.m.copy_(0.1 * noise(len(memory.m), 1, 2).squeeze(1))
    memory.v.copy_(noise(len(memory.v), 1, 3).squeeze(1).square() + 0.01)
    memory.t.fill_(3)
    x, z, mix = noise(8, 2, 0), noise(8, 3, 1), mixture(8)
    names, phi = zip(*method.critic.named_parameters(), strict=True)
    phi = [p.detach().requires_grad_() for p in phi]
    sizes = [p.numel() for p in phi]
    m, v = (
        [part.view_as(p) for part, p in zip(buffer.split(sizes), phi, strict=True)]
        for buffer in (memory.m, memory.v)
    )
    x_model = method.generator(z)

    def f(at: list[Tensor], x: Tensor) -> Tensor:
        call = dict(zip(names, at, strict=True))
        return torch.func.functional_call(method.critic, call, (x,))

    for t in (4, 5, 6):
        points = x.clone().requires_grad_()  # anew: phi depends on the points of the step before
        objective = -torch.sigmoid(f(phi, x)).log().mean()
        objective = objective - (1 - torch.sigmoid(f(phi, x_model))).log().mean()
        (slope,) = torch.autograd.grad(f(phi, points).sum(), points, create_graph=True)
        objective = objective + 0.15 * slope.square().sum(1).mean()
        g = torch.autograd.grad(objective, phi, create_graph=True)
        m = [0.5 * a + 0.5 * b for a, b in zip(m, g, strict=True)]
        v = [(0.999 * a + 0.001 * b**2).detach() for a, b in zip(v, g, strict=True)]
        roots = [(b / (1 - 0.999**t)).sqrt() + 1e-8 for b in v]
        phi = [p - 0.05 / (1 - 0.5**t) * a / b for p, a, b in zip(phi, m, roots, strict=True)]
    truth = -torch.sigmoid(f(phi, x_model)).log().mean()
    value = method.unrolled_loss(x, z, mix).value
    assert torch.allclose(value, truth, rtol=1e-11, atol=0)
    parameters = list(method.generator.parameters())
    found = torch.autograd.grad(value, parameters)
    for a, b in zip(found, torch.autograd.grad(truth, parameters), strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-10)


def test_unrolled_game_watches_the_critic_and_changes_nothing_else() -> None:
    """The critic's own gradients pass through; its moments are those of Adam after two steps."""
    method, rng = (
        gan(unrolled_critic_steps=2, critic_steps=2).float(),
        torch.Generator().manual_seed(0),
    )
    rounds = method.round(0, Stream(8), rng)
    adam = torch.optim.Adam(method.critic.parameters(), lr=0.0, betas=(0.5, 0.999))
    for _ in range(2):
        move = next(rounds)
        found = gradients(method, move)
        assert move.transform is not None
        passed = move.transform(found)
        for (name, p), g in zip(player(method, "critic").items(), found.values(), strict=True):
            assert passed[name] is found[name]
            p.grad = g
        adam.step()
    for key, buffer in (("exp_avg", method.memory.m), ("exp_avg_sq", method.memory.v)):
        moments = [adam.state[p][key].flatten() for p in method.critic.parameters()]
        assert torch.allclose(torch.cat(moments), buffer, atol=1e-7)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    move = next(rounds)
    assert move.player == "generator" and move.loss == method.unrolled_loss
    gradients(method, move)
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
    assert gan().float().state_dict().keys() == {k for k in before if not k.startswith("memory")}


def test_a_critic_that_sees_its_batch_has_no_latent_target() -> None:
    critic = build_critic("minibatch", PLANE, OPTIONS)
    method = gan(critic)
    assert not isinstance(method, HasLatentTarget)
    for move in method.float().round(0, Stream(8), torch.Generator().manual_seed(0)):
        gradients(method, move)
