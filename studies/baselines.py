"""The baselines on densities with known truth, and the failures that the VGAN paper names.

Fixed before running: the defaults of each method on the densities (`gibbsian/config/recipes/defaults.py`),
with the same networks for all (two layers of 128 units on 64 Fourier features of scale 3 for every energy
and critic; a generator of three layers of 128 units), 25 000 samples, five seeds, the last round's
averaged weights. A run *diverged* if a loss was not finite or KL(data || model) is above 2
nats; it *collapsed* if half of the modes or fewer are covered.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from gibbsian import data as datasets
from gibbsian.config.config import Config, replace
from gibbsian.config.recipes import default_config
from gibbsian.config.run_folder import new_run
from gibbsian.core import DivergenceError
from gibbsian.data import Dataset
from gibbsian.evaluation import mode_coverage
from gibbsian.models.evaluate import model_kl
from gibbsian.models.log_density import log_z
from gibbsian.models.train import train_config
from studies.harness import Result, Study, run_study

DATA = ("ring8", "grid25", "moons")
SEEDS = range(5)
SAMPLES = 25_000
VGAN_RATES = {"energy_optimizer": {"lr": 1e-4}, "generator_optimizer": {"lr": 1e-3}}
"""What VGAN started from in the plane when the results of this and other studies were made: a slow energy.
With the defaults since, a generator slower than the energy, it leaves fewer modes out."""


def contestants() -> dict[str, Callable[[str], Config]]:
    """Method name in the table -> its configuration on a data set."""
    return {
        "persistent CD": lambda name: default_config("cd", name),
        "VGAN (bounded, on a box)": lambda name: replace(
            default_config("vgan", name), **VGAN_RATES
        ),
        "GAN (non-saturating, R1)": lambda name: default_config("gan", name),
        "Wasserstein GAN (penalty)": lambda name: replace(
            default_config("gan", name),
            loss="wasserstein",
            gradient_penalty_weight=0.1,
            r1_penalty_weight=0.0,
            critic_steps=3,
        ),
    }


def measured(config: Config, seed: int, quick: bool) -> Result:
    """Train one configuration and measure it against the truth."""
    torch.set_num_threads(1)
    training: dict[str, Any] = {"seed": seed, "device": "cpu", "save_every": 0}
    if quick:
        training |= {"rounds": 20, "log_every": 5}
    config = replace(config, training=training)
    data = datasets.load_dataset(config.data, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        run = new_run(Path(folder) / "run")
        try:
            model = train_config(config, run, data)
        except DivergenceError as error:
            return {"diverged": str(error)}
        scale = _energy_scale(run.metrics)
    assert data.density is not None
    z = log_z(model, data.transform.encode(data.train[:2000], model.rng(0)), 0)
    kl = model_kl(model, data, z)
    result: Result = {"kl": getattr(kl, "value", None), "scale": scale}
    x = model.sample(SAMPLES if not quick else 500, seed)
    return result | {"sample_error": sample_error(x, data)} | coverage(x, data)


def coverage(x: torch.Tensor, data: Dataset) -> Result:
    """Modes covered, share of high quality, KL of the mode histogram; empty without modes."""
    assert data.density is not None
    modes = data.density.modes()
    if modes is None:
        return {}
    found = mode_coverage(x, modes.means, modes.std)
    return {
        "modes": found.covered,
        "of": len(modes.means),
        "high_quality": found.high_quality,
        "histogram_kl": found.histogram_kl,
    }


def sample_error(x: torch.Tensor, data: Dataset) -> float:
    """Energy distance between samples and test data in units of the data's standard deviation."""
    scale = data.test.std()
    a, b = x[:5000] / scale, data.test[:5000] / scale
    between = torch.cdist(a, b).mean()
    within = torch.cdist(a, a).mean() + torch.cdist(b, b).mean()
    return float(2 * between - within)


