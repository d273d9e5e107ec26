"""Learners as functions of their teacher: optimizer steps one can differentiate, and their limit.

A learner is one vector phi ``[P]`` (``parameters_of`` a module, called by ``call_at``) and an
objective ``objective(phi, *inputs) -> scalar`` that it descends. Everything a gradient shall flow
to enters through ``inputs``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vjp

from gibbsian.core import Gradients
from gibbsian.core.numerics import gradient_and_rest

Objective = Callable[..., Tensor]


def trained(module: nn.Module) -> dict[str, nn.Parameter]:
    """Name -> parameter of ``module`` that training moves."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def parameters_of(module: nn.Module) -> Tensor:
    """The trained parameters as one vector ``[P]``, a constant: no gradient flows back to them."""
    return torch.cat([p.detach().flatten() for p in trained(module).values()])


def split_like(vector: Tensor, like: Gradients) -> dict[str, Tensor]:
    """``vector [P]`` cut into tensors of the names and shapes of ``like``, in their order."""
    parts = vector.split([tensor.numel() for tensor in like.values()])
    return {name: part.view_as(like[name]) for name, part in zip(like, parts, strict=True)}


def call_at(module: nn.Module, phi: Tensor, *inputs: Tensor) -> Tensor:
    """``module(*inputs)`` with its trained parameters taken from ``phi [P]``.

    Batch normalisation has no place in a learner: its averages would see every step.
    """
    output: Tensor = functional_call(module, split_like(phi, trained(module)), inputs)
    return output


@dataclass(frozen=True)
class SGD:
    """phi <- phi - rate g; no state."""

    rate: float

    def start(self, phi: Tensor) -> tuple[Tensor, ...]:
        """No state."""
        return ()

    def step(self, g: Tensor, phi: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """The new ``(phi,)``."""
        return (phi - self.rate * g,)


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma, Ba 2015) whose step is differentiable in m but not in v (Du et al. 2020, code).

    State: m ``[P]``, v ``[P]`` and t (0-d). With ``adam_eps_inside_root`` the step is
    a_t m / sqrt(v + eps), a_t = rate sqrt(1 - b2^t) / (1 - b1^t), which is smaller than Adam's
    wherever the root mean square of g is below 1e-4 (at the start, where v is still (1 - b2) g^2,
    below about 1e-3); otherwise it is that of ``torch.optim.Adam``.
    """

    rate: float
    betas: tuple[float, float] = (0.5, 0.999)
    eps: float = 1e-8
    adam_eps_inside_root: bool = True

    def start(self, phi: Tensor) -> tuple[Tensor, ...]:
        """m = v = 0, t = 0."""
        return torch.zeros_like(phi), torch.zeros_like(phi), phi.new_zeros(())

    def step(self, g: Tensor, phi: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """The new ``(phi, m, v, t)``; gradients flow through g, m and phi."""
        m, v, t = state
        b1, b2 = self.betas
        m = b1 * m + (1 - b1) * g
        v = (b2 * v + (1 - b2) * g.square()).detach()
        t = t + 1
        # 1 - b^t without cancellation: with b2 = 0.999 single precision would lose four digits.
        first, second = -torch.expm1(t * math.log(b1)), -torch.expm1(t * math.log(b2))
        if self.adam_eps_inside_root:
            direction = second.sqrt() * m / torch.sqrt(v + self.eps)
        else:
            direction = m / (v.sqrt() / second.sqrt() + self.eps)
        return phi - self.rate / first * direction, m, v, t


Optimizer = SGD | Adam
"""``start(phi)`` gives its state, ``step(g, phi, *state)`` the new ``(phi, *state)``."""


class AdamMemory(nn.Module):
    """Adam's m, v and t for a learner of ``size`` parameters, as buffers: saved, and unrolled from."""

    def __init__(self, size: int):
        super().__init__()
        self.register_buffer("m", torch.zeros(size))
        self.register_buffer("v", torch.zeros(size))
        self.register_buffer("t", torch.zeros(()))
        self.m: Tensor
        self.v: Tensor
        self.t: Tensor

    def state(self) -> tuple[Tensor, Tensor, Tensor]:
        """(m, v, t), the buffers themselves."""
        return self.m, self.v, self.t

    def take(self, adam: Adam, gradients: Gradients) -> dict[str, Tensor]:
        """Take ``gradients`` in; what Adam would now subtract from each parameter."""
        g = torch.cat([gradient.flatten() for gradient in gradients.values()])
        phi, m, v, t = adam.step(g, torch.zeros_like(g), self.m, self.v, self.t)
        for buffer, value in ((self.m, m), (self.v, v), (self.t, t)):
            buffer.copy_(value)
        return split_like(-phi, gradients)


