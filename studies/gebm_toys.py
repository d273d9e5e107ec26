"""Generalized energy-based models on toys: what the energy adds to the generator, and what KALE measures.

Fixed before running. *Curve*: points on a damped sine (no noise), mass heavy at both ends, 20 000 rows,
five seeds. The GAN's and GEBM's generator is (u, g(u)) with u uniform, so that it can have the support
and not the mass; the energy-based model has the density of g(x_1) plus noise of standard deviation
0.05, with a free mass of x_1, fitted by exact maximum likelihood; "persistent CD" is the default
energy on the plane. Errors of 5 000 samples: W1 distance of the places on the curve from the
true ones, and mean distance to the curve. GEBM is sampled by 500 MALA steps in latent space at
temperature 1. *Surface*: energy only, on a fixed generator, 5 000 rows resampled from 200 000 by their
exact weights; correlation of learned and true energy over held-out base samples, three seeds.
*Roughness*: P = N(0, 0.5^2), Q = N(c, 0.5^2), c from 0.7 to 1.4 while an increasing map roughens the
log-ratio; KL(P || Q) = 2 c^2 whatever the map. *Modes*: share of chains that end in another mode
of ring8 than they began in, 100 latent steps of Langevin and kinetic Langevin of equal noise.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from gibbsian import data as datasets
from gibbsian.config.config import Config, replace
from gibbsian.config.recipes import default_config
from gibbsian.core.files import read_json
from gibbsian.evaluation import kale_with_kernel, kale_with_network
from gibbsian.models.refinement import refine
from gibbsian.models.train import train
from gibbsian.samplers import latent_energy, run_chains, ula, underdamped
from studies.harness import RESULTS, Result, Study, run_study
from studies.toy_laws import (
    CurveEnergy,
    CurveGenerator,
    Surface,
    along_and_off,
    on_curve,
    rough_map,
    surface_energy,
)

ROWS, SAMPLES, SHOWN = 20_000, 5_000, 400
SIGMA = 0.05
MODELS = ("GAN", "EBM", "persistent CD", "GEBM base", "GEBM", "true draws")
BANDWIDTHS = [10 ** (3 - 6 * i / 11) for i in range(12)]
STEP_SIZES = (1e-3, 1e-2, 1e-1)


def configured(method: str, seed: int, quick: bool, **options: Any) -> Config:
    """The method's settings in the plane, with the study's length."""
    rounds = {"gan": 3_000, "gebm": 2_000, "cd": 3_000}[method]
    training = {"seed": seed, "device": "cpu", "save_every": 0, "rounds": 5 if quick else rounds}
    return replace(default_config(method, "line"), training=training, **options)


def curve(seed: int, quick: bool) -> Result:
    """Every model of the curve on the same rows."""
    rng = torch.Generator().manual_seed(seed)
    x, _ = on_curve(ROWS, rng)
    data = datasets.from_array(x, name="line", scaling="none")
    n, steps = (200, 20) if quick else (SAMPLES, 500)
    torch.manual_seed(seed)
    nets = [{"generator": CurveGenerator()} for _ in range(2)]
    gan = train(configured("gan", seed, quick, latent_dim=1), data, networks=nets[0])
    gebm = train(configured("gebm", seed, quick, latent_dim=1), data, networks=nets[1])
    cd = train(configured("cd", seed, quick), data)
    ebm = likelihood(CurveEnergy(SIGMA), x, rng, 5 if quick else 3_000)
    refined, chains = refine(gebm, n, "mala", steps, seed=seed)
    samples: dict[str, Tensor] = {
        "GAN": gan.sample(n, seed),
        "EBM": ebm.sample(n, rng),
        "persistent CD": cd.sample(n, seed),
        "GEBM base": gebm.sample(n, seed),
        "GEBM": refined,
        "true draws": on_curve(n, rng)[0],
    }
    truth = on_curve(200_000, rng)[1]
    return {
        "errors": {name: along_and_off(points, truth) for name, points in samples.items()},
        "points": {name: points[:SHOWN].tolist() for name, points in samples.items()},
        "acceptance": float(chains.acceptance.mean()),
    }


def likelihood(model: CurveEnergy, x: Tensor, rng: torch.Generator, rounds: int) -> CurveEnergy:
    """Exact maximum likelihood by Adam on batches of 256, the rate falling to zero."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, rounds)
    for _ in range(rounds):
        rows = torch.randint(len(x), (256,), generator=rng)
        optimizer.zero_grad()
        (-model.log_prob(x[rows]).mean()).backward()
        optimizer.step()
        schedule.step()
    return model


