"""What goes wrong in a network, which may be the user's own, as one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

ERRORS_OF_MODULES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
)
"""What a module's constructor or forward pass raises when it does not fit; ValueErrors speak already."""


@contextmanager
def blaming(network: str) -> Iterator[None]:
    """Make a ValueError of what goes wrong in a network: it may be the user's own."""
    try:
        yield
    except ERRORS_OF_MODULES as error:
        what = str(error).partition("\n")[0]
        raise ValueError(
            f"{network} fails with {type(error).__name__}: {what} (GIBBSIAN_DEBUG=1 shows where)"
        ) from error
