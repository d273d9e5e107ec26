"""Limits on what a file or an option may ask for, refused before memory is taken.

Each can be raised by an environment variable: ``GIBBSIAN_MAX_BYTES`` (of one file once it is
decompressed), ``GIBBSIAN_MAX_PIXELS`` (of one image), ``GIBBSIAN_MAX_COLUMNS`` (of a table),
``GIBBSIAN_MAX_PARAMETERS`` (of a model's networks and chains) and ``GIBBSIAN_MAX_MEMORY`` (bytes,
predicted; the machine's own unless set).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

LIMITS: Mapping[str, int] = {
    "BYTES": 2**31,
    "PIXELS": 100_000_000,
    "COLUMNS": 100_000,
    "PARAMETERS": 1_000_000_000,
}
PER_PARAMETER = 16
"""Bytes that training takes for a parameter: its value and gradient and two moments of Adam."""
MOST_TENSORS = 4_000
"""Of one model: a network of as many layers would take minutes to build alone."""
FACTORIES: frozenset[Callable[..., Any]] = frozenset(
    {torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn}
)
"""What the layers of torch make their parameters and buffers with, from sizes alone."""


def limit(name: str) -> int:
    """The limit called ``name``; ValueError where its variable holds no positive whole number."""
    variable = f"GIBBSIAN_MAX_{name}"
    text = os.environ.get(variable, "")
    if text:
        if not text.isdecimal() or int(text) < 1:
            raise ValueError(f"{variable} must be a positive whole number, not {text!r}")
        return int(text)
    return LIMITS[name] if name in LIMITS else _memory()


def _memory() -> int:
    """Bytes of memory that the machine has, as far as it says."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**63


def check(name: str, amount: int, what: str) -> None:
    """ValueError where ``amount`` is above the limit called ``name``; ``what`` is a clause with a verb.

    >>> check("PIXELS", 10**12, "photo.png holds")
    Traceback (most recent call last):
    ...
    ValueError: photo.png holds 1e+12 pixels, above the limit of 1e+08; set GIBBSIAN_MAX_PIXELS to allow more
    """
    most = limit(name)
    if amount > most:
        raise refusal(name, amount, what)


def refusal(name: str, amount: int, what: str) -> ValueError:
    """What is said of an ``amount`` above the limit called ``name``."""
    unit = "bytes of memory" if name == "MEMORY" else name.lower()
    return ValueError(
        f"{what} {_number(amount)} {unit}, above the limit of {_number(limit(name))}; set "
        f"GIBBSIAN_MAX_{name} to allow more"
    )


def _number(amount: int) -> str:
    return f"{amount:.4g}" if amount < 10**300 else "more than 1e300"


class _Counting(TorchFunctionMode):
    """Adds up the sizes of new tensors, and refuses the one that goes above a limit before it is made."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = self.tensors = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in FACTORIES:
            size = kwargs.get("size", args[0] if args and not isinstance(args[0], int) else args)
            self.numbers += math.prod(size)
            self.tensors += 1
            check("PARAMETERS", self.numbers, "this model has")
            check("MEMORY", PER_PARAMETER * self.numbers, "training this model would take")
            if self.tensors > MOST_TENSORS:
                raise ValueError(
                    f"this model has more than {MOST_TENSORS} layers and buffers; ask for a smaller depth"
                )
        return func(*args, **kwargs)


@contextmanager
def counted() -> Iterator[None]:
    """Within the block, a ValueError in place of a model above the limits, before it takes memory."""
    with _Counting():
        yield
