"""Bidirectional bounds: the pairings beside each other and beside the baselines, with the truth known.

Fixed before running. Data: moons, ring8, grid25, 20 000 rows. The same networks for all: an energy or
critic of two layers of 128 units on 64 Fourier features of scale 3, a generator of three layers of
128 units on 32 Fourier features of a latent of 4, an encoder of three layers of 128; batch 256; the
generator's output noise is 0.05 wherever there is one (0.03 on grid25). Rounds are set per method so
that a run takes about 60 CPU-seconds on the machine named below; three seeds; averaged weights. A run
*diverged* if a loss was not finite, log Z could not be resolved, or KL(data || model) is above 2 nats;
it *collapsed* if half of the modes or fewer are covered. KL and log Z are by quadrature. The lower and
upper values are means over 4 096 draws at eight rounds of every run; *refined* is the share of high
quality of 5 000 samples after 300 MALA steps on the energy; the constant that the denoising
and diffusion penalties leave out is not added, so that theirs are comparable over time only.
"""

from __future__ import annotations

import copy
import itertools
import math
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from gibbsian import data as datasets
from gibbsian.bounds.upper import Points
from gibbsian.config.config import Config, plain, replace
from gibbsian.config.recipes.defaults import PLANE, default_config
from gibbsian.core import DivergenceError, Interval, TrainingMethod
from gibbsian.core.files import read_json
from gibbsian.core.measures import Undefined
from gibbsian.core.protocols import HasEnergy
from gibbsian.data import BatchStream, Dataset
from gibbsian.evaluation import log_partition_quadrature
from gibbsian.methods.bidirectional import BidirectionalBounds
from gibbsian.models.build import assemble, resolve
from gibbsian.models.evaluate import model_kl
from gibbsian.models.model import Model
from gibbsian.samplers import adapt_step_size, energy_with_base_measure, mala, run_chains
from gibbsian.training import prepare_training, run_training_loop
from gibbsian.training.checkpoints import Progress
from studies import injective_bounds
from studies.baselines import VGAN_RATES, coverage, sample_error
from studies.harness import RESULTS, Result, Study, run_study
from studies.plain_bounds import CHOSEN, OURS, PLAIN, TRIALS, TUNING, plain_networks

DATA = ("moons", "ring8", "grid25")
SEEDS = range(3)
MARKS = 8
DRAWS = 4_096
SAMPLES = 25_000
GENERATOR = {"depth": 3, "fourier_features": 32, "fourier_scale": 2.0}
ADAM = {"lr": 1e-3, "betas": (0.5, 0.9), "lr_schedule": "cosine"}


def pairing(name: str, **options: Any) -> Config:
    """One pairing of bounds on the data set ``name`` with the nets of the study."""
    settings: dict[str, Any] = {
        "energy": PLANE,
        "generator": GENERATOR,
        "encoder": {"depth": 3},
        "latent_dim": 4,
        "output_noise_std": 0.03 if name == "grid25" else 0.05,
        "energy_optimizer": ADAM,
        "generator_optimizer": ADAM,
        "training": {"ema": 0.999},
    }
    return replace(plain("bidirectional", name), **(settings | options))


