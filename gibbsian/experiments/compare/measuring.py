"""What is measured of a run: figures of its samples, its density and its energy, each with an error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gibbsian.config.run_folder import Run
from gibbsian.core import Estimate
from gibbsian.core.locks import FileLock
from gibbsian.data import Dataset
from gibbsian.evaluation import FeatureExtractor, build_metric, mode_coverage
from gibbsian.evaluation.features.classifier import save_classifier, train_classifier
from gibbsian.evaluation.features.extractors import build_extractor, class_predictions, digest
from gibbsian.experiments.compare.settings import ComparisonSettings
from gibbsian.models.evaluate import evaluate_run
from gibbsian.models.model import Model

Figures = dict[str, dict[str, Any]]
"""Name -> {"value", "stderr" ...}, or {"undefined": why}."""

OF_PICTURES = ("frechet", "kernel", "two-sample", "precision", "recall")
OPTIONS: dict[str, dict[str, Any]] = {"sliced-wasserstein": {"p": 1}}
OF_VECTORS = ("sliced-wasserstein", "mmd", "two-sample", "precision", "recall")


@dataclass(frozen=True)
class Judge:
    """Who sees the samples: features of rows, and class probabilities where a classifier gives them."""

    features: FeatureExtractor
    classes: FeatureExtractor | None
    metrics: tuple[str, ...]


def judge_of(settings: ComparisonSettings, data: Dataset, out: Path) -> Judge:
    """The judge that ``settings.extractor`` names; ``auto``: a classifier of the data's own classes.

    It is trained on the training rows once and kept in ``out``. Images without classes are compared
    by their pixels, tables by their columns in units of the training rows' standard deviations.
    """
    if data.space.kind != "image":
        if settings.extractor != "auto":
            raise ValueError(
                f"{settings.extractor} sees images; the rows of {data.name} are compared column by "
                "column, without --metric-feature-extractor"
            )
        return Judge(standardised(data), None, OF_VECTORS)
    labels = data.targets.get("train")
    if settings.extractor == "auto" and labels is not None and labels.dtype == torch.int64:
        path = out / "classifier.safetensors"
        with FileLock(path.with_suffix(".lock")).held():
            if not path.exists():
                save_classifier(train_classifier(data), path)
        classes = class_predictions(path, data.transform)
        return Judge(build_extractor(str(path), data.transform), classes, OF_PICTURES)
    name = "pixels" if settings.extractor == "auto" else settings.extractor
    return Judge(build_extractor(name, data.transform), None, OF_PICTURES)


def standardised(data: Dataset) -> FeatureExtractor:
    """Columns in units of the training rows' standard deviations."""
    x = data.train.flatten(1).double()
    mean, std = x.mean(0), x.std(0)
    std = torch.where(std > 0, std, 1.0)

    def function(rows: Tensor) -> Tensor:
        return (rows.flatten(1).double() - mean) / std

    facts = {"name": "columns", "rows": len(x)}
    return FeatureExtractor(
        "standardised columns", function, x.shape[1], digest({"mean": mean, "std": std}, facts)
    )


def measured(
    model: Model, data: Dataset, settings: ComparisonSettings, seed: int, judge: Judge, run: Run
) -> Figures:
    """Every column of one trained model; ``run`` keeps what a report about it alone needs."""
    x_model = model.sample(settings.samples, seed)
    found = evaluate_run(model, data, settings.samples, seed, (), run, x_model)
    figures = of_samples(x_model, data, settings, seed, judge)
    figures |= of_density(found["values"]["log-likelihood"])
    if data.density is not None:
        figures["kl"] = plain(found["values"]["kl"])
    anomaly = found["anomaly"]
    figures["auroc"] = (
        anomaly if "undefined" in anomaly else mean_auroc(anomaly["values"]["energy"])
    )
    return figures


def of_samples(
    x_model: Tensor, data: Dataset, settings: ComparisonSettings, seed: int, judge: Judge
) -> Figures:
    """Distances of samples from as many test rows, or all there are; modes where they are known."""
    if not torch.isfinite(x_model).all():
        raise ValueError("samples are not finite")
    features, features_model = (
        judge.features(data.test[: settings.samples]),
        judge.features(x_model),
    )
    figures: Figures = {}
    for name in judge.metrics:
        metric = build_metric(name, seed, **OPTIONS.get(name, {}))
        metric.update(features, real=True)
        metric.update(features_model, real=False)
        figures[name] = of_estimate(metric.compute())
    accuracy = figures["two-sample"]
    if "value" in accuracy:  # below a half by chance is no better than a half
        accuracy["value"] = max(0.5, accuracy["value"])
    if judge.classes is not None:
        metric = build_metric("inception-type", seed)
        metric.update(judge.classes(x_model), real=False)
        figures["inception-type"] = of_estimate(metric.compute())
    modes = None if data.density is None else data.density.modes()
    if modes is not None:
        found = mode_coverage(x_model, modes.means, modes.std)
        share, n = found.high_quality, len(x_model)
        figures["modes"] = {"value": float(found.covered), "of": found.modes}
        figures["high-quality"] = {"value": share, "stderr": (share * (1 - share) / n) ** 0.5}
        figures["mode-kl"] = {"value": found.histogram_kl, "floor": found.histogram_floor}
    return figures


def of_density(likelihood: Mapping[str, Any]) -> Figures:
    """Both sides of the held-out log-likelihood, with their standing, as ``evaluate_run`` found them."""
    if "undefined" in likelihood:
        return {"log-likelihood": dict(likelihood), "log-likelihood-upper": dict(likelihood)}
    lower, upper = likelihood["lower"], likelihood["upper"]
    figures = {"log-likelihood": plain(lower), "log-likelihood-upper": plain(upper)}
    error = 2 * math.hypot(lower["stderr"] or 0.0, upper["stderr"] or 0.0)
    same = lower["value"] is not None and upper["value"] == lower["value"]
    if same and upper["standing"] != "exact":
        figures["log-likelihood-upper"] = {"undefined": "nothing here bounds it from above"}
    elif all("value" in figure for figure in figures.values()) and (
        upper["value"] < lower["value"] - error
    ):
        crossed = {"undefined": "its estimate came out below the lower side"}
        figures["log-likelihood-upper"] = crossed
    return figures


def plain(figure: Mapping[str, Any]) -> dict[str, Any]:
    """A figure of ``evaluation.json``; null, which stands there for NaN and infinity, is undefined."""
    if "value" in figure and figure["value"] is None:
        return {"undefined": "not finite"}
    return dict(figure)


def of_estimate(estimate: Estimate) -> dict[str, Any]:
    """An estimate as JSON; NaN and infinity, which JSON lacks, are undefined."""
    value = torch.tensor([estimate.value, estimate.stderr])
    if not bool(value.isfinite().all()):
        return {"undefined": "not finite"}
    found = {"value": estimate.value, "stderr": estimate.stderr}
    return found | ({"few": True} if estimate.diagnostics.get("few") else {})


def mean_auroc(cells: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """The mean over corruptions of [value, error]; its error as if theirs went all together."""
    values, errors = zip(*cells.values(), strict=True)
    return {"value": sum(values) / len(values), "stderr": sum(errors) / len(errors)}