def unroll(
    objective: Objective,
    optimizer: Optimizer,
    phi: Tensor,
    state: tuple[Tensor, ...],
    inputs: Sequence[tuple[Tensor, ...]],
    segment: int = 0,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """phi_K and its optimizer's state after one step on each of ``inputs``, differentiable in them.

    phi_{k+1} = step(phi_k, grad objective(phi_k, *inputs_k)), second derivatives included (Du et al.
    2020, Algorithm 1; Metz et al. 2017, equation 7). With ``segment`` > 0 only every segment-th phi
    and state are kept, and the steps between are made again for the backward pass: K / segment
    vectors and one segment's graph in memory, for one more forward pass.
    """
    carried: tuple[Tensor, ...] = (phi, *state)
    for first in range(0, len(inputs), segment or max(1, len(inputs))):
        some = inputs[first : first + segment] if segment else inputs
        run = partial(_steps, objective, optimizer, len(carried), len(some))
        arguments = (*carried, *chain.from_iterable(some))
        carried = _Recomputed.apply(run, *arguments) if segment else run(*arguments)
    return carried[0], carried[1:]


def _steps(
    objective: Objective, optimizer: Optimizer, held: int, steps: int, *tensors: Tensor
) -> tuple[Tensor, ...]:
    """``steps`` steps; the first ``held`` tensors are phi and state, the rest the steps' inputs."""
    carried, rest = tensors[:held], tensors[held:]
    width = len(rest) // steps
    for k in range(steps):
        inputs = rest[k * width : (k + 1) * width]

        def at(phi: Tensor, inputs: tuple[Tensor, ...] = inputs) -> tuple[Tensor, Tensor]:
            value = objective(phi, *inputs)
            return value, value

        g, _ = gradient_and_rest(at, carried[0])
        carried = optimizer.step(g, *carried)
    return carried


class _Recomputed(torch.autograd.Function):
    """A function whose inputs alone are kept for its backward pass.

    ``torch.utils.checkpoint`` needs hooks on saved tensors, which ``torch.func.grad`` refuses.
    """

    @staticmethod
    def forward(ctx: Any, run: Callable[..., tuple[Tensor, ...]], *tensors: Tensor) -> Any:
        device = tensors[0].device.type
        ctx.run = run
        ctx.autocast = (
            device,
            torch.get_autocast_dtype(device),
            torch.is_autocast_enabled(device),
        )
        ctx.save_for_backward(*tensors)
        return run(*tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        wanted = ctx.needs_input_grad[1:]
        tensors = [
            tensor.detach().requires_grad_(w)
            for tensor, w in zip(ctx.saved_tensors, wanted, strict=True)
        ]
        with torch.enable_grad(), torch.autocast(*ctx.autocast):
            outputs = ctx.run(*tensors)
        reached = [i for i, output in enumerate(outputs) if output.requires_grad]
        found = iter(
            torch.autograd.grad(
                [outputs[i] for i in reached],
                [tensor for tensor in tensors if tensor.requires_grad],
                [gradients[i] for i in reached],
                allow_unused=True,
            )
        )
        return None, *(next(found) if w else None for w in wanted)


def conjugate_gradients(
    product: Callable[[Tensor], Tensor], b: Tensor, steps: int, tolerance: float = 1e-10
) -> Tensor:
    """x with A x = b ``[P]`` for a positive definite A given as ``product(v)`` = A v.

    Hestenes, Stiefel (1952). Stops moving at relative residual ``tolerance``, and at the first
    direction of negative curvature, keeping what it has (Steihaug 1983). No branch depends on data.
    """
    x, r = torch.zeros_like(b), b
    p, square = r, r.dot(r)
    floor = tolerance**2 * square
    running = square > floor
    for _ in range(steps):
        image = product(p)
        curvature = p.dot(image)
        running = running & (curvature > 0)
        step = torch.where(running, square / curvature, 0.0)
        x = x + step * p
        r = r - step * image
        new = r.dot(r)
        p = r + torch.where(running, new / square, 0.0) * p
        square = new
        running = running & (square > floor)
    return x


def implicit(
    objective: Objective,
    outer: Callable[[Tensor], Tensor],
    phi: Tensor,
    inputs: tuple[Tensor, ...],
    steps: int,
    damping: float = 0.0,
) -> Tensor:
    """A scalar of value outer(phi), whose gradient in ``inputs`` is that of outer(phi*(inputs)).

    phi* minimises ``objective(., *inputs)``: with H its Hessian at phi, C = d grad / d inputs and
    s = (H + damping)^-1 grad outer the gradient is -s^T C, the limit of infinitely many steps. It
    holds as far as ``phi [P]`` is that minimum. s comes from ``steps`` of conjugate gradients.
    """
    value, pull = vjp(outer, phi)[:2]
    (b,) = pull(torch.ones_like(value))
    still = tuple(tensor.detach() for tensor in inputs)

    def slope(at: Tensor) -> Tensor:
        return grad(objective)(at, *still)

    transpose = vjp(slope, phi)[1]  # the Hessian is symmetric

    def product(v: Tensor) -> Tensor:
        return transpose(v)[0] + damping * v

    s = conjugate_gradients(product, b, steps).detach()
    mixed = s.dot(grad(objective)(phi, *inputs))
    return value.detach() - (mixed - mixed.detach())
