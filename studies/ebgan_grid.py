"""EBGAN's grid search at a size for two cores: how many settings succeed, for EBGAN, EBGAN-PT and GAN.

Fixed before running. MNIST averaged to 14x14, fully connected networks as in table 1 of Zhao, Mathieu and
LeCun (2017): 2 to 5 layers each side (an auto-encoder's decoder counts as one), generators of 100, 200 or
400 units, discriminators of 64 or 128, dropout 0.5 or none in the discriminator; ReLU, batch
normalisation on both sides but for the discriminator's first layer, batch 64, 32 latent numbers, seed 0.
Of these 192 architectures 24 are drawn, and the same ones are used throughout: by EBGAN and EBGAN-PT
(weight 0.1), Adam at 0.001; by 24 GANs with Adam at 0.001 on both sides and by 24 GANs with one of the
other eleven settings of optimizer (Adam or SGD each side) and rate (0.01, 0.001, 0.0001), drawn per
architecture. The margin is 10 scaled to the pixels' norm, 10 x 14/32 = 4.4. Every run trains for 10
CPU-seconds of one thread. A run that is not finite counts as a failure: I' = 0.

5 000 samples of each run are judged by one classifier of the same pictures: I' (clipped), the Frechet
distance to validation pictures, the entropy of the class histogram. A run succeeds if its I' exceeds half
of that of held-out pictures, or if its distance is below that of a full-covariance Gaussian. Shares come with
95 % percentile intervals over 2 000 bootstraps of the runs. EBGAN and EBGAN-PT are paired by architecture.

Added when this was done, because pairs of equal time differ in their rounds by chance: EBGAN, EBGAN-PT and
EBGAN-PT of weight 10 for 4 000 rounds each (13 to 50 CPU-seconds). Of the weights 0.1, 1 and 10 the last
had the largest mean gain of entropy on six architectures not among the 24, with seed 1, though none was
clear: -0.035 ± 0.032, 0.006 ± 0.017, 0.017 ± 0.036.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gibbsian import data as datasets
from gibbsian.config.config import Config, replace
from gibbsian.config.recipes import default_config
from gibbsian.core import DivergenceError
from gibbsian.core.files import read_json
from gibbsian.core.locks import FileLock
from gibbsian.data import Dataset
from gibbsian.evaluation import entropy_of_class_counts, frechet_distance
from gibbsian.evaluation.features.classifier import (
    Classifier,
    load_classifier,
    save_classifier,
    train_classifier,
)
from gibbsian.evaluation.metrics.class_scores import clipped_kl_score
from gibbsian.experiments.budgets import rounds_within
from gibbsian.models.train import train_config
from studies.harness import RESULTS, Result, Study, run_study

DATA, SECONDS, SAMPLES, CONFIGURATIONS = "mnist-14", 10.0, 5_000, 24
MARGIN = 10 * 14 / 32
FAMILIES = ("EBGAN", "EBGAN-PT", "GAN, Adam 0.001", "GAN, other optimizers")
LONG, ROUNDS = ", 4 000 rounds", 4_000
EQUAL_ROUNDS = tuple(f"{name}{LONG}" for name in ("EBGAN", "EBGAN-PT", "EBGAN-PT of weight 10"))
Architecture = tuple[int, int, int, int, bool]
"""Layers and units of the generator, hidden layers and units of the discriminator, dropout."""


def architectures() -> list[Architecture]:
    """The 24 that are drawn of 192, without replacement."""
    every = itertools.product((1, 2, 3, 4), (100, 200, 400), (1, 2, 3, 4), (64, 128), (False, True))
    return random.Random(0).sample(list(every), CONFIGURATIONS)


def optimizers(number: int) -> tuple[str, str, float]:
    """One of the eleven settings that are not Adam, Adam, 0.001, for the number of an architecture."""
    every = itertools.product(("adam", "sgd"), ("adam", "sgd"), (0.01, 0.001, 0.0001))
    others = [setting for setting in every if setting != ("adam", "adam", 0.001)]
    return others[random.Random(number).randrange(len(others))]


def configuration(family: str, number: int) -> Config:
    """A run of the study."""
    depth, width, depth_d, width_d, dropout = architectures()[number]
    relu: dict[str, Any] = {"activation": "relu", "batch_norm": True}
    discriminator = relu | {"depth": depth_d, "width": width_d, "dropout": 0.5 * dropout}
    side = "critic" if family.startswith("GAN") else "energy"
    ours, theirs, rate = (
        optimizers(number) if family.endswith("other optimizers") else ("adam", "adam", 0.001)
    )
    plain = {"lr_schedule": "constant", "lr": rate, "betas": (0.9, 0.999)}
    return replace(
        default_config("gan" if side == "critic" else "ebgan", DATA),
        latent_dim=32,
        generator=relu | {"name": "mlp", "depth": depth, "width": width},
        generator_optimizer=plain | {"name": ours},
        training={"batch": 64, "seed": 0, "ema": 0.0},
        **{
            side: {"name": "mlp" if side == "critic" else "autoencoder"} | discriminator,
            f"{side}_optimizer": plain | {"name": theirs},
        },
        **(
            {"r1_penalty_weight": 0.0}
            if side == "critic"
            else {"margin": MARGIN, "pull_away": pull(family)}
        ),
    )


def pull(family: str) -> float:
    """The weight of the pulling-away term."""
    family = family.removesuffix(LONG)
    return {"EBGAN-PT": 0.1, "EBGAN-PT of weight 10": 10.0}.get(family, 0.0)


def judge(data: Dataset, quick: bool) -> Classifier:
    """The classifier of all runs, trained by the first that needs it."""
    path = Path("runs") / f"ebgan-grid-judge{'-quick' if quick else ''}.safetensors"
    with FileLock(path.with_suffix(".lock")).held():
        if not path.exists():
            small = datasets.load_dataset(DATA, seed=0, max_rows=1_000) if quick else data
            save_classifier(train_classifier(small, epochs=1 if quick else 3, seed=0), path)
        return load_classifier(path)


def judged(x: Tensor, data: Dataset, quick: bool) -> Result:
    """The three figures with their errors."""
    classifier, rng = judge(data, quick), torch.Generator().manual_seed(0)
    log_p = classifier.logits(x).log_softmax(1)
    truth = classifier.features(data.valid[:SAMPLES])
    found = {
        "i_prime": clipped_kl_score(log_p, rng),
        "frechet": frechet_distance(classifier.features(x), truth, rng),
        "entropy": entropy_of_class_counts(log_p.argmax(1), classifier.classes),
    }
    return {name: [estimate.value, estimate.stderr] for name, estimate in found.items()}


def cell(family: str, number: int, quick: bool) -> Result:
    """Train one configuration and judge its samples."""
    torch.set_num_threads(1)
    data = datasets.load_dataset(DATA, seed=0)
    config = configuration(family, number)
    equal = 5 if quick else ROUNDS if family in EQUAL_ROUNDS else None
    rounds = equal or rounds_within(config, data, SECONDS)
    training = {"rounds": rounds, "log_every": rounds, "save_every": 0, "device": "cpu"}
    try:
        model = train_config(replace(config, training=training), None, data)
        x = model.sample(500 if quick else SAMPLES, 1)
    except DivergenceError as error:
        return {"diverged": str(error)}
    return judged(x, data, quick) | {"rounds": rounds}


def reference(quick: bool) -> Result:
    """Held-out pictures, and samples of a Gaussian with the training pictures' moments."""
    torch.set_num_threads(1)
    data = datasets.load_dataset(DATA, seed=0)
    flat = data.train.flatten(1)
    covariance = torch.cov(flat.T) + 1e-2 * torch.eye(flat.shape[1])
    noise = torch.randn(SAMPLES, flat.shape[1], generator=torch.Generator().manual_seed(1))
    drawn = (flat.mean(0) + noise @ torch.linalg.cholesky(covariance).T).clamp(0, flat.max())
    return {
        "held-out": judged(data.test[:SAMPLES], data, quick),
        "Gaussian": judged(drawn.view(-1, *data.space.shape), data, quick),
    }


