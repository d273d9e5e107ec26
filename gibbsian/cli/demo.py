"""The main job from end to end on real data, small enough for a laptop."""

from __future__ import annotations

import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from gibbsian.config import recipes
from gibbsian.config.config import replace
from gibbsian.config.run_folder import new_run
from gibbsian.models.evaluate import evaluate_run
from gibbsian.models.evaluation_record import render
from gibbsian.models.train import load_data, train_config
from gibbsian.report import run_report_page
from gibbsian.report.outputs import write_points
from gibbsian.report.page_files import write_page
from gibbsian.report.record import read_record

STORY = """
Two energy-based models were trained by persistent contrastive divergence: one on 8x8 handwritten
digits (scikit-learn's 1 797, real scans), one on a 2-D density whose truth is known.
An energy says how normal a point is: low is probable. AUROC is the chance that a corrupted digit
gets a higher energy than a held-out one: 0.5 is guessing, 1 is perfect.
"""


def run_demo(out: Path, quick: bool) -> int:
    """Train, sample, score and report both runs below ``out``, side by side; the exit status."""
    begun = time.perf_counter()
    print(
        "training on digits and on two moons, side by side; about two minutes ...", file=sys.stderr
    )
    names = ("digits-cd", "moons-cd")
    with ProcessPoolExecutor(len(names), get_context("spawn")) as pool:
        told = list(pool.map(partial(_one, out, quick), names))
    print("\n\n".join(told))
    print(STORY)
    print(f"{time.perf_counter() - begun:.0f} seconds in all. Look at:")
    for name in names:
        print(f"  {out / name}.html  (and {out / name / 'samples' / 'drawn.png'})")
    return 0


def _one(out: Path, quick: bool, name: str) -> str:
    """One recipe from data to report; what is worth telling about it."""
    config = recipes.recipe(name)
    if quick:
        config = replace(config, training={"rounds": 50, "save_every": 0, "log_every": 10})
    if (out / name / "config.json").is_file():
        shutil.rmtree(out / name)
    run, dataset = new_run(out / name), load_data(config)
    model = train_config(config, run, dataset)
    figures = evaluate_run(model, dataset, 5_000, 0, (), run)
    write_points(run.samples / "drawn.png", model.sample(64), header=model.transform.columns)
    write_page(out / f"{name}.html", run_report_page([read_record(run.path)]))
    title = f"{config.method} on {config.data}, trained on {len(dataset.train)} rows"
    return f"{title}\n{render(figures)}"
