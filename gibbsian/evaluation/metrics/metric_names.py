"""The metrics by name, each accumulating rows piece by piece."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Generator, Tensor

from gibbsian.core import Estimate, nearest
from gibbsian.evaluation.metrics.class_scores import inception_type_score
from gibbsian.evaluation.metrics.detection import (
    auroc_estimate,
    average_precision,
    false_positive_rate,
)
from gibbsian.evaluation.metrics.discrepancy import gaussian_mmd, kernel_distance
from gibbsian.evaluation.metrics.metric import Distance, Frechet, Metric, Rows
from gibbsian.evaluation.metrics.neighbours import density_coverage, precision_recall
from gibbsian.evaluation.metrics.transport import sliced_wasserstein, wasserstein
from gibbsian.evaluation.metrics.two_sample import classifier_two_sample


def _kernel(x: Tensor, x_model: Tensor, rng: Generator) -> Estimate:
    return kernel_distance(x, x_model)


def _mmd(
    x: Tensor, x_model: Tensor, rng: Generator, bandwidths: tuple[float, ...] | None = None
) -> Estimate:
    return gaussian_mmd(x, x_model, bandwidths)


def _precision(x: Tensor, x_model: Tensor, rng: Generator, k: int = 3) -> Estimate:
    return precision_recall(x, x_model, rng, k).precision


def _recall(x: Tensor, x_model: Tensor, rng: Generator, k: int = 3) -> Estimate:
    return precision_recall(x, x_model, rng, k).recall


def _density(x: Tensor, x_model: Tensor, rng: Generator, k: int = 5) -> Estimate:
    return density_coverage(x, x_model, rng, k).density


def _coverage(x: Tensor, x_model: Tensor, rng: Generator, k: int = 5) -> Estimate:
    return density_coverage(x, x_model, rng, k).coverage


def _auroc(normal: Tensor, anomalous: Tensor, rng: Generator) -> Estimate:
    return auroc_estimate(normal, anomalous)


def _inception_type(_: Tensor, log_p: Tensor, rng: Generator) -> Estimate:
    return inception_type_score(log_p, rng)


METRICS: Mapping[str, Distance] = {
    "kernel": _kernel,
    "mmd": _mmd,
    "precision": _precision,
    "recall": _recall,
    "density": _density,
    "coverage": _coverage,
    "sliced-wasserstein": sliced_wasserstein,
    "wasserstein": wasserstein,
    "two-sample": classifier_two_sample,
    "auroc": _auroc,
    "aupr-anomalous": partial(average_precision, positive="anomalous"),
    "aupr-normal": partial(average_precision, positive="normal"),
    "fpr95": false_positive_rate,
    "inception-type": _inception_type,
}
"""What is computed from all rows; ``frechet``, from running moments, comes beside them."""
ONE_SIDED = {"inception-type"}


def build_metric(name: str, seed: int = 0, **options: Any) -> Metric[Estimate]:
    """A metric by ``name``: ``frechet`` or one of METRICS, with ``options`` such as k, p or projections.

    ``seed`` of its random numbers, the same at each ``compute``. Raises ValueError for an unknown name,
    naming the nearest, or option, naming those there are.
    """
    if name == "frechet":
        _check_options(name, options, set())
        return Frechet()
    if name not in METRICS:
        raise nearest("metric", name, ["frechet", *METRICS])
    distance = METRICS[name]
    fixed = set(distance.keywords) if isinstance(distance, partial) else set()
    _check_options(name, options, set(list(inspect.signature(distance).parameters)[3:]) - fixed)
    return Rows(partial(distance, **options), seed, one_sided=name in ONE_SIDED)


def _check_options(name: str, options: Mapping[str, Any], known: set[str]) -> None:
    for option in options:
        if option not in known:
            has = f"has {', '.join(sorted(known))}" if known else "has none"
            raise ValueError(f"the metric {name!r} {has}; there is no option {option!r}")
