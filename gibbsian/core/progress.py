"""Progress bars of long computations: on standard error, where a command asks for them.

A loop says what it is by ``steps`` or ``counter``; whether that is seen, the one who called it says by
``shown``. Nothing that is computed depends on it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
_SHOWN: ContextVar[bool] = ContextVar("progress bars are shown", default=False)


@contextmanager
def shown() -> Iterator[None]:
    """Bars of what is computed inside are shown, if standard error is a terminal."""
    token = _SHOWN.set(True)
    try:
        yield
    finally:
        _SHOWN.reset(token)


def steps(over: Sequence[T], what: str) -> tqdm[T]:
    """``over``, with a bar called ``what`` that vanishes when it is done."""
    return tqdm(over, desc=what, leave=False, disable=_hidden(), dynamic_ncols=True)


def counter(what: str) -> tqdm[None]:
    """A bar for steps whose number is not known beforehand: a context, told of each by ``update``."""
    return tqdm(desc=what, leave=False, disable=_hidden(), dynamic_ncols=True)


def _hidden() -> bool:
    return not (_SHOWN.get() and sys.stderr.isatty())
