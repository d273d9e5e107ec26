"""Learning by teaching: who moves when, the committed Adam, the gradient through the unroll, its limits."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gibbsian import data
from gibbsian.config.config import replace
from gibbsian.config.recipes import default_config
from gibbsian.core import DataSpace
from gibbsian.core.measures import Gaussian, RealSpace
from gibbsian.core.protocols import HasEnergy, HasLatentTarget
from gibbsian.evaluation import mode_coverage
from gibbsian.methods.lbt import LearningByTeaching
from gibbsian.models import train as facade
from gibbsian.training import OptimizerOptions
from gibbsian.training.stepper import Stepper
from tests.methods.play import Stream, check_gradient, gradients, player, reached
from tests.nets import build_critic, build_generator, build_student

OPTIONS = dict(width=8, depth=1, activation="tanh", code_dim=3, output_variance=0.5, components=4)
PLANE = DataSpace((2,), "vector")
PRIOR = Gaussian((3,))


def lbt(
    student: str | nn.Module = "vae", generator: nn.Module | None = None, **options: object
) -> LearningByTeaching:
    if isinstance(student, str):
        student = build_student(student, PLANE, OPTIONS)
    generator = generator or build_generator("mlp", PLANE, 3, OPTIONS)
    critic = build_critic("mlp", PLANE, OPTIONS)
    return LearningByTeaching(generator, student, critic, PRIOR, RealSpace((2,)), **options)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def lesson(method: LearningByTeaching, n: int = 8) -> tuple[Tensor, ...]:
    """Inputs of the generator's loss in double precision."""
    k, width = method.unrolled_student_steps, method.noise
    return (
        noise(n, 2, seed=1),
        noise(n, width, seed=2),
        noise(k, n, 3, seed=3),
        noise(k, n, width, seed=4),
        noise(n, 3, seed=5),
    )


def settle(method: LearningByTeaching) -> None:
    """An Adam with a history: moments that are not zero."""
    memory = method.memory
    memory.m.copy_(0.1 * noise(len(memory.m), seed=7))
    memory.v.copy_(noise(len(memory.v), seed=8).square() + 0.01)
    memory.t.fill_(3)


def test_order_of_moves() -> None:
    """n K student moves on fresh samples, one critic move, one generator move; at first no student."""
    method, rng, stream = (
        lbt(unrolled_student_steps=3, student_steps_per_unroll_step=2, gan_warmup_rounds=1),
        torch.Generator().manual_seed(0),
        Stream(8),
    )
    assert [move.player for move in method.round(0, stream, rng)] == ["critic", "generator"]
    moves = list(method.round(1, stream, rng))
    assert [move.player for move in moves] == ["student"] * 6 + ["critic", "generator"]
    drawn = torch.cat([m.inputs[0] for m in moves[:6]] + [moves[6].inputs[1]])
    drawn = torch.cat([drawn, moves[7].inputs[2].flatten(0, 1), moves[7].inputs[4]])
    assert drawn.shape == ((6 + 1 + 3 + 1) * 8, 3) and len(torch.unique(drawn)) == drawn.numel()
    fresh = torch.cat([m.inputs[1] for m in moves[:6]] + [*moves[7].inputs[3], moves[7].inputs[1]])
    assert fresh.shape == ((6 + 3 + 1) * 8, 3) and len(torch.unique(fresh)) == fresh.numel()
    assert len(stream.taken) == 2 and torch.equal(moves[7].inputs[0], stream.taken[1])
    assert all(torch.equal(moves[i].inputs[0], stream.taken[1]) for i in (6, 7))
    for move in moves:
        gradients(method, move)
    alone = [move.player for move in lbt(gan_loss_weight=0.0).round(0, stream, rng)]
    assert alone == ["student"] * 10 + ["generator"]


