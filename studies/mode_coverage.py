"""Which generators find every mode: ring8, grid25 and grid100, at equal time.

Fixed before running: 45 CPU seconds of one thread for every run (rounds found by a trial), the
same networks for all (energies, critics: two layers of 128 units on 64 Fourier features of scale 3; a
generator of three layers of 128 units on 2 latent coordinates; each method's defaults otherwise), 25
000 samples of the averaged weights. LBT-GAN's student is a mixture of 64 Gaussians and its GAN weight 1:
tried before on grid25 with another seed, it has a larger share of high quality than weight 0.1 or the
recipe's VAE student, which has a row of its own.

A mode is covered once a sample lies within 3 standard deviations; *high quality* is the share of samples
that do so for any mode; reverse KL is that of the histogram of nearest modes to uniform. A uniform law
covers every mode too, so coverage means nothing without the share of high quality: see the rows *uniform*
and *the law itself*. A run is lost if a loss was not finite. LBT-GAN and GAN have five seeds, the others
three, grid100 one; there, and in one more run of each on the other sets (*long*), they have 100 CPU
seconds.

What is asked of LBT-GAN: 8 of 8 on ring8 in four of five seeds with reverse KL at most 0.10; on grid25
more modes than GAN (then a smaller reverse KL) by more than 2 standard errors, or as many.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from statistics import mean, median, stdev
from typing import Any

import torch

from gibbsian import data as datasets
from gibbsian.config.config import Config, replace
from gibbsian.config.recipes import default_config
from gibbsian.core import DivergenceError
from gibbsian.core.measures import Box
from gibbsian.evaluation import mode_coverage
from gibbsian.experiments.budgets import rounds_within
from gibbsian.models.train import train_config
from studies.harness import Result, Study, run_study

SECONDS, LONG = 45.0, 100.0
SAMPLES = 25_000
DATA = ("ring8", "grid25")
FEW, MANY = range(3), range(5)


VAE = {"name": "vae", "activation": "tanh"}
"""The paper's student."""


def mixture(components: int) -> dict[str, Any]:
    """Options of a student that is a mixture of Gaussians."""
    net = {"name": "mixture", "components": components}
    return {"student": net, "unrolled_student_lr": 1e-2, "gan_loss_weight": 1.0}


Configure = Callable[[str], Config]


def contestants() -> dict[str, tuple[Configure, Sequence[int]]]:
    """Name in the table -> its configuration on a data set, and its seeds."""
    gan = partial(default_config, "gan")

    def varied(method: Configure, **options: Any) -> Configure:
        def configure(name: str) -> Config:
            return replace(method(name), **options)

        return configure

    lbt = varied(partial(default_config, "lbt"), **mixture(64))
    return {
        "LBT-GAN": (lbt, MANY),
        "GAN": (gan, MANY),
        "unrolled GAN, 5": (varied(gan, unrolled_critic_steps=5), FEW),
        "unrolled GAN, 10": (varied(gan, unrolled_critic_steps=10), FEW),
        "PacGAN, 2": (varied(gan, packing=2), FEW),
        "Wasserstein GAN": (
            varied(
                gan,
                loss="wasserstein",
                gradient_penalty_weight=0.1,
                r1_penalty_weight=0.0,
                critic_steps=3,
            ),
            FEW,
        ),
        "VGAN": (partial(default_config, "vgan"), FEW),
        "bidirectional": (partial(default_config, "bidirectional"), FEW),
        "GEBM": (partial(default_config, "gebm"), FEW),
        "LBT alone": (varied(lbt, gan_loss_weight=0.0), FEW),
        "LBT-GAN, VAE": (varied(lbt, student=VAE, gan_loss_weight=0.1), FEW),
    }


def coverage_of(x: torch.Tensor, name: str) -> Result:
    """``mode_coverage`` as JSON; a divergence that does not exist or is infinite is None."""
    modes = datasets.toy_density(name).modes()
    assert modes is not None
    found = asdict(mode_coverage(x, modes.means, modes.std))
    return {key: value if math.isfinite(value) else None for key, value in found.items()}


def measured(config: Config, seed: int, quick: bool, seconds: float = SECONDS) -> Result:
    """Train one configuration for ``seconds`` and count what its samples cover."""
    data = datasets.load_dataset(config.data, seed=0)
    rounds = 5 if quick else rounds_within(config, data, seconds)
    training = {"rounds": rounds, "seed": seed, "device": "cpu", "save_every": 0}
    try:
        model = train_config(replace(config, training=training), None, data)
    except DivergenceError as error:
        return {"rounds": rounds, "lost": str(error)}
    x = model.sample(500 if quick else SAMPLES, seed)
    if not torch.isfinite(x).all():
        return {"rounds": rounds, "lost": "samples are not finite"}
    return {"rounds": rounds} | coverage_of(x, config.data)


def the_law_itself(name: str, seed: int) -> Result:
    rng = torch.Generator().manual_seed(seed)
    return coverage_of(datasets.toy_density(name).sample(SAMPLES, rng), name)


