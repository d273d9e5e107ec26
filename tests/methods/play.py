"""What the tests of single methods share: a quadratic energy, streams of batches, players' gradients."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import fields

import torch
from torch import Tensor, nn

from gibbsian.core import Batch, PlayerUpdate, TrainingMethod
from gibbsian.methods._langevin import SamplerOptions


def with_sampler(**options: object) -> dict[str, object]:
    """Options of a method with those of its chains gathered in ``sampler``."""
    names = {field.name for field in fields(SamplerOptions)}
    sampler = {name: value for name, value in options.items() if name in names}
    rest = {name: value for name, value in options.items() if name not in names}
    return rest | {"sampler": SamplerOptions(**sampler)}


class Quadratic(nn.Module):
    """E(x) = a |x|^2 / 2 + b sum x: exp(-E) is N(-b / a, 1 / a) in each coordinate.

    In one dimension log Z = log(2 pi / a) / 2 + b^2 / (2 a). ``calls`` counts evaluations.
    """

    def __init__(self, a: float, b: float):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))
        self.b = nn.Parameter(torch.tensor(b))
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        flat = x.flatten(1)
        return 0.5 * self.a * flat.square().sum(1) + self.b * flat.sum(1)


class Stream:
    """Endless batches of fresh standard normal rows; counts what was taken."""

    def __init__(self, n: int, shape: tuple[int, ...] = (2,), seed: int = 0):
        self.n, self.shape = n, shape
        self.rng = torch.Generator().manual_seed(seed)
        self.taken: list[Tensor] = []

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        self.taken.append(torch.randn(self.n, *self.shape, generator=self.rng))
        return Batch(self.taken[-1], torch.arange(self.n))


def player(method: TrainingMethod, name: str) -> dict[str, nn.Parameter]:
    """The parameters that a player moves."""
    attributes = method.players[name]
    return {n: p for n, p in method.named_parameters() if n.split(".")[0] in attributes}


def gradients(method: TrainingMethod, move: PlayerUpdate) -> dict[str, Tensor]:
    """The moving player's gradients; an error where the loss does not reach one of them."""
    parameters = player(method, move.player)
    loss = move.loss(*move.inputs)
    assert loss.value.ndim == 0
    assert not any(log.requires_grad for log in loss.logs.values())
    values = torch.autograd.grad(loss.value, list(parameters.values()))
    return dict(zip(parameters, values, strict=True))


def descend(
    method: TrainingMethod, moves: Iterator[PlayerUpdate], rate: float
) -> list[PlayerUpdate]:
    """Take every move by plain gradient descent, transforms included; the moves made."""
    made = []
    for move in moves:
        found = gradients(method, move)
        if move.transform is not None:
            found = dict(move.transform(found))
        with torch.no_grad():
            for name, parameter in player(method, move.player).items():
                parameter -= rate * found[name]
        made.append(move)
    return made


def reached(value: Tensor, module: nn.Module) -> bool:
    """Whether ``value`` has any gradient in the parameters of ``module``."""
    parameters = list(module.parameters())
    found = torch.autograd.grad(value, parameters, allow_unused=True, retain_graph=True)
    return any(g is not None for g in found)


def directional_difference(
    parameters: list[nn.Parameter], directions: list[Tensor], value: Callable[[], Tensor]
) -> float:
    """Central difference of ``value()`` along ``directions``, fourth order, step 1e-4."""
    step, total = 1e-4, 0.0
    starts = [p.detach().clone() for p in parameters]
    for shift, weight in ((1, 8), (-1, -8), (2, -1), (-2, 1)):
        with torch.no_grad():
            for p, start, d in zip(parameters, starts, directions, strict=True):
                p.copy_(start + shift * step * d)
            total += weight * value().item()
    with torch.no_grad():
        for p, start in zip(parameters, starts, strict=True):
            p.copy_(start)
    return total / (12 * step)


def check_gradient(
    method: TrainingMethod, name: str, loss: Callable[[], Tensor], truth: Callable[[], Tensor]
) -> None:
    """The player's gradient of ``loss()`` is the derivative of ``truth()``, along three directions.

    ``truth`` is the equation written out anew; both in float64.
    """
    parameters = list(player(method, name).values())
    found = torch.autograd.grad(loss(), parameters)
    rng = torch.Generator().manual_seed(7)
    for _ in itertools.repeat(None, 3):
        directions = [torch.randn(p.shape, generator=rng, dtype=p.dtype) for p in parameters]
        slope = sum((g * d).sum().item() for g, d in zip(found, directions, strict=True))
        difference = directional_difference(parameters, directions, truth)
        assert abs(slope) > 1e-4
        assert abs(slope - difference) < 1e-7 * max(1.0, abs(slope))
