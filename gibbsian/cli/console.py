"""What every command does: parse its record, speak on standard error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import tyro


def parse(record: type, arguments: Sequence[str], name: str, default: Any = None) -> Any:
    """Fill ``record`` from the command line; on a bad option exits with status 2 and says which."""
    extra = {} if default is None else {"default": default}
    return tyro.cli(record, args=list(arguments), prog=f"gibbsian {name}", **extra)


def say(text: str) -> None:
    """One line on standard error; results go to standard output."""
    print(f"gibbsian: {text}", file=sys.stderr)
