"""A Markov chain sampler: ``ChainState``, ``TransitionInfo`` and ``MarkovKernel``, of ``init`` and ``step``.

A kernel leaves the density proportional to exp(-Phi(x)) invariant, where Phi is the *potential*

    Phi(x) = beta U(x)                          for an energy U,
    Phi(x) = (1 - beta) V(x) + beta U(x)        for ``AnnealingPath(V, U)``, the geometric path from V to U.

The inverse temperature beta, the step size h and the diagonal scale are tensors of the ``ChainState``; U, V
and their gradients at x are carried there apart from beta. Annealing is therefore
``state.replace(beta=...)``: it costs no evaluation at all, and the increment of an importance
log-weight is ``-(new_beta - beta) * state.energy_gap``.

A step draws its noise first and is then a deterministic map, ``move(state, noise)``: that map is
what can be compiled.
"""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import torch
from torch import Generator, Tensor

Noise = tuple[Tensor, ...]


@runtime_checkable
class Position(Protocol):
    """Every state says where its chains are: ``x [B, *event]``."""

    @property
    def x(self) -> Tensor:
        """``[B, *event]``."""
        ...


S = TypeVar("S", bound=Position)
F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class ChainState:
    """What the next step needs. B chains; the event may have any shape.

    ``x [B, *event]``; ``energy [B]`` U(x); ``grad [B, *event]`` its gradient (None where the
    kernel uses none, or before the next step that needs it); ``step_size`` h and ``beta``, each
    0-d or ``[B]``; ``scale``, 0-d or ``[*event]``: the length of each coordinate (the inverse mass
    matrix is diag(scale^2)); ``velocity [B, *event]`` of kinetic Langevin; ``base [B]`` and
    ``base_grad``: V(x) and its gradient on an ``AnnealingPath``.
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

    def replace(self, **changes: Any) -> ChainState:
        """A copy with other values; numbers become tensors of the chains' dtype and device."""
        for name in ("step_size", "beta", "scale"):
            if name in changes:
                changes[name] = on_device_of(self.energy, changes[name])
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

    def select(self, index: Tensor | slice) -> ChainState:
        """The chains ``index [n]``, as resampling needs them."""
        return self.replace(**{name: getattr(self, name)[index] for name in self.by_chain})

    @property
    def by_chain(self) -> list[str]:
        """The names of what has an entry for each chain."""
        always = ("x", "energy", "grad", "velocity", "base", "base_grad")
        names = [name for name in always if getattr(self, name) is not None]
        return names + [name for name in ("step_size", "beta") if getattr(self, name).ndim]

    @staticmethod
    def together(states: Sequence[ChainState]) -> ChainState:
        """The chains of all ``states``, which differ in nothing else."""
        first = states[0]
        return first.replace(
            **{name: torch.cat([getattr(one, name) for one in states]) for name in first.by_chain}
        )


@dataclass(frozen=True, slots=True)
class TransitionInfo:
    """What only a diagnosis needs.

    ``acceptance [B]``: probability with which the proposal was accepted (1 or 0 where there is no
    Metropolis step). ``diverging [B]``: the proposal was rejected because its energy was NaN or
    -inf, its gradient not finite, or the integrator's error above 1000 nats. An energy of +inf
    with a finite gradient is a point outside the support: an ordinary rejection.
    ``evaluations``: energy or gradient evaluations per chain this step cost. ``all_moved``: true
    where the host knows that every acceptance is 1 and nothing diverged.
    ``swaps [replicas - 1]``: acceptance of the exchanges of neighbours in parallel tempering.
    """

    acceptance: Tensor
    diverging: Tensor
    evaluations: int
    all_moved: bool = False
    swaps: Tensor | None = None


@dataclass(frozen=True, slots=True)
class MarkovKernel(Generic[S]):
    """``init(x0 [B, *event]) -> state`` and ``step(state, rng) -> (state, TransitionInfo)``, both pure.

    Where ``noise(state, rng)`` and ``move(state, noise)`` are given, a step is one after the other;
    ``noise`` looks at nothing of the state but shapes, so that it can be drawn many steps ahead.
    ``last``: the move without what only a further step needs, for the end of a run.
    ``exact``: whether a step leaves the target invariant, which unadjusted kernels do not.
    ``evaluations``: energy or gradient evaluations of a step.
    """

    init: Callable[[Tensor], S]
    step: Callable[[S, Generator], tuple[S, TransitionInfo]]
    noise: Callable[[S, Generator], Noise] | None = None
    move: Callable[[S, Noise], tuple[S, TransitionInfo]] | None = None
    exact: bool = True
    last: Callable[[S, Noise], tuple[S, TransitionInfo]] | None = None
    evaluations: int = 1


def kernel_of(
    init: Callable[[Tensor], S],
    noise: Callable[[S, Generator], Noise],
    move: Callable[[S, Noise], tuple[S, TransitionInfo]],
    exact: bool = True,
    last: Callable[[S, Noise], tuple[S, TransitionInfo]] | None = None,
    evaluations: int = 1,
) -> MarkovKernel[S]:
    """The kernel whose step draws ``noise`` and then moves."""

    def step(state: S, rng: Generator) -> tuple[S, TransitionInfo]:
        return move(state, noise(state, rng))

    return MarkovKernel(init, step, noise, move, exact, last, evaluations)


