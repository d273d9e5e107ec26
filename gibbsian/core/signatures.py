"""Options are read off signatures: of methods, networks, and what a user names."""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, is_dataclass
from functools import cache
from typing import Any

import docstring_parser

RARE = "rare"
"""``Annotated[int, RARE]``: an option that few ever set, which ``--help-all`` leaves out."""


@dataclass(frozen=True)
class Option:
    """A keyword-only parameter: its type as annotated, its default and its line under ``Args``."""

    type: Any
    default: Any
    help: str

    @property
    def rare(self) -> bool:
        """Whether it is marked as ``RARE``."""
        return RARE in typing.get_args(self.type)[1:]


@cache
def options_of(builder: Callable[..., Any]) -> Mapping[str, Option]:
    """The options of a class or function by name: its keyword-only parameters with a default.

    Of a dataclass all its fields.
    ``**rest: Annotated[Any, other]`` says that the remaining options are those of ``other``.
    """
    parameters = inspect.signature(builder, eval_str=True).parameters.values()
    kinds = ["keyword-only", "positional or keyword"] if is_dataclass(builder) else ["keyword-only"]
    texts = {
        entry.arg_name: " ".join((entry.description or "").split())
        for entry in docstring_parser.parse(builder.__doc__ or "").params
    }
    found: dict[str, Option] = {}
    for parameter in parameters:
        if parameter.kind.description in kinds and parameter.default is not parameter.empty:
            text = texts.get(parameter.name, "")
            found[parameter.name] = Option(parameter.annotation, parameter.default, text)
        elif parameter.kind is parameter.VAR_KEYWORD:
            for other in typing.get_args(parameter.annotation)[1:]:
                found |= {k: v for k, v in options_of(other).items() if k not in found}
    return found


def check_options(what: str, builder: Callable[..., Any], names: Iterable[str]) -> None:
    """ValueError naming the options that ``what`` has if one of ``names`` is none of them."""
    known = options_of(builder)
    for name in names:
        if name not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            close = difflib.get_close_matches(name, known, 1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise ValueError(f"{what} has no option {name!r}{hint}; {has}")
