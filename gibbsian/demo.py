"""The main job from end to end on real data, small enough for a laptop."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

from gibbsian import recipes
from gibbsian.config import Config, replace
from gibbsian.facade import load_data, train_config
from gibbsian.outputs import write_points
from gibbsian.report import write_page
from gibbsian.runs import Run, new_run
from gibbsian.scorecard import evaluate_run, render

STORY = """
Two energy-based models were trained by persistent contrastive divergence: one on 8x8 handwritten
digits (scikit-learn's 1 797, real scans), one on a 2-D density whose truth is known.
An energy says how normal a point is: low is probable. AUROC is the chance that a corrupted digit
gets a higher energy than a held-out one: 0.5 is guessing, 1 is perfect.
"""


def run_demo(out: Path, quick: bool) -> int:
    """Train, sample, score and report both runs below ``out``; returns the exit status."""
    begun = time.perf_counter()
    pages = []
    for name in ("digits-cd", "moons-cd"):
        config = recipes.recipe(name)
        if quick:
            config = replace(config, training={"rounds": 50, "save_every": 0, "log_every": 10})
        folder = out / name
        if (folder / "config.json").is_file():
            shutil.rmtree(folder)
        pages.append(_one(config, new_run(folder)))
    print(STORY)
    print(f"{time.perf_counter() - begun:.0f} seconds in all. Look at:")
    for page in pages:
        print(f"  {page}  (pictures in {page.parent / 'samples'})")
    return 0


def _one(config: Config, run: Run) -> Path:
    print(f"training {config.method} on {config.data} ...", file=sys.stderr)
    dataset = load_data(config)
    model = train_config(config, run, dataset)
    figures = evaluate_run(model, dataset, 5_000, 0, (), run)
    print(f"\n{config.method} on {config.data}: {len(dataset.train)} rows trained on\n{render(figures)}")
    page = write_page(run.path)
    write_points(run.samples / "drawn.png", model.sample(64))
    return page
