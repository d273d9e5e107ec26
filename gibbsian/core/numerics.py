"""Numerical building blocks: log-mean-exp, Jacobian products, log-determinants, gradient penalties.

Functions of a batch treat its rows as independent: ``f`` maps ``[B, ...]`` to ``[B, ...]`` and row i
of the result depends on row i of the input only (batch normalisation must be in eval mode).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

Map = Callable[[Tensor], Tensor]


def widest_float(device: torch.device) -> torch.dtype:
    """float64, or float32 on a device without it (Apple's GPUs)."""
    return torch.float32 if device.type == "mps" else torch.float64


def uploaded(x: Tensor, device: torch.device) -> Tensor:
    """``x`` on ``device``; a GPU takes it from pinned memory, without making the host wait."""
    return x.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x.to(device)


def as_double(x: Tensor) -> Tensor:
    """``x`` in float64, on the CPU if its device has no such numbers."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def log_mean_exp(a: Tensor, dim: int = 0) -> Tensor:
    """log (1/n) sum_i exp(a_i) over ``dim``, without overflow.

    >>> log_mean_exp(torch.tensor([1000.0, 1000.0]))
    tensor(1000.)
    """
    return torch.logsumexp(a, dim) - math.log(a.shape[dim])


def log_mean_exp_with_error(a: Tensor, dim: int = 0) -> tuple[Tensor, Tensor]:
    """``log_mean_exp(a, dim)`` and its standard error by the delta method.

    For independent a_i with weights w_i = exp(a_i): stderr = std(w) / (sqrt(n) mean(w)). The error
    is trustworthy only where many weights count (see the effective sample size); raises ValueError
    for fewer than two values, from which no spread can be estimated.
    """
    n = a.shape[dim]
    if n < 2:
        raise ValueError("a standard error needs at least two values; draw more samples")
    value = log_mean_exp(a, dim)
    relative = torch.exp(a - value.unsqueeze(dim))
    return value, relative.std(dim) / math.sqrt(n)


def jvp(f: Map, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """``f(x)`` and the directional derivative J v (forward mode); ``v`` has the shape of ``x``."""
    value, tangent = torch.func.jvp(f, (x,), (v,))[:2]
    return value, tangent


def vjp(f: Map, x: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """``f(x)`` and the gradient J^T u (reverse mode); ``u`` has the shape of ``f(x)``."""
    value, pull = torch.func.vjp(f, x)[:2]
    return value, pull(u)[0]


def value_and_jacobian(f: Map, z: Tensor) -> tuple[Tensor, Tensor]:
    """``f(z)`` and the per-row Jacobian J = df/dz, ``[B, D, d]``, events flattened.

    D reverse-mode products where f maps to as few dimensions as it has, else d forward-mode ones, which
    cost more each; differentiable again, in ``z`` and in the parameters of ``f``.
    """
    batch, d = len(z), math.prod(z.shape[1:])
    with torch.no_grad():
        D = f(z[:1]).numel()
    if d >= D:
        value, pull = torch.func.vjp(f, z)[:2]
        basis = torch.eye(D, dtype=z.dtype, device=z.device).view(D, 1, *value.shape[1:])
        rows = [pull(cotangent.expand_as(value))[0].reshape(batch, d) for cotangent in basis]
        return value, torch.stack(rows, dim=1)
    basis = torch.eye(d, dtype=z.dtype, device=z.device).view(d, 1, *z.shape[1:])

    def column(direction: Tensor) -> tuple[Tensor, Tensor]:
        return jvp(f, z, direction.expand_as(z))

    value, columns = torch.func.vmap(column)(basis)
    return value[0], columns.reshape(d, batch, -1).permute(1, 2, 0)


def jacobian(f: Map, z: Tensor) -> Tensor:
    """Per-row Jacobian J = df/dz, ``[B, D, d]``, events flattened; see ``value_and_jacobian``."""
    return value_and_jacobian(f, z)[1]


def singular_values(J: Tensor) -> Tensor:
    """Singular values of ``[B, D, d]`` in ascending order, s_1 first, ``[B, min(D, d)]``."""
    return torch.linalg.svdvals(J).flip(-1)


def log_det_gram(J: Tensor) -> Tensor:
    """log det J^T J = 2 sum_i log s_i, ``[B]``; -inf where J has no full column rank.

    Computed from the triangular factor of J, so that the condition number is not squared. Raises
    ValueError for d > D, where J^T J is singular whatever the map.
    """
    D, d = J.shape[-2:]
    if d > D:
        raise ValueError(
            f"a map from {d} to {D} dimensions has no volume element; "
            f"use a latent dimension of at most {D}"
        )
    R = torch.linalg.qr(J).R
    return 2.0 * R.diagonal(dim1=-2, dim2=-1).abs().log().sum(-1)


def input_gradient(energy: Map, x: Tensor) -> Tensor:
    """dE/dx per row, ``[B, *event]``, itself differentiable in the parameters of ``energy``."""
    return value_and_input_gradient(energy, x)[1]


def value_and_input_gradient(energy: Map, x: Tensor) -> tuple[Tensor, Tensor]:
    """E(x) ``[B]`` and dE/dx per row ``[B, *event]``, from one forward pass; both differentiable again."""

    def total(points: Tensor) -> tuple[Tensor, Tensor]:
        values = energy(points)
        return values.sum(), values

    gradient, values = gradient_and_rest(total, x)
    return values, gradient


def gradient_and_rest(
    f: Callable[[Tensor], tuple[Tensor, Tensor]], x: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradient of f's first result, a scalar, in ``x``, and its second; both differentiable again.

    ``torch.func.grad``, which wraps every tensor and takes a third longer, only where it has to be: inside
    its own transforms, in compiled code and in inference mode, where autograd records nothing.
    """
    inside = torch._C._functorch.peek_interpreter_stack() is not None
    if inside or torch.compiler.is_compiling() or torch.is_inference_mode_enabled():
        gradient, rest = torch.func.grad(f, has_aux=True)(x)
        return gradient, rest
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        # Another name of x: what f knows of x in other ways is constant.
        at = x.view_as(x) if again and x.requires_grad else x.detach().requires_grad_()
        value, rest = f(at)
        found = None
        if value.requires_grad:
            (found,) = torch.autograd.grad(value, at, create_graph=again, allow_unused=True)
    gradient = torch.zeros_like(x) if found is None else found
    return gradient, rest if again else rest.detach()


def zero_centred_penalty(critic: Map, x: Tensor) -> Tensor:
    """mean |df/dx|^2 at ``x``, scalar (R1 of Mescheder, Geiger, Nowozin 2018, without its 1/2)."""
    return value_and_zero_centred_penalty(critic, x)[1]


def value_and_zero_centred_penalty(critic: Map, x: Tensor) -> tuple[Tensor, Tensor]:
    """f(x) ``[B]`` beside that penalty, from one forward pass."""
    values, gradient = value_and_input_gradient(critic, x)
    return values, gradient.flatten(1).square().sum(1).mean()


def one_centred_penalty(critic: Map, x: Tensor, x_model: Tensor, mix: Tensor) -> Tensor:
    """mean (|df/dx| - 1)^2 on segments between data and model samples, scalar.

    ``mix [B]`` holds uniform numbers: the points are mix x + (1 - mix) x_model. Gulrajani et al.
    (2017), equation 3 without its weight. Its gradient at df/dx = 0 is taken as 0.
    """
    weight = mix.view(-1, *[1] * (x.dim() - 1))
    between = weight * x + (1.0 - weight) * x_model
    norms = torch.linalg.vector_norm(input_gradient(critic, between).flatten(1), dim=1)
    return (norms - 1.0).square().mean()


def log_bits(h: Tensor, logits: Tensor) -> Tensor:
    """log-probability of bits ``[..., n]`` with these logits, ``[...]``."""
    return (h * logits - softplus(logits)).sum(-1)


LOG_2_PI = math.log(2.0 * math.pi)


def log_normal(h: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log N(h; mean, diag(variance)) of ``h [..., n]``, ``[...]``."""
    square = (h - mean).square() * torch.exp(-log_variance)
    return -0.5 * ((square + log_variance).sum(-1) + square.shape[-1] * LOG_2_PI)


def log_normal_dense(x: Tensor, mean: Tensor, L: Tensor) -> Tensor:
    """log N(x; mean, L L^T) of ``x [B, n]``, ``[B]``, for a lower triangular ``L [n, n]``."""
    white = torch.linalg.solve_triangular(L, (x - mean).T, upper=False)
    return -0.5 * (white.square().sum(0) + L.shape[0] * LOG_2_PI) - L.diagonal().log().sum()


def log_units(h: Tensor, a: Tensor) -> Tensor:
    """log-probability of a layer ``h [..., n]`` under the distribution of parameters ``a``, ``[...]``.

    ``a [..., n]`` are logits of bits; ``a [..., 2 n]`` means and then log-variances of Gaussian units.
    """
    return log_bits(h, a) if a.shape[-1] == h.shape[-1] else log_normal(h, *a.chunk(2, -1))


def bernoulli_log_prob(x: Tensor, logits: Tensor) -> Tensor:
    """sum x log s + (1 - x) log(1 - s), s = sigmoid(logits), ``[B, *event] -> [B]``.

    For x in between 0 and 1 it is no log-density, but a loss with the same minimum s = x.
    """
    return log_bits(x.flatten(1), logits.flatten(1))


def call_frozen(module: nn.Module, *inputs: Tensor) -> Tensor:
    """``module(*inputs)`` with its buffers left as they were.

    Batch normalisation in training mode updates its running averages on every call; a player that
    is not moving must not change. The result is the same as that of a plain call.
    """
    if torch.compiler.is_compiling():
        cloned = {name: buffer.clone() for name, buffer in module.named_buffers()}
        output: Tensor = torch.func.functional_call(module, cloned, inputs)
        return output
    held = [
        (part._buffers, name, buffer)
        for part in _parts(module)
        for name, buffer in part._buffers.items()
        if buffer is not None
    ]
    copies = {id(buffer): buffer.clone() for _, _, buffer in held}
    try:
        for buffers, name, buffer in held:
            buffers[name] = copies[id(buffer)]
        output = module(*inputs)
    finally:
        for buffers, name, buffer in held:
            buffers[name] = buffer
    return output


def call_and_catch(module: nn.Module, part: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """``call_frozen(module, x)``, and what its ``part`` made of ``x`` on the way: one pass."""
    if torch.compiler.is_compiling():
        return call_frozen(module, x), call_frozen(part, x)
    caught: list[Tensor] = []

    def catch(part: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        if inputs and inputs[0] is x:
            caught.append(output)

    handle = part.register_forward_hook(catch)
    try:
        output = call_frozen(module, x)
    finally:
        handle.remove()
    return output, caught[0] if caught else call_frozen(part, x)


def _parts(module: nn.Module) -> list[nn.Module]:
    """``list(module.modules())``, each once, without the names that this would make of them."""
    found, left = {module: None}, [module]
    while left:
        for part in left.pop()._modules.values():
            if part is not None and part not in found:
                found[part] = None
                left.append(part)
    return list(found)
