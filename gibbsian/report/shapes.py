"""What the JSON of a run folder must look like for a report to be made of it."""

from __future__ import annotations

from types import NoneType
from typing import Any


def fits(value: Any, shape: Any) -> bool:
    """Whether JSON ``value`` has ``shape``.

    A shape is a type (a truth value is no number), a tuple of shapes of which one must fit, ``[shape]``
    for each entry of a list, ``{str: shape}`` for each entry of an object, or ``{name: shape, ...}`` for
    entries that an object must have besides any others.
    """
    if isinstance(shape, tuple):
        return any(fits(value, one) for one in shape)
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(entry, shape[0]) for entry in value)
    if not isinstance(shape, dict):
        return isinstance(value, shape) and not isinstance(value, bool)
    if not isinstance(value, dict):
        return False
    if str in shape:
        return all(fits(entry, shape[str]) for entry in value.values())
    return all(name in value and fits(value[name], one) for name, one in shape.items())


NUMBER = (int, float)
MAYBE = (int, float, NoneType)
SIDE = {"value": MAYBE, "stderr": MAYBE, "standing": str}
UNDEFINED = {"undefined": str}
SIDES = (NoneType, UNDEFINED, SIDE, {"lower": SIDE, "upper": SIDE})
"""An estimate or interval of a quantity that is drawn; where it is not defined, why."""

DRAWN = {"log-z", "generator", "log-likelihood", "between", "entropy"}
EVALUATION = {
    "warnings": [str],
    "rows": {str: str},
    "values": {str: (dict, NoneType)},
    "arrays": str,
}
ANOMALY = (NoneType, UNDEFINED, {"columns": [str], "rows": {str: [str]}})
STRANGEST = (NoneType, [{"energy": MAYBE, "percentile": NUMBER, "reasons": [str]}])
CHAINS = {
    "kernel": str,
    "head": str,
    "verdict": str,
    "rows": [
        {"name": str, "mean": MAYBE, "std": MAYBE, "mcse": MAYBE}
        | {"ess_bulk": MAYBE, "ess_tail": MAYBE, "r_hat": MAYBE}
    ],
    "trace": {"name": str, "steps": [NUMBER], "values": [[MAYBE]]},
}
