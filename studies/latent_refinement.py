"""Does the energy improve its generator's samples? Markov chains in latent space against the base.

Fixed before running. GEBM with its default settings on ring8 and grid25 (three seeds), and with
`gibbsian/config/recipes/generalized.py`, scale cpu, on MNIST, Fashion-MNIST and cifar10-jpeg75 (one seed).
Chains start at the prior: independence Metropolis, MALA and HMC (exact, step sizes found by themselves),
Langevin and kinetic Langevin with friction 1 (not corrected, the step size cut to a tenth every 200
steps); a step of HMC takes ten gradients. *Densities*: temperature 1, 600 steps (HMC 100) of 20 000
chains of which the last 50 kept draws count, 1e6 in all: KL(truth || histogram) on 50x50 cells over
[-1.6, 1.6]^2 with 1/2 added to each count, beside the same number for 1e6 true draws; sliced
Wasserstein distance of 5 000. *Pictures*: inverse temperature (1, 10, 100) and steps (50, 200; HMC
20) are chosen for each kernel by the Frechet distance of 384 samples to validation rows; then 1 024
samples are compared with test rows by Frechet and kernel distance (cubic, unbiased) in the features
of a classifier trained on the set for one epoch.
A refinement *lowers* the distance if the difference exceeds two standard errors, those of both
distances joined.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median

import torch
from torch import Tensor

from gibbsian import data as datasets
from gibbsian.config.config import replace
from gibbsian.config.recipes import default_config, recipe
from gibbsian.data.densities import Density
from gibbsian.evaluation import frechet_distance, mode_coverage
from gibbsian.evaluation.features.classifier import Classifier, train_classifier
from gibbsian.evaluation.metrics.frechet import gaussian_frechet
from gibbsian.models.model import KernelName, Model
from gibbsian.models.refinement import refine
from gibbsian.models.train import train
from studies.harness import Result, Study, run_study

DENSITIES = ("ring8", "grid25")
PICTURES = ("mnist", "fashion-mnist", "cifar10-jpeg75")
KERNELS: tuple[KernelName, ...] = ("independence", "langevin", "mala", "hmc", "underdamped")
CELLS, REACH = 50, 1.6
TRIED, SHOWN = 384, 1_024
COLD, LENGTHS = (1.0, 10.0, 100.0), (50, 200)


def refined(
    model: Model, n: int, kernel: KernelName, steps: int, cold: float, seed: int
) -> tuple[Tensor, Tensor]:
    """Samples in the data's units, and all kept latent draws ``[kept, n, d]``.

    The unadjusted kernels' step size falls with the temperature, whose gradients grow.
    """
    h = {"langevin": 0.02 / cold, "underdamped": math.sqrt(0.04 / cold)}.get(kernel)
    decay = 0.1 if kernel in ("langevin", "underdamped") and steps > 200 else 1.0
    x, chains = refine(
        model,
        n,
        kernel,
        steps,
        seed=seed,
        step_size=h,
        inverse_temperature=cold,
        decay=decay,
    )
    return x, chains.draws


def true_masses(density: Density) -> Tensor:
    """The truth's mass in each cell, by 8x8 midpoints, ``[CELLS, CELLS]``."""
    fine = CELLS * 8
    axis = REACH * ((2 * torch.arange(fine, dtype=torch.float64) + 1) / fine - 1)
    points = torch.cartesian_prod(axis, axis)
    mass = torch.cat([density.log_prob(part).exp() for part in points.split(20_000)])
    mass = mass.view(CELLS, 8, CELLS, 8).sum((1, 3))
    return mass / mass.sum()


def histogram_kl(x: Tensor, truth: Tensor) -> float:
    """KL(truth || histogram of ``x [n, 2]``), 1/2 added to each count."""
    cells = ((x + REACH) / (2 * REACH) * CELLS).floor().long()
    inside = ((cells >= 0) & (cells < CELLS)).all(1)
    index = cells[inside, 0] * CELLS + cells[inside, 1]
    counts = torch.bincount(index, minlength=CELLS**2).double() + 0.5
    q = counts / (len(x) + 0.5 * CELLS**2)
    p = truth.flatten()
    return float((torch.xlogy(p, p) - p * q.log()).sum())


def sliced_wasserstein(a: Tensor, b: Tensor, rng: torch.Generator) -> float:
    """Mean over 200 directions of the W1 distance of the projections; equally many rows."""
    directions = torch.nn.functional.normalize(torch.randn(2, 200, generator=rng), dim=0)
    return float(((a @ directions).sort(0).values - (b @ directions).sort(0).values).abs().mean())