def cells(quick: bool) -> dict[str, Callable[[], Result]]:
    """The references, then the families in turn, so that a stopped study is still balanced."""
    runs: dict[str, Callable[[], Result]] = {"reference": partial(reference, quick)}
    for families in (FAMILIES, EQUAL_ROUNDS):
        for number in range(1 if quick else CONFIGURATIONS):
            for family in families:
                runs[f"{family} / {number:02d}"] = partial(cell, family, number, quick)
    return runs


def of_family(results: Mapping[str, Result], family: str) -> list[Result]:
    """Its runs by number of the architecture."""
    return [results[key] for key in sorted(results) if key.startswith(f"{family} / ")]


def share(hits: Sequence[bool]) -> str:
    """A share in percent with a 95 % percentile bootstrap interval over runs."""
    values = np.asarray(hits, dtype=float)
    drawn = np.random.default_rng(0).choice(values, (2_000, len(values))).mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{values.mean():.0%} [{low:.0%}, {high:.0%}]"


def median(runs: Sequence[Result], name: str) -> str:
    """Of the runs that have the figure."""
    values = [run[name][0] for run in runs if name in run]
    return f"{np.median(values):.2f}" if values else "-"


def paired(results: Mapping[str, Result], pulled: str, plain: str, name: str) -> str:
    """``pulled`` minus ``plain`` over architectures that neither run of diverged: mean and standard error."""
    pairs = [
        (results[f"{pulled} / {n:02d}"].get(name), results[f"{plain} / {n:02d}"].get(name))
        for n in range(CONFIGURATIONS)
        if f"{pulled} / {n:02d}" in results and f"{plain} / {n:02d}" in results
    ]
    gains = np.array([a[0] - b[0] for a, b in pairs if a and b])
    if len(gains) < 2:
        return "too few pairs"
    return f"{gains.mean():.3f} ± {gains.std(ddof=1) / len(gains) ** 0.5:.3f} ({len(gains)} pairs)"


