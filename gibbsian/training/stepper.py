"""How one move is made: loss, gradients, averaging, the finite check, transform, step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from gibbsian.core import Loss, NonFiniteError, PlayerUpdate, TrainingMethod
from gibbsian.core.numerics import widest_float
from gibbsian.training import processes
from gibbsian.training.arithmetic import Precision
from gibbsian.training.optimizers import OptimizerOptions, laid_out


def player_parameters(method: TrainingMethod, player: str) -> dict[str, nn.Parameter]:
    """Name -> parameter for everything ``player`` moves; ValueError where an attribute has none."""
    attributes = method.players[player]
    found = {
        name: parameter
        for name, parameter in method.named_parameters()
        if parameter.requires_grad
        and any(name == a or name.startswith(f"{a}.") for a in attributes)
    }
    if not found:
        raise ValueError(f"player {player!r} ({', '.join(attributes)}) has no parameters to train")
    return found


def largest(gradients: tuple[Tensor, ...]) -> Tensor:
    """Largest absolute entry, scalar; not finite if any entry is not.

    On CPU torch's maximum norm is not vectorised and costs a dense network a fifth of its move.
    """
    if gradients[0].device.type != "cpu":
        return torch.nn.utils.get_total_norm(gradients, norm_type=torch.inf)
    ends = [end for gradient in gradients for end in torch.aminmax(gradient)]
    return torch.stack(ends).abs().max()


def surely_finite(tensors: Iterable[Tensor]) -> bool:
    """True only if every entry of tensors on the CPU is finite; False may be an overflow of the sum."""
    return math.isfinite(sum(tensor.sum().item() for tensor in tensors))


class Stepper:
    """Makes the moves of one method; holds its optimizers and the record of the first fault.

    A fault (a loss or gradient that is not finite) is recorded on the device without stopping the
    host; ``check`` reads it. Reading is due at every logging round and before every save.
    """

    def __init__(
        self,
        method: TrainingMethod,
        optimizers: Mapping[str, OptimizerOptions],
        precision: Precision = "float32",
        compile: bool = False,
    ):
        self.method = method
        self.options = optimizers
        self.parameters = {player: player_parameters(method, player) for player in method.players}
        self.optimizers = {
            player: optimizers[player].build(list(self.parameters[player].values()))
            for player in method.players
        }
        self.weights = list(method.parameters())
        self.precision = precision
        self.compile = compile
        self.compiled: dict[Any, Callable[..., Loss]] = {}
        self.names = list(method.players)
        self.device = next(method.parameters()).device
        # Made by fills: a copy from the host's memory would make it wait for the device.
        self.fault = torch.full((4,), -1.0, dtype=widest_float(self.device), device=self.device)
        self.lr_factor = 1.0  # of all rates, after the run went back
        self.shared_buffers = [
            buffer
            for name, buffer in method.named_buffers()
            if name not in method.local and buffer.is_floating_point()
        ]

    def set_rates(self, index: int, rounds: int) -> None:
        """Set each rate to its schedule's value for round ``index`` of ``rounds``, times ``lr_factor``."""
        for player, optimizer in self.optimizers.items():
            options = self.options[player]
            changes = options.lr_schedule != "constant" or index <= options.warmup
            if changes or self.lr_factor != 1.0:
                for group in optimizer.param_groups:
                    group["lr"] = options.lr * options.factor(index, rounds) * self.lr_factor

    def step(self, move: PlayerUpdate, index: int) -> Loss:
        """Take one gradient step; return the loss, detached.

        Raises ValueError when the player is unknown, the loss is not a scalar, or it does not reach
        a parameter of the player.
        """
        if move.player not in self.parameters:
            raise ValueError(
                f"move of an unknown player {move.player!r}; players are {', '.join(self.names)}"
            )
        parameters = self.parameters[move.player]
        autocast = (
            torch.autocast(self.device.type, torch.bfloat16)
            if self.precision == "bfloat16"
            else nullcontext()
        )
        with autocast:
            loss = self._function(move)(*move.inputs)
        if loss.value.ndim != 0:
            raise ValueError(
                f"the loss of player {move.player!r} must be a scalar, not {list(loss.value.shape)}"
            )
        gradients = torch.autograd.grad(
            loss.value, list(parameters.values()), allow_unused=True, materialize_grads=False
        )
        for name, gradient in zip(parameters, gradients, strict=True):
            if gradient is None:
                raise ValueError(
                    f"the loss of player {move.player!r} does not reach its parameter {name!r}; "
                    "a player is exactly the parameters its losses reach"
                )
        gradients = tuple(map(laid_out, gradients, parameters.values()))
        value = loss.value.detach().clone()
        if processes.world() > 1:
            processes.average_([*gradients, value, *self.shared_buffers])
        self._record_fault(move.player, index, value, gradients)
        named = dict(zip(parameters, gradients, strict=True))
        if move.transform is not None:
            changed = move.transform(named)
            named = {name: laid_out(changed[name], parameters[name]) for name in parameters}
        self._step(move.player, named)
        return Loss(value, {name: log.detach() for name, log in loss.logs.items()})

    def _function(self, move: PlayerUpdate) -> Callable[..., Loss]:
        if not self.compile:
            return move.loss
        key = getattr(move.loss, "__func__", move.loss)
        if key not in self.compiled:
            self.compiled[key] = torch.compile(move.loss)
        return self.compiled[key]

    def _record_fault(
        self, player: str, index: int, value: Tensor, gradients: tuple[Tensor, ...]
    ) -> None:
        if self.device.type == "cpu" and surely_finite((value, *gradients)):
            return
        norm = largest(gradients)
        sound = torch.isfinite(value) & torch.isfinite(norm)
        where = [self.fault.new_full((), number) for number in (self.names.index(player), index)]
        fault = torch.stack([*where, value.to(self.fault.dtype), norm.to(self.fault.dtype)])
        keep = sound | (self.fault[0] >= 0)
        self.fault = torch.where(keep, self.fault, fault)

    def _step(self, player: str, gradients: Mapping[str, Tensor]) -> None:
        parameters = self.parameters[player]
        factor = self._clip_factor(player, gradients)
        for name, parameter in parameters.items():
            # Not in place: parameters that are added to each other may share one gradient.
            parameter.grad = gradients[name] if factor is None else factor * gradients[name]
        self.optimizers[player].step()
        for parameter in parameters.values():
            parameter.grad = None

    def _clip_factor(self, player: str, gradients: Mapping[str, Tensor]) -> Tensor | None:
        """What brings the global norm of ``gradients`` to ``clip`` at most; None where it is free."""
        clip = self.options[player].clip_grad_norm
        if clip <= 0:
            return None
        norm = nn.utils.get_total_norm(list(gradients.values()))
        return (clip / (norm + 1e-6)).clamp(max=1.0)

    def check(self, played: int) -> None:
        """Raise NonFiniteError with player, round and value of the first move that was faulty.

        Of the moves since the start or ``forget_fault``; without one, where a weight is not finite after
        ``played`` rounds.
        """
        player, index, value, norm = self.fault.tolist()
        if player >= 0:
            name = self.names[int(player)]
            raise NonFiniteError(
                f"player {name!r} is not finite in round {int(index)}: loss {value:g}, "
                f"largest gradient entry {norm:g}; {self._remedy(name)}",
                int(index),
            )
        for name, parameters in self.parameters.items():
            if not math.isfinite(largest(tuple(p.detach() for p in parameters.values()))):
                raise NonFiniteError(
                    f"a weight of player {name!r} is not finite after {played} rounds; "
                    f"{self._remedy(name)}",
                    played,
                )

    def forget_fault(self) -> None:
        """Take the moves so far for sound: the run has gone back to where they were."""
        self.fault = torch.full_like(self.fault, -1.0)

    def _remedy(self, player: str) -> str:
        own = f"--{player}-optimizer."
        options = "" if player in self.method.self_optimized else f" ({own}lr), {own}clip-grad-norm"
        return f"try a smaller learning rate{options} or a confined energy"
