"""Every method that models x, on four data sets, by `gibbsian compare`: what its page says, side by side.

All registered methods but super-resolution, with the settings that `gibbsian train METHOD --data DATA`
starts from and each method's own networks: 35 CPU-seconds of one thread for the training of each run, three
seeds, 2 000 samples against as many test rows or all there are. The densities ring8 and grid25, whose truth
is known; digits (1797 pictures of 8x8; the judge is a classifier of their training rows); protein (45 730
rows, 9 columns). `docs/compare.md` says what each figure is and how ranks are made. This study is no more
than

    gibbsian compare --data DATA --methods all --seeds 3 --time-per-run 35s --out runs/compare-DATA

for the four, and goes on where these stopped.

What was changed after a first look: BiHM, which modelled bits alone, had no rows, and got a Gaussian layer of
x, with settings for densities that were chosen on ring8; contrastive divergence on digits ran away (a
log-likelihood of -48 000 nats) and got the settings of the recipe digits-cd as its defaults on pictures;
likelihoods of VAE and BiHM were measured again on all the rows that the others' have; one divergence of NCE
on grid25, which a coarse grid had refused, was computed. The other rows are as they first came out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from gibbsian.core.files import read_json
from gibbsian.experiments.compare import ComparisonSettings, compare, summarise_comparison
from gibbsian.experiments.compare.columns import COLUMNS
from gibbsian.experiments.compare.settings import REFERENCES, variants_of
from studies.harness import RESULTS, Result, Study, run_study

DATA = ("ring8", "grid25", "digits", "protein")
BUDGET, SEEDS, SAMPLES = 35.0, 3, 2_000
SHOWN = ("ring8", "grid25", "digits")
"""Data sets whose samples can be looked at in a small picture."""
FIRST = (
    "two-sample",
    "sliced-wasserstein",
    "frechet",
    "precision",
    "recall",
    "modes",
    "high-quality",
    "mode-kl",
    "kl",
    "log-likelihood",
    "log-likelihood-upper",
    "auroc",
)
"""The columns that stand here, where the data have them."""


def folder(data: str, quick: bool) -> Path:
    """Where the comparison on ``data`` lies."""
    return Path("runs") / f"compare-{data}{'-quick' if quick else ''}"


def cell(data: str, quick: bool) -> Result:
    """Run what is missing of one comparison, and read its table."""
    methods = "gan,vae" if quick else "all"
    settings = ComparisonSettings(
        data,
        variants_of(methods, None),
        1 if quick else SEEDS,
        1.0 if quick else BUDGET,
        200 if quick else SAMPLES,
    )
    out = folder(data, quick)
    died = compare(out, settings, 1, lambda line: print(line, file=sys.stderr, flush=True))
    if died:
        raise RuntimeError(f"a worker of {out} ended early; the same command goes on")
    summarise_comparison(out, settings)
    return {"rows": read_json(out / "table.json")["rows"]}


def cells(quick: bool) -> dict[str, Callable[[], Result]]:
    """One comparison each."""
    return {data: partial(cell, data, quick) for data in (DATA[:1] if quick else DATA)}


def format_value(entry: Mapping[str, Any] | None) -> str:
    """Mean ± standard error [rank], or a dash."""
    if entry is None or "undefined" in entry:
        return "-"
    error = f" ± {entry['stderr']:.1g}" if entry.get("stderr") else ""
    rank = f" [{entry['rank']}]" if "rank" in entry else ""
    return f"{entry['value']:.3g}{error}{rank}"


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """One data set: a line per method, in the order of the comparison's page."""
    names = [
        name
        for name in FIRST
        if any("undefined" not in row["entries"].get(name, {"undefined": ""}) for row in rows)
    ]
    heads = [
        "method",
        *(COLUMNS[name].label.replace("|", r"\|") for name in names),
        "rounds",
        "parameters",
    ]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        line = [row["label"], *(format_value(row["entries"].get(name)) for name in names)]
        method = row["label"] not in REFERENCES
        line += [str(row["rounds"]), str(row["parameters"])] if method else ["", ""]
        if row["failed"]:
            line[0] += f" ({len(row['failed'])} failed)"
        lines.append(f"| {' | '.join(line)} |")
    return lines


def render(results: Mapping[str, Result]) -> str:
    """A table for each data set, then their samples."""
    lines = [
        "Mean ± standard error over seeds; in brackets the rank, which those share who cannot be"
    ]
    lines += [
        "told apart. Rows in the order of their mean place in the figures of samples.",
        "",
    ]
    for data in DATA:
        if data in results:
            lines += [f"## {data}", "", *table(results[data]["rows"]), ""]
    lines.append("![Samples of every method, test rows on the left](comparison.png)")
    return "\n".join(lines)


def draw(results: Mapping[str, Result], quick: bool, path: Path) -> None:
    """Test rows, then samples of each method's first sound run: points in the plane, or digits."""
    shown = [data for data in SHOWN if data in results]
    labels = ["test rows"]
    for row in results[shown[0]]["rows"]:
        labels += [] if row["label"] in REFERENCES else [row["label"]]
    figure = Figure((1.25 * len(labels), 1.45 * len(shown)), layout="constrained")
    grid = figure.subplots(len(shown), len(labels), squeeze=False)
    for axes, data in zip(grid, shown, strict=True):
        for axis, label in zip(axes, labels, strict=True):
            axis.set(xticks=[], yticks=[])
            if data == shown[0]:
                axis.set_title(label, fontsize=8)
            these = labels[1:] if label == "test rows" else [label]
            found = next((f for f in (drawn(folder(data, quick), one) for one in these) if f), None)
            if found is None:
                continue
            x = found["test" if label == "test rows" else "samples"]
            if x.ndim == 2:
                axis.plot(x[:1_000, 0], x[:1_000, 1], ".", markersize=1, color="#1d4ed8")
                reach = 1.15 * abs(found["test"]).max()
                axis.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
            else:
                side = x.shape[-1]
                sheet = x[:25].reshape(5, 5, side, side).swapaxes(1, 2).reshape(5 * side, 5 * side)
                axis.imshow(sheet, cmap="gray")
        axes[0].set_ylabel(data, fontsize=8)
    figure.savefig(path, dpi=90)


def drawn(out: Path, label: str) -> Mapping[str, np.ndarray[Any, Any]] | None:
    """Test rows and samples of the first sound run of a row."""
    for seed in range(SEEDS):
        path = out / label / f"seed-{seed}" / "run" / "evaluation.npz"
        if path.is_file():
            return np.load(path, allow_pickle=False)
    return None


STUDY = Study("comparison", __doc__ or "", cells, render)

if __name__ == "__main__":
    status = run_study(STUDY)
    quick = "--quick" in sys.argv
    written = RESULTS / f"comparison{'-quick' if quick else ''}.json"
    if written.exists() and "--render" not in sys.argv:
        draw(read_json(written)["results"], quick, written.with_suffix(".png"))
    sys.exit(status)
