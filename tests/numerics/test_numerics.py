"""numerics against closed forms and autograd, in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gibbsian.core.numerics import (
    call_and_catch,
    call_frozen,
    gradient_and_rest,
    input_gradient,
    jacobian,
    jvp,
    log_det_gram,
    log_mean_exp,
    log_mean_exp_with_error,
    one_centred_penalty,
    singular_values,
    value_and_jacobian,
    value_and_zero_centred_penalty,
    vjp,
    zero_centred_penalty,
)


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def normal(*shape: int, rng: torch.Generator) -> Tensor:
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def test_log_mean_exp_does_not_overflow(rng: torch.Generator) -> None:
    a = normal(6, 4, rng=rng)
    for dim in (0, 1):
        assert torch.allclose(log_mean_exp(a, dim), a.exp().mean(dim).log(), rtol=1e-9, atol=1e-14)
    assert torch.allclose(log_mean_exp(a + 1e4), log_mean_exp(a) + 1e4)
    assert log_mean_exp(torch.full((3,), -math.inf)) == -math.inf


def test_log_mean_exp_error_covers_the_truth(rng: torch.Generator) -> None:
    """Log-normal weights: log E exp(a) = s^2 / 2 for a ~ N(0, s^2); 400 runs of 1000 weights.

    Coverage of +-2 errors is 95.4 % +- 1.05 % at first order (the delta method's bias at this n is
    far below one error); a bound of 92 % is 3.3 of these errors below: false alarm below 1e-3.
    """
    s = 0.5
    value, error = log_mean_exp_with_error(s * normal(1000, 400, rng=rng))
    inside = ((value - s**2 / 2).abs() < 2 * error).double().mean()
    assert inside > 0.92
    exact = math.sqrt((math.exp(s**2) - 1) / 1000)
    assert error.mean().item() == pytest.approx(exact, rel=0.03)


def test_log_mean_exp_error_needs_two_values() -> None:
    with pytest.raises(ValueError, match="at least two"):
        log_mean_exp_with_error(torch.zeros(1))


def curved(z: Tensor) -> Tensor:
    """A map from 2 to a 3x1 event whose Jacobian is known by hand."""
    a, b = z[:, 0], z[:, 1]
    return torch.stack([a.sin() * b, a.square(), (a + 2 * b).exp()], 1).unsqueeze(2)


def curved_jacobian(z: Tensor) -> Tensor:
    a, b = z[:, 0], z[:, 1]
    e, zero = (a + 2 * b).exp(), torch.zeros_like(a)
    rows = [
        torch.stack([a.cos() * b, a.sin()], 1),
        torch.stack([2 * a, zero], 1),
        torch.stack([e, 2 * e], 1),
    ]
    return torch.stack(rows, 1)


def test_jacobian_products(rng: torch.Generator) -> None:
    z, v, u = (normal(5, 2, rng=rng) for _ in range(3))
    u = normal(5, 3, 1, rng=rng)
    J = curved_jacobian(z)
    assert torch.allclose(jacobian(curved, z), J, rtol=1e-9, atol=1e-13)
    value, tangent = jvp(curved, z, v)
    assert torch.equal(value, curved(z))
    assert torch.allclose(
        tangent.squeeze(2), (J @ v.unsqueeze(2)).squeeze(2), rtol=1e-9, atol=1e-13
    )
    value, cotangent = vjp(curved, z, u)
    assert torch.equal(value, curved(z))
    assert torch.allclose(cotangent, (J.mT @ u).squeeze(2), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("rows", [1, 2])
def test_a_jacobian_by_rows_is_that_by_columns(rows: int, rng: torch.Generator) -> None:
    """A map to no more dimensions than it has: reverse mode gives the rows of the same Jacobian."""

    def shorter(z: Tensor) -> Tensor:
        return curved(z)[:, :rows]

    z = normal(5, 2, rng=rng)
    value, J = value_and_jacobian(shorter, z)
    assert torch.equal(value, shorter(z))
    assert torch.allclose(J, curved_jacobian(z)[:, :rows], rtol=1e-9, atol=1e-13)


def test_log_determinant_and_singular_values(rng: torch.Generator) -> None:
    J = normal(7, 5, 3, rng=rng)
    s = singular_values(J)
    assert (s.diff(dim=1) >= 0).all()
    assert torch.allclose(log_det_gram(J), 2 * s.log().sum(1), rtol=1e-9, atol=1e-12)
    assert torch.allclose(log_det_gram(J), torch.logdet(J.mT @ J), rtol=1e-9, atol=1e-12)
    nearly_singular = J.clone()
    nearly_singular[..., 2] = nearly_singular[..., 1] * (1 + 1e-12) + 1e-9 * nearly_singular[..., 0]
    assert torch.isfinite(log_det_gram(nearly_singular)).all()
    with pytest.raises(ValueError, match="at most 3"):
        log_det_gram(J.mT)


@pytest.mark.parametrize("D", [2, 3])
def test_log_determinant_of_a_generator_is_differentiable(D: int, rng: torch.Generator) -> None:
    """d/dW of E 1/2 log det J^T J for x = tanh(W z), against finite differences."""
    z = normal(4, 2, rng=rng)
    W = normal(D, 2, rng=rng).requires_grad_()

    def volume(W: Tensor) -> Tensor:
        def generator(z: Tensor) -> Tensor:
            return torch.tanh(z @ W.T)

        return 0.5 * log_det_gram(jacobian(generator, z)).mean()

    assert torch.autograd.gradcheck(volume, (W,))


def test_zero_centred_penalty_of_a_quadratic(rng: torch.Generator) -> None:
    """f = a |x|^2 / 2 has gradient a x: the penalty is a^2 mean |x|^2, its derivative 2 a |x|^2."""
    x = normal(6, 2, 3, rng=rng)
    a = torch.tensor(1.7, dtype=torch.float64, requires_grad=True)

    def f(x: Tensor) -> Tensor:
        return 0.5 * a * x.flatten(1).square().sum(1)

    square = x.flatten(1).square().sum(1).mean()
    penalty = zero_centred_penalty(f, x)
    assert torch.allclose(penalty, a**2 * square)
    assert torch.allclose(torch.autograd.grad(penalty, a)[0], 2 * a * square)
    assert torch.allclose(input_gradient(f, x), a * x)
    with torch.inference_mode(), torch.no_grad():
        assert torch.allclose(input_gradient(f, 2 * x), 2 * a * x)


def test_values_and_their_penalty_share_a_forward_pass(rng: torch.Generator) -> None:
    """Value, penalty and the gradient of both in a parameter are those of two calls; f is called once."""
    x = normal(6, 2, rng=rng)
    a = torch.tensor(0.6, dtype=torch.float64, requires_grad=True)
    calls = []

    def f(x: Tensor) -> Tensor:
        calls.append(len(x))
        return torch.sin(a * x).sum(1)

    values, penalty = value_and_zero_centred_penalty(f, x)
    assert calls == [6]
    (gradient,) = torch.autograd.grad(values.mean() + penalty, a)
    apart = f(x).mean() + zero_centred_penalty(f, x)
    assert torch.allclose(values, f(x)) and torch.allclose(values.mean() + penalty, apart)
    assert torch.allclose(gradient, torch.autograd.grad(apart, a)[0])


def test_one_centred_penalty_of_a_linear_critic(rng: torch.Generator) -> None:
    """f = w . x: (|w| - 1)^2 wherever it is taken, with gradient 2 (|w| - 1) w / |w|."""
    x, x_model = normal(6, 3, rng=rng), normal(6, 3, rng=rng)
    mix = torch.rand(6, generator=rng, dtype=torch.float64)
    w = normal(3, rng=rng).requires_grad_()

    def f(x: Tensor) -> Tensor:
        return x @ w

    penalty = one_centred_penalty(f, x, x_model, mix)
    assert torch.allclose(penalty, (w.norm() - 1) ** 2)
    gradient = torch.autograd.grad(penalty, w)[0]
    assert torch.allclose(gradient, 2 * (w.norm() - 1) * w / w.norm())


def test_one_centred_penalty_is_taken_between_the_samples(rng: torch.Generator) -> None:
    """f = |x|^2 / 2 has gradient norm |x|: the points are mix x + (1 - mix) x_model."""
    x, x_model = normal(6, 3, rng=rng), normal(6, 3, rng=rng)
    mix = torch.rand(6, generator=rng, dtype=torch.float64)

    def f(x: Tensor) -> Tensor:
        return 0.5 * x.square().sum(1)

    points = mix[:, None] * x + (1 - mix[:, None]) * x_model
    expected = (points.norm(dim=1) - 1).square().mean()
    assert torch.allclose(one_centred_penalty(f, x, x_model, mix), expected)


def test_flat_critic_has_a_finite_penalty_gradient() -> None:
    w = torch.zeros(3, requires_grad=True)

    def f(x: Tensor) -> Tensor:
        return x @ w

    penalty = one_centred_penalty(f, torch.ones(2, 3), torch.zeros(2, 3), torch.ones(2))
    assert penalty == 1
    assert torch.equal(torch.autograd.grad(penalty, w)[0], torch.zeros(3))


def test_frozen_call_leaves_batch_statistics_alone(rng: torch.Generator) -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    x = torch.randn(8, 2, generator=rng)
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    frozen = call_frozen(module, x)
    for name, buffer in module.named_buffers():
        assert torch.equal(buffer, before[name])
    assert torch.equal(frozen, module(x))
    assert not torch.equal(module[1].running_mean, before["1.running_mean"])
    gradient = torch.autograd.grad(frozen.square().sum(), module[0].weight)[0]
    assert torch.isfinite(gradient).all()


def test_frozen_call_of_a_buffer_that_two_parts_share_and_of_one_that_is_replaced() -> None:
    class Counting(nn.Module):
        def __init__(self, count: Tensor) -> None:
            super().__init__()
            self.register_buffer("count", count)
            self.register_buffer("last", torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            self.count += 1
            self.last = x.detach().mean()[None]
            return x + self.count

    count = torch.zeros(1)
    module = nn.Sequential(Counting(count), Counting(count))
    x = torch.zeros(2, 1)
    assert torch.equal(call_frozen(module, x), torch.full((2, 1), 3.0)), "1, then 2 of one count"
    assert count == 0 and module[0].count is count and module[1].count is count
    assert module[1].last == 0

    def broken(part: nn.Module, inputs: object, output: object) -> None:
        raise ValueError

    module.register_forward_hook(broken)
    with pytest.raises(ValueError):
        call_frozen(module, x)
    assert count == 0 and module[0].count is count


def test_what_a_part_makes_of_the_input_is_caught_in_one_pass(rng: torch.Generator) -> None:
    inner, calls = nn.Linear(2, 3).double(), [0]

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor) -> Tensor:
            calls[0] += 1
            return self.inner(x).sum(1) + self.inner(2 * x).sum(1)

    x = torch.randn(4, 2, generator=rng, dtype=torch.float64)
    outer = Outer()
    value, of_inner = call_and_catch(outer, inner, x)
    assert calls[0] == 1 and not inner._forward_hooks
    assert torch.equal(of_inner, inner(x)) and torch.equal(value, outer(x))
    other = nn.Linear(2, 1).double()
    assert torch.equal(call_and_catch(outer, other, x)[1], other(x)), "a part that is not called"


def test_gradients_are_those_of_torch_func_whatever_is_around(rng: torch.Generator) -> None:
    """Inside transforms, without gradients, of inputs that need one, and with a constant made of x."""
    w = torch.randn(3, generator=rng, dtype=torch.float64, requires_grad=True)
    start = torch.randn(4, 3, generator=rng, dtype=torch.float64, requires_grad=True)

    def parts(x: Tensor, constant: Tensor) -> tuple[Tensor, Tensor]:
        values = (x * w).sum(1).pow(3) * constant
        return values.sum(), values

    def penalties(x: Tensor, theirs: bool) -> Tensor:
        constant = x.square().sum(1)  # depends on x, and is no variable of f

        def f(points: Tensor) -> tuple[Tensor, Tensor]:
            return parts(points, constant)

        grad = torch.func.grad(f, has_aux=True)(x) if theirs else gradient_and_rest(f, x)
        return grad[0].square().sum() + grad[1].sum()

    x = start.sin()  # no leaf
    found, expected = (
        torch.autograd.grad(penalties(x, theirs), (w, start), retain_graph=True)
        for theirs in (False, True)
    )
    assert all(torch.allclose(a, b) for a, b in zip(found, expected, strict=True))
    fixed = start.detach()
    inside = [torch.func.grad(lambda p, t=t: penalties(p, t))(fixed) for t in (False, True)]
    assert torch.allclose(*inside)
    with torch.no_grad():
        gradient, rest = gradient_and_rest(lambda p: parts(p, torch.ones(4)), fixed)
    assert not gradient.requires_grad and not rest.requires_grad and not fixed.requires_grad
    assert torch.allclose(gradient, 3 * (fixed @ w).square()[:, None] * w)
    gradient, _ = gradient_and_rest(lambda p: (torch.ones(()), p), fixed)
    assert torch.equal(gradient, torch.zeros_like(fixed)), "a constant"
