"""How chains went, as JSON-able facts for whoever reads about a run later."""

from __future__ import annotations

import math
import re
from typing import Any

import torch
from torch import Tensor

from gibbsian.samplers.chains import Chains
from gibbsian.samplers.kernel import ChainState

WORST, TRACED = 6, 4
COLUMNS = ("mean", "std", "mcse", "ess_bulk", "ess_tail", "r_hat")


def chain_metadata(chains: Chains[ChainState], kernel: str) -> dict[str, Any]:
    """Diagnostics of ``chains`` that ``kernel`` made: in all, of the worst coordinates, and a trace.

    ``rows``: at most six coordinates, those with the largest R-hat; ``trace``: the worst of them along the
    first four chains, with the step of each kept draw. None stands for what is not finite.
    """
    summary, (kept, count) = chains.summary(), chains.draws.shape[:2]
    worst = summary.r_hat.nan_to_num(torch.inf).argsort(descending=True, stable=True).tolist()
    rows = [
        {"name": summary.names[j]}
        | {column: finite(getattr(summary, column)[j]) for column in COLUMNS}
        for j in worst[:WORST]
    ]
    trace: dict[str, Any] = {"name": "", "steps": [], "values": []}
    if worst:
        draws = chains.draws.reshape(kept, count, -1)
        name = summary.names[worst[0]]
        column = draws[:, :TRACED, position(name, chains.draws.shape[2:])]
        steps = [(k + 1) * chains.steps // kept for k in range(kept)]
        values = [[finite(value) for value in path] for path in column.T]
        trace = {"name": name, "steps": steps, "values": values}
    return {
        "kernel": kernel,
        "head": str(chains).splitlines()[0],
        "acceptance": finite(chains.acceptance.mean()),
        "divergences": int(chains.divergences.sum()),
        "verdict": summary.verdict,
        "rows": rows,
        "trace": trace,
    }


def position(name: str, shape: tuple[int, ...]) -> int:
    """Where the coordinate ``x[i,j,...]`` of an event of ``shape`` lies in the flattened event."""
    flat = 0
    for index, size in zip(re.findall(r"\d+", name), shape, strict=True):
        flat = flat * size + int(index)
    return flat


def finite(value: Tensor) -> float | None:
    """The number, or None where JSON has none for it."""
    return float(value) if math.isfinite(float(value)) else None
