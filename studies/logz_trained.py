"""Trained models whose log Z is known by quadrature, and what they say of it themselves.

In the plane the truth is a fine grid of the trained energy in double precision. In four dimensions the
energy is the sum of two networks of two coordinates each, trained on a table of two independent pairs of
columns, and the truth is the sum of two such grids; nothing that is measured knows of the split.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping

import torch
from torch import Generator, Tensor, nn

import gibbsian
from gibbsian import data as datasets
from gibbsian.core import DataSpace, Interval, NotDefined
from gibbsian.data import Dataset
from gibbsian.networks import ConfinedEnergy, DenseTrunk
from studies.harness import Result

MODELS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "CD, moons": ("cd", ("moons",)),
    "NCE, moons": ("nce", ("moons",)),
    "CD, ring8": ("cd", ("ring8",)),
    "NCE, ring8": ("nce", ("ring8",)),
    "CD, moons beside ring8": ("cd", ("moons", "ring8")),
    "NCE, ring8 beside moons": ("nce", ("ring8", "moons")),
}
"""Name -> method and the data of each pair of columns; fixed before any was run."""
ROUNDS, SEEDS = 800, 10
HALF, CELLS = 12.0, 1200
"""The grid: midpoints of cells on [-HALF, HALF]^2, in the networks' units."""
GRID_ERROR = 1e-3
"""Nats by which the grid's every second point alone may change the truth; beyond that there is none."""
SAMPLES = 500
"""Drawn for the figures beside log Z, which come after it and do not change it."""
CALLS = ("evaluate", "log_z()")
Row = list[float]
"""Lower value and stderr, upper value and stderr, whether it warned, CPU seconds; empty: refused."""


class PairsEnergy(nn.Module):
    """E(x) = sum_i E_i(x_2i, x_2i+1): a confined network for every pair of coordinates."""

    confining = True
    bounded = False

    def __init__(self, pairs: int):
        super().__init__()
        plane = DataSpace((2,), "vector")
        self.parts = nn.ModuleList(
            ConfinedEnergy(DenseTrunk(plane, fourier_features=64, fourier_scale=3.0), 2.0)
            for _ in range(pairs)
        )

    def forward(self, x: Tensor) -> Tensor:
        """``[B, 2 pairs] -> [B]``."""
        pairs = zip(self.parts, x.split(2, 1), strict=True)
        return torch.stack([part(columns) for part, columns in pairs]).sum(0)


def table(names: tuple[str, ...]) -> Dataset:
    """The rows of one density, or of several beside each other in independent order."""
    if len(names) == 1:
        return datasets.load_dataset(names[0])
    rng = Generator().manual_seed(7)
    columns = [datasets.load_dataset(name).train for name in names]
    n = min(map(len, columns))
    return datasets.from_array(
        torch.cat([x[torch.randperm(len(x), generator=rng)[:n]] for x in columns], 1)
    )


@torch.no_grad()
def plane_log_z(energy: nn.Module) -> tuple[float, float]:
    """log Z of an energy of the plane in double precision, and what every second point alone changes."""
    energy = copy.deepcopy(energy).double()
    step = 2 * HALF / CELLS
    line = (torch.arange(CELLS, dtype=torch.float64) + 0.5) * step - HALF
    rows = [energy(torch.cartesian_prod(part, line)) for part in line.split(50)]
    log_p = -torch.cat(rows).view(CELLS, CELLS)
    fine = float(log_p.logsumexp((0, 1))) + 2 * math.log(step)
    coarse = float(log_p[::2, ::2].logsumexp((0, 1))) + 2 * math.log(2 * step)
    return fine, abs(fine - coarse)


def row_of(found: Interval | NotDefined, seconds: float) -> Row:
    """The numbers that are kept of one interval."""
    if isinstance(found, NotDefined):
        return []
    low, high = found.lower, found.upper
    numbers = (low.value, low.stderr, high.value, high.stderr, float(bool(found.warnings)), seconds)
    return [round(number, 6) for number in numbers]


def measure_model(name: str, seeds: int) -> Result:
    """Train one model; its interval from `Model.evaluate` and from `Model.log_z` with several seeds."""
    method, names = MODELS[name]
    data, options = table(names), {"training": {"rounds": ROUNDS, "seed": 0}}
    if len(names) == 1:
        model = gibbsian.train(method, names[0], **options)
        parts = [model.method.energy]
    else:
        torch.manual_seed(0)
        networks = {"energy": PairsEnergy(len(names))}
        model = gibbsian.train(method, data, networks=networks, **options)
        parts = list(model.method.energy.parts)
    planes = [plane_log_z(part) for part in parts]
    rows: dict[str, list[Row]] = {call: [] for call in CALLS}
    for seed in range(seeds):
        begun = time.process_time()
        found = model.evaluate(data, samples=SAMPLES, seed=seed).values["log-z"]
        assert isinstance(found, Interval | NotDefined)
        rows["evaluate"].append(row_of(found, time.process_time() - begun))
        begun = time.process_time()
        found = model.log_z(seed=seed)
        rows["log_z()"].append(row_of(found, time.process_time() - begun))
    return {
        "log_z": math.fsum(value for value, _ in planes),
        "grid_error": math.fsum(error for _, error in planes),
        "rows": rows,
    }
