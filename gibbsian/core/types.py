"""The types every package shares: energies, moves of a game, methods, estimates.

Nothing here knows how a gradient step is made, where data come from, or which method exists.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import torch
from torch import Generator, Tensor, nn

from gibbsian.core.healthy_ranges import HealthyRange
from gibbsian.core.html_tables import html_table
from gibbsian.core.measures import Measure, Undefined

if TYPE_CHECKING:
    from gibbsian.core.roles import Role

Energy = Callable[[Tensor], Tensor]
"""E: ``[B, *event] -> [B]``, low where the model is probable."""

Gradients = Mapping[str, Tensor]
"""Parameter name (as in ``TrainingMethod.named_parameters``) -> gradient."""


@dataclass(frozen=True)
class DataSpace:
    """What one observation looks like in the units the networks see.

    ``shape``: event shape, ``(d,)`` for vectors and ``(C, H, W)`` for images.
    ``kind``: decides which networks fit. ``box``: the interval all coordinates lie in, if there is one;
    of mixed rows, all numbers. ``categories``: of mixed rows, how many values each category has; a row
    is its numbers, then a one-hot block for each category.
    """

    shape: tuple[int, ...]
    kind: Literal["vector", "image", "binary", "mixed"]
    box: tuple[float, float] | None = None
    categories: tuple[int, ...] = ()


class Batch(NamedTuple):
    """Observations ``x [B, *event]``, their row numbers ``index [B]`` and, where known, ``target [B]``."""

    x: Tensor
    index: Tensor  # type: ignore[assignment]  # shadows tuple.index, which nobody asks of a batch
    target: Tensor | None = None


@dataclass(frozen=True)
class Loss:
    """A scalar (ndim 0) that the moving player descends, and detached scalars worth logging."""

    value: Tensor
    logs: Mapping[str, Tensor] = field(default_factory=dict)


class PlayerUpdate(NamedTuple):
    """One gradient step of one player.

    ``loss`` is a bound method of the Method, pure in ``inputs``; all noise, and every scalar that
    changes between rounds (as a 0-d tensor), comes in through ``inputs``. ``transform`` maps the
    player's gradients after they were averaged over processes and found finite.
    """

    player: str
    loss: Callable[..., Loss]
    inputs: tuple[Tensor, ...]
    transform: Callable[[Gradients], Gradients] | None = None


class TrainingMethod(nn.Module, ABC):
    """A game between players, each a set of sub-modules or parameters of this module.

    Sub-classes are final: no implemented method is overridden. ``players`` maps a player's name to
    the attributes it moves; ``roles`` maps each constructor argument that takes a network to what
    builds it, what it sees and what it must return; ``local`` names buffers that differ between
    processes (Markov chains); ``settings`` are options that ``gibbsian train`` starts from;
    ``staged`` names players that need not move in the first round;
    ``self_optimized`` names players whose moves' transforms return steps, to be subtracted as they are:
    they have no optimizer to choose. ``directed``: the model is normalised by construction, relative to
    counting measure on binary data and Lebesgue measure on all of R^d otherwise. ``conditional``: it is
    a model of what something given leaves open, without which ``sample`` raises ValueError.
    ``mixed``: rows may hold categories beside numbers; ``settings_of_mixed`` are then the defaults of
    network options.
    ``healthy``: where values that it logs stay while training is sound; a run that leaves them goes back.
    ``warmup``: how many rounds at the start are of a cheaper kind than those after them.
    ``measure`` is the base measure b of p(x) = exp(-E(x)) b(x) / Z, or says why there is none.
    """

    players: ClassVar[Mapping[str, tuple[str, ...]]]
    roles: ClassVar[Mapping[str, Role]]
    local: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[Mapping[str, Any]] = {}
    staged: ClassVar[tuple[str, ...]] = ()
    self_optimized: ClassVar[tuple[str, ...]] = ()
    directed: ClassVar[bool] = False
    conditional: ClassVar[bool] = False
    mixed: ClassVar[bool] = False
    settings_of_mixed: ClassVar[Mapping[str, Any]] = {}
    healthy: ClassVar[tuple[HealthyRange, ...]] = ()
    warmup: int = 0

    def __init__(self, measure: Measure | Undefined):
        super().__init__()
        self.measure = measure

    @abstractmethod
    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        """Yield the moves of round ``index`` (from 0); code after a yield sees the updated player."""

    @abstractmethod
    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        """Draw ``[n, *event]`` from the model, in the networks' units."""


