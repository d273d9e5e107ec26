"""What a model is: a line for a console, a small table for a notebook."""

from __future__ import annotations

from pathlib import Path

from gibbsian.config.config import Config
from gibbsian.core import DataSpace, TrainingMethod
from gibbsian.core.html_tables import html_table
from gibbsian.core.measures import Undefined
from gibbsian.core.protocols import HasEnergy, HasLogProb
from gibbsian.core.text import one_line
from gibbsian.data.transforms import Transform

MOST_COLUMNS = 8
"""Columns that are named; of more, how many there are."""


def model_table(
    config: Config, method: TrainingMethod, space: DataSpace, transform: Transform
) -> str:
    """Method, data, networks and size of a model in HTML."""
    parameters = list(method.parameters())
    named = transform.columns if len(transform.columns) <= MOST_COLUMNS else ()
    rows = [
        ("method", config.method),
        ("data", Path(config.data).name),
        ("observations", f"{space.kind}, {' x '.join(map(str, transform.shape))}"),
        *([("columns", ", ".join(named))] if named else []),
        *((name, network.name) for name, network in config.networks.items()),
        ("parameters", f"{sum(p.numel() for p in parameters):,}"),
        ("device", str(parameters[0].device)),
    ]
    return html_table("Model", (), rows)


def model_line(
    config: Config,
    method: TrainingMethod,
    transform: Transform,
    rounds: int | None,
    folder: Path | None,
) -> str:
    """Method, data, shape, rounds, folder of a model, and what there is to know of its log Z."""
    asked = config.training.rounds
    played = f"{asked} rounds or fewer" if rounds is None else f"{rounds} rounds"
    if rounds is not None and rounds != asked:
        played = f"{rounds} of {asked} rounds"
    shape = " x ".join(map(str, transform.shape))
    parts = [
        f"{config.method} on {Path(config.data).name}",
        f"{shape} {'values' if len(transform.shape) > 1 else 'columns'} a row",
        played,
        "in no folder" if folder is None else f"in {folder}",
        log_z_known(method),
    ]
    return one_line(f"Model({', '.join(parts)})")


def log_z_known(method: TrainingMethod) -> str:
    """Whether log Z is known without looking for it."""
    if isinstance(method, HasLogProb) and isinstance(method, HasEnergy):
        return "log Z = 0"
    if method.directed:
        return "normalised: it needs no log Z"
    if not isinstance(method, HasEnergy) or isinstance(method.measure, Undefined):
        return "log Z not defined"
    return "log Z by log_z()"
