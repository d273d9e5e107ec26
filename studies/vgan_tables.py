"""VGAN's two tables at a size for one core: what its energies' features and transitions are good for.

Fixed before running. *Table 1*: the JPEG copy of CIFAR-10 averaged to 16x16 (16 667 training rows); one
trunk of 16 to 64 channels and 256 features for every network, 100 experts on top for VGAN and one
logit for GAN; one generator. Each run has 35 CPU-seconds of one thread (rounds found by a trial).
k is VGAN's generator steps per energy step and GAN's critic steps per generator step, as each
paper's algorithm has it; both at the project's defaults, with the energy or critic at both rates 0.0001
and 0.001. The probe is logistic regression on the features of the training rows, its strength chosen on
validation rows; of the two rates that with the lower validation error counts. Beside them the features
of networks that were not trained, and pixels.

*Table 2*: MNIST averaged to 14x14. A transition (code of 64 numbers, 16 channels and up) is trained without
labels on all training rows for 30 CPU-seconds in the reading of the released code, which needs no
choice beyond rho. Then the project's classifier is trained for 60 epochs on 1000 labelled rows, half
of its loss on one fresh transition of each row; another 1000 rows for each of the three seeds, the
same for every rho. Errors are those on the 10 000 test rows.

What is asked: whether the papers' orderings hold.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import mean
from typing import Any, cast

import torch
from torch import Generator, Tensor, nn

from gibbsian import data as datasets
from gibbsian.config.config import Config, replace
from gibbsian.config.recipes import default_config
from gibbsian.core import DivergenceError
from gibbsian.core.protocols import HasFeatures
from gibbsian.data import Dataset
from gibbsian.evaluation import linear_probe
from gibbsian.evaluation.features.classifier import train_classifier
from gibbsian.evaluation.metrics.probe import Labelled
from gibbsian.experiments.budgets import rounds_within
from gibbsian.methods import TransitionVGAN
from gibbsian.models.train import train_config, untrained
from studies.harness import Result, Study, run_study
from studies.mode_coverage import difference, groups_of, spread

PICTURES, DIGITS = "cifar10-jpeg75-16", "mnist-14"
SECONDS, TRANSITION_SECONDS = 35.0, 30.0
SEEDS, KS, RATES, RHOS = range(3), (1, 3), (1e-4, 1e-3), (0.0, 0.01, 1.0)
LABELS, EPOCHS = 1_000, 60
PLAIN = "no augmentation"
OPPONENT = {"VGAN": "energy", "GAN": "critic"}
TRUNK = {"channels": 16, "width": 256, "activation": "relu"}
EXPERTS = {"VGAN": {"num_experts": 100}, "GAN": {}}

PUBLISHED = """
Published, in percent (Zhai et al. 2016): table 1 on CIFAR-10 at 32x32, four times the channels, 100 epochs:
GAN 84.7 (k = 1) and 86.6 (k = 3), VGAN 36.5 and 32.5. Table 2 on MNIST at 28x28: no augmentation 2.2; rho 0,
0.001, 0.01, 0.1, 1: 2.9, 2.0, 1.7, 1.9, 21.
""".strip()


def learner(method: str, k: int, rate: float) -> Config:
    """A run of table 1."""
    side = OPPONENT[method]
    changes: dict[str, Any] = {
        "generator_steps" if method == "VGAN" else "critic_steps": k,
        side: TRUNK | EXPERTS[method],
        f"{side}_optimizer": {"lr": rate},
        "generator": {"channels": 32, "batch_norm": True, "activation": "relu"},
        "latent_dim": 64,
        "training": {"batch": 100},
    }
    return replace(default_config(method.lower(), PICTURES), **changes)


def trained(config: Config, data: Dataset, seconds: float, seed: int, quick: bool) -> Any:
    """The method after ``seconds`` of training, and its rounds."""
    rounds = 3 if quick else rounds_within(config, data, seconds)
    training = {"rounds": rounds, "seed": seed, "device": "cpu", "save_every": 0}
    return train_config(replace(config, training=training), None, data).method, rounds


@torch.no_grad()
def probed(data: Dataset, features: Callable[[Tensor], Tensor]) -> Result:
    """The linear probe of ``features``, a function of pictures in the networks' units."""
    parts = {
        part: torch.cat([features(data.transform.encode(rows)) for rows in x.split(1_000)])
        for part, x in (("train", data.train), ("valid", data.valid), ("test", data.test))
    }
    found = linear_probe(*(Labelled(parts[part], data.targets[part]) for part in parts))
    return {"error": found.value, "stderr": found.stderr, **found.diagnostics}


def features_of(network: nn.Module) -> Callable[[Tensor], Tensor]:
    return cast("HasFeatures", network.eval()).features


def pictures(quick: bool) -> Dataset:
    return datasets.load_dataset(PICTURES, max_rows=1_000 if quick else None)


def represented(method: str, k: int, rate: float, seed: int, quick: bool) -> Result:
    """Train and probe the energy or the critic."""
    data, config = pictures(quick), learner(method, k, rate)
    try:
        found, rounds = trained(config, data, SECONDS, seed, quick)
    except DivergenceError as error:
        return {"lost": str(error)}
    return {"rounds": rounds} | probed(data, features_of(getattr(found, OPPONENT[method])))


def not_trained(seed: int, quick: bool) -> Result:
    data = pictures(quick)
    config = replace(learner("VGAN", 1, RATES[0]), training={"seed": seed})
    return probed(data, features_of(untrained(config, data)[1].energy))


def pixels(quick: bool) -> Result:
    data = pictures(quick)
    return probed(data, partial(torch.flatten, start_dim=1))


