"""The gradient flow dx/dt = -grad V(x): couplings, Heun steps, annealed noise, density by divergence."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from gibbsian.core.measures import Gaussian
from gibbsian.core.numerics import Map, input_gradient, jacobian, uploaded


def optimal_coupling(x0: Tensor, x1: Tensor) -> Tensor:
    """Rows of ``x1`` in the order that pairs them with ``x0`` at the least sum of squared distances.

    Both ``[B, *event]``. Mini-batch optimal transport (Tong et al. 2024), exact, by the linear
    assignment of SciPy on the CPU. Raises ValueError for batches of unequal size.
    """
    from scipy.optimize import linear_sum_assignment  # takes a while to import

    if x0.shape != x1.shape:
        raise ValueError(
            f"a coupling needs batches of one shape, not {list(x0.shape)} and {list(x1.shape)}"
        )
    cost = torch.cdist(x0.flatten(1), x1.flatten(1)).square()
    _, columns = linear_sum_assignment(cost.cpu().numpy())
    return x1[uploaded(torch.as_tensor(columns), x1.device)]


def gradient_flow(V: Map, x: Tensor, time: float, steps: int) -> Tensor:
    """``x [B, *event]`` after ``time`` along dx/dt = -grad V(x), by ``steps`` steps of Heun's method.

    Second order; two gradients a step. A negative ``time`` goes back.
    """
    dt = time / steps
    for _ in range(steps):
        slope = input_gradient(V, x)
        x = x - 0.5 * dt * (slope + input_gradient(V, x - dt * slope))
    return x


def annealed_flow(
    V: Map,
    x: Tensor,
    onset: float,
    end: float,
    highest: float,
    steps: int,
    rng: Generator,
) -> Tensor:
    """``x [B, *event]`` from time ``onset`` to ``end`` along dx = -grad V dt + sqrt(2 epsilon(t)) dW.

    epsilon(t) rises linearly from 0 to ``highest`` (Balcerak et al. 2025);
    ``steps`` Euler-Maruyama steps, each at the temperature of its end.
    """
    dt = (end - onset) / steps
    for step in range(1, steps + 1):
        epsilon = highest * step / steps
        xi = torch.randn(x.shape, generator=rng, device=x.device, dtype=x.dtype)
        x = x - dt * input_gradient(V, x) + math.sqrt(2 * epsilon * dt) * xi
    return x


def flow_log_density(V: Map, x: Tensor, time: float, steps: int) -> Tensor:
    """log-density at ``x [B, *event]``, ``[B]`` nats, of N(0, I) carried to ``time`` by the gradient flow.

    d log p(x(t)) / dt = -div(-grad V) = trace of the Hessian of V (Chen et al. 2018, theorem 1), with the
    trace exact, one product per dimension. x and the integral go back in ``steps`` steps of Heun's method.
    """

    def slope_and_trace(points: Tensor) -> tuple[Tensor, Tensor]:
        def slope(at: Tensor) -> Tensor:
            return input_gradient(V, at)

        trace = jacobian(slope, points).diagonal(dim1=1, dim2=2).sum(1)
        return slope(points), trace

    dt, integral = time / steps, torch.zeros(len(x), dtype=x.dtype, device=x.device)
    for _ in range(steps):
        slope, trace = slope_and_trace(x)
        end_slope, end_trace = slope_and_trace(x + dt * slope)
        x = x + 0.5 * dt * (slope + end_slope)
        integral = integral + 0.5 * dt * (trace + end_trace)
    return Gaussian(tuple(x.shape[1:])).log_density(x) + integral