def test_committed_steps_are_adam_s_at_the_leading_rate() -> None:
    """Through the trainer, against torch's Adam at lead times the rate, to the last digits."""
    method = lbt(
        unrolled_student_steps=3,
        unrolled_student_lr=0.01,
        student_lr_multiplier=3.0,
        adam_eps_inside_root=False,
    ).double()
    twin = build_student("vae", PLANE, OPTIONS).double()
    twin.load_state_dict(method.student.state_dict())
    adam = torch.optim.Adam(twin.parameters(), lr=0.03, betas=(0.5, 0.999), eps=1e-8)
    stepper = Stepper(method, {name: OptimizerOptions("sgd", lr=1.0) for name in method.players})
    for move in method.round(0, Stream(8), torch.Generator().manual_seed(0)):
        if move.player != "student":
            break
        z, eps = (tensor.double() for tensor in move.inputs)
        stepper.step(move._replace(inputs=(z, eps)), 0)
        adam.zero_grad()
        (-twin(method.generator(z).detach(), eps).mean()).backward()
        adam.step()
    assert method.memory.t.item() == 6
    for p, q in zip(method.student.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(p, q, rtol=1e-9, atol=1e-12)


def reference(method: LearningByTeaching, inputs: tuple[Tensor, ...], rate: float) -> Tensor:
    """Du et al.'s unroll and hybrid loss, written with autograd on a list of tensors."""
    x, noise_x, z_k, noise_k, z = inputs
    names, phi = zip(*method.student.named_parameters(), strict=True)
    phi = [p.detach().requires_grad_() for p in phi]
    sizes = [p.numel() for p in phi]
    m, v = (
        [part.view_as(p) for part, p in zip(buffer.split(sizes), phi, strict=True)]
        for buffer in (method.memory.m, method.memory.v)
    )
    t = method.memory.t.item()

    def log_p(at: list[Tensor], x: Tensor, eps: Tensor) -> Tensor:
        call = torch.func.functional_call(
            method.student, dict(zip(names, at, strict=True)), (x, eps)
        )
        return call.mean()

    for z_i, eps in zip(z_k, noise_k, strict=True):
        g = torch.autograd.grad(log_p(phi, method.generator(z_i), eps), phi, create_graph=True)
        m = [0.5 * a + 0.5 * -b for a, b in zip(m, g, strict=True)]
        v = [(0.999 * a + 0.001 * b**2).detach() for a, b in zip(v, g, strict=True)]
        t += 1
        a_t = rate * math.sqrt(1 - 0.999**t) / (1 - 0.5**t)
        phi = [p - a_t * a / (b + 1e-8).sqrt() for p, a, b in zip(phi, m, v, strict=True)]
    f = method.critic(method.generator(z))
    gan = -torch.sigmoid(f).log().mean()
    return method.gan_loss_weight * gan - log_p(phi, x, noise_x)


@pytest.mark.parametrize("student", ["vae", "mixture"])
@pytest.mark.parametrize("segment", [0, 2])
def test_generator_loss_is_the_papers(student: str, segment: int) -> None:
    """Value and gradient, at the rate that is not the committed steps', from the live state of Adam."""
    method = lbt(
        student,
        unrolled_student_steps=4,
        unrolled_student_lr=0.05,
        gan_loss_weight=0.7,
        unroll_gradient_checkpoint_every=segment,
    ).double()
    settle(method)
    inputs = lesson(method)
    loss, truth = method.generator_loss(*inputs), reference(method, inputs, 0.05)
    assert torch.allclose(loss.value, truth, rtol=1e-9, atol=1e-12)
    parameters = list(method.generator.parameters())
    found = torch.autograd.grad(loss.value, parameters)
    for a, b in zip(found, torch.autograd.grad(truth, parameters), strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-10)
    assert loss.logs["log_likelihood"].item() == pytest.approx(
        -(loss.value - method.adversarial_loss(inputs[4]).value).item()
    )


def test_generator_gradient_against_finite_differences() -> None:
    """Where v is so large that it does not change, the gradient stopped in it is no loss."""
    method = lbt(unrolled_student_steps=3, unrolled_student_lr=300.0, gan_loss_weight=0.5).double()
    settle(method)
    method.memory.v.fill_(1e8)
    method.memory.t.fill_(1e6)
    inputs = lesson(method)

    def loss() -> Tensor:
        return method.generator_loss(*inputs).value

    check_gradient(method, "generator", loss, loss)


class Shift(nn.Module):
    """G(z) = theta + z, of the first two latent coordinates; ``severed`` cuts the samples off."""

    def __init__(self, theta: float, severed: bool = False):
        super().__init__()
        self.theta = nn.Parameter(torch.full((2,), theta))
        self.severed = severed

    def forward(self, z: Tensor) -> Tensor:
        x = self.theta + z[:, :2]
        return x.detach() + 0 * x if self.severed else x


class Unit(nn.Module):
    """log N(x; phi, 1), exact."""

    noise = 0

    def __init__(self, phi: float):
        super().__init__()
        self.phi = nn.Parameter(torch.full((2,), phi))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return -0.5 * (x - self.phi).square().sum(1) - math.log(2 * math.pi)


def balanced(method: LearningByTeaching, mu: float) -> tuple[Tensor, ...]:
    """A lesson whose data have mean mu and whose noise has mean 0, exactly."""
    x, *rest = lesson(method)
    z_k = rest[1] - rest[1].mean(1, keepdim=True)
    return x - x.mean(0) + mu, rest[0], z_k, rest[2], rest[3]


def test_severed_samples_teach_nothing() -> None:
    for severed in (True, False):
        method = lbt(Unit(0.3), Shift(1.0, severed), gan_loss_weight=0.0).double()
        value = method.generator_loss(*lesson(method)).value
        (gradient,) = torch.autograd.grad(value, method.generator.theta)
        assert (gradient.abs().max().item() == 0) == severed


def test_nothing_to_teach_where_the_laws_agree() -> None:
    """p_G = p_D and phi = phi*: the gradient is 0; a wrong theta is drawn to the data from either side."""
    for gradient in ("unrolled", "implicit"):
        for theta, sign in ((0.7, 0), (0.2, -1), (1.5, 1)):
            method = lbt(
                Unit(theta), Shift(theta), gan_loss_weight=0.0, hypergradient=gradient
            ).double()
            value = method.generator_loss(*balanced(method, 0.7)).value
            (slope,) = torch.autograd.grad(value, method.generator.theta)
            if sign == 0:
                assert slope.abs().max().item() < 1e-7  # 0.7 is rounded to single precision
            else:
                assert (sign * slope > 1e-6).all()


def test_implicit_gradient_of_a_gaussian_student() -> None:
    """At its optimum phi = theta, H = 1 and C = -1: the slope is theta - mu; damped, (theta - mu) / 1.5."""
    for damping in (0.0, 0.5):
        method = lbt(
            Unit(0.25),
            Shift(0.25),
            gan_loss_weight=0.0,
            hypergradient="implicit",
            hessian_damping=damping,
        ).double()
        value = method.generator_loss(*balanced(method, 1.0)).value
        (slope,) = torch.autograd.grad(value, method.generator.theta)
        assert torch.allclose(
            slope, torch.full_like(slope, -0.75 / (1 + damping)), rtol=1e-9, atol=1e-10
        )


def test_the_mover_alone_is_reached_and_changed() -> None:
    """Also batch statistics, the student's parameters and its Adam."""
    generator = build_generator("mlp", PLANE, 3, dict(width=8, batch_norm=True))
    method = lbt(generator=generator, r1_penalty_weight=0.1)
    for move in method.round(0, Stream(8), torch.Generator().manual_seed(0)):
        before = {name: value.clone() for name, value in method.state_dict().items()}
        gradients(method, move)
        value = move.loss(*move.inputs).value
        for name in method.players:
            assert reached(value, getattr(method, name)) == (
                name == move.player or (move.player, name) == ("generator", "critic")
            )
        changed = {n for n, v in method.state_dict().items() if not torch.equal(v, before[n])}
        assert all(n.startswith("generator.") for n in changed)
        assert bool(changed) == (move.player == "generator")
    assert {n.split(".")[0] for n in player(method, "student")} == {"student"}


def test_critic_loss_and_its_penalty() -> None:
    method = lbt(r1_penalty_weight=0.6).double()
    x, z = noise(8, 2), noise(8, 3, seed=1)
    f, f_model = method.critic(x), method.critic(method.generator(z))
    expected = -torch.sigmoid(f).log().mean() - (1 - torch.sigmoid(f_model)).log().mean()
    x = x.requires_grad_()
    (slope,) = torch.autograd.grad(method.critic(x).sum(), x)
    expected = expected + 0.3 * slope.square().sum(1).mean()
    assert method.critic_loss(x.detach(), z).value.item() == pytest.approx(expected.item())


def test_a_student_of_two_moments_teaches_two_moments() -> None:
    """A single Gaussian as student, alone, on ring8: mean 0, variance 0.51, and not the ring's modes.

    The variance is that of radius 1 and std 0.1: (1 + 0.02) / 2. The tolerances are what 150 rounds
    reach; started at a variance of about 0.04 and no covariance.
    """
    config = replace(
        default_config("lbt", "ring8"),
        training={"rounds": 150, "batch": 64, "device": "cpu", "seed": 1, "ema": 0.9},
        student={"name": "mixture", "components": 1},
        unrolled_student_lr=0.03,
        unrolled_student_steps=2,
        student_steps_per_unroll_step=2,
        gan_loss_weight=0.0,
        generator={"width": 32, "depth": 1},
        generator_optimizer={"lr": 1e-2, "lr_schedule": "cosine", "clip_grad_norm": 0.0},
    )
    model = facade.train_config(replace(config, source={"max_rows": 5_000}), None)
    x = model.sample(10_000)
    modes = data.toy_density("ring8").modes()
    assert x.mean(0).abs().max().item() < 0.1
    assert (torch.cov(x.T).diagonal() - 0.51).abs().max().item() < 0.1
    assert mode_coverage(x, modes.means, modes.std).high_quality < 0.6


def test_capabilities_and_samples() -> None:
    method = lbt()
    assert not isinstance(method, HasEnergy) and not isinstance(method, HasLatentTarget)
    x = method.sample(5, torch.Generator().manual_seed(3))
    assert torch.equal(x, method.generator(PRIOR.sample(5, torch.Generator().manual_seed(3))))
    assert not x.requires_grad


class Own(nn.Module):
    """log N(x; mean, 1) as a user would write it."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return -0.5 * (x - self.mean).square().sum(1)


def test_a_student_of_one_s_own_must_say_how_much_noise_it_takes() -> None:
    config = replace(
        default_config("lbt", "ring8"),
        training={"rounds": 2, "batch": 16, "device": "cpu"},
        unrolled_student_steps=1,
    )
    config = replace(config, source={"max_rows": 100})
    with pytest.raises(ValueError, match=r"the student network.*no attribute 'noise'"):
        facade.train_config(config, None, networks={"student": Own()})
    student = Own()
    student.noise = 0
    method = facade.train_config(config, None, networks={"student": student}).method
    assert method.memory.t.item() == 4


def test_unusable_options() -> None:
    for wrong in (
        {"unrolled_student_steps": 0},
        {"student_steps_per_unroll_step": 0},
        {"unrolled_student_lr": 0.0},
        {"student_lr_multiplier": -1.0},
        {"gan_warmup_rounds": -1},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            lbt(**wrong)
    with pytest.raises(ValueError, match="gan_warmup_rounds train the GAN alone"):
        lbt(gan_loss_weight=0.0, gan_warmup_rounds=3)
    with pytest.raises(ValueError, match="unconditionally"):
        lbt().sample(2, torch.Generator(), given=torch.zeros(2))
