"""How well a trained model tells labelled anomalies from normal rows, beside plain detectors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gibbsian.core import Estimate
from gibbsian.core.protocols import HasEnergy
from gibbsian.data.cells import is_number
from gibbsian.data.dataset import Dataset
from gibbsian.data.queries import read_labelled_points
from gibbsian.evaluation.metrics.baseline_detectors import BASELINE_DETECTORS, baseline_scores
from gibbsian.evaluation.metrics.detection import (
    auroc_estimate,
    average_precision,
    false_positive_rate,
)
from gibbsian.models.model import Model

NORMAL = "0"
NAMES = {"auroc": "AUROC", "aupr": "AUPR", "fpr95": "FPR95"}


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Rows ``x [n, *event]`` in the user's units and which of them are anomalies, ``[n]`` bool."""

    x: Tensor
    anomalous: Tensor


def read_anomalies(
    path: str | Path, model: Model, class_column: str = "class", normal: str = NORMAL
) -> LabelledRows:
    """The rows of a labelled table; those whose label is not ``normal`` are anomalies.

    Raises ValueError for a table unlike the training data, without that column, or with fewer than two
    rows of either kind.
    """
    x, labels = read_labelled_points(path, model.transform, class_column, model.table)
    anomalous = torch.tensor([not _same(label, normal) for label in labels])
    found = int(anomalous.sum())
    if min(found, len(labels) - found) < 2:
        kinds = ", ".join(sorted(set(labels))[:5])
        raise ValueError(
            f"{path} has {len(labels) - found} normal rows (label {normal}) and {found} anomalies; both need "
            f"at least 2: say which label is normal by --normal-label ({class_column} holds {kinds})"
        )
    return LabelledRows(x, anomalous)


def evaluate_anomalies(
    model: Model, data: Dataset, rows: LabelledRows, seed: int = 0
) -> dict[str, dict[str, Estimate]]:
    """Score -> AUROC, AUPR (anomalies positive) and FPR95, with errors: the energy's and the baselines'.

    The baselines are fitted to the training rows of ``data``. The AUROC's error is DeLong's, the others'
    are of 200 bootstraps. Raises ValueError where the model has no energy.
    """
    if not isinstance(model.method, HasEnergy):
        raise ValueError(f"{model.config.method} has no energy to tell anomalies by")
    scores = {"energy": model.energy(rows.x, dequantise=False)}
    train, x = (part.flatten(1).double().numpy() for part in (data.train, rows.x))
    for name, fit in BASELINE_DETECTORS.items():
        scores[name] = torch.from_numpy(baseline_scores(fit, train, x, seed))
    found = {}
    for name, score in scores.items():
        rng = torch.Generator().manual_seed(seed)
        normal, anomalous = score[~rows.anomalous], score[rows.anomalous]
        found[name] = {
            "auroc": auroc_estimate(normal, anomalous),
            "aupr": average_precision(normal, anomalous, rng, "anomalous"),
            "fpr95": false_positive_rate(normal, anomalous, rng, "anomalous"),
        }
    return found


def render_anomalies(found: dict[str, dict[str, Estimate]]) -> str:
    """The figures as lines of text, one for each score, with 95 % intervals."""
    lines = [f"{'score':22s}" + "".join(f"{name:24s}" for name in NAMES.values()).rstrip()]
    for name, figures in found.items():
        cells = [_said(figures[key]) for key in NAMES]
        lines.append(f"{name:22s}" + "".join(f"{cell:24s}" for cell in cells).rstrip())
    return "\n".join(lines)


def anomalies_to_json(
    found: dict[str, dict[str, Estimate]],
) -> dict[str, dict[str, dict[str, object]]]:
    """The figures as entries that JSON can hold."""
    return {
        name: {
            key: {"value": f.value, "stderr": f.stderr, "interval": list(f.diagnostics["interval"])}
            for key, f in figures.items()
        }
        for name, figures in found.items()
    }


def _said(figure: Estimate) -> str:
    low, high = figure.diagnostics["interval"]
    return f"{figure.value:.3f} [{low:.3f}, {high:.3f}]"


def _same(label: str, normal: str) -> bool:
    if is_number(label) and is_number(normal):
        return float(label) == float(normal)
    return label == normal