Side = Literal["lower", "upper", "both"]
Standing = Literal["exact", "bound", "bound in expectation", "estimate"]


@dataclass(frozen=True)
class Estimate:
    """A number in nats (unless ``how`` says otherwise) with its standard error and its standing.

    ``side`` says from which side of the truth it comes, ``standing`` with what right.
    """

    value: float
    stderr: float
    side: Side
    standing: Standing
    how: str
    diagnostics: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return f"{self.number} ({self.standing})"

    @property
    def number(self) -> str:
        """The value and, where it is known and not zero, its standard error of two digits.

        The value has the decimals of its error, and four digits where that is not known, or fewer where
        that of a grid (``error`` among the diagnostics) says so.
        """
        if not 0 < self.stderr < math.inf:  # not known where NaN
            error = float(self.diagnostics.get("error", 0.0))
            if 0 < error < math.inf and abs(self.value) < 1e3 * error:
                return f"{round(self.value, decimals(error)) + 0.0:.4g}"
            return f"{self.value:.4g}"
        return f"{self.value:.{decimals(self.stderr)}f} ± {self.stderr:.2g}"

    def _repr_html_(self) -> str:
        return html_table(
            "",
            ("value", "standing", "side", "how"),
            [(self.number, self.standing, self.side, self.how)],
        )


def decimals(error: float) -> int:
    """Decimals that show two digits of ``error`` > 0: 4 of 0.0041, 0 of 41."""
    return max(0, 1 - math.floor(math.log10(error)))


@dataclass(frozen=True)
class Interval:
    """A quantity from both sides. ``name`` is what it is printed as; ``warnings`` are sentences."""

    lower: Estimate
    upper: Estimate
    name: str = "log Z"
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        warned = "".join(f"; warning: {one}" for one in self.warnings)
        return f"{self.name} {self.sides}{warned}"

    @property
    def sides(self) -> str:
        """``= value`` or ``in [lower, upper]``, without the warnings."""
        if self.lower == self.upper:
            return f"= {self.lower}"
        return f"in [{self.lower}, {self.upper}]"

    @property
    def interval95(self) -> tuple[float, float] | None:
        """From where to where 95 % intervals of both ends reach; None where the ends have no errors."""
        below, above = (side.diagnostics.get("interval95") for side in (self.lower, self.upper))
        if below is None or above is None or not self.lower.stderr > 0:
            return None
        return float(below[0]), float(above[1])

    def _repr_html_(self) -> str:
        sides = {"lower": self.lower, "upper": self.upper}
        if self.lower == self.upper:
            sides = {"both": self.lower}
        rows = [(side, one.number, one.standing, one.how) for side, one in sides.items()]
        columns = ("side", "value", "standing", "how")
        return html_table(self.name, columns, rows, [f"Warning: {one}" for one in self.warnings])


@dataclass(frozen=True)
class NotDefined:
    """What takes the place of a number that does not exist, and the reason in words."""

    why: str

    def __str__(self) -> str:
        return f"not defined: {self.why}"


class DivergenceError(RuntimeError):
    """Training has left what is healthy: says what was seen, and ``round``, after which, if known."""

    def __init__(self, said: str, round: int | None = None):
        super().__init__(said)
        self.round = round


class NonFiniteError(DivergenceError):
    """A loss, gradient or weight that is not finite: names the player, the round and the value."""


def check_energy(value: Tensor, batch: int) -> Tensor:
    """Return ``value`` if it is one number per row; raise ValueError naming both shapes otherwise."""
    if value.shape != (batch,):
        hint = (
            "squeeze the last dimension if it is 1" if value.ndim else "sum over dimension 1 alone"
        )
        raise ValueError(
            f"an energy must return one number per row, shape [{batch}]; this one returned "
            f"{list(value.shape)} ({hint})"
        )
    return value


def standard_normal(n: int, dim: int, rng: Generator) -> Tensor:
    """``[n, dim]`` standard normal noise on the device of ``rng``."""
    return torch.randn(n, dim, generator=rng, device=rng.device)