def render(results: Mapping[str, Result]) -> str:
    """A table of families, the effect of the pulling-away term, and where the histograms are."""
    if "reference" not in results:
        return "The reference is missing: run the study without --only."
    held_out, gaussian = results["reference"]["held-out"], results["reference"]["Gaussian"]
    lines = [
        "| runs | number | diverged | median I' | I' above half of held-out's | median Frechet | "
        "Frechet below the Gaussian's | median class entropy |",
        "|---" * 8 + "|",
    ]
    for name, row in (("held-out pictures", held_out), ("Gaussian", gaussian)):
        figures = [f"{row[figure][0]:.2f}" for figure in ("i_prime", "frechet", "entropy")]
        lines.append(f"| {name} | - | - | {figures[0]} | - | {figures[1]} | - | {figures[2]} |")
    families = {family: of_family(results, family) for family in FAMILIES}
    families["GAN, all"] = families[FAMILIES[2]] + families[FAMILIES[3]]
    families |= {family: of_family(results, family) for family in EQUAL_ROUNDS}
    for family, runs in families.items():
        if runs:
            good = [r.get("i_prime", [0])[0] > 0.5 * held_out["i_prime"][0] for r in runs]
            near = [r.get("frechet", [np.inf])[0] < gaussian["frechet"][0] for r in runs]
            lines.append(
                f"| {family} | {len(runs)} | {sum('diverged' in r for r in runs)} | "
                f"{median(runs, 'i_prime')} | {share(good)} | {median(runs, 'frechet')} | "
                f"{share(near)} | {median(runs, 'entropy')} |"
            )
    lines += ["", "EBGAN-PT minus EBGAN, paired by architecture:", ""]
    for pulled, plain in (
        (FAMILIES[1], FAMILIES[0]),
        *((p, EQUAL_ROUNDS[0]) for p in EQUAL_ROUNDS[1:]),
    ):
        for name, label in (
            ("entropy", "class entropy"),
            ("i_prime", "I'"),
            ("frechet", "Frechet"),
        ):
            lines.append(f"- {pulled}, {label}: {paired(results, pulled, plain, name)}")
    lines += ["", "![Histograms of I' and of the Frechet distance](ebgan-grid.png)"]
    return "\n".join(lines)


def draw(results: Mapping[str, Result], path: Path) -> None:
    """Both figures' histograms: EBGAN, EBGAN-PT and all GANs, then the same within Adam at 0.001."""
    from matplotlib.figure import Figure

    figure = Figure((9, 6), layout="constrained")
    axes = figure.subplots(2, 2)
    groups = {"all": FAMILIES, "Adam at 0.001": FAMILIES[:3]}
    for row, (title, names) in enumerate(groups.items()):
        for column, (name, label) in enumerate(
            (("i_prime", "I'"), ("frechet", "Frechet distance"))
        ):
            panel = axes[row][column]
            found = {
                group: [r[name][0] for f in members for r in of_family(results, f) if name in r]
                for group, members in (
                    ("EBGAN", names[:1]),
                    ("EBGAN-PT", names[1:2]),
                    ("GAN", names[2:]),
                )
            }
            edges = np.histogram_bin_edges(np.concatenate([*found.values()]), 15).tolist()
            for group, values in found.items():
                weights = np.full(len(values), 100 / max(1, len(values)))
                panel.hist(values, edges, weights=weights, histtype="step", label=group)
            panel.set(title=title, xlabel=label, ylabel="% of runs")
            panel.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)


STUDY = Study("ebgan-grid", __doc__ or "", cells, render)

if __name__ == "__main__":
    status = run_study(STUDY)
    written = RESULTS / f"ebgan-grid{'-quick' if '--quick' in sys.argv else ''}.json"
    if written.exists():
        draw(read_json(written)["results"], written.with_suffix(".png"))
    sys.exit(status)
