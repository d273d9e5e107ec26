"""Small games with known answers, for the tests of the trainer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor, nn

from gibbsian.core import Batch, Gradients, Loss, PlayerUpdate, TrainingMethod
from gibbsian.core.measures import RealSpace


@dataclass
class CountingStream:
    """An endless stream whose state is one number: batch t is drawn from seed t."""

    batch: int = 8
    shift: float = 0.0
    drawn: int = 0
    calls: list[int] = field(default_factory=list)

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        self.drawn += 1
        x = torch.randn(self.batch, 2, generator=Generator().manual_seed(self.drawn)) + self.shift
        return Batch(x, torch.arange(self.batch))

    def state_dict(self) -> dict[str, int]:
        return {"drawn": self.drawn}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.drawn = state["drawn"]


class Seesaw(TrainingMethod):
    """Two players; dropout draws from the global generator, noise from ``rng``, chains are local."""

    players = {"left": ("left", "scale"), "right": ("right",)}
    roles = {}
    local = ("chains",)

    def __init__(self, poison: int = 10**9, spoils: str = "both"):
        super().__init__(RealSpace((2,)))
        self.left = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5), nn.Tanh(), nn.Linear(4, 1))
        self.scale = nn.Parameter(torch.ones(()))
        self.right = nn.Linear(2, 2)
        self.left_idle = nn.Parameter(torch.zeros(1))  # nobody's
        self.poison, self.spoils = poison, spoils
        self.register_buffer("chains", torch.zeros(3))
        self.register_buffer("seen", torch.zeros(2))

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        self.chains.add_(torch.randn(3, generator=rng))
        factor = torch.tensor(float("nan") if index >= self.poison else 1.0)
        x = next(data).x
        self.seen.mul_(0.9).add_(x.mean(0))
        yield PlayerUpdate("left", self.left_loss, (x, factor), transform=self.harmless)
        noise = torch.randn(8, 2, generator=rng)
        yield PlayerUpdate("right", self.right_loss, (noise,))

    def left_loss(self, x: Tensor, factor: Tensor) -> Loss:
        height = self.left(x).squeeze(-1) * self.scale
        value = (height - self.right(x).sum(-1).detach()).square().mean()
        if self.spoils == "gradient":
            value = value + self._spike(factor)
        elif self.spoils == "value":
            value = value + torch.where(torch.isnan(factor), torch.inf, 0.0)
        else:
            value = value * factor
        return Loss(value, {"height": height.mean()})

    def _spike(self, factor: Tensor) -> Tensor:
        """0 with gradient 0; 0 with an infinite gradient where ``factor`` is NaN."""
        offset = torch.where(torch.isnan(factor), 0.0, 1.0)
        root = torch.sqrt((self.scale - self.scale.detach()) + offset) - offset
        return root - 0.5 * offset * (self.scale - self.scale.detach())

    def right_loss(self, noise: Tensor) -> Loss:
        return Loss((self.right(noise) - noise).square().mean() + self.left(noise).mean())

    @staticmethod
    def harmless(gradients: Gradients) -> Gradients:
        return {name: torch.nan_to_num(g, 0.0, 0.0, 0.0) for name, g in gradients.items()}

    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        return torch.randn(n, 2, generator=rng)


class Quadratic(TrainingMethod):
    """One player descending ``slope . theta`` or (theta - mean x)^2 / 2: steps known in closed form."""

    players = {"only": ("theta",)}
    roles = {}

    def __init__(self) -> None:
        super().__init__(RealSpace((2,)))
        self.theta = nn.Parameter(torch.zeros(2))
        self.unused = nn.Parameter(torch.zeros(1))

    def round(self, index: int, data: Iterator[Batch], rng: Generator) -> Iterator[PlayerUpdate]:
        yield PlayerUpdate("only", self.loss, (next(data).x,))

    def loss(self, x: Tensor) -> Loss:
        return Loss(0.5 * (self.theta - x.mean(0)).square().sum())

    def vector_loss(self, x: Tensor) -> Loss:
        return Loss(self.theta * x.mean(0))

    def unreached_loss(self, x: Tensor) -> Loss:
        return Loss(self.unused.sum())

    def sample(self, n: int, rng: Generator, given: Tensor | None = None) -> Tensor:
        return self.theta.detach().expand(n, 2)
