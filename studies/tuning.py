"""Tuning by one protocol, the same for every method: where the defaults of a kind of data come from.

Fixed before use. A method has a space of at most twelve settings for a data set
(`studies/spaces/tuning.json`), all else as `gibbsian train METHOD --data DATA` has it, and that as it
is. Every setting gets 20 CPU-seconds of one thread on the tuning seed 100; the best three get 60. What
is best is decided by 2 000 samples against the validation rows, without the truth where it is known: the
Frechet distance on images, in the features of a classifier of the training rows, and elsewhere how well
a classifier tells samples from rows (0.5 is chance). The best of the three long runs is chosen. Test rows
are not looked at, and no final run has this seed.

A run that is not finite, or that training gives up, counts as worst, and its reason stands in its place.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from gibbsian.config import recipes
from gibbsian.config.config import Config, replace
from gibbsian.core import DivergenceError
from gibbsian.core.files import read_json
from gibbsian.data import Dataset, load_dataset
from gibbsian.experiments.budgets import rounds_within
from gibbsian.experiments.compare.measuring import Judge, judge_of, of_samples
from gibbsian.experiments.compare.settings import ComparisonSettings, MethodVariant
from gibbsian.experiments.sweep.space import applied, decoded, grid, parse_search_space
from gibbsian.models.train import train_config
from studies.harness import Result, Study, run_study

SPACES = Path(__file__).parent / "spaces" / "tuning.json"
SHORT, LONG, BEST, SEED, SAMPLES = 20.0, 60.0, 3, 100, 2_000


def figure_of(data: Dataset) -> str:
    """The figure that decides; smaller is better."""
    return "frechet" if data.space.kind == "image" else "two-sample"


def trial(
    config: Config, seconds: float, data: Dataset, settings: ComparisonSettings, judge: Judge
) -> Result:
    """One training of ``seconds`` and its figure on the rows that stand as test rows."""
    name = figure_of(data)
    try:
        rounds = rounds_within(config, data, seconds)
        begun = time.process_time()
        model = train_config(replace(config, training={"rounds": rounds, "seed": SEED}), None, data)
        taken = time.process_time() - begun
        figures = of_samples(model.sample(SAMPLES, SEED), data, settings, SEED, judge)
        found = figures[name].get("value", math.inf)
    except (DivergenceError, ValueError) as error:
        return {"failed": str(error)}
    return {name: found, "rounds": rounds, "seconds": round(taken, 1)}


def tuning(data: str, method: str, space: Mapping[str, Any], quick: bool) -> Result:
    """All settings of one method on one data set, and then the best again."""
    whole = load_dataset(data)
    rows = dataclasses.replace(whole, test=whole.valid)
    settings = ComparisonSettings(data, (MethodVariant(method, method),), samples=SAMPLES)
    place = Path("runs") / "tuning" / data
    place.mkdir(parents=True, exist_ok=True)
    judge = judge_of(settings, rows, place)
    base, name = recipes.default_config(method, data), figure_of(rows)
    short, long = (1.0, 1.0) if quick else (SHORT, LONG)

    def tried(options: Mapping[str, Any], seconds: float) -> Result:
        config = applied(base, dict(options), f"the space of {method}", False)
        found = trial(config, seconds, rows, settings, judge)
        print(f"{data}, {method}, {seconds:.0f} s: {options} {found}", file=sys.stderr, flush=True)
        return {"options": dict(options), **found}

    listed = parse_search_space(space)
    settings_to_try = [{}, *(decoded(listed, point) for point in grid(listed))]
    first = [tried(options, short) for options in settings_to_try]
    first.sort(key=lambda one: one.get(name, math.inf))
    last = [tried(one["options"], long) for one in first[:BEST]]
    last.sort(key=lambda one: one.get(name, math.inf))
    return {"figure": name, "short": first, "long": last}


def cells(quick: bool) -> dict[str, Callable[[], Result]]:
    """One tuning each."""
    spaces = read_json(SPACES)
    found: dict[str, Callable[[], Result]] = {
        f"{data} / {method}": partial(tuning, data, method, space, quick)
        for data, methods in spaces.items()
        for method, space in methods.items()
    }
    return dict(list(found.items())[:1]) if quick else found


def said(options: Mapping[str, Any]) -> str:
    """A setting in words."""
    return ", ".join(f"{name} {value}" for name, value in options.items()) or "as it was"


def render(results: Mapping[str, Result]) -> str:
    """What was chosen, and then every trial."""
    lines = ["| data / method | figure | as it was, 20 s | chosen, 60 s | what was chosen |"]
    lines += ["|---|---|---|---|---|"]
    for cell, result in results.items():
        name = result["figure"]
        before = next(one for one in result["short"] if not one["options"])
        best = result["long"][0]
        shown = (f"{one[name]:.3g}" if name in one else "failed" for one in (before, best))
        lines.append(f"| {cell} | {name} | {' | '.join(shown)} | {said(best['options'])} |")
    for cell, result in results.items():
        name = result["figure"]
        lines += [
            "",
            f"## {cell}",
            "",
            f"| setting | seconds | rounds | {name} |",
            "|---|---|---|---|",
        ]
        for seconds, trials in ((SHORT, result["short"]), (LONG, result["long"])):
            for one in trials:
                value = f"{one[name]:.3g}" if name in one else f"failed: {one['failed'][:80]}"
                row = (said(one["options"]), f"{seconds:.0f}", str(one.get("rounds", "-")), value)
                lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


STUDY = Study("tuning", __doc__ or "", cells, render)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
