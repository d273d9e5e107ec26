"""How normal given points are: what `gibbsian score` writes of each."""

from __future__ import annotations

from torch import Tensor

from gibbsian.core import Interval
from gibbsian.core.protocols import HasLogWeights
from gibbsian.models.log_density import (
    directed_log_density,
    generator_bound,
    log_density,
    log_z,
    reference_points,
)
from gibbsian.models.model import Model


def score_rows(model: Model, x: Tensor, seed: int) -> tuple[dict[str, Tensor], str]:
    """Per row: energy, log-density from both sides, percentile; and a sentence on their standing."""
    if isinstance(model.method, HasLogWeights):
        below = directed_log_density(model, x, seed)
        return {"log_density_lower": below}, "log-densities are bounds in expectation, from below"
    energy = model.energy(x, seed)
    table = {"energy": energy}
    z = log_z(model, reference_points(model, seed), seed, generator_bound(model, seed))
    if isinstance(z, Interval):
        sides = log_density(model, x, energy, z, seed)
        table["log_density_lower"], table["log_density_upper"] = sides
    if model.held_out is not None:
        table["percentile"] = model.percentile(energy)
    standing = f"log-densities use {z}" if isinstance(z, Interval) else f"log-density {z}"
    return table, f"{standing}; percentile: share of held-out rows with no higher energy"
