"""Energies and generators of pictures, from 8x8 to 28x28: what they draw, and what they find strange.

Fixed before it was run. The settings that `gibbsian train METHOD --data DATA` starts from, one thread, 2 000
samples; the judge is a classifier of the training rows, in whose features Frechet and kernel distance,
precision and recall are taken against 2 000 test rows.

- 8x8 digits: every row, 120 CPU-seconds a run, seeds 10 to 12.
- MNIST and Fashion-MNIST averaged to 14x14: the six rows of the smallest mean Frechet distance on the
  digits (`SIX`, filled in when those stood), 300 CPU-seconds, seeds 10 and 11.
- Both at 28x28: of these the best energy and the best generator, and the vae; 1 200 CPU-seconds, seed 10.

An energy model's log-likelihood is given from both sides in nats a picture, beside that of a Gaussian with
the training rows' mean and covariance. What it finds strange: the area under the ROC curve of its energy
between 2 000 test rows and as many of the other set, of handwritten letters (at 14x14) and of each graded
corruption, beside the negative log-density of that Gaussian, the residual of PCA, and the energy before
training.
Confidence and entropy are those of the judge's classes on the samples: 10 classes alike have 2.30 nats.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from gibbsian.config.config import Source
from gibbsian.config.run_folder import Run
from gibbsian.core.files import read_json
from gibbsian.core.protocols import HasEnergy
from gibbsian.data import Dataset
from gibbsian.evaluation import gaussian_anomaly_score, pca_anomaly_score
from gibbsian.evaluation.features.extractors import class_predictions
from gibbsian.experiments.compare import ComparisonSettings
from gibbsian.experiments.compare.comparison_page import as_json
from gibbsian.experiments.compare.ranking import ranked, row_of
from gibbsian.experiments.compare.settings import FLOOR, REFERENCES, TRIVIAL, variants_of
from gibbsian.models.build import assemble
from gibbsian.models.model import Model, load_model
from gibbsian.models.train import load_source
from studies.comparison import away, drawn, format_value, runs_of, table
from studies.harness import RESULTS, Result, Study, run_study
from studies.ood import SETS, areas, number

ROWS = (
    "energy-matching",
    "noise-levels",
    "tilted-flow",
    "nce",
    "cd",
    "bidirectional",
    "vgan",
    "gan",
    "gebm",
    "vae",
)
SIX = ("energy-matching", "vgan", "bidirectional", "tilted-flow", "noise-levels", "gebm")
THREE: tuple[str, ...] = ()
CRITICS = ("gan",)
"""Methods whose energy, a critic, is that of no density."""
ACROSS = 6
"""Sheets of samples on one line of the picture."""


@dataclass(frozen=True)
class Part:
    """One data set: its rows, CPU-seconds a run, and seeds from 10 on."""

    data: str
    rows: tuple[str, ...]
    budget: float
    seeds: int


PARTS = (
    Part("digits", ROWS, 120.0, 3),
    *(Part(name, SIX, 300.0, 2) for name in SETS),
    *(Part(name, THREE, 1200.0, 1) for name in ("mnist", "fashion-mnist")),
)


def row(part: Part, label: str, quick: bool) -> Result:
    """The runs of one row on one data set, with areas and the judge's classes."""
    settings = ComparisonSettings(
        part.data,
        variants_of("gan" if label in REFERENCES else label),
        1 if quick else part.seeds,
        1.0 if quick else part.budget,
        200 if quick else 2_000,
        first_seed=10,
    )
    out = Path("runs") / f"pictures-{part.data}{'-quick' if quick else ''}"
    result = runs_of(settings, label, out, partial(looked_at, out))
    if label == TRIVIAL and part.data in SETS:
        data = load_source(part.data, Source())
        few = data.train[:20_000]
        scores = {"Gaussian": gaussian_anomaly_score(few), "PCA": pca_anomaly_score(few)}
        result["areas"] = areas(scores, part.data, data)
    return result


def looked_at(out: Path, run: Run, data: Dataset) -> Result:
    """Of one run the judge's classes on its samples and, beside another set, the areas of its energy."""
    arrays: Mapping[str, np.ndarray[Any, Any]] = np.load(
        run.path / "evaluation.npz", allow_pickle=False
    )
    classes = class_predictions(out / "classifier.safetensors", data.transform)
    p = classes(torch.from_numpy(arrays["samples"])).double().exp()
    mean = p.mean(0)
    found: Result = {
        "confidence": float(p.amax(1).mean()),
        "class-entropy": float(-(mean * mean.clamp_min(1e-12).log()).sum()),
    }
    model = load_model(run.path)
    scored = isinstance(model.method, HasEnergy) and model.config.method not in CRITICS
    if scored and data.name in SETS:
        fresh = Model(
            assemble(model.config, model.space), model.config, model.space, model.transform
        )
        scores = {"energy": model.energy, "before training": fresh.energy}
        found["areas"] = areas(scores, data.name, data)
    return found


