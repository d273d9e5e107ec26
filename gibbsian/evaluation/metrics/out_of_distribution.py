"""Anomaly detection: how well a score separates held-out data from corrupted data.

A score is any function ``x [B, *event] -> [B]`` that is larger where x is more anomalous (an energy).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gibbsian.evaluation.metrics.resampling import share_interval

Score = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Auroc:
    """Area under the ROC curve with its standard error (DeLong)."""

    value: float
    stderr: float

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval on the scale of log-odds; without width at 0 and 1."""
        return share_interval(self.value, self.stderr)

    def __str__(self) -> str:
        return f"{self.value:.3f} ± {self.stderr:.3f}"


@dataclass(frozen=True)
class AurocTable:
    """``cells[score][corruption]``; ``normal`` points against the points of each corruption."""

    cells: Mapping[str, Mapping[str, Auroc]]
    normal: int

    def __str__(self) -> str:
        columns = list(next(iter(self.cells.values())))
        head = ["AUROC", *columns]
        rows = [[name, *(str(row[c]) for c in columns)] for name, row in self.cells.items()]
        widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [head, *rows]
        ]
        return "\n".join(lines)


def midranks(values: Tensor) -> Tensor:
    """Ranks from 1 in float64, ties sharing the mean of theirs. ``[N] -> [N]``."""
    _, group, counts = values.unique(sorted=True, return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    return (last - 0.5 * (counts - 1).double())[group]


def auroc(normal: Tensor, anomalous: Tensor) -> Auroc:
    """P(anomalous > normal) + P(equal) / 2 from scores ``[n]`` and ``[m]``, by midranks.

    The standard error is that of DeLong, DeLong and Clarke-Pearson (1988) from midranks (Sun and
    Xu, 2014): it holds for any distribution of the scores. Zero where the two sets do not overlap. Raises
    ValueError for NaN scores or fewer than two on either side.
    """
    n, m = len(normal), len(anomalous)
    if n < 2 or m < 2:
        raise ValueError(f"AUROC needs at least two scores on either side; got {n} and {m}")
    if normal.isnan().any() or anomalous.isnan().any():
        raise ValueError("a score is NaN; AUROC is defined for numbers only")
    a, b = anomalous.double(), normal.double()
    joint = midranks(torch.cat([a, b]))
    # For each anomalous score the share of normal ones below it, and the other way round.
    below = (joint[:m] - midranks(a)) / n
    above = 1 - (joint[m:] - midranks(b)) / m
    variance = float(below.var() / m + above.var() / n)
    return Auroc(float(below.mean()), math.sqrt(variance))


def auroc_table(
    scores: Mapping[str, Score],
    normal: Tensor,
    corrupted: Mapping[str, Tensor],
    *,
    batch: int = 4096,
) -> AurocTable:
    """AUROC of every score on every corrupted set against ``normal [n, *event]``.

    Scores are evaluated without gradients, ``batch`` rows at a time. Raises ValueError if a score
    does not return one number per row.
    """
    cells = {}
    for name, score in scores.items():
        base = _evaluate(name, score, normal, batch)
        cells[name] = {
            corruption: auroc(base, _evaluate(name, score, x, batch))
            for corruption, x in corrupted.items()
        }
    return AurocTable(cells, len(normal))


def _evaluate(name: str, score: Score, x: Tensor, batch: int) -> Tensor:
    with torch.no_grad():
        values = [score(part) for part in x.split(batch)]
    result = torch.cat(values)
    if result.shape != (len(x),):
        raise ValueError(
            f"the score {name!r} must return one number per row, shape [{len(x)}]; it returned "
            f"{list(result.shape)}"
        )
    return result


def gaussian_anomaly_score(train: Tensor, ridge: float = 1e-6) -> Score:
    """Baseline: squared Mahalanobis distance under a full-covariance Gaussian fitted to ``train``.

    ``ridge``, relative to the mean variance, keeps constant columns from dividing by zero.
    Computed in float64.
    """
    flat = train.flatten(1).double()
    mean, d = flat.mean(0), flat.shape[1]
    covariance = torch.cov(flat.T).reshape(d, d)
    jitter = ridge * covariance.diagonal().mean().clamp_min(1e-300)
    factor = torch.linalg.cholesky(covariance + jitter * torch.eye(d).to(covariance))

    def score(x: Tensor) -> Tensor:
        deviation = (x.flatten(1).double() - mean).T
        return torch.linalg.solve_triangular(factor, deviation, upper=False).square().sum(0)

    return score


def pca_anomaly_score(train: Tensor, explained: float = 0.95) -> Score:
    """Baseline: squared reconstruction error from the principal components of ``train``.

    Keeps the fewest components that explain the share ``explained`` of the variance, and never all
    of them (the error would be zero everywhere). Raises ValueError for one-dimensional data.
    """
    flat = train.flatten(1).double()
    if flat.shape[1] < 2:
        raise ValueError("a PCA reconstruction error needs at least two columns")
    mean = flat.mean(0)
    _, s, components = torch.linalg.svd(flat - mean, full_matrices=False)
    share = s.square().cumsum(0) / s.square().sum()
    kept = min(int((share < explained).sum()) + 1, flat.shape[1] - 1)
    basis = components[:kept]

    def score(x: Tensor) -> Tensor:
        deviation = x.flatten(1).double() - mean
        return (deviation - deviation @ basis.T @ basis).square().sum(1)

    return score