def surface(seed: int, quick: bool) -> Result:
    """Energy only: correlation with the true energy on held-out base samples."""
    rng = torch.Generator().manual_seed(seed)
    generator = Surface()
    pool = generator(torch.randn(200_000, 3, generator=rng))
    weights = torch.softmax(-surface_energy(pool).double(), 0)
    rows = torch.multinomial(weights, 5_000, replacement=False, generator=rng)
    config = configured(
        "gebm",
        seed,
        quick,
        latent_dim=3,
        train_base=False,
        energy_steps=1,
        gradient_penalty_weight=1e-3,
        energy={"fourier_features": 0},
    )
    config = replace(config, training={"batch": 1_000})
    data = datasets.from_array(pool[rows], name="surface", scaling="none")
    model = train(config, data, networks={"generator": generator})
    x = generator(torch.randn(20_000, 3, generator=rng))
    both = torch.stack([model.energy(x), surface_energy(x)])
    return {"correlation": float(torch.corrcoef(both)[0, 1])}


def roughness(index: int, quick: bool) -> Result:
    """KALE of both forms between two normal laws seen through a map of one bandwidth."""
    c = 0.7 + 0.7 * index / (len(BANDWIDTHS) - 1)
    rng = torch.Generator().manual_seed(index)
    n = 500 if quick else 20_000
    z = 0.5 * torch.randn(2 * n, 1, generator=rng)
    z[n:] += c
    y = rough_map(z, BANDWIDTHS[index], rng)
    y = (y - y.mean()) / y.std()
    torch.manual_seed(index)
    critic = nn.Sequential(
        *(nn.Linear(1, 200), nn.LeakyReLU(0.2), nn.Linear(200, 200), nn.LeakyReLU(0.2)),
        *(nn.Linear(200, 1), nn.Flatten(0)),
    )
    network = kale_with_network(
        y[:n], y[n:], critic, rng, steps=10 if quick else 1_500, batch=1_000
    )
    kernel = kale_with_kernel(y[:n], y[n:], rng, ridge=1e-4, bandwidth=0.5, landmarks=300)
    figures = {"network": network.value, "network error": network.stderr, "kernel": kernel.value}
    return figures | {"kl": 2 * c**2, "c": c, "bandwidth": BANDWIDTHS[index]}