def cells(quick: bool) -> dict[str, Callable[[], Result]]:
    """One row of one data set each."""
    if quick:
        part = PARTS[0]
        return {f"digits / {label}": partial(row, part, label, True) for label in (FLOOR, "vae")}
    return {
        f"{part.data} / {label}": partial(row, part, label, False)
        for part in PARTS
        if part.rows
        for part, label in product((part,), (*REFERENCES, *part.rows))
    }


def render(results: Mapping[str, Result]) -> str:
    """A table of samples and densities and one of areas for each data set."""
    lines = ["Mean ± standard error over seeds; in brackets the rank among rows.", ""]
    for part in PARTS:
        found = {
            label: results[f"{part.data} / {label}"]
            for label in (*REFERENCES, *part.rows)
            if f"{part.data} / {label}" in results
        }
        if not found:
            continue
        runs = {label: result["runs"] for label, result in found.items()}
        rows = ranked([row_of(label, of, label in REFERENCES) for label, of in runs.items()])
        lines += [f"## {part.data}", "", *table(as_json(rows)), "", *classes_said(found), ""]
        lines += areas_table(found)
    lines += ["## Runs that ran away", "", *(away(results) or ["None."]), ""]
    lines.append("![Test rows, then samples of every row](pictures.png)")
    return "\n".join(lines)


def classes_said(found: Mapping[str, Result]) -> list[str]:
    """The judge's confidence and entropy of classes, the mean over seeds, a line a row."""
    lines = ["| samples | mean confidence | entropy of classes, nats |", "|---|---|---|"]
    for label, result in found.items():
        sound = [run for run in result["runs"] if "confidence" in run]
        if sound:
            cells_ = [
                format_value({"value": float(np.mean([run[name] for run in sound]))})
                for name in ("confidence", "class-entropy")
            ]
            lines.append(f"| {label} | {' | '.join(cells_)} |")
    return lines if len(lines) > 2 else []


def areas_table(found: Mapping[str, Result]) -> list[str]:
    """AUROC by what is strange: of the first seed's energies, and of plain scores."""
    rows: dict[str, Mapping[str, list[float]]] = {}
    for label, result in found.items():
        rows |= result.get("areas", {})
        for score, cells_ in next((r["areas"] for r in result["runs"] if "areas" in r), {}).items():
            rows[label if score == "energy" else f"{label}, {score}"] = cells_
    if not rows:
        return []
    columns = list(next(iter(rows.values())))
    head = [f"| AUROC | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    body = [
        f"| {name} | {' | '.join(number(cells_[column]) for column in columns)} |"
        for name, cells_ in rows.items()
    ]
    return [*head, *body, ""]


def draw(results: Mapping[str, Result], path: Path) -> None:
    """25 test rows, then as many samples of each row's first sound run, by data set, ``ACROSS`` a line."""
    sheets = [
        (part.data, label, x)
        for part in PARTS
        for label in (FLOOR, *part.rows)
        if (x := drawn(results.get(f"{part.data} / {label}"))).ndim == 3
    ]
    places: list[tuple[int, int]] = []
    for i, (data, _, _) in enumerate(sheets):
        line, column = places[-1] if i else (0, -1)
        fresh = column + 1 == ACROSS or (i > 0 and data != sheets[i - 1][0])
        places.append((line + 1, 0) if fresh else (line, column + 1))
    lines = 1 + max((line for line, _ in places), default=0)
    figure = Figure((1.7 * ACROSS, 1.85 * lines), layout="constrained")
    grid = figure.subplots(lines, ACROSS, squeeze=False)
    for axis in grid.flat:
        axis.axis("off")
    for (data, label, x), place in zip(sheets, places, strict=True):
        side = x.shape[-1]
        apart = np.full((5, 5, side + 1, side + 1), x.max())
        apart[..., :side, :side] = x.reshape(5, 5, side, side)
        axis = grid[place]
        axis.imshow(np.concatenate(np.concatenate(apart, 1), 1)[:-1, :-1], cmap="gray")
        axis.set_title(f"{data}: test rows" if label == FLOOR else label, fontsize=8)
    figure.savefig(path, dpi=110)


STUDY = Study("pictures", __doc__ or "", cells, render)

if __name__ == "__main__":
    status = run_study(STUDY)
    written = RESULTS / f"pictures{'-quick' if '--quick' in sys.argv else ''}.json"
    if written.exists() and "--out" not in sys.argv:
        draw(read_json(written)["results"], written.with_suffix(".png"))
    sys.exit(status)
