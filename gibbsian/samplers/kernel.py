"""What a Markov chain sampler is: a State, an Info, and a Kernel of ``init`` and ``step``.

A kernel leaves the density proportional to exp(-Phi(x)) invariant, where Phi is the *potential*

    Phi(x) = beta U(x)                          for an energy U,
    Phi(x) = (1 - beta) V(x) + beta U(x)        for ``Path(V, U)``, the geometric path from V to U.

The inverse temperature beta, the step size h and the diagonal scale are tensors of the State; U, V
and their gradients at x are carried there apart from beta. Annealing is therefore
``state.replace(beta=...)``: it costs no evaluation at all, and the increment of an importance
log-weight is ``-(new_beta - beta) * state.energy_gap``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from gibbsian.core import Energy, check_energy
from gibbsian.measures import Measure


@dataclass(frozen=True)
class Path:
    """Energies (1 - beta) V + beta U from ``base`` V (beta 0) to ``energy`` U (beta 1)."""

    base: Energy
    energy: Energy


@dataclass(frozen=True)
class State:
    """What the next step needs. B chains; the event may have any shape.

    ``x [B, *event]``; ``energy [B]`` U(x); ``grad [B, *event]`` its gradient (None where the
    kernel uses none); ``step_size`` h and ``beta``, each 0-d or ``[B]``; ``scale``, 0-d or
    ``[*event]``: the length of each coordinate (the inverse mass matrix is diag(scale^2));
    ``velocity [B, *event]`` of kinetic Langevin; ``base [B]`` and ``base_grad``: V(x) and its
    gradient on a ``Path``.
    """

    x: Tensor
    energy: Tensor
    grad: Tensor | None
    step_size: Tensor
    beta: Tensor
    scale: Tensor
    velocity: Tensor | None = None
    base: Tensor | None = None
    base_grad: Tensor | None = None

    def replace(self, **changes: Any) -> State:
        """A copy with other values; numbers become tensors of the chains' dtype and device."""
        for name in ("step_size", "beta", "scale"):
            if name in changes:
                changes[name] = torch.as_tensor(
                    changes[name], dtype=self.energy.dtype, device=self.x.device
                )
        return dataclasses.replace(self, **changes)

    @property
    def energy_gap(self) -> Tensor:
        """``[B]``: dPhi/dbeta, which is U - V on a path and U without one."""
        return self.energy if self.base is None else self.energy - self.base

    @property
    def potential(self) -> Tensor:
        """``[B]``: Phi(x) at the state's beta."""
        if self.base is None:
            return self.beta * self.energy
        return torch.lerp(self.base, self.energy, self.beta)

    @property
    def potential_grad(self) -> Tensor:
        """``[B, *event]``: the gradient of Phi at the state's beta."""
        assert self.grad is not None, "this kernel carries no gradient"
        beta = per_chain(self.beta, self.x)
        if self.base_grad is None:
            return beta * self.grad
        return torch.lerp(self.base_grad, self.grad, beta)

    def select(self, index: Tensor) -> State:
        """The chains ``index [n]``, as resampling needs them."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for name in ("x", "energy", "grad", "velocity", "base", "base_grad"):
            if fields[name] is not None:
                fields[name] = fields[name][index]
        for name in ("step_size", "beta"):
            if fields[name].ndim:
                fields[name] = fields[name][index]
        return State(**fields)


@dataclass(frozen=True)
class Info:
    """What only a diagnosis needs.

    ``acceptance [B]``: probability with which the proposal was accepted (1 or 0 where there is no
    Metropolis step). ``diverging [B]``: the proposal was rejected because its energy was NaN or
    -inf, its gradient not finite, or the integrator's error above 1000 nats. An energy of +inf
    with a finite gradient is a point outside the support: an ordinary rejection.
    ``evaluations``: energy or gradient evaluations per chain this step cost.
    """

    acceptance: Tensor
    diverging: Tensor
    evaluations: int


class Kernel(NamedTuple):
    """``init(x0 [B, *event]) -> State`` and ``step(state, rng) -> (State, Info)``, both pure."""

    init: Callable[[Tensor], State]
    step: Callable[[State, Generator], tuple[State, Info]]


def value_and_grad(energy: Energy, x: Tensor) -> tuple[Tensor, Tensor]:
    """U(x) ``[B]`` and its gradient ``[B, *event]``, both detached: one forward, one backward.

    An energy with a method ``value_and_grad(x)`` (an analytic gradient) is asked for it instead.
    """
    analytic = getattr(energy, "value_and_grad", None)
    if analytic is not None:
        return analytic(x)
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        u = energy(x)
        (grad,) = torch.autograd.grad(u.sum(), x)
    return u.detach(), grad


def per_chain(value: Tensor, x: Tensor) -> Tensor:
    """``value`` (0-d or ``[B]``) shaped so that it multiplies ``x [B, *event]`` row by row."""
    return value if value.ndim == 0 else value.reshape(-1, *[1] * (x.ndim - 1))


def sum_event(x: Tensor) -> Tensor:
    """``[B, *event] -> [B]``."""
    return x.sum(-1) if x.ndim == 2 else x.flatten(1).sum(1)


class Evaluate:
    """Moves a state to another point: ``evaluate(state, x)`` has U (and V) and gradients at x."""

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
        state = self(State(x, x, None, h, b, s), x)
        for u in (state.energy, state.base):
            if u is not None:
                check_energy(u, len(x))
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


def check_positive(name: str, value: float | Tensor) -> None:
    """ValueError unless every entry of ``value`` is a positive finite number."""
    v = torch.as_tensor(value)
    if not bool((torch.isfinite(v) & (v > 0)).all()):
        raise ValueError(f"{name} must be positive and finite; got {value}")


def accept_or_keep(accept: Tensor, proposal: State, state: State) -> State:
    """Per chain, the proposal where ``accept [B]`` is true and the old state elsewhere."""
    mask = accept.reshape(-1, *[1] * (state.x.ndim - 1))

    def pick(row: Tensor, new: Tensor | None, old: Tensor | None) -> Tensor | None:
        return None if new is None or old is None else torch.where(row, new, old)

    return State(
        torch.where(mask, proposal.x, state.x),
        torch.where(accept, proposal.energy, state.energy),
        pick(mask, proposal.grad, state.grad),
        state.step_size,
        state.beta,
        state.scale,
        pick(mask, proposal.velocity, state.velocity),
        pick(accept, proposal.base, state.base),
        pick(mask, proposal.base_grad, state.base_grad),
    )


def metropolis(
    state: State, proposal: State, log_ratio: Tensor, sound: Tensor, rng: Generator, cost: int
) -> tuple[State, Info]:
    """Accept with probability min(1, exp(log_ratio)), and never where ``sound [B]`` is false."""
    acceptance = torch.where(sound, log_ratio.exp().clamp(max=1.0), 0.0)
    u = torch.rand(
        acceptance.shape, generator=rng, device=acceptance.device, dtype=acceptance.dtype
    )
    return accept_or_keep(u < acceptance, proposal, state), Info(acceptance, ~sound, cost)


@dataclass(frozen=True)
class Constrained:
    """The energy E(x) - log b(x) of the density exp(-E(x)) b(x): +inf outside a Box."""

    energy: Energy
    measure: Measure

    def __call__(self, x: Tensor) -> Tensor:
        """``[B, *event] -> [B]``."""
        return self.energy(x) - self.measure.log_density(x)


def constrained(energy: Energy, measure: Measure) -> Energy:
    """The energy under its base measure, for kernels with a Metropolis step.

    Outside a Box it is +inf, so such points are rejected. Unadjusted Langevin takes ``box`` instead
    and reflects at the walls.
    """
    return Constrained(energy, measure)
