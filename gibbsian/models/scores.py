"""How normal given points are: what `gibbsian score` writes of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from gibbsian.core import Interval, NotDefined
from gibbsian.core.protocols import HasEnergy, HasLogWeights
from gibbsian.models.log_density import directed_part, estimated_energy, scaled_log_density
from gibbsian.models.model import CHUNK, Model


def score_rows(model: Model, x: Tensor, seed: int) -> tuple[dict[str, Tensor], str]:
    """Per row: energy, log-density from both sides, percentile; and a sentence on their standing."""
    tables, standing = score_in_parts(model, x.split(CHUNK), seed)
    parts = list(tables)
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}, standing


def score_in_parts(
    model: Model, parts: Iterable[Tensor], seed: int
) -> tuple[Iterator[dict[str, Tensor]], str]:
    """The same, a table for each of ``parts``, in memory that does not grow with their number.

    The parts hold ``CHUNK`` rows each, the last one fewer. The noise of dequantisation, and the draws
    that weigh a directed model, come from one generator, part after part: on the CPU the numbers are
    those of all rows scored at once. Of images whose log Z would have to be estimated there is no
    log-density. ValueError for rows of another shape than the model's.
    """
    if isinstance(model.method, HasLogWeights):
        return _directed(model, parts, seed), "log-densities are bounds in expectation, from below"
    if not isinstance(model.method, HasEnergy):
        raise ValueError(f"{model.config.method} has no energy")
    z: Interval | NotDefined
    if model.space.kind == "image" and estimated_energy(model) is not None:
        z = NotDefined("left out")
        standing = (
            "log-densities are left out for images, whose log Z takes minutes and is doubtful: `gibbsian "
            "evaluate` bounds it"
        )
    else:
        z = model.log_z(seed=seed)
        standing = f"log-densities use {z}" if isinstance(z, Interval) else f"log-density {z}"
    tables = _by_energy(model, parts, z, seed)
    if model.space.kind == "mixed":
        standing += f" (nats per row; {of_mixed_measure(model)})"
    return tables, f"{standing}; percentile: share of held-out rows with no higher energy"


def of_mixed_measure(model: Model) -> str:
    """What a density of rows with categories is, in words."""
    if model.space.shape[0] == sum(model.space.categories):
        return "probabilities of the categories"
    return "densities of the numbers times probabilities of the categories"


def _directed(model: Model, parts: Iterable[Tensor], seed: int) -> Iterator[dict[str, Tensor]]:
    rng, done = model.rng(seed), 0
    for x in parts:
        model.check_shape(x)
        below = directed_part(model, x, rng)
        _check_numbers(below, done)
        done += len(x)
        yield {"log_density_lower": below}


def _check_numbers(values: Tensor, done: int) -> None:
    """ValueError naming the first row, ``done`` before these, of which the networks make no number."""
    if values.isnan().any():
        row = done + int(values.isnan().int().argmax()) + 1
        raise ValueError(
            f"row {row} has no score: its values lie too far from the rows the model was trained on; "
            "correct it or take it out"
        )


def _by_energy(
    model: Model, parts: Iterable[Tensor], z: Interval | NotDefined, seed: int
) -> Iterator[dict[str, Tensor]]:
    rng, done = model.rng(seed), 0
    for x in parts:
        model.check_shape(x)
        u = model.transform.encode(x.to(model.device), rng)
        energy = model.energy_of_network_inputs(u)
        _check_numbers(energy, done)
        done += len(x)
        table = {"energy": energy}
        if isinstance(z, Interval):
            sides = scaled_log_density(model, u, energy, z)
            table["log_density_lower"], table["log_density_upper"] = sides
        if model.held_out is not None:
            table["energy_percentile"] = model.percentile_rank_of_energy(energy)
        yield table