def normal_like(x: Tensor, rng: Generator) -> Tensor:
    """Standard normal noise of the shape, dtype and device of ``x``, whatever its strides."""
    return torch.empty_like(x, memory_format=torch.contiguous_format).normal_(generator=rng)


def uniform_like(x: Tensor, rng: Generator) -> Tensor:
    """Uniform noise on [0, 1) of the shape, dtype and device of ``x``, whatever its strides."""
    return torch.empty_like(x, memory_format=torch.contiguous_format).uniform_(generator=rng)


def on_device_of(x: Tensor, value: float | Tensor) -> Tensor:
    """``value`` with the dtype and device of ``x``; a number is filled in there, not copied from here."""
    return value.to(x) if isinstance(value, Tensor) else x.new_full((), value)


def per_chain(value: Tensor, x: Tensor) -> Tensor:
    """``value`` (0-d or ``[B]``) shaped so that it multiplies ``x [B, *event]`` row by row."""
    return value if value.ndim == 0 else value.reshape(-1, *[1] * (x.ndim - 1))


def sum_event(x: Tensor) -> Tensor:
    """``[B, *event] -> [B]``, as a product with ones: several times faster over short rows."""
    rows = x.flatten(1)
    return rows.mv(rows.new_ones(rows.shape[1]))


@lru_cache(maxsize=32)
def ones(shape: torch.Size, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Ones, made once; not to be changed in place."""
    return torch.ones(shape, dtype=dtype, device=device)


@lru_cache(maxsize=16)
def no_chain(shape: torch.Size) -> Tensor:
    """False for every chain, on the CPU; made once, not to be changed in place."""
    return torch.zeros(shape, dtype=torch.bool)


def slope(state: ChainState) -> tuple[Tensor, Tensor | None]:
    """(g, b) with grad Phi = b g: off a path b is beta, left to a coefficient; on one it is None."""
    if state.base_grad is not None or state.grad is None:
        return state.potential_grad, None
    return state.grad, state.beta


def remembered(f: Callable[..., F]) -> Callable[..., F]:
    """``f``, computed again only when an argument is another object than at the last call.

    For coefficients of the step size: the tensors of a State are never changed in place.
    """
    last: list[Any] = [(), None]

    def recall(*arguments: Any) -> F:
        if torch.compiler.is_compiling():
            return f(*arguments)
        known = last[0]
        if len(known) != len(arguments) or not all(map(operator.is_, known, arguments)):
            last[:] = arguments, f(*arguments)
        value: F = last[1]
        return value

    return recall


def finite(x: Tensor) -> Tensor:
    """Where ``x [B]`` is neither NaN nor infinite; cheaper than ``torch.isfinite``."""
    return x * 0 == 0


def surely_finite(x: Tensor) -> bool:
    """Whether a finite sum says that no entry is NaN or infinite: cheaper than to look at each.

    False where it is not cheap to ask, or where large entries overflow.
    """
    return eager_on_cpu(x) and math.isfinite(x.sum().item())


def eager_on_cpu(x: Tensor) -> bool:
    """Whether reading a number back is cheap: elsewhere the host would wait for the device."""
    return x.is_cpu and not torch.compiler.is_compiling()


def check_positive(name: str, value: float | Tensor) -> None:
    """ValueError unless every entry of ``value`` is a positive finite number."""
    v = torch.as_tensor(value)
    if not bool((torch.isfinite(v) & (v > 0)).all()):
        raise ValueError(f"{name} must be positive and finite; got {value}")


def accept_or_keep(accept: Tensor, proposal: ChainState, state: ChainState) -> ChainState:
    """Per chain, the proposal where ``accept [B]`` is true and the old state elsewhere."""
    old: ChainState = state
    if eager_on_cpu(state.x) and state.x.numel() > 2048:
        # Copying the rejected rows is several times cheaper than torch.where, whose mask
        # broadcasts badly, unless there is little to copy.
        rejected = (~accept).nonzero().squeeze(1)
        if len(rejected) == 0:
            return proposal

        def pick(new: Tensor | None, old: Tensor | None) -> Tensor | None:
            if new is None or old is None:
                return None
            return new.index_copy(0, rejected, old.index_select(0, rejected))
    else:

        def pick(new: Tensor | None, old: Tensor | None) -> Tensor | None:
            if new is None or old is None:
                return None
            return torch.where(per_chain(accept, new), new, old)

    x, energy = pick(proposal.x, old.x), pick(proposal.energy, old.energy)
    assert x is not None and energy is not None
    return ChainState(
        x,
        energy,
        pick(proposal.grad, old.grad),
        old.step_size,
        old.beta,
        old.scale,
        pick(proposal.velocity, old.velocity),
        pick(proposal.base, old.base),
        pick(proposal.base_grad, old.base_grad),
    )


def metropolis(
    state: ChainState,
    proposal: ChainState,
    log_ratio: Tensor,
    sound: Tensor | None,
    u: Tensor,
    evaluations: int,
) -> tuple[ChainState, TransitionInfo]:
    """Accept with probability min(1, exp(log_ratio)), and never where ``sound [B]`` is false.

    ``sound`` is None where the host knows that all are. ``u [B]``: uniform on [0, 1).
    """
    acceptance = log_ratio.exp().clamp_(max=1.0)
    if sound is None:
        broken = no_chain(u.shape)
    else:
        broken = ~sound
        acceptance.masked_fill_(broken, 0.0)
    return accept_or_keep(u < acceptance, proposal, state), TransitionInfo(
        acceptance, broken, evaluations
    )
