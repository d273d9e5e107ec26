"""What every distance between two samples needs: a check of the tables, an error, an interval."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

NORMAL_95 = 1.959963984540054


def checked_pair(x: Tensor, x_model: Tensor, least: int) -> tuple[Tensor, Tensor]:
    """Data ``x [N, d]`` and samples ``x_model [M, d]`` in float64.

    Raises ValueError, saying what to do, for other shapes, fewer than ``least`` rows on a side, or a row
    that is not finite.
    """
    if x.ndim != 2 or x_model.ndim != 2 or x.shape[1] != x_model.shape[1]:
        raise ValueError(
            f"data and samples must be two tables of equal width, not {list(x.shape)} and "
            f"{list(x_model.shape)}; flatten images or give their features"
        )
    if min(len(x), len(x_model)) < least:
        raise ValueError(
            f"at least {least} rows are needed on each side; there are {len(x)} and {len(x_model)}"
        )
    for name, table in (("data", x), ("samples", x_model)):
        finite = torch.isfinite(table).all(1)
        if not finite.all():
            row = int((~finite).nonzero()[0])
            raise ValueError(f"row {row} of the {name} is not finite; a distance would hide that")
    return x.double(), x_model.double()


def halved_error(
    statistic: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    x_model: Tensor,
    rng: Generator,
    splits: int = 20,
) -> Tensor:
    """Standard error of ``statistic(x, x_model)`` (any shape) by comparing halves of both samples.

    Half the mean squared difference between two disjoint halves is the variance at half the rows,
    without bias for any statistic; half of that again is the variance at all rows, as far as it falls
    like 1 / n. For what depends on nearest neighbours or order: a row drawn twice, as a bootstrap does,
    would be its own neighbour, and a jackknife counts the variance of such statistics up to four times.
    Needs two rows a side.
    """
    n, m = len(x) // 2, len(x_model) // 2
    squares = []
    for _ in range(splits):
        a = x[torch.randperm(len(x), generator=rng, device=rng.device)]
        b = x_model[torch.randperm(len(x_model), generator=rng, device=rng.device)]
        squares.append((statistic(a[:n], b[:m]) - statistic(a[n:], b[m:])).square())
    return 0.5 * torch.stack(squares).mean(0).sqrt()


def share_interval(value: float, stderr: float) -> tuple[float, float]:
    """A 95 % interval for a number in (0, 1), symmetric on the scale of log-odds.

    Inside (0, 1) whatever the error (for areas under precision-recall curves: Boyd, Eng, Page 2013). A
    value of 0 or 1 has no width here: its error is not known from the sample.
    """
    if stderr == 0.0 or not 0.0 < value < 1.0:
        return value, value
    centre = math.log(value / (1.0 - value))
    half = NORMAL_95 * stderr / (value * (1.0 - value))
    low, high = torch.sigmoid(torch.tensor([centre - half, centre + half]).double()).tolist()
    return low, high


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """A 95 % interval for a probability from its binomial count (Wilson 1927).

    >>> wilson_interval(0, 10)
    (0.0, 0.277...)
    """
    share, z2 = successes / trials, NORMAL_95**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    spread = math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    half = NORMAL_95 * spread / (1 + z2 / trials)
    return max(0.0, centre - half), min(1.0, centre + half)