def _energy_scale(metrics: Path) -> list[float]:
    """|mean E on samples - mean E on data| after a quarter, half and all of the rounds."""
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    key = ("energy/energy_data", "energy/energy_model")
    gaps = [abs(line[key[0]] - line[key[1]]) for line in lines if key[0] in line]
    return [gaps[int(len(gaps) * share) - 1] for share in (0.25, 0.5, 1.0)] if gaps else []


def failing(k: int, entropy: str, energy: str) -> Config:
    """One cell of the table of causes that the VGAN paper names, on ring8."""
    return replace(
        default_config("vgan", "ring8"),
        **VGAN_RATES,
        generator_steps=k,
        generator_entropy=entropy,
        energy=energy,
        expert_entropy_weight=1.0 if entropy == "surrogate" else 0.0,
        training={"rounds": 1_500},
    )


def cells(quick: bool) -> dict[str, Callable[[], Result]]:
    """Every run of the study, those that decide most first."""
    runs: dict[str, Callable[[], Result]] = {}
    for method, configure in contestants().items():
        for name in DATA:
            for seed in SEEDS:
                label = f"{method} / {name} / {seed}"
                runs[label] = partial(measured, configure(name), seed, quick)
    for seed, k, entropy, energy in itertools.product(
        range(3), (1, 3), ("none", "surrogate"), ("sigmoid", "bounded")
    ):
        label = f"failures / k={k} {entropy} {energy} / {seed}"
        runs[label] = partial(measured, failing(k, entropy, energy), seed, quick)
    return runs


def _spread(values: list[float | None], digits: int) -> str:
    found = sorted(v for v in values if v is not None)
    if not found:
        return "not defined"
    return f"{median(found):.{digits}f} ({found[0]:.{digits}f} to {found[-1]:.{digits}f})"


def render(results: Mapping[str, Result]) -> str:
    """Medians (and ranges) over seeds."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for name, result in results.items():
        method, where, _ = name.split(" / ")
        groups.setdefault((method, where), []).append(result)
    names = ("method", "data", "KL(data, model)", "modes", "high quality", "histogram KL")
    names += ("energy distance", "CPU s", "diverged")
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for (method, where), runs in sorted(groups.items(), key=lambda item: (item[0][1], item[0][0])):
        if method == "failures":
            continue
        sound = [run for run in runs if "diverged" not in run]
        lost = len(runs) - len(sound) + sum((run["kl"] or 0) > 2 for run in sound)
        modes = (
            f"{median(r['modes'] for r in sound):g} of {sound[0]['of']}"
            if sound and "of" in sound[0]
            else "-"
        )
        lines.append(
            f"| {method} | {where} | {_spread([r['kl'] for r in sound], 3)} | {modes} | "
            f"{_spread([r.get('high_quality') for r in sound], 3)} | "
            f"{_spread([r.get('histogram_kl') for r in sound], 4)} | "
            f"{_spread([r['sample_error'] for r in sound], 4)} | "
            f"{_spread([r['cpu_seconds'] for r in runs], 0)} | {lost} of {len(runs)} |"
        )
    lines += ["", "What the VGAN paper names as causes of failure, on ring8 (three seeds):", ""]
    lines += [
        "| k | entropy | energy | modes | high quality | energy gap at 1/4, 1/2, end |",
        "|---" * 6 + "|",
    ]
    for (method, where), runs in sorted(groups.items()):
        if method != "failures":
            continue
        k, entropy, energy = where.split(" ")
        sound = [run for run in runs if "diverged" not in run]
        modes = ", ".join(str(r["modes"]) for r in sound)
        gaps = "; ".join(", ".join(f"{g:.3g}" for g in r["scale"]) for r in sound)
        quality = _spread([r["high_quality"] for r in sound], 2)
        lines.append(f"| {k[2:]} | {entropy} | {energy} | {modes} | {quality} | {gaps} |")
    return "\n".join(lines)


STUDY = Study("baselines", __doc__ or "", cells, render)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
