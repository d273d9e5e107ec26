"""Unrolled learners against closed forms, the sensitivity recursion, torch's Adam and exact limits."""

from __future__ import annotations

from typing import Any, ClassVar
from weakref import WeakSet

import pytest
import torch
from torch import Tensor, nn
from torch.func import grad, hessian, jacrev

from gibbsian.methods.unrolled import (
    SGD,
    Adam,
    AdamMemory,
    Optimizer,
    call_at,
    conjugate_gradients,
    implicit,
    parameters_of,
    trained,
    unroll,
)

OPTIMIZERS = [SGD(0.1), Adam(0.1), Adam(0.1, adam_eps_inside_root=False)]


def noise(*shape: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def gaussian_nll(phi: Tensor, x: Tensor) -> Tensor:
    """-mean log N(x; phi, 1) up to a constant; ``phi [1]``, ``x [B]``."""
    return 0.5 * (x - phi).square().mean()


def curved(phi: Tensor, x: Tensor) -> Tensor:
    """An objective with third derivatives everywhere; ``phi [3]``, ``x [B, 3]``."""
    return (torch.cosh(x - phi).sum(1) + 0.1 * (x * phi).sum(1).square()).mean()


@pytest.mark.parametrize("segment", [0, 1, 2])
@pytest.mark.parametrize("K", [1, 2, 5, 20])
def test_linear_gaussian(K: int, segment: int) -> None:
    """G = theta + z, M = N(phi, 1): phi_K = theta + (1 - eta)^K (phi_0 - theta), all in closed form."""
    eta, mu = 0.3, 0.7
    theta = torch.tensor([1.5], dtype=torch.float64, requires_grad=True)
    phi_0 = torch.tensor([-0.4], dtype=torch.float64)
    z = noise(K, 64)
    z = z - z.mean(1, keepdim=True)
    phi_K, _ = unroll(gaussian_nll, SGD(eta), phi_0, (), [(theta + z_k,) for z_k in z], segment)
    shrink = (1 - eta) ** K
    assert (phi_K - (theta + shrink * (phi_0 - theta))).abs().item() < 1e-12
    (slope,) = torch.autograd.grad(phi_K.sum(), theta, retain_graph=True)
    assert abs(slope.item() - (1 - shrink)) < 1e-12
    (outer,) = torch.autograd.grad(-0.5 * (mu - phi_K).square().sum(), theta)
    assert abs(outer.item() - (mu - phi_K.item()) * (1 - shrink)) < 1e-8


def test_no_step_no_gradient() -> None:
    theta = torch.ones(1, dtype=torch.float64, requires_grad=True)
    phi, state = unroll(gaussian_nll, Adam(0.1), noise(1), Adam(0.1).start(noise(1)), [])
    assert len(state) == 3
    value = (0.3 - phi).square().sum()
    found = torch.autograd.grad(value + 0 * theta.sum(), theta)
    assert torch.equal(phi, noise(1)) and found[0].item() == 0


@pytest.mark.parametrize("segment", [0, 2])
def test_sensitivity_recursion(segment: int) -> None:
    """J_{k+1} = (I - eta H_k) J_k - eta C_k, with H and C the objective's second derivatives."""
    eta, K = 0.05, 6
    theta = noise(3, seed=1).requires_grad_()
    z = noise(K, 16, 3, seed=2)
    phi = noise(3, seed=3)
    phi_K, _ = unroll(curved, SGD(eta), phi, (), [(theta * z_k,) for z_k in z], segment)
    J = torch.zeros(3, 3, dtype=torch.float64)
    for z_k in z:

        def slope(t: Tensor, at: Tensor = phi, z_k: Tensor = z_k) -> Tensor:
            return grad(curved)(at, t * z_k)

        H = hessian(curved)(phi, (theta * z_k).detach())
        J = J - eta * (H @ J + jacrev(slope)(theta.detach()))
        phi = phi - eta * slope(theta.detach())
    assert torch.allclose(phi, phi_K, rtol=1e-9, atol=1e-14)
    rows = [torch.autograd.grad(phi_K[i], theta, retain_graph=True)[0] for i in range(3)]
    assert torch.allclose(torch.stack(rows), J, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("betas", [(0.5, 0.999), (0.9, 0.99)])
def test_adam_is_torch_s(betas: tuple[float, float]) -> None:
    """Over 50 steps, from gradients of very different sizes, to 1e-12."""
    start = noise(8)
    twin = nn.Parameter(start.clone())
    reference = torch.optim.Adam([twin], lr=0.02, betas=betas, eps=1e-8)
    adam = Adam(0.02, betas, adam_eps_inside_root=False)
    scale = torch.logspace(-10, 2, 8, dtype=torch.float64)
    phi, state = start, adam.start(start)
    for k in range(50):
        g = scale * noise(8, seed=k)
        phi, *state = adam.step(g, phi, *state)
        twin.grad = g
        reference.step()
    assert (phi - twin).abs().max().item() < 1e-12
    assert state[2].item() == 50


def test_epsilon_inside_the_root_shortens_steps_of_small_gradients() -> None:
    """The first step of rate 1 at |g| = 1e-4: v = 1e-3 g^2, sqrt(1e-3) g / sqrt(v + eps) = 0.0316."""
    g, phi = torch.full((1,), 1e-4, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    for inside, expected in ((True, 1e-3**0.5 * 1e-4 / (1e-11 + 1e-8) ** 0.5), (False, 1.0)):
        adam = Adam(1.0, adam_eps_inside_root=inside)
        self_optimized = adam.step(g, phi, *adam.start(phi))[0]
        assert self_optimized.item() == pytest.approx(-expected, rel=1e-3)


def test_the_bias_of_single_precision_is_removed_exactly() -> None:
    """At the first step 1 - b2 must have all of float32's digits: the step is then exactly the rate."""
    adam = Adam(1.0, (0.9, 0.999), eps=0.0)
    g = torch.tensor([0.3, -2.0])
    self_optimized = adam.step(g, torch.zeros(2), *adam.start(torch.zeros(2)))[0]
    assert (self_optimized + g.sign()).abs().max().item() < 1e-6


@pytest.mark.parametrize("inside", [True, False])
def test_gradient_flows_through_m_and_not_through_v(inside: bool) -> None:
    """Against a twin whose v is a given constant; v must have no gradient, g and m must have one."""
    adam = Adam(0.1, adam_eps_inside_root=inside)
    g, m, phi = (noise(4, seed=s).requires_grad_() for s in range(3))
    v, t = noise(4, seed=4).square().requires_grad_(), torch.tensor(3.0, dtype=torch.float64)
    weights = noise(4, seed=5)
    new, _, v_new, t_new = adam.step(g, phi, m, v, t)
    assert not v_new.requires_grad and t_new.item() == 4
    found = torch.autograd.grad((weights * new).sum(), (g, m, phi))
    b1, b2 = 1 - 0.5**4, 1 - 0.999**4
    root = (v_new + 1e-8).sqrt() / b2**0.5 if inside else v_new.sqrt() / b2**0.5 + 1e-8
    slope = -0.1 / b1 * weights / root
    for value, truth in zip(found, (0.5 * slope, 0.5 * slope, weights), strict=True):
        assert torch.allclose(value, truth, rtol=1e-9, atol=1e-12)
    assert torch.autograd.grad(new.sum(), v, allow_unused=True) == (None,)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_recomputed_segments_change_no_gradient(optimizer: Optimizer) -> None:
    """Also through the state, and for segments that do not divide K."""
    z, start = noise(5, 8, 3, seed=2), noise(3, seed=3)
    found = []
    for segment in (0, 1, 2, 7):
        theta = noise(3, seed=1).requires_grad_()
        inputs = [(theta * z_k,) for z_k in z]
        phi, state = unroll(curved, optimizer, start, optimizer.start(start), inputs, segment)
        value = phi.square().sum() + sum(m.sum() for m in state[:1])
        found.append((value.detach(), torch.autograd.grad(value, theta)[0]))
    for value, gradient in found[1:]:
        assert torch.allclose(value, found[0][0], rtol=1e-9, atol=1e-14)
        assert torch.allclose(gradient, found[0][1], rtol=1e-9, atol=1e-14)


def test_detached_inputs_carry_nothing() -> None:
    theta = noise(3, seed=1).requires_grad_()
    inputs = [((theta * z_k).detach(),) for z_k in noise(4, 8, 3)]
    phi, _ = unroll(curved, SGD(0.1), noise(3), (), inputs)
    assert torch.autograd.grad(phi.sum() + 0 * theta.sum(), theta)[0].abs().max().item() == 0


class Student(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).square().squeeze(1)


class Token:
    """Lives as long as one step's graph."""


class Marked(torch.autograd.Function):
    """x, with one token in the graph for every step that can still be differentiated."""

    alive: ClassVar[WeakSet[Token]] = WeakSet()
    most: ClassVar[int] = 0

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.token = Token()
        Marked.alive.add(ctx.token)
        Marked.most = max(Marked.most, len(Marked.alive))

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return slope.clone()


class MarkedSquare(torch.autograd.Function):
    """x^2, whose derivative is marked: a step's graph holds the objective's derivative."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.square()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return 2 * Marked.apply(ctx.saved_tensors[0]) * slope


@pytest.mark.parametrize(
    ("K", "segment"), [(4, 0), (8, 0), (32, 0), (16, 4), (16, 8), (32, 4), (32, 8)]
)
def test_graphs_of_all_steps_are_kept_or_those_of_one_segment(K: int, segment: int) -> None:
    """Counted in steps, not in bytes, which are torch's."""
    phi, adam = noise(3, seed=3), Adam(0.1)
    theta = noise(3, seed=1).requires_grad_()

    def objective(at: Tensor, x: Tensor) -> Tensor:
        return MarkedSquare.apply(x - at).mean()

    Marked.most = 0
    inputs = [(theta * z_k,) for z_k in noise(K, 8, 3)]
    value = unroll(objective, adam, phi, adam.start(phi), inputs, segment)[0].sum()
    kept, most = (0, 1) if segment else (K, K)
    assert (len(Marked.alive), Marked.most) == (kept, most)
    (slope,) = torch.autograd.grad(value, theta)
    assert slope.abs().min() > 0
    assert Marked.most == max(most, segment)
    del value
    assert not Marked.alive


def test_call_at_is_the_module_with_other_weights() -> None:
    student, x = Student().double(), noise(5, 2)
    student.layers[2].bias.requires_grad_(False)
    phi = parameters_of(student)
    assert phi.numel() == 2 * 32 + 32 + 32
    assert torch.equal(call_at(student, phi, x), student(x))
    value = call_at(student, phi + 0.1, x)
    with torch.no_grad():
        for p in trained(student).values():
            p += 0.1
    assert torch.equal(value, student(x))


def test_memory_is_adam_s_state_and_hands_out_its_steps() -> None:
    """Two takes equal two steps of Adam, in the buffers' state too."""
    memory, adam = AdamMemory(6).double(), Adam(0.1)
    phi, state = torch.zeros(6, dtype=torch.float64), adam.start(torch.zeros(6).double())
    for k in range(2):
        g = noise(6, seed=k)
        gradients = {"weight": g[:4].view(2, 2), "bias": g[4:]}
        step = memory.take(adam, gradients)
        new, *state = adam.step(g, phi, *state)
        assert step["weight"].shape == (2, 2)
        flat = torch.cat([part.flatten() for part in step.values()])
        assert torch.allclose(phi - flat, new, rtol=1e-9, atol=1e-15)
        assert all(torch.equal(a, b) for a, b in zip(memory.state(), state, strict=True))
        phi = new


def test_conjugate_gradients_solve_in_as_many_steps_as_dimensions() -> None:
    A = noise(6, 6)
    A = A @ A.T + torch.eye(6, dtype=torch.float64)
    b = noise(6, seed=1)
    for steps in (6, 40):  # more steps than needed must not spoil it
        x = conjugate_gradients(A.mv, b, steps, 1e-14)
        assert torch.allclose(A @ x, b, rtol=1e-9, atol=1e-9)
    x = conjugate_gradients(A.mv, b, 2)
    assert 1e-3 < (A @ x - b).norm() < b.norm()
    assert conjugate_gradients(A.mv, torch.zeros(6).double(), 3).abs().max().item() == 0


def test_conjugate_gradients_stop_at_negative_curvature() -> None:
    """A = diag(1, 2, -3): nothing from the direction of descent without end, all finite."""
    A = torch.tensor([1.0, 2.0, -3.0], dtype=torch.float64)
    b = torch.tensor([1.0, 1.0, 0.1], dtype=torch.float64)
    x = conjugate_gradients(A.mul, b, 20)
    assert torch.isfinite(x).all() and x.dot(b) > 0
    assert conjugate_gradients((-A.abs()).mul, b, 20).abs().max().item() == 0


def test_implicit_gradient_is_the_limit_of_the_unrolled_one() -> None:
    """At the minimum, against 400 steps of gradient descent and against the dense formula."""
    theta = noise(3, seed=1).requires_grad_()
    z = noise(64, 3, seed=2)
    x = theta * z
    start = torch.zeros(3, dtype=torch.float64)
    target = noise(3, seed=5)

    def outer(phi: Tensor) -> Tensor:
        return (phi - target).pow(4).sum()

    phi, _ = unroll(curved, SGD(0.2), start, (), [(x,)] * 400)
    assert grad(curved)(phi.detach(), x.detach()).abs().max().item() < 1e-12
    (limit,) = torch.autograd.grad(outer(phi), theta, retain_graph=True)
    value = implicit(curved, outer, phi.detach(), (x,), steps=3)
    assert value.item() == outer(phi).item()
    assert implicit(curved, outer, start, (x,), steps=3).item() == outer(start).item()
    (found,) = torch.autograd.grad(value, theta)
    assert torch.allclose(found, limit, rtol=1e-9, atol=1e-8)
    assert limit.abs().min().item() > 1e-3
    H = hessian(curved)(phi.detach(), x.detach()) + 0.5 * torch.eye(3, dtype=torch.float64)
    s = torch.linalg.solve(H, grad(outer)(phi.detach()))
    damped = implicit(curved, outer, phi.detach(), (theta * z,), steps=3, damping=0.5)
    (found,) = torch.autograd.grad(damped, theta)
    (truth,) = torch.autograd.grad(-s @ grad(curved)(phi.detach(), theta * z), theta)
    assert torch.allclose(found, truth, rtol=1e-9, atol=1e-10)
