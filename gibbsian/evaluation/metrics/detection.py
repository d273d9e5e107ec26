"""Out-of-distribution detection beyond the AUROC: precision-recall areas and false alarms, with intervals.

Scores are larger where a point is more anomalous (energies). Ties count as in scikit-learn: equal
scores pass a threshold together. Errors are spreads over bootstraps of either side for itself, so
they hold for the given numbers of normal and anomalous points.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Generator, Tensor

from gibbsian.core import Estimate
from gibbsian.evaluation.metrics.out_of_distribution import auroc
from gibbsian.evaluation.metrics.resampling import share_interval, wilson_interval

Positive = Literal["anomalous", "normal"]

BOOTSTRAPS = 200
FEW = 100


class Detection(NamedTuple):
    """Four numbers of one detector; the last is better when smaller."""

    auroc: Estimate
    aupr_anomalous: Estimate
    aupr_normal: Estimate
    fpr95: Estimate


def detection_scores(normal: Tensor, anomalous: Tensor, rng: Generator) -> Detection:
    """All of these from scores ``normal [n]`` and ``anomalous [m]``; ValueErrors as ``auroc``."""
    return Detection(
        auroc_estimate(normal, anomalous),
        average_precision(normal, anomalous, rng, "anomalous"),
        average_precision(normal, anomalous, rng, "normal"),
        false_positive_rate(normal, anomalous, rng),
    )


def auroc_estimate(normal: Tensor, anomalous: Tensor) -> Estimate:
    """``auroc`` as an Estimate, with ``diagnostics["interval"]`` (95 %, log-odds of DeLong's error)."""
    found = auroc(normal, anomalous)
    few = min(len(normal), len(anomalous)) < FEW
    diagnostics = {"interval": found.interval, "few": few}
    return Estimate(found.value, found.stderr, "both", "estimate", "AUROC", diagnostics)


def average_precision(
    normal: Tensor, anomalous: Tensor, rng: Generator, positive: Positive = "anomalous"
) -> Estimate:
    """sum_t (R_t - R_(t-1)) P_t over thresholds t, the area under the precision-recall curve (AUPR).

    Scores ``normal [n]``, ``anomalous [m]``. ``positive`` says which points are to be found: the
    anomalous by high scores, or the normal by low ones. It depends on the ratio of n to m: chance is
    ``diagnostics["chance"]``, the share of positives. ``diagnostics["interval"]``: 95 % on the scale
    of log-odds (Boyd, Eng, Page 2013). ValueErrors as ``auroc``.
    """
    p, q = _checked(normal, anomalous, positive)
    value, stderr = _bootstrapped(p, q, rng, _average_precision)
    diagnostics = {
        "interval": share_interval(value, stderr),
        "chance": len(p) / (len(p) + len(q)),
        "few": min(len(p), len(q)) < FEW,
    }
    how = f"average precision ({positive} positive)"
    return Estimate(value, stderr, "both", "estimate", how, diagnostics)


def false_positive_rate(
    normal: Tensor,
    anomalous: Tensor,
    rng: Generator,
    positive: Positive = "normal",
    tpr: float = 0.95,
) -> Estimate:
    """FPR where the share ``tpr`` of positives is found: for 0.95 FPR95, smaller is better.

    At the first threshold that passes at least this share of the positives (normal points, as in
    Liang, Li, Srikant 2018), the share of the others that passes too. ``diagnostics["interval"]``:
    95 % on the scale of log-odds, or Wilson's where nothing or everything passes. ValueErrors as
    ``auroc``, and for a ``tpr`` outside (0, 1].
    """
    if not 0.0 < tpr <= 1.0:
        raise ValueError(f"the true positive rate must be in (0, 1], not {tpr}")
    p, q = _checked(normal, anomalous, positive)

    def rate(positives: Tensor, negatives: Tensor) -> Tensor:
        found = positives.cumsum(-1) / positives.sum(-1, keepdim=True)
        first = (found >= tpr).double().argmax(-1, keepdim=True)
        passed = negatives.cumsum(-1).gather(-1, first).squeeze(-1)
        return passed / negatives.sum(-1)

    value, stderr = _bootstrapped(p, q, rng, rate)
    inside = stderr > 0.0 and 0.0 < value < 1.0
    interval = (
        share_interval(value, stderr) if inside else wilson_interval(round(value * len(q)), len(q))
    )
    diagnostics = {"interval": interval, "few": min(len(p), len(q)) < FEW}
    how = f"FPR at {tpr:.0%} TPR ({positive} positive)"
    return Estimate(value, stderr, "both", "estimate", how, diagnostics)


def _checked(normal: Tensor, anomalous: Tensor, positive: Positive) -> tuple[Tensor, Tensor]:
    """Positives' and negatives' scores, larger where a point looks more like a positive."""
    auroc(normal, anomalous)  # raises what there is to raise
    if positive == "anomalous":
        return anomalous.double(), normal.double()
    if positive == "normal":
        return -normal.double(), -anomalous.double()
    raise ValueError(f"positive must be anomalous or normal, not {positive!r}")


def _bootstrapped(
    p: Tensor, q: Tensor, rng: Generator, rate: Callable[[Tensor, Tensor], Tensor]
) -> tuple[float, float]:
    """``rate`` of the numbers of positives and negatives at each threshold, high ones first; its spread."""
    thresholds, place = torch.cat([p, q]).unique(return_inverse=True)
    place = len(thresholds) - 1 - place
    at_p, at_q = place[: len(p)], place[len(p) :]

    def drawn(places: Tensor) -> Tensor:
        n = len(places)
        pick = torch.randint(n, (BOOTSTRAPS, n), generator=rng, device=rng.device)
        return _counts(places[pick], len(thresholds))

    value = rate(_counts(at_p[None], len(thresholds)), _counts(at_q[None], len(thresholds)))
    return float(value), float(rate(drawn(at_p), drawn(at_q)).std())


def _counts(places: Tensor, thresholds: int) -> Tensor:
    """How often each place from 0 occurs in a row, ``[B, n] -> [B, thresholds]``."""
    row = torch.arange(len(places), device=places.device)[:, None] * thresholds
    flat = torch.bincount((row + places).flatten(), minlength=len(places) * thresholds)
    return flat.view(len(places), thresholds).double()


def _average_precision(positives: Tensor, negatives: Tensor) -> Tensor:
    """``[B, thresholds]`` each, ``[B]``."""
    found = positives.cumsum(-1)
    precision = found / (found + negatives.cumsum(-1)).clamp_min(1.0)
    return (positives * precision).sum(-1) / positives.sum(-1)
