"""What a sweep varies: a JSON file from options, as the command line names them, to their values.

A list holds the values to try; {"low": a, "high": b} is a range, whole numbers if both ends are,
with "log": true on a logarithmic scale. A list of one value fixes an option for the whole sweep.
Options with commas between them get one value together.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gibbsian.config.config import Config, from_json, network_name, replace, to_json
from gibbsian.config.consent import check_consent
from gibbsian.core.files import read_json

Values = dict[str, Any]
"""Option -> value, one point of a space."""


@dataclass(frozen=True)
class Choices:
    """The values to try, each as JSON text: lists are values too, and no library need understand them."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; whole ones if both are."""

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)


Space = Mapping[str, Choices | Range]


def read_search_space(path: Path) -> Space:
    """The space in a JSON file; ValueError naming the file and the entry that is none."""
    if not path.is_file():
        raise ValueError(f"there is no space file {path}; it maps options to lists of values")
    try:
        return parse_search_space(read_json(path))
    except ValueError as error:
        raise ValueError(f"{path} cannot be used: {error}") from error


def parse_search_space(entries: Any) -> Space:
    """The space that JSON ``entries`` describe; ValueError naming the entry that is none."""
    if not isinstance(entries, Mapping) or not entries:
        raise ValueError("a space maps at least one option to a list of values or a range")
    return {_spelled(name): _values(name, entry) for name, entry in entries.items()}


def to_entries(space: Space) -> dict[str, Any]:
    """The inverse of ``parse_space``."""
    return {
        name: [json.loads(text) for text in values.texts]
        if isinstance(values, Choices)
        else vars(values)
        for name, values in space.items()
    }


def grid(space: Space) -> list[Values]:
    """Every combination, the last option varying fastest; ValueError for a range."""
    for name, values in space.items():
        if isinstance(values, Range):
            raise ValueError(f"a grid needs lists; {name} is a range (use random or bayes)")
    texts = [values.texts for values in space.values() if isinstance(values, Choices)]
    return [dict(zip(space, point, strict=True)) for point in itertools.product(*texts)]


def decoded(space: Space, point: Values) -> dict[str, Any]:
    """The values meant by a point whose choices are JSON texts."""
    return {
        name: json.loads(value) if isinstance(space[name], Choices) else value
        for name, value in point.items()
    }


def listed(values: Choices | Range, value: Any) -> bool:
    """Whether ``value``, of a choice its JSON text, is among ``values``."""
    if isinstance(values, Choices):
        return value in values.texts
    return _number(value) and values.low <= value <= values.high


def applied(
    config: Config, values: Values, origin: str = "the space", trust_code: bool = False
) -> Config:
    """``config`` with options set, dots leading into groups; ValueError for one that is not there.

    ``training`` and ``source`` need not be named, as on the command line. ``origin`` and ``trust_code``
    are for code that ``values`` name, as in ``from_json``.
    """
    each = [(name, value) for names, value in values.items() for name in names.split(",")]
    parts = {name.removesuffix(".name"): network_name(value) for name, value in each}
    named = {f"the {role} network": parts[role] for role in config.networks if role in parts}
    check_consent(named, origin, trust_code)
    for name, value in sorted(each, key=_dotted):  # names of networks before their options
        group, dot, field = name.rpartition(".")
        inner = not dot and next(
            (g for g in ("training", "source") if hasattr(getattr(config, g), name)), None
        )
        if inner:
            config = replace(config, **{inner: {name: value}})
        else:
            config = replace(config, **({group: {field: value}} if dot else {name: value}))
    return from_json(to_json(config), origin, trust_code)


def _dotted(entry: tuple[str, Any]) -> bool:
    return "." in entry[0]


def _spelled(name: str) -> str:
    return ",".join(part.strip().removeprefix("--").replace("-", "_") for part in name.split(","))


def _values(name: str, entry: Any) -> Choices | Range:
    if isinstance(entry, list) and entry:
        texts = tuple(json.dumps(value, sort_keys=True) for value in entry)
        if len(set(texts)) == len(texts):
            return Choices(texts)
        raise ValueError(f"{name} lists a value twice")
    numbers = isinstance(entry, Mapping) and all(_number(entry.get(end)) for end in ("low", "high"))
    known = numbers and set(entry) <= {"low", "high", "log"}
    if not known or not isinstance(entry.get("log", False), bool):
        raise ValueError(
            f'{name} must be a list of values or {{"low": a, "high": b, "log": true}}, not {entry!r}'
        )
    found = Range(entry["low"], entry["high"], entry.get("log", False))
    if found.low >= found.high or (found.log and found.low <= 0):
        raise ValueError(f"{name} needs low < high, and low > 0 on a logarithmic scale")
    return found


def _number(value: Any) -> bool:
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return real and math.isfinite(value)