def on_density(name: str, seed: int, quick: bool) -> Result:
    """Every kernel on one trained pair in the plane."""
    training = {"seed": seed, "device": "cpu", "save_every": 0}
    training |= {"rounds": 10} if quick else {}
    model = train(replace(default_config("gebm", name), training=training))
    density = datasets.toy_density(name)
    modes = density.modes()
    chains = 200 if quick else 20_000
    rng = torch.Generator().manual_seed(seed)
    truth, test = true_masses(density), density.sample(5_000, rng)

    def figures(x: Tensor) -> Result:
        few = x[torch.randperm(len(x), generator=rng)[:5_000]]
        covered = mode_coverage(few, modes.means, modes.std)
        return {
            "histogram_kl": histogram_kl(x, truth),
            "sliced": sliced_wasserstein(few, test[: len(few)], rng),
            "high_quality": covered.high_quality,
        }

    many = chains * 50
    rows = {
        "true draws": figures(density.sample(many, rng)),
        "base": figures(model.sample(many, seed)),
    }
    for kernel in KERNELS:
        length = 100 if kernel == "hmc" else 600
        _, draws = refined(model, chains, kernel, 20 if quick else length, 1.0, seed)
        with torch.no_grad():
            x = model.method.generator(draws[-50:].flatten(0, 1))
        rows[kernel] = figures(model.transform.decode(x))
    return {"rows": rows}


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """Squared maximum mean discrepancy of the kernel (a.b / d + 1)^3, unbiased (Binkowski et al. 2018)."""

    def mean(x: Tensor, y: Tensor, same: bool) -> Tensor:
        k = (x @ y.T / x.shape[1] + 1).pow(3)
        if same:
            return (k.sum() - k.diagonal().sum()) / (len(x) * (len(x) - 1))
        return k.mean()

    a, b = a.double(), b.double()
    return float(mean(a, a, True) + mean(b, b, True) - 2 * mean(a, b, False))


def frechet(a: Tensor, b: Tensor) -> float:
    """The Frechet distance of features alone, without its error: for choosing."""
    moments = [part for x in (a.double(), b.double()) for part in (x.mean(0), torch.cov(x.T))]
    return float(gaussian_frechet(*moments))


def against(x: Tensor, rows: Tensor, judge: Classifier) -> Result:
    """Frechet distance with its error, kernel distance with that of its bootstraps."""
    rng = torch.Generator().manual_seed(0)
    a, b = judge.features(x), judge.features(rows[: len(x)])
    found = frechet_distance(a, b, rng)
    again = [
        kernel_distance(*(f[torch.randint(len(f), (len(f),), generator=rng)] for f in (a, b)))
        for _ in range(20)
    ]
    error = float(torch.tensor(again).std())
    return {"frechet": [found.value, found.stderr], "kernel": [kernel_distance(a, b), error]}


def on_pictures(name: str, quick: bool) -> Result:
    """Every kernel on one trained pair of pictures, its temperature and length chosen on validation."""
    torch.set_num_threads(1)
    data = datasets.load_dataset(name, seed=0, max_rows=1_000 if quick else None)
    training = {"device": "cpu", "save_every": 0}
    training |= {"rounds": 2, "batch": 16} if quick else {}
    config = replace(recipe(f"{name}-gebm", "cpu"), training=training)
    model = train(
        replace(config, energy_burst_steps=2, log_z_init_batches=2) if quick else config, data
    )
    judge = train_classifier(data, epochs=1, seed=0)
    tried, shown = (16, 32) if quick else (TRIED, SHOWN)
    lengths = (20,) if quick else LENGTHS
    rows = {
        "held-out rows": against(data.valid[:shown], data.test, judge),
        "base": against(model.sample(shown, 1), data.test, judge),
    }
    wanted = judge.features(data.valid[:tried])
    for kernel in KERNELS:
        colds = COLD[:1] if kernel == "independence" else COLD
        scores = {}
        for cold, steps in itertools.product(colds, (20,) if kernel == "hmc" else lengths):
            x, _ = refined(model, tried, kernel, steps, cold, 0)
            scores[cold, steps] = frechet(judge.features(x), wanted)
        cold, steps = min(scores, key=scores.__getitem__)
        x, _ = refined(model, shown, kernel, steps, cold, 1)
        rows[kernel] = against(x, data.test, judge) | {"cold": cold, "steps": steps}
    return {"rows": rows, "accuracy": judge.accuracy}


def cells(quick: bool) -> dict[str, Callable[[], Result]]:
    """Every run of the study, the longest first."""
    runs: dict[str, Callable[[], Result]] = {}
    for name in PICTURES:
        runs[f"{name} / 0"] = partial(on_pictures, name, quick)
    for seed, name in itertools.product(range(3), DENSITIES):
        runs[f"{name} / {seed}"] = partial(on_density, name, seed, quick)
    return runs


def render(results: Mapping[str, Result]) -> str:
    """Densities: medians over seeds. Pictures: distances with errors, and what the energy gained."""
    lines = ["| data | samples | KL of the histogram | sliced Wasserstein | high quality |"]
    lines.append("|---|---|---|---|---|")
    for name in DENSITIES:
        runs = [r["rows"] for n, r in results.items() if n.startswith(f"{name} /")]
        for row in runs[0] if runs else ():
            columns = ("histogram_kl", "sliced", "high_quality")
            shown = " | ".join(f"{median(run[row][c] for run in runs):.4f}" for c in columns)
            lines.append(f"| {name} | {row} | {shown} |")
    lines += ["", "| data | samples | chosen | Frechet | kernel | change of Frechet |"]
    lines.append("|---|---|---|---|---|---|")
    for name in PICTURES:
        rows = results.get(f"{name} / 0", {"rows": {}})["rows"]
        for row, found in rows.items():
            value, error = found["frechet"]
            base, base_error = rows["base"]["frechet"]
            change = (value - base) / math.hypot(error, base_error, 1e-12)
            gained = "" if "cold" not in found else f"{value / base - 1:+.0%} ({change:+.1f} SE)"
            chosen = f"{found['cold']:g}, {found['steps']} steps" if "cold" in found else ""
            kernel = "{:.4g} ± {:.1g}".format(*found["kernel"])
            lines.append(
                f"| {name} | {row} | {chosen} | {value:.3g} ± {error:.1g} | {kernel} | {gained} |"
            )
    return "\n".join(lines)


STUDY = Study("latent-refinement", __doc__ or "", cells, render)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