def modes(seed: int, quick: bool) -> Result:
    """Share of latent chains that change modes within 100 steps."""
    training = {"seed": seed, "device": "cpu", "save_every": 0}
    config = replace(default_config("gebm", "ring8"), training=training)
    model = train(replace(config, training={"rounds": 5}) if quick else config)
    method = model.method
    target = latent_energy(method.energy, method.generator, method.prior)
    means = datasets.toy_density("ring8").modes().means
    z0 = method.prior.sample(500, model.rng(seed))

    def mode_of(z: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cdist(method.generator(z).double(), means.double()).argmin(1)

    found = {}
    for h in STEP_SIZES:
        kernels = {
            "Langevin": ula(target, h),
            "kinetic": underdamped(target, (2 * h) ** 0.5, friction=1.0),
        }
        for name, kernel in kernels.items():
            z = run_chains(kernel, z0, 100, model.rng(seed), keep="last").state.x
            found[f"{name} {h:g}"] = float((mode_of(z) != mode_of(z0)).float().mean())
    return {"changed": found}


def cells(quick: bool) -> dict[str, Callable[[], Result]]:
    """Every run of the study."""
    runs: dict[str, Callable[[], Result]] = {}
    for i in range(len(BANDWIDTHS)):
        runs[f"roughness / {i}"] = partial(roughness, i, quick)
    for seed in range(3):
        runs[f"surface / {seed}"] = partial(surface, seed, quick)
        runs[f"modes / {seed}"] = partial(modes, seed, quick)
    for seed in range(5):
        runs[f"curve / {seed}"] = partial(curve, seed, quick)
    return runs


def spread(values: list[float], digits: int = 4) -> str:
    """Median and range."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def render(results: Mapping[str, Result]) -> str:
    """Medians (and ranges) over seeds."""
    groups: dict[str, list[Result]] = {}
    for name, result in results.items():
        groups.setdefault(name.split(" / ")[0], []).append(result)
    lines = ["## Curve", "", "| model | along | off | sum |", "|---|---|---|---|"]
    runs = groups.get("curve", [])
    for model in MODELS if runs else ():
        errors = [one["errors"][model] for one in runs]
        columns = ([e[0] for e in errors], [e[1] for e in errors], [sum(e) for e in errors])
        lines.append(f"| {model} | {' | '.join(spread(column) for column in columns)} |")
    lines += ["", "![the curve and the log-ratio's roughness](gebm-toys.png)", "", "## Surface", ""]
    if "surface" in groups:
        correlations = [one["correlation"] for one in groups["surface"]]
        lines.append(f"Correlation of learned and true energy: {spread(correlations)}.")
    lines += ["", "## Roughness", "", "| bandwidth | KL | KALE, network | KALE, kernel |"]
    lines += ["|---|---|---|---|"]
    for one in sorted(groups.get("roughness", []), key=roughest_last):
        network = f"{one['network']:.3f} ± {one['network error']:.3f}"
        lines.append(
            f"| {one['bandwidth']:.2g} | {one['kl']:.2f} | {network} | {one['kernel']:.3f} |"
        )
    lines += [
        "",
        "## Modes changed within 100 steps",
        "",
        "| chain and step | share |",
        "|---|---|",
    ]
    runs = groups.get("modes", [])
    for name in runs[0]["changed"] if runs else ():
        lines.append(f"| {name} | {spread([one['changed'][name] for one in runs], 3)} |")
    return "\n".join(lines)


def roughest_last(result: Result) -> float:
    """Sorts by falling bandwidth."""
    return -float(result["bandwidth"])


def draw(results: Mapping[str, Result], path: Any) -> None:
    """Samples of each model of the curve (seed 0), and both KALEs beside KL."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.5), layout="constrained")
    axes = figure.subplots(2, 4).flatten()
    points = results.get("curve / 0", {"points": {}})["points"]
    for axis, (name, x) in zip(axes, points.items(), strict=False):
        axis.scatter(*zip(*x, strict=True), s=3, alpha=0.5)
        axis.set(title=name, xlim=(-0.1, 1.1), ylim=(-0.7, 0.9))
    runs = sorted((r for n, r in results.items() if n.startswith("roughness")), key=roughest_last)
    for key, style in (("kl", "k-"), ("network", "o-"), ("kernel", "s--")):
        values = [one[key] if math.isfinite(one[key]) else math.nan for one in runs]
        axes[-1].plot([one["bandwidth"] for one in runs], values, style, label=key)
    axes[-1].set(title="KALE and KL as the log-ratio roughens", xscale="log", xlabel="bandwidth")
    axes[-1].invert_xaxis()
    axes[-1].legend(fontsize=8)
    axes[-2].set_axis_off()
    figure.savefig(path, dpi=110)


STUDY = Study("gebm-toys", __doc__ or "", cells, render)

if __name__ == "__main__":
    status = run_study(STUDY)
    written = RESULTS / "gebm-toys.json"
    if written.exists():
        draw(read_json(written)["results"], written.with_suffix(".png"))
    sys.exit(status)
