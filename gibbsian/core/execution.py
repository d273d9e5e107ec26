"""How chains are to be executed, as the caller of a whole run says it: a training loop, for instance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

Compile = bool | Literal["auto"]
"""Whether the steps of chains are compiled; auto where that is predicted to save time."""

_AMBIENT: ContextVar[Compile] = ContextVar("compile", default=False)


@contextmanager
def compiled_chains(compile: Compile) -> Iterator[None]:
    """Within, chains are compiled or not as it says here, where whoever runs them leaves that open."""
    token = _AMBIENT.set(compile)
    try:
        yield
    finally:
        _AMBIENT.reset(token)


def ambient_compile() -> Compile:
    """What the innermost ``compiled_chains`` says; False outside, since auto depends on the clock."""
    return _AMBIENT.get()
