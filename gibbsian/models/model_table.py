"""What a model is, as a small table for a notebook."""

from __future__ import annotations

from pathlib import Path

from gibbsian.config.config import Config
from gibbsian.core import DataSpace, TrainingMethod
from gibbsian.core.html_tables import html_table
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