def pairings(name: str) -> dict[str, Config]:
    """Row of the table -> configuration on the data set ``name``: the pairings and the baselines."""
    M = WEIGHTS[name]
    rough = {"upper_bound_penalty": "denoising", "upper_bound_penalty_weight": M}
    smooth = {
        "upper_bound_penalty": "diffusion",
        "upper_bound_penalty_weight": 50.0,
        "points_to_diffuse": "data",
        "score_matching_noise_min": LOWEST[name],
    }
    exact = {"entropy_estimator": "log-det", "latent_dim": 2}
    folded = {"upper_bound_penalty": "gradient-penalty", "upper_bound_penalty_weight": 0.1}
    nets = {"generator": GENERATOR, "latent_dim": 4}
    return {
        "log-det x gradient penalty": pairing(name, **exact, **folded),
        "the same, no Fourier features in G": pairing(
            name, **exact, **folded, generator={"depth": 3}
        ),
        "log-det x diffusion": pairing(name, **exact, **smooth),
        "encoder x denoising": pairing(name, entropy_estimator="encoder", **rough),
        "encoder x diffusion": pairing(name, entropy_estimator="encoder", **smooth),
        "zero-centred penalty": pairing(
            name, **exact, upper_bound_penalty="zero-centred", upper_bound_penalty_weight=0.1
        ),
        "VGAN": replace(default_config("vgan", name), **VGAN_RATES, **nets),
        "Wasserstein GAN": replace(
            default_config("gan", name),
            loss="wasserstein",
            gradient_penalty_weight=0.1,
            r1_penalty_weight=0.0,
            critic_steps=3,
            **nets,
        ),
        "persistent CD": default_config("cd", name),
    }


WEIGHTS = {"moons": 0.01, "ring8": 0.01, "grid25": 0.003}
LOWEST = {"moons": 0.07, "ring8": 0.07, "grid25": 0.04}
ROUNDS = {
    "log-det x gradient penalty": 2_400,
    "the same, no Fourier features in G": 2_600,
    "log-det x diffusion": 3_600,
    "encoder x denoising": 6_000,
    "encoder x diffusion": 5_200,
    "zero-centred penalty": 4_400,
    "VGAN": 8_000,
    "Wasserstein GAN": 3_400,
    "persistent CD": 2_800,
}
BEST = "log-det x diffusion"
LONG = {BEST: 22_000, "persistent CD": 18_000}
"""Rounds of about 400 CPU-seconds."""
STABILITY_ROUNDS = 1_500
UNSTABLE = {
    "lower bound only": {"upper_bound_penalty": "none"},
    "zero-centred penalty": {
        "upper_bound_penalty": "zero-centred",
        "upper_bound_penalty_weight": 0.1,
    },
}