def uniform(name: str, seed: int) -> Result:
    """Uniform on the square around the modes."""
    modes = datasets.toy_density(name).modes()
    assert modes is not None
    half = float(modes.means.abs().max() + 3 * modes.std)
    box = Box((2,), -half, half)
    return coverage_of(box.sample(SAMPLES, torch.Generator().manual_seed(seed)), name)


def cells(quick: bool) -> dict[str, Callable[[], Result]]:
    """Every run of the study, those that decide most first."""
    runs: dict[str, Callable[[], Result]] = {}
    for name in (*DATA, "grid100"):
        runs[f"the law itself / {name} / 0"] = partial(the_law_itself, name, 0)
        runs[f"uniform / {name} / 0"] = partial(uniform, name, 0)
    for method, (configure, seeds) in contestants().items():
        for name in DATA:
            for seed in seeds[:1] if quick else seeds:
                runs[f"{method} / {name} / {seed}"] = partial(
                    measured, configure(name), seed, quick
                )
    fine = replace(default_config("lbt", "grid100"), gan_loss_weight=0.1)
    aims = {
        "GAN": default_config("gan", "grid100"),
        "LBT-GAN, mixture of 200": replace(fine, **mixture(200)),
        "LBT-GAN, flow": replace(
            fine, student={"name": "flow", "width": 64}, unrolled_student_lr=1e-3
        ),
    }
    for method, config in aims.items():
        runs[f"{method} / grid100 / 0"] = partial(measured, config, 0, quick, LONG)
    for name, method in itertools.product(DATA, ("LBT-GAN", "GAN")):
        config = contestants()[method][0](name)
        runs[f"{method}, long / {name} / 0"] = partial(measured, config, 0, quick, LONG)
    return runs


def spread(values: Sequence[float | None], digits: int) -> str:
    """Median (smallest to largest) of those that exist."""
    found = sorted(value for value in values if value is not None)
    if not found:
        return "-"
    return f"{median(found):.{digits}f} ({found[0]:.{digits}f} to {found[-1]:.{digits}f})"


def groups_of(results: Mapping[str, Result]) -> dict[tuple[str, str], list[Result]]:
    """(data, method) -> its runs."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for label, result in results.items():
        method, name, _ = label.split(" / ")
        groups.setdefault((name, method), []).append(result)
    return groups


def difference(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """mean a - mean b and its standard error; NaN for fewer than two runs."""
    if len(a) < 2 or len(b) < 2:
        return math.nan, math.nan
    return mean(a) - mean(b), math.sqrt(stdev(a) ** 2 / len(a) + stdev(b) ** 2 / len(b))


def verdict(groups: Mapping[tuple[str, str], list[Result]]) -> list[str]:
    """What was asked, with the numbers."""
    sound = {key: [r for r in runs if "lost" not in r] for key, runs in groups.items()}
    ring = sound.get(("ring8", "LBT-GAN"), [])
    good = sum(r["covered"] == 8 and r["histogram_kl"] <= 0.10 for r in ring)
    lines = [
        f"- ring8: LBT-GAN covers 8 of 8 with reverse KL at most 0.10 in {good} of {len(ring)}."
    ]
    ours, theirs = sound.get(("grid25", "LBT-GAN"), []), sound.get(("grid25", "GAN"), [])
    for key, words in (("covered", "modes"), ("histogram_kl", "reverse KL")):
        gap, error = difference([r[key] for r in ours], [r[key] for r in theirs])
        lines.append(f"- grid25: {words} of LBT-GAN minus GAN: {gap:.3f} ± {error:.3f}.")
    return lines


def render(results: Mapping[str, Result]) -> str:
    """Medians (and ranges) over seeds, a table per data set."""
    groups = groups_of(results)
    head = ("method", "modes", "high quality", "reverse KL", "intra-mode KL", "rounds", "CPU s")
    lines = []
    for name in (*DATA, "grid100"):
        lines += [f"## {name}", "", f"| {' | '.join(head)} | lost |", "|---" * 8 + "|"]
        for (where, method), runs in groups.items():
            if where != name:
                continue
            sound = [r for r in runs if "lost" not in r]
            cells = [method, spread([r["covered"] for r in sound], 0)]
            for key, digits in (("high_quality", 3), ("histogram_kl", 4), ("intra_mode_kl", 3)):
                cells.append(spread([r[key] for r in sound], digits))
            rounds = [r["rounds"] for r in runs if "rounds" in r]
            cells += [spread(rounds, 0), spread([r["cpu_seconds"] for r in runs], 0)]
            lines.append(f"| {' | '.join(cells)} | {len(runs) - len(sound)} of {len(runs)} |")
        lines.append("")
    return "\n".join([*lines, *verdict(groups)])


STUDY = Study("mode-coverage", __doc__ or "", cells, render)

if __name__ == "__main__":
    sys.exit(run_study(STUDY))
