"""Energies trained on pictures: what they find strange, and what their generators draw.

Fixed before running. Trained on MNIST and on Fashion-MNIST, both averaged to 14x14 pixels (28x28 is the
recipes' scale paper), 100 CPU-seconds or so per run of one thread, batch 64, one seed; convolutions of
8 channels at the start for every network. The area under the ROC curve of the energy is taken between
2 000 test pictures and as many of the other set, of handwritten letters (OCR letters brought to the
same size by area) and of each graded corruption, beside a full-covariance Gaussian, PCA and the
energy before training. Samples (5 000) are compared with test pictures by the Frechet distance on the
features of a classifier trained on the same set for one epoch; the row *held-out data* is the
floor, *Gaussian* the trivial one. On the 8x8 digits the held-out log-likelihood is given from both
sides. Raw data lie under $GIBBSIAN_DATA.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gibbsian import data as datasets
from gibbsian.config.config import Config, replace
from gibbsian.config.recipes import default_config, recipe
from gibbsian.core import DivergenceError
from gibbsian.core.protocols import HasEnergy
from gibbsian.data import Dataset, corrupted_copies
from gibbsian.evaluation import frechet_distance, gaussian_anomaly_score, pca_anomaly_score
from gibbsian.evaluation.features.classifier import Classifier, train_classifier
from gibbsian.evaluation.metrics.out_of_distribution import auroc_table
from gibbsian.models.build import assemble
from gibbsian.models.evaluate import evaluate_run
from gibbsian.models.model import Model
from gibbsian.models.train import train_config
from studies.harness import Result, Study, run_study

SETS = {"mnist-14": "fashion-mnist-14", "fashion-mnist-14": "mnist-14"}
ROWS = 2_000
SAMPLES = 5_000
CHANNELS = {"channels": 8}
LANGEVIN = {
    "energy": CHANNELS | {"name": "conv"},
    "sampler": {"kernel": "ula", "steps": 10, "step_size": 2e-3},
    "chains": 64,
    "reinit_prob": 0.005,
    "energy_l2": 1e-3,
}


def contestants(name: str) -> dict[str, tuple[Config, int]]:
    """Row -> configuration and rounds."""
    nets = {"generator": CHANNELS, "latent_dim": 16}
    bounds = default_config("bidirectional", name)
    adversarial = default_config("gan", name)
    return {
        "bidirectional (encoder x diffusion)": (
            replace(bounds, energy=CHANNELS, encoder=CHANNELS, **nets),
            2_000,
        ),
        "persistent CD": (replace(default_config("cd", name), **LANGEVIN), 1_200),
        "VGAN": (replace(default_config("vgan", name), energy=CHANNELS, **nets), 3_000),
        "Wasserstein GAN": (
            replace(
                adversarial,
                loss="wasserstein",
                gradient_penalty_weight=10.0,
                r1_penalty_weight=0.0,
                critic_steps=3,
                critic=CHANNELS,
                **nets,
            ),
            1_200,
        ),
    }


def trained(config: Config, rounds: int, data: Dataset, quick: bool) -> Model:
    """The averaged weights after ``rounds``."""
    torch.set_num_threads(1)
    training: dict[str, Any] = {"seed": 0, "device": "cpu", "save_every": 0}
    training |= {"rounds": 4 if quick else rounds, "log_every": rounds}
    if config.data != "digits":
        training["batch"] = 64
    return train_config(replace(config, training=training), None, data)


def on_pictures(row: str, name: str, quick: bool) -> Result:
    """AUROC and sample quality of one method trained on one set."""
    data = datasets.load_dataset(name, seed=0)
    config, rounds = contestants(name)[row]
    try:
        model = trained(config, rounds, data, quick)
    except DivergenceError as error:
        return {"diverged": str(error)}
    result: Result = {"samples": quality(model.sample(SAMPLES, 1), data, quick)}
    if isinstance(model.method, HasEnergy) and row != "Wasserstein GAN":
        untrained = Model(
            assemble(model.config, model.space), model.config, model.space, model.transform
        )
        scores = {"energy": model.energy, "before training": untrained.energy}
        result["auroc"] = areas(scores, name, data)
    return result


def plain(name: str, quick: bool) -> Result:
    """The rows that need no training: Gaussian and PCA scores, held-out data and Gaussian samples."""
    torch.set_num_threads(1)
    data = datasets.load_dataset(name, seed=0)
    scores = {
        "Gaussian": gaussian_anomaly_score(data.train[:20_000]),
        "PCA": pca_anomaly_score(data.train[:20_000]),
    }
    flat = data.train.flatten(1)
    mean, covariance = flat.mean(0), torch.cov(flat.T) + 1e-2 * torch.eye(flat.shape[1])
    noise = torch.randn(SAMPLES, flat.shape[1], generator=torch.Generator().manual_seed(1))
    drawn = (mean + noise @ torch.linalg.cholesky(covariance).T).clamp(flat.min(), flat.max())
    return {
        "auroc": areas(scores, name, data),
        "Gaussian": quality(drawn.view(-1, *data.space.shape), data, quick),
        "held-out data": quality(data.valid[:SAMPLES], data, quick),
    }


def areas(scores: Mapping[str, Callable[[Tensor], Tensor]], name: str, data: Dataset) -> Any:
    """Score -> set -> AUROC and error."""
    test = data.test[:ROWS]
    rng = torch.Generator().manual_seed(0)
    strange = {
        SETS[name]: datasets.load_dataset(SETS[name], seed=0).test[:ROWS],
        "OCR letters": letters(data),
    }
    strange |= corrupted_copies(test, data.space, rng, data.train[:20_000].std(0))
    table = auroc_table(scores, test, strange)
    return {s: {n: [a.value, a.stderr] for n, a in c.items()} for s, c in table.cells.items()}


def letters(data: Dataset) -> Tensor:
    """16x8 bits of handwritten letters, brought to the pictures' size and range of grey."""
    bits = datasets.load_dataset("ocr-letters", seed=0).test[:ROWS].float().view(-1, 1, 16, 8)
    size = data.space.shape[1]
    narrow = torch.nn.functional.interpolate(bits, (size, size // 2), mode="area")
    pad = (size - size // 2) // 2
    wide = torch.nn.functional.pad(narrow, (pad, size - size // 2 - pad))
    return wide * data.test[:ROWS].max()


def quality(x: Tensor, data: Dataset, quick: bool) -> list[float]:
    """Frechet distance to the test pictures in the classifier's features, and its error."""
    classifier = judge(data, quick)
    rng = torch.Generator().manual_seed(0)
    found = frechet_distance(classifier.features(x), classifier.features(data.test[:SAMPLES]), rng)
    return [found.value, found.stderr]


def judge(data: Dataset, quick: bool) -> Classifier:
    """The classifier whose features are compared; the same in every cell of a set."""
    if quick:
        small = datasets.load_dataset(data.name, seed=0, max_rows=1_000)
        return train_classifier(small, epochs=1, seed=0)
    return train_classifier(data, epochs=1, seed=0)


def on_digits(method: str, quick: bool) -> Result:
    """The held-out log-likelihood of 8x8 digits from both sides."""
    data = datasets.load_dataset("digits", seed=0)
    if method == "cd":
        config, rounds = recipe("digits-cd"), 2_000
    else:
        nets = {"channels": 8, "width": 64}
        config = replace(
            default_config("bidirectional", "digits"),
            energy=nets,
            generator={"channels": 8},
            encoder=nets,
            latent_dim=8,
            training={"batch": 128},
        )
        rounds = 2_500
    model = trained(config, rounds, data, quick)
    figures = evaluate_run(model, data, 500, 0, [])
    return {"rows": figures["rows"], "warnings": figures["warnings"]}


def cells(quick: bool) -> dict[str, Callable[[], Result]]:
    """Every run."""
    runs: dict[str, Callable[[], Result]] = {}
    for name in SETS:
        for row in contestants(name):
            runs[f"{name} / {row}"] = partial(on_pictures, row, name, quick)
        runs[f"{name} / no training"] = partial(plain, name, quick)
    runs["digits / bidirectional"] = partial(on_digits, "bidirectional", quick)
    runs["digits / persistent CD"] = partial(on_digits, "cd", quick)
    return runs


def number(pair: list[float], digits: int = 3) -> str:
    """Value and error."""
    return f"{pair[0]:.{digits}f} ± {pair[1]:.{digits}f}"


def render(results: Mapping[str, Result]) -> str:
    """One table of areas and one of distances per set; the likelihoods of the digits."""
    lines: list[str] = []
    for name in SETS:
        of_set = {k.split(" / ")[1]: v for k, v in results.items() if k.startswith(f"{name} / ")}
        rows = {
            row if score == "energy" else f"{row}: {score}": areas
            for row, result in of_set.items()
            for score, areas in result.get("auroc", {}).items()
        }
        if rows:
            columns = list(next(iter(rows.values())))
            lines += [
                f"## Trained on {name}",
                "",
                "AUROC of the energy (0.5 guesses, 1 separates):",
                "",
            ]
            lines += [f"| energy | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
            for row, cells_ in rows.items():
                label = row.replace("no training: ", "")
                lines.append(f"| {label} | {' | '.join(number(cells_[c]) for c in columns)} |")
        lines += ["", "Frechet distance of 5 000 samples in the classifier's features:", ""]
        lines += ["| samples | distance |", "|---|---|"]
        for row, result in of_set.items():
            if "diverged" in result:
                lines.append(f"| {row} | diverged: {result['diverged']} |")
            for key in ("samples", "Gaussian", "held-out data"):
                if key in result:
                    label = row if key == "samples" else key
                    lines.append(f"| {label} | {number(result[key], 2)} |")
        lines.append("")
    lines += ["## Digits, 8x8", ""]
    for key, result in results.items():
        if key.startswith("digits"):
            lines += [f"**{key.split(' / ')[1]}**", ""]
            lines += [f"- {name}: {text}" for name, text in result["rows"].items()]
            lines += [f"- warning: {text}" for text in result["warnings"]] + [""]
    return "\n".join(lines)


STUDY = Study("ood", __doc__ or "", cells, render)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
