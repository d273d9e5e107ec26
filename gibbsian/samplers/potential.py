"""What a kernel asks of its energy: value, gradient, the annealing path and the walls."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gibbsian.core import Energy, check_energy
from gibbsian.measures import Measure
from gibbsian.samplers.kernel import State


@dataclass(frozen=True)
class Path:
    """Energies (1 - beta) V + beta U from ``base`` V (beta 0) to ``energy`` U (beta 1)."""

    base: Energy
    energy: Energy


def value_and_grad(energy: Energy, x: Tensor) -> tuple[Tensor, Tensor]:
    """U(x) ``[B]`` and its gradient ``[B, *event]``, both detached: one forward, one backward.

    An energy with a method ``value_and_grad(x)`` (an analytic gradient) is asked for it instead.
    """
    analytic = getattr(energy, "value_and_grad", None)
    if analytic is not None:
        return analytic(x)
    if torch.compiler.is_compiling():  # autograd.grad cannot be traced
        return _traced_value_and_grad(energy, x)
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        u = energy(x)
        if not u.requires_grad:  # a constant, such as the base measure of a box
            return u, torch.zeros_like(x)
        (grad,) = torch.autograd.grad(u.sum(), x, materialize_grads=True)
    return u.detach(), grad


def _traced_value_and_grad(energy: Energy, x: Tensor) -> tuple[Tensor, Tensor]:
    def total(x: Tensor) -> tuple[Tensor, Tensor]:
        u = energy(x)
        return u.sum(), u

    grad, u = torch.func.grad(total, has_aux=True)(x)
    return u, grad


class Evaluate:
    """Moves a state to another point: ``evaluate(state, x)`` has U, V and their gradients at x."""

    def __init__(self, energy: Energy | Path, gradient: bool = True):
        self.target: Energy = energy.energy if isinstance(energy, Path) else energy
        self.base: Energy | None = energy.base if isinstance(energy, Path) else None
        self.gradient = gradient

    def at(self, energy: Energy, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Energy ``[B]`` and gradient (None for a kernel without one) of one of the energies."""
        if self.gradient:
            return value_and_grad(energy, x)
        with torch.no_grad():
            return energy(x), None

    def __call__(self, state: State, x: Tensor, velocity: Tensor | None = None) -> State:
        """``state`` moved to ``x``, with the same step size, beta and scale."""
        energy, grad = self.at(self.target, x)
        base, base_grad = (None, None) if self.base is None else self.at(self.base, x)
        return State(
            x, energy, grad, state.step_size, state.beta, state.scale, velocity, base, base_grad
        )

    def init(
        self, x0: Tensor, step_size: float | Tensor, scale: float | Tensor, beta: float | Tensor
    ) -> State:
        """The first state. ValueError on non-finite x0, wrong shapes or non-finite energies."""
        if x0.ndim < 2:
            raise ValueError(
                f"x0 must hold one start point per row, shape [chains, *event]; this one has shape "
                f"{list(x0.shape)} (use x0.unsqueeze(1) for one-dimensional events)"
            )
        x = x0.detach()
        refuse_non_finite(x.flatten(1).sum(1), "x0 holds NaN or infinity")
        h, s, b = (
            torch.as_tensor(v, dtype=x.dtype, device=x.device) for v in (step_size, scale, beta)
        )
        try:
            state = self(State(x, x, None, h, b, s), x)
        except RuntimeError as error:
            raise ValueError(
                f"the energy cannot be evaluated at start points of shape {list(x0.shape)}: {error}"
            ) from error
        for u in (state.energy, state.base):
            if u is not None:
                refuse_non_finite(check_energy(u, len(x)), "the energy of x0 is not finite")
        return state


def refuse_non_finite(value: Tensor, what: str) -> None:
    """ValueError that names the first row where ``value [B]`` is NaN or infinite."""
    bad = (~torch.isfinite(value)).nonzero()
    if len(bad):
        raise ValueError(
            f"{what} (first at row {int(bad[0])}, {len(bad)} rows in all); start the chains at "
            "finite points inside the support"
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


def constrained(energy: Energy, measure: Measure) -> Energy:
    """The energy under its base measure, for kernels with a Metropolis step.

    Outside a Box it is +inf, so such points are rejected. Unadjusted Langevin takes ``box`` instead
    and reflects at the walls.
    """
    return Constrained(energy, measure)
