"""Wasserstein distances of two samples: sliced, in one dimension, and exact through POT.

W_p = (min over couplings of E |x - y|^p)^(1/p), |.| Euclidean, in the data's units; p is 1 or 2. Samples
of one distribution have a distance above 0, in d dimensions of order n^(-1/d): compare equal numbers of rows
only, and beside the distance between two sets of data.
"""

from __future__ import annotations

import importlib
import math
from types import ModuleType
from typing import Literal

import torch
from torch import Generator, Tensor
from torch.nn.functional import normalize

from gibbsian.core import Estimate
from gibbsian.evaluation.metrics.resampling import checked_pair, halved_error

Order = Literal[1, 2]

FEW = 200
PIVOTS = 10_000_000
"""Of the network simplex method before it gives up."""


def transport_cost(a: Tensor, b: Tensor, p: Order) -> Tensor:
    """W_p^p of every column of ``a [N, L]`` to that of ``b [M, L]``, ``[L]``: exact.

    In one dimension the coupling by order is the best; for N = M it pairs the sorted values, otherwise
    the quantile functions are compared on all steps of both.
    """
    a, b = a.sort(0).values, b.sort(0).values
    n, m = len(a), len(b)
    if n == m:
        return (a - b).abs().pow(p).mean(0)
    # Steps at i/n and j/m, in whole numbers of 1/(n m), so that none is missed or seen twice.
    steps = torch.cat([m * torch.arange(n + 1), n * torch.arange(m + 1)]).unique().to(a.device)
    left = steps[:-1]
    width = steps.diff().to(a.dtype) / (n * m)
    return ((a[left // m] - b[left // n]).abs().pow(p) * width[:, None]).sum(0)


def sliced_wasserstein(
    x: Tensor, x_model: Tensor, rng: Generator, p: Order = 2, projections: int = 200
) -> Estimate:
    """(mean over directions of W_p^p of the projections)^(1/p) of data ``x [N, d]`` and ``x_model [M, d]``.

    Bonneel et al. (2015). The directions are drawn first from ``rng``: equal generators give equal
    directions, whatever the samples. The error has two parts, from the rows (comparing halves) and
    from the directions (both in ``diagnostics``); in one dimension there is one direction and no
    second part. Raises ValueError for tables that do not match, fewer than two rows a side, values
    that are not finite, another p or fewer than two projections.
    """
    x, x_model = checked_pair(x, x_model, 2)
    _check_order(p)
    if projections < 2:
        raise ValueError(f"there must be at least 2 projections, not {projections}")
    d = x.shape[1]
    directions = torch.randn(d, projections, generator=rng, device=rng.device, dtype=x.dtype)
    theta = normalize(directions, dim=0) if d > 1 else x.new_ones(1, 1)
    return _sliced(x @ theta, x_model @ theta, rng, p, f"sliced W_{p}" if d > 1 else f"W_{p}")


def _sliced(a: Tensor, b: Tensor, rng: Generator, p: Order, how: str) -> Estimate:
    def distance(one: Tensor, other: Tensor) -> Tensor:
        return transport_cost(one, other, p).mean().pow(1.0 / p)

    of_rows = float(halved_error(distance, a, b, rng))
    costs = transport_cost(a, b, p)
    lines = len(costs)
    value, slope = _root(float(costs.mean()), p)
    of_directions = slope * float(costs.std()) / math.sqrt(lines) if lines > 1 else 0.0
    parts = {
        "stderr_rows": of_rows,
        "stderr_directions": of_directions,
        "few": min(len(a), len(b)) < FEW,
    }
    return Estimate(value, math.hypot(of_rows, of_directions), "both", "estimate", how, parts)


def wasserstein(x: Tensor, x_model: Tensor, rng: Generator, p: Order = 2) -> Estimate:
    """W_p of data ``x [N, d]`` and samples ``x_model [M, d]``: the exact distance of the two tables.

    One column needs no library; more are solved by POT's network simplex method (Bonneel et al. 2011)
    in 8 N M bytes, and in seconds for 2000 rows a side. The error is that of the dual potentials' means
    (del Barrio, Loubes 2019; in one column by comparing halves), about the mean of such distances, not
    about the distance of the two distributions, from which it is farther. Raises ValueError as
    ``sliced_wasserstein`` and where the solver does not finish, ImportError naming the extra where
    POT is missing.
    """
    x, x_model = checked_pair(x, x_model, 2)
    _check_order(p)
    if x.shape[1] == 1:
        return _sliced(x, x_model, rng, p, f"W_{p}")
    n, m = len(x), len(x_model)
    costs = torch.cdist(x, x_model).pow(p).cpu()
    even = [torch.full((size,), 1.0 / size, dtype=x.dtype).numpy() for size in (n, m)]
    cost, log = pot().emd2(*even, costs.numpy(), numItermax=PIVOTS, log=True)
    if log["warning"] is not None:
        raise ValueError(
            f"exact transport of {n} to {m} rows did not finish ({log['warning']}); use fewer rows "
            "or the sliced distance"
        )
    variance = float(torch.as_tensor(log["u"]).var() / n + torch.as_tensor(log["v"]).var() / m)
    value, slope = _root(float(cost), p)
    few = {"few": min(n, m) < FEW}
    return Estimate(value, slope * math.sqrt(variance), "both", "estimate", f"W_{p}", few)


def pot() -> ModuleType:
    """The library POT; ImportError naming the extra where it is missing."""
    try:
        return importlib.import_module("ot")
    except ImportError as error:
        raise ImportError(
            "exact Wasserstein distances in two or more dimensions need POT: "
            "pip install 'gibbsian[transport]' (sliced ones need nothing)"
        ) from error


def _check_order(p: int) -> None:
    if p not in (1, 2):
        raise ValueError(f"the order p of a Wasserstein distance must be 1 or 2, not {p}")


def _root(cost: float, p: Order) -> tuple[float, float]:
    """cost^(1/p) and its derivative; at 0, where there is none, 0: the two tables are equal."""
    cost = max(cost, 0.0)
    if p == 1:
        return cost, 1.0
    value = math.sqrt(cost)
    return value, 0.5 / value if value > 0 else 0.0