def transition(rho: float) -> Config:
    """A run of table 2."""
    return replace(
        default_config("transition-vgan", DIGITS),
        transition_objective="released-code",
        energy_loss_weight=rho,
        energy=TRUNK | {"num_experts": 128},
        autoencoder={"channels": 16, "code_dim": 64, "batch_norm": True, "activation": "relu"},
        training={"batch": 200, "ema": 0.0},
    )


def one_step(method: TransitionVGAN, x: Tensor, rng: Generator) -> Tensor:
    """A fresh transition of each row."""
    return method.chain(x, 1, rng)[-1]


def classified(rho: float | None, seed: int, quick: bool) -> Result:
    """The error of a classifier of 1000 labels; ``rho`` None leaves transitions out."""
    data = datasets.load_dataset(DIGITS, max_rows=14_000 if quick else None)
    found: Result = {}
    variation = None
    if rho is not None:
        config = transition(rho)
        try:
            method, found["rounds"] = trained(config, data, TRANSITION_SECONDS, seed, quick)
        except DivergenceError as error:
            return {"lost": str(error)}
        variation = partial(one_step, method)
    rows = slice(LABELS * seed, LABELS * (seed + 1))
    few = dataclasses.replace(
        data, train=data.train[rows], targets=data.targets | {"train": data.targets["train"][rows]}
    )
    epochs = 1 if quick else EPOCHS
    classifier = train_classifier(few, epochs, seed, batch=100, variation=variation)
    return found | {"error": 1 - classifier.accuracy}


def cells(quick: bool) -> dict[str, Callable[[], Result]]:
    """Seed by seed, so that a stopped study has whole rows."""
    runs: dict[str, Callable[[], Result]] = {"pixels / table 1 / 0": partial(pixels, quick)}
    for seed in SEEDS[:1] if quick else SEEDS:
        runs[f"not trained / table 1 / {seed}"] = partial(not_trained, seed, quick)
        for method in OPPONENT:
            for k in KS:
                for rate in RATES:
                    name = f"{method} k = {k}, rate {rate:g} / table 1 / {seed}"
                    runs[name] = partial(represented, method, k, rate, seed, quick)
        runs[f"{PLAIN} / table 2 / {seed}"] = partial(classified, None, seed, quick)
        for rho in RHOS:
            runs[f"rho = {rho:g} / table 2 / {seed}"] = partial(classified, rho, seed, quick)
    return runs


Errors = Mapping[str, Sequence[float]]
"""Name of a row -> errors in percent, by seed."""


def errors_of(groups: Mapping[tuple[str, str], list[Result]], table: str) -> dict[str, list[float]]:
    found = {
        name: [100 * r["error"] for r in runs if "error" in r]
        for (t, name), runs in groups.items()
        if t == table
    }
    return {name: errors for name, errors in found.items() if errors}


def chosen(groups: Mapping[tuple[str, str], list[Result]]) -> dict[str, str]:
    """``VGAN k = 1`` and so on -> the row of the rate whose validation error is lower."""
    best: dict[str, str] = {}
    for method in OPPONENT:
        for k in KS:
            rows = [f"{method} k = {k}, rate {rate:g}" for rate in RATES]
            validation = {
                row: mean(r["validation"] for r in sound)
                for row in rows
                if (sound := [r for r in groups.get(("table 1", row), []) if "error" in r])
            }
            if validation:
                best[f"{method} k = {k}"] = min(validation, key=validation.__getitem__)
    return best


def gap(errors: Errors, low: str, high: str, names: Mapping[str, str]) -> str:
    """Whether ``low`` errs less than ``high``, as the paper has it."""
    a, b = (errors.get(names.get(name, name), []) for name in (low, high))
    value, error = difference(b, a)
    holds = "not to be said" if not abs(value) > 2 * error else "yes" if value > 0 else "no"
    return f"| {low} | {high} | {value:.2f} ± {error:.2f} | {holds} |"


def render(results: Mapping[str, Result]) -> str:
    """Both tables, and the papers' orderings one by one."""
    groups = groups_of(results)
    lines: list[str] = []
    for table, head in (("table 1", "features of"), ("table 2", "transitions")):
        lines += [f"## {table.capitalize()}", "", f"| {head} | test error, % | rounds | lost |"]
        lines.append("|---|---|---|---|")
        for (where, name), runs in groups.items():
            if where == table:
                shown = spread([100 * r["error"] for r in runs if "error" in r], 1)
                rounds = spread([r.get("rounds") for r in runs], 0)
                lost = sum("lost" in r for r in runs)
                lines.append(f"| {name} | {shown} | {rounds} | {lost} of {len(runs)} |")
        lines.append("")
    lines += ["Median (smallest to largest) over seeds.", "", "## The papers' orderings", ""]
    lines += [
        "| errs less | than | by, points | holds beyond 2 standard errors |",
        "|---|---|---|---|",
    ]
    best, errors = chosen(groups), errors_of(groups, "table 1")
    ordered = [
        ("VGAN k = 1", "GAN k = 1"),
        ("VGAN k = 3", "GAN k = 3"),
        ("VGAN k = 3", "VGAN k = 1"),
    ]
    ordered += [("GAN k = 1", "GAN k = 3"), ("VGAN k = 3", "not trained")]
    lines += [gap(errors, low, high, best) for low, high in ordered]
    errors = errors_of(groups, "table 2")
    ordered = [("rho = 0.01", PLAIN), (PLAIN, "rho = 0"), ("rho = 0", "rho = 1")]
    lines += [gap(errors, low, high, {}) for low, high in ordered]
    rates = ", ".join(sorted(best.values()))
    lines += ["", f"Rates chosen on validation rows: {rates}.", "", PUBLISHED]
    return "\n".join(lines)


STUDY = Study("vgan-tables", __doc__ or "", cells, render)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
