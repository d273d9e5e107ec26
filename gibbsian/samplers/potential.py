"""What a kernel asks of its energy: value, gradient, the annealing path and the walls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.autograd.graph import _engine_run_backward

from gibbsian.core import Energy, check_energy
from gibbsian.core.measures import Measure, RealSpace
from gibbsian.samplers.kernel import ChainState, on_device_of, ones


@dataclass(frozen=True)
class AnnealingPath:
    """Energies (1 - beta) V + beta U from ``base`` V (beta 0) to ``energy`` U (beta 1)."""

    base: Energy
    energy: Energy


def value_and_grad(energy: Energy, x: Tensor) -> tuple[Tensor, Tensor]:
    """U(x) ``[B]`` and its gradient ``[B, *event]``, both detached: one forward, one backward.

    An energy with a method ``value_and_grad(x)`` (an analytic gradient) is asked for it instead.
    """
    return differentiated(energy)(x)


def differentiated(energy: Energy) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """``value_and_grad`` of one energy, with the choice of how already made."""
    analytic: Callable[[Tensor], tuple[Tensor, Tensor]] | None
    analytic = getattr(energy, "value_and_grad", None)
    return partial(_value_and_grad, energy) if analytic is None else analytic


def _value_and_grad(energy: Energy, x: Tensor) -> tuple[Tensor, Tensor]:
    if torch.compiler.is_compiling():  # autograd.grad cannot be traced
        return _traced_value_and_grad(energy, x)
    if not torch.is_grad_enabled():
        with torch.enable_grad():
            return _value_and_grad(energy, x)
    x = x.detach().requires_grad_()
    u = check_energy(energy(x), x.shape[0])  # len(x) takes several times longer
    if not u.requires_grad:  # a constant, such as the base measure of a box
        return u, torch.zeros_like(x)
    grad = gradient_of_rows(u, x)
    return u.detach(), torch.zeros_like(x) if grad is None else grad


def gradient_of_rows(u: Tensor, x: Tensor) -> Tensor | None:
    """The gradient of the sum of ``u [B]`` by ``x``; None where u does not depend on x.

    This is ``torch.autograd.grad`` without the checks of its arguments, which are made in Python
    and take a sixth of the time of a small energy's gradient.
    """
    rows = ones(u.shape, u.dtype, u.device)
    (grad,) = _engine_run_backward((u,), (rows,), False, False, (x,), True, accumulate_grad=False)
    return grad


def _traced_value_and_grad(energy: Energy, x: Tensor) -> tuple[Tensor, Tensor]:
    def total(x: Tensor) -> tuple[Tensor, Tensor]:
        u = energy(x)
        return u.sum(), u

    grad, u = torch.func.grad(total, has_aux=True)(x)
    return u, grad


def _value_only(energy: Energy, x: Tensor) -> tuple[Tensor, None]:
    with torch.no_grad():
        return check_energy(energy(x), len(x)), None


class Evaluate:
    """Moves a state to another point: ``evaluate(state, x)`` has U, V and their gradients at x."""

    def __init__(self, energy: Energy | AnnealingPath, gradient: bool = True):
        target, base = (
            (energy.energy, energy.base) if isinstance(energy, AnnealingPath) else (energy, None)
        )
        self.target = differentiated(target) if gradient else partial(_value_only, target)
        self.base: Callable[[Tensor], tuple[Tensor, Tensor | None]] | None = None
        if base is not None:
            self.base = differentiated(base) if gradient else partial(_value_only, base)

    def __call__(self, state: ChainState, x: Tensor, velocity: Tensor | None = None) -> ChainState:
        """``state`` moved to ``x``, with the same step size, beta and scale."""
        energy, grad = self.target(x)
        base, base_grad = (None, None) if self.base is None else self.base(x)
        return ChainState(
            x, energy, grad, state.step_size, state.beta, state.scale, velocity, base, base_grad
        )

    def with_gradient(self, state: ChainState) -> ChainState:
        """``state`` with the gradient at its point, which the last step of a run may have left out."""
        return state if state.grad is not None else self(state, state.x, state.velocity)

    def init(
        self, x0: Tensor, step_size: float | Tensor, scale: float | Tensor, beta: float | Tensor
    ) -> ChainState:
        """The first state. ValueError on non-finite x0, wrong shapes or non-finite energies."""
        if x0.ndim < 2:
            raise ValueError(
                f"x0 must hold one start point per row, shape [chains, *event]; this one has shape "
                f"{list(x0.shape)} (use x0.unsqueeze(1) for one-dimensional events)"
            )
        x = x0.detach()
        rows = x.flatten(1).sum(1)
        h, s, b = (on_device_of(x, v) for v in (step_size, scale, beta))
        try:
            state = self(ChainState(x, x, None, h, b, s), x)
        except RuntimeError as error:
            refuse_non_finite(rows, "x0 holds NaN or infinity")
            raise ValueError(
                f"the energy cannot be evaluated at start points of shape {list(x0.shape)}: {error}"
            ) from error
        energies = [check_energy(u, len(x)) for u in (state.energy, state.base) if u is not None]
        # The host looks once, and closer only where something is wrong.
        if not bool(torch.stack([rows, *energies]).isfinite().all()):
            refuse_non_finite(rows, "x0 holds NaN or infinity")
            for u in energies:
                refuse_non_finite(u, "the energy of x0 is not finite")
        return state


def refuse_non_finite(value: Tensor, what: str) -> None:
    """ValueError that names the first row where ``value [B]`` is NaN or infinite."""
    bad = (~torch.isfinite(value)).nonzero()
    if len(bad):
        raise ValueError(
            f"{what} (first at row {int(bad[0])}, {len(bad)} rows in all); start the chains at "
            "finite points inside the support"
        )


def refuse_bounded(energy: Energy | AnnealingPath) -> None:
    """ValueError for an energy that says it is ``bounded``: exp(-E) has no normaliser on R^d."""
    target = energy.energy if isinstance(energy, AnnealingPath) else energy
    if getattr(target, "bounded", False):
        raise ValueError(
            f"{type(target).__name__} is bounded, so that exp(-E) has no normaliser on R^d and "
            "chains drift away; wrap it as constrained(energy, Box(shape, low, high)), or give "
            "unadjusted Langevin its box"
        )


@dataclass(frozen=True)
class Constrained:
    """The energy E(x) - log b(x) of the density exp(-E(x)) b(x): +inf outside a Box."""

    energy: Energy
    measure: Measure

    def __call__(self, x: Tensor) -> Tensor:
        """``[B, *event] -> [B]``. Raises ValueError if the event shape is not the measure's."""
        if x.shape[1:] != self.measure.shape:
            raise ValueError(
                f"points of shape {list(x.shape[1:])} do not fit the base measure, which has "
                f"{list(self.measure.shape)}; start the chains at [chains, *measure.shape]"
            )
        return self.energy(x) - self.measure.log_density(x)


def energy_with_base_measure(energy: Energy, measure: Measure) -> Energy:
    """The energy under its base measure, for kernels with a Metropolis step.

    Outside a Box it is +inf, so such points are rejected. Unadjusted Langevin takes ``box`` instead
    and reflects at the walls. Raises ValueError for a bounded energy on all of R^d.
    """
    if isinstance(measure, RealSpace):
        refuse_bounded(energy)
    return Constrained(energy, measure)