def measured(config: Config, seed: int, rounds: int, quick: bool) -> Result:
    """Train and measure: values over training, and at the end KL and sample quality."""
    torch.set_num_threads(1)
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # compilers whose seconds are counted
    training = {"seed": seed, "device": "cpu", "rounds": 16 if quick else rounds}
    training |= {
        "save_every": training["rounds"] // MARKS,
        "log_every": training["rounds"] // MARKS,
        "recover": False,  # which runs diverge is what is asked here
    }
    config = replace(config, training=training)
    data = datasets.load_dataset(config.data, seed=0)
    rows = data.transform.encode(data.train[:2000], torch.Generator().manual_seed(0))
    config = resolve(config, data.space, rows)
    method = assemble(config, data.space)
    optimizers = {player: getattr(config, f"{player}_optimizer") for player in method.players}
    stream = BatchStream(data.train, data.transform, config.training.batch, seed)
    progress = prepare_training(method, optimizers, config.training, stream)
    record = Trajectory(config, data, rows)
    begun = cpu_seconds()
    with tempfile.TemporaryDirectory() as folder:
        try:
            run_training_loop(progress, config.training, Path(folder) / "state", None, record)
        except DivergenceError as error:
            return {"diverged": str(error), "marks": record.marks}
    seconds = cpu_seconds() - begun - record.seconds
    model = record.model(progress)
    x = model.sample(500 if quick else SAMPLES, seed)
    kl = record.marks[-1]["kl"]
    figures = {
        "kl": kl,
        "train_seconds": round(seconds, 1),
        "marks": record.marks,
        "sample_error": sample_error(x, data),
        **coverage(x, data),
    }
    if rounds in LONG.values():
        figures["refined"] = coverage(refined(model, 500 if quick else SAMPLES // 5, seed), data)
    return figures


def cpu_seconds() -> float:
    """Of this process and of the compilers it has called."""
    return sum(os.times()[:4])


def refined(model: Model, n: int, seed: int) -> Tensor:
    """Samples after 300 MALA steps on the energy in data space, ``[n, 2]`` in the data's units."""
    method, rng = model.method, torch.Generator().manual_seed(seed)
    assert isinstance(method, HasEnergy)
    assert not isinstance(method.measure, Undefined)
    kernel = mala(energy_with_base_measure(method.energy, method.measure), 1e-3)
    start = adapt_step_size(
        kernel, method.sample(n, rng), 200, rng, target_acceptance=0.57, scale=False
    )
    return model.transform.decode(run_chains(kernel, start, 300, rng, keep="last").state.x)


@dataclass
class Trajectory:
    """What is measured of a run at each checkpoint; called by ``fit``."""

    config: Config
    data: Dataset
    rows: Tensor
    marks: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    def __call__(self, progress: Progress) -> None:
        """Append one record."""
        begun = cpu_seconds()
        model = self.model(progress)
        mark: dict[str, Any] = {"round": progress.index}
        if isinstance(model.method, HasEnergy):
            z = log_partition_quadrature(model.method.energy, model.method.measure, near=self.rows)
            known = isinstance(z, Interval)
            mark["log_z"] = z.lower.value if isinstance(z, Interval) else None
            kl = model_kl(model, self.data, z) if known else None
            mark["kl"] = getattr(kl, "value", None)
        if isinstance(model.method, BidirectionalBounds):
            mark |= sides(model.method, self.rows)
        self.marks.append({name: finite(value) for name, value in mark.items()})
        self.seconds += cpu_seconds() - begun

    def model(self, progress: Progress) -> Model:
        """The averaged weights as a model."""
        method: TrainingMethod = copy.deepcopy(progress.method)
        with torch.no_grad():
            for name, parameter in method.named_parameters():
                parameter.copy_(progress.average.get(name, parameter))
        return Model(method, self.config, self.data.space, self.data.transform)


def finite(value: float | None) -> float | None:
    """JSON has no infinities."""
    return None if value is None or not math.isfinite(value) else value


def sides(method: BidirectionalBounds, rows: Tensor) -> dict[str, float]:
    """The lower value of log Z and the trained upper one, means over DRAWS latents."""
    rng = torch.Generator().manual_seed(0)
    method.eval()
    lower = gap = 0.0
    parts = DRAWS // len(rows[:256])
    for part in range(parts):
        x = rows[(part * 256) % len(rows) :][:256]
        z = method.prior.sample(len(x), rng)
        starts = method.entropy_estimator.randomness(z, x.shape[1:], rng)
        x_model, entropy = (
            a.detach() for a in method.entropy_estimator(method.generator, z, *starts)
        )
        eps = torch.randn(x_model.shape, generator=rng)
        energy = method.energy(method.seen(x_model, eps)).detach()
        shrinkage = method.shrinkage(x_model[0].numel())
        lower += (float((entropy - energy).mean()) + shrinkage) / parts
        if method.upper_bound_penalty is not None:
            starts = method.upper_bound_penalty.randomness(x, z, rng)
            at = Points(x, z, x_model, method.generator(z).detach())
            penalty = method.upper_bound_penalty.penalty(
                method.energy, method.generator, at, *starts
            )
            gap += method.upper_bound_penalty_weight * float(penalty.detach()) / parts
    return {"lower": lower, "upper": lower + gap}


def cells(quick: bool) -> dict[str, Callable[[], Result]]:
    """Every run: the pairings, the two long ones, and the ten seeds of the question of stability."""
    runs: dict[str, Callable[[], Result]] = {}
    last: dict[str, Callable[[], Result]] = {}
    for seed, name in itertools.product(SEEDS, DATA):
        for row, config in pairings(name).items():
            group = last if row.startswith("the same") else runs
            group[f"{row} / {name} / {seed}"] = partial(measured, config, seed, ROUNDS[row], quick)
    for seed, name in itertools.product(range(10), ("moons", "grid25")):
        rivals = {
            row: pairing(name, entropy_estimator="log-det", latent_dim=2, **options)
            for row, options in UNSTABLE.items()
        }
        for row, config in {**rivals, BEST: pairings(name)[BEST]}.items():
            cell = partial(measured, config, seed, STABILITY_ROUNDS, quick)
            runs[f"stability: {row} / {name} / {seed}"] = cell
    for name, (row, rounds) in itertools.product(DATA, LONG.items()):
        runs[f"400 s: {row} / {name} / 0"] = partial(
            measured, pairings(name)[row], 0, rounds, quick
        )
    plain: dict[str, Callable[[], Result]] = {}
    for (row, name), (rounds, options) in CHOSEN.items():
        config = plain_networks(row, name, **options)
        plain[f"plain: {row} / {name} / 1"] = partial(measured, config, 1, rounds, quick)
    for (label, name), (rounds, options) in TRIALS.items():
        config = plain_networks(OURS, name, **options)
        plain[f"tuning: {label} / {name} / 100"] = partial(measured, config, 100, rounds, quick)
    injective: dict[str, Callable[[], Result]] = {}
    for label, (config, rounds) in injective_bounds.tuning().items():
        injective[label] = partial(measured, config, 100, rounds, quick)
    for seed in range(5):
        for label, (config, rounds) in injective_bounds.final(seed).items():
            injective[label] = partial(measured, config, seed, rounds, quick)
    return runs | last | plain | injective


def spread(values: Sequence[float | None], digits: int) -> str:
    """Median and range; what is not defined is counted."""
    found = sorted(v for v in values if v is not None)
    lost = len(values) - len(found)
    missing = f", {lost} not defined" if lost else ""
    if not found:
        return "not defined"
    return f"{median(found):.{digits}f} ({found[0]:.{digits}f} to {found[-1]:.{digits}f}{missing})"


def polished(result: Result) -> float | None:
    """The share of high quality after Markov chains on the energy, where they were run."""
    return result.get("refined", {}).get("high_quality")


def diverged(result: Result) -> bool:
    """Not finite, log Z not resolved, or KL above 2 nats (where the method has a density)."""
    if "diverged" in result:
        return True
    has_density = any(mark.get("log_z") is not None for mark in result["marks"])
    return has_density and (result["kl"] is None or result["kl"] > 2)


def collapsed(result: Result) -> bool:
    """Half of the modes or fewer."""
    return "of" in result and result["modes"] <= result["of"] / 2


def wilson(count: int, of: int) -> str:
    """A share with its 95 % interval (Wilson 1927)."""
    z, p = 1.96, count / of
    centre = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z * math.sqrt(p * (1 - p) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return f"{count} of {of} ({max(0.0, centre - half):.2f} to {min(1.0, centre + half):.2f})"


def quality_table(groups: Mapping[tuple[str, str], list[Result]]) -> list[str]:
    """A row for each (data set, method): how near, how many modes, how long."""
    head = ("data", "method", "KL(data, model)", "modes", "high quality", "energy distance")
    head += ("training CPU s", "diverged", "refined")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for (where, row), runs in sorted(groups.items()):
        sound = [run for run in runs if "diverged" not in run]
        modes = f"{median(r['modes'] for r in sound):g}" if sound and "of" in sound[0] else "-"
        lines.append(
            f"| {where} | {row} | {spread([r['kl'] for r in sound], 3)} | {modes} | "
            f"{spread([r.get('high_quality') for r in sound], 3)} | "
            f"{spread([r['sample_error'] for r in sound], 4)} | "
            f"{spread([r['train_seconds'] for r in sound], 0)} | "
            f"{sum(diverged(r) for r in runs)} of {len(runs)} | "
            f"{spread([polished(r) for r in sound], 3)} |"
        )
    return lines


def render(results: Mapping[str, Result]) -> str:
    """Quality by data set, the long runs, stability, and the figure of values over training."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for name, result in results.items():
        row, where, _ = name.split(" / ")
        groups.setdefault((where, row), []).append(result)
    special = ("stability: ", "plain: ", "tuning: ", "one-to-one")
    lines = quality_table({at: r for at, r in groups.items() if not at[1].startswith(special)})
    kinds = {
        "one-to-one: ": injective_bounds.ABOUT,
        "one-to-one tuning: ": injective_bounds.TUNED,
        "plain: ": PLAIN,
        "tuning: ": TUNING,
    }
    for kind, words in kinds.items():
        chosen = {
            (d, row.removeprefix(kind)): r for (d, row), r in groups.items() if row.startswith(kind)
        }
        lines += ["", *words, "", *quality_table(chosen)]
    lines += ["", "## Stability", "", "Shares of ten seeds with 95 % intervals.", ""]
    lines += ["| data | method | diverged | collapsed | KL at the end |", "|---|---|---|---|---|"]
    for (where, row), runs in sorted(groups.items()):
        if row.startswith("stability"):
            shares = (wilson(sum(f(r) for r in runs), len(runs)) for f in (diverged, collapsed))
            kl = spread([r.get("kl") for r in runs], 3)
            lines.append(f"| {where} | {row[11:]} | {' | '.join(shares)} | {kl} |")
    lines += ["", "## Which expressions bound log Z, and when", "", FIGURE, ""]
    lines += bounds_table(groups)
    return "\n".join(lines)


FIGURE = (
    "![log Z by quadrature with the lower and upper values over training](bidirectional.png)\n\n"
    "Share of the measured rounds (seeds taken together) at which the value lay on its side of log Z:"
)


def bounds_table(groups: Mapping[tuple[str, str], list[Result]]) -> list[str]:
    """How often the lower value lay below log Z and the upper one above it."""
    lines = ["| data | pairing | lower value below | upper value above |", "|---|---|---|---|"]
    for (where, row), runs in sorted(groups.items()):
        marks = [m for run in runs for m in run["marks"] if m.get("lower") is not None]
        marks = [m for m in marks if m["log_z"] is not None]
        if marks and not row.startswith(("stability", "400 s", "tuning", "one-to-one tuning")):
            below = sum(m["lower"] <= m["log_z"] for m in marks)
            above = sum(m["upper"] >= m["log_z"] for m in marks)
            lines.append(f"| {where} | {row} | {below} of {len(marks)} | {above} of {len(marks)} |")
    return lines


def draw(results: Mapping[str, Result], path: Path) -> None:
    """log Z, lower and upper values over rounds: one panel per pairing and data set, seed 0."""
    from matplotlib.figure import Figure

    shown = [row for row in ROUNDS if f"{row} / ring8 / 0" in results and " x " in row]
    shown.append("zero-centred penalty")
    figure = Figure(figsize=(3.2 * len(DATA), 2.2 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), len(DATA), squeeze=False)
    for (i, row), (j, name) in itertools.product(enumerate(shown), enumerate(DATA)):
        axis, run = axes[i][j], results.get(f"{row} / {name} / 0", {"marks": []})
        rounds = [m["round"] for m in run["marks"]]
        for key, style in (("upper", "^:"), ("log_z", "k-"), ("lower", "v--")):
            values = [m.get(key) if m.get(key) is not None else math.nan for m in run["marks"]]
            axis.plot(rounds, values, style, label=key.replace("log_z", "log Z"), markersize=4)
        axis.set_yscale("symlog", linthresh=10)
        axis.set_title(f"{row}, {name}", fontsize=8)
        axis.tick_params(labelsize=7)
    axes[0][0].legend(fontsize=7)
    axes[-1][0].set_xlabel("round", fontsize=8)
    figure.savefig(path, dpi=110)


STUDY = Study("bidirectional", __doc__ or "", cells, render)

if __name__ == "__main__":
    status = run_study(STUDY)
    written = RESULTS / "bidirectional.json"
    if written.exists():
        draw(read_json(written)["results"], written.with_suffix(".png"))
    sys.exit(status)
