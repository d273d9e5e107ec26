"""Two things that the adversarial games' own theory says of their energies, shown.

Fixed before running. *A flat energy*: EBGAN's game with both players as tables of 61 cells of [-3, 3],
played exactly: expectations are sums, the energy takes projected gradient steps and the generator
multiplicative ones, both optimistic (each counts its latest gradient twice and takes the one before
back), which makes such games converge. The data are two bumps of compact support with masses 0.7 and
0.3, m = 1; the generator starts uniform, the energy at m / 2. Theorem 2 of Zhao, Mathieu and LeCun
(2017) says where it ends: p_G = p_data and an energy that is constant wherever there are data. The
AUROC is that of the energy between data and points uniform on their support, exact.

*Two points*: VGAN on ring8 at the project's defaults, 1500 rounds, three seeds. Then the energy is
held, and a generator that has nothing but two points is put in place of the trained one: the best pair
of a grid of 40 x 40 points, then 300 steps of Adam on the generator's own loss. What the generator
maximises, H~ - mean E, is compared between 2000 held-out rows, 2000 samples of the trained generator,
the eight centres and the two points. Its limit is K (ln 2 - 0.00102), K = 64 experts at the clip's floor.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from gibbsian import data as datasets
from gibbsian.config.config import replace
from gibbsian.config.recipes import default_config
from gibbsian.core.files import read_json
from gibbsian.core.protocols import HasEnergy
from gibbsian.methods.experts import following_loss
from gibbsian.models.train import train_config
from gibbsian.networks import BoundedRangeEnergy
from gibbsian.networks.energies import bernoulli_entropy
from studies.baselines import VGAN_RATES
from studies.harness import RESULTS, Result, Study, run_study

CELLS, STEP, PLAYED = 61, 0.1, 20_000
SHOWN = (0, 20, 300, PLAYED)
ROUNDS, SIDE, GRID, POLISH = 1_500, 1.5, 40, 300
SEEDS = range(3)


def bumps(x: Tensor) -> Tensor:
    """Probabilities of cells at ``x [n]``: raised cosines around -1.2 and 1.2, of masses 0.7 and 0.3."""
    p = sum(
        mass * (1 + torch.cos(math.pi * ((x - centre) / 1.2).clamp(-1, 1)))
        for mass, centre in ((0.7, -1.2), (0.3, 1.2))
    )
    assert isinstance(p, Tensor)
    p = torch.where(p > 1e-9, p, 0.0)  # rounding at the edge of the support
    return p / p.sum()


def play(p: Tensor, margin: float, rounds: int, step: float) -> Iterator[tuple[Tensor, Tensor]]:
    """(p_G, E) ``[n]`` before the first round and after each, data of probabilities ``p [n]``.

    E descends sum p E + sum p_G [m - E]^+ within [0, m], p_G descends sum p_G E.
    """
    E, log_q = torch.full_like(p, margin / 2), torch.full_like(p, -math.log(len(p)))
    slope_before, E_before = torch.zeros_like(p), E
    yield log_q.exp(), E
    for _ in range(rounds):
        slope, here = p - log_q.exp() * (margin > E), E
        E = (E - step * len(p) * (2 * slope - slope_before)).clamp(0, margin)
        log_q = torch.log_softmax(log_q - step * (2 * here - E_before), 0)
        slope_before, E_before = slope, here
        yield log_q.exp(), E


def measured(p: Tensor, q: Tensor, E: Tensor) -> dict[str, float]:
    """Total variation of p_G from the data; the energy's deviation under the data; its AUROC."""
    support = (p > 0).double() / (p > 0).sum()
    higher = (E[:, None] > E[None, :]).double() + 0.5 * (E[:, None] == E[None, :]).double()
    mean = p @ E
    return {
        "tv": float(0.5 * (p - q).abs().sum()),
        "deviation": float((p @ (E - mean).square()).sqrt()),
        "auroc": float(support @ higher @ p),
    }


def flat(quick: bool) -> Result:
    """The game on the table, at rounds spaced by a constant ratio."""
    x = torch.linspace(-3, 3, CELLS, dtype=torch.float64)
    p = bumps(x)
    rounds = 400 if quick else PLAYED
    kept = sorted({*SHOWN, *(round(10 ** (i / 12)) for i in range(60))})
    tables, course = {}, []
    for index, (q, E) in enumerate(play(p, 1.0, rounds, STEP)):
        if index in SHOWN:
            tables[str(index)] = {"q": q.tolist(), "E": E.tolist()}
        if index in kept:
            course.append({"round": index} | measured(p, q, E))
    return {"x": x.tolist(), "p": p.tolist(), "tables": tables, "course": course}


def objective(energy: nn.Module, x: Tensor) -> float:
    """H~ - mean E of points ``x``, which VGAN's generator maximises."""
    return -float(following_loss(energy, x, surrogate=True).value.detach())


@torch.no_grad()
def best_pair(energy: BoundedRangeEnergy, points: Tensor) -> Tensor:
    """The two of ``points [n, 2]`` that have the highest objective together, ``[2, 2]``."""
    s, E = energy.experts(points), energy(points)
    values = [
        bernoulli_entropy((one + s) / 2).sum(1) - (e + E) / 2 for one, e in zip(s, E, strict=True)
    ]
    first, second = divmod(int(torch.stack(values).argmax()), len(points))
    return points[[first, second]]


def polished(energy: nn.Module, pair: Tensor, steps: int) -> Tensor:
    """``pair`` after ``steps`` of Adam on the generator's loss."""
    moving = nn.Parameter(pair.clone())
    adam = torch.optim.Adam([moving], 0.01)
    for _ in range(steps):
        adam.zero_grad()
        following_loss(energy, moving, surrogate=True).value.backward()
        adam.step()
    return moving.detach()


def two_points(seed: int, quick: bool) -> Result:
    """Train VGAN, hold its energy, and compare what the generator's objective says."""
    data = datasets.load_dataset("ring8")
    training = {"rounds": 5 if quick else ROUNDS, "seed": seed, "device": "cpu", "save_every": 0}
    model = train_config(
        replace(default_config("vgan", "ring8"), **VGAN_RATES, training=training), None, data
    )
    assert isinstance(model.method, HasEnergy) and data.density is not None
    energy, modes = model.method.energy, data.density.modes()
    assert isinstance(energy, BoundedRangeEnergy) and modes is not None
    axis = torch.linspace(-SIDE, SIDE, GRID)
    grid = torch.cartesian_prod(axis, axis)
    pair = polished(energy, best_pair(energy, grid), POLISH)
    limit = energy.head.out_features * (
        math.log(2) - float(bernoulli_entropy(torch.tensor(energy.clip)))
    )
    with torch.no_grad():
        landscape = energy(grid).view(GRID, GRID)
    return {
        "limit": limit,
        "held-out rows": objective(energy, data.test[:2_000]),
        "trained generator": objective(energy, model.sample(2_000)),
        "eight centres": objective(energy, modes.means.float()),
        "two points": objective(energy, pair),
        "pair": pair.tolist(),
        "landscape": [[round(value, 3) for value in row] for row in landscape.tolist()],
    }


def cells(quick: bool) -> dict[str, Callable[[], Result]]:
    runs: dict[str, Callable[[], Result]] = {"flat energy": partial(flat, quick)}
    for seed in SEEDS[:1] if quick else SEEDS:
        runs[f"two points / {seed}"] = partial(two_points, seed, quick)
    return runs


def render(results: Mapping[str, Result]) -> str:
    lines = ["## A flat energy", ""]
    lines += [
        "| round | TV(p_data, p_G) | deviation of E on data, m = 1 | AUROC |",
        "|---" * 4 + "|",
    ]
    for row in results.get("flat energy", {}).get("course", []):
        if row["round"] in SHOWN:
            lines.append(
                f"| {row['round']} | {row['tv']:.4f} | {row['deviation']:.4f} | {row['auroc']:.2f} |"
            )
    lines += ["", "![the energy at four moments, and its course](flat-energy.png)", ""]
    lines += ["## Two points", "", "| H~ - mean E, nats | by seed |", "|---|---|"]
    runs = [run for name, run in results.items() if name.startswith("two points")]
    for name in ("two points", "eight centres", "held-out rows", "trained generator", "limit"):
        lines.append(f"| {name} | {', '.join(f'{run[name]:.2f}' for run in runs)} |")
    return "\n".join([*lines, "", "![a VGAN's energy and the two points](two-points.png)"])


def draw_flat(found: Result, path: Path) -> None:
    """The energy over the data at four moments; its deviation, TV and AUROC over the rounds."""
    from matplotlib.figure import Figure

    figure = Figure((9, 3.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    scale = 0.5 / max(found["p"])
    left.fill_between(found["x"], [scale * p for p in found["p"]], color="0.85", label="p_data")
    for index, table in found["tables"].items():
        left.plot(found["x"], table["E"], label=f"E, round {index}", lw=1)
    left.set(xlabel="x", ylabel="E, m = 1")
    left.legend(frameon=False, fontsize=7, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    rounds = [row["round"] for row in found["course"]][1:]
    for name, label in (("tv", "TV(p_data, p_G)"), ("deviation", "deviation of E on data")):
        middle.loglog(rounds, [max(1e-6, row[name]) for row in found["course"]][1:], label=label)
    middle.set(xlabel="round")
    middle.legend(frameon=False, fontsize=7)
    right.semilogx(rounds, [row["auroc"] for row in found["course"]][1:])
    right.axhline(0.5, color="0.6", lw=0.8)
    right.set(xlabel="round", ylabel="AUROC of E on the support", ylim=(0, 1))
    figure.savefig(path, dpi=110)


def draw_points(found: Result, path: Path) -> None:
    """The energy of one VGAN with the two points, and what its generator's objective says."""
    from matplotlib.figure import Figure

    figure = Figure((8, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    landscape = torch.tensor(found["landscape"]).T
    extent = (-SIDE, SIDE, -SIDE, SIDE)
    shown = left.imshow(landscape, origin="lower", extent=extent, cmap="viridis")
    figure.colorbar(shown, ax=left, label="E")
    rows = datasets.load_dataset("ring8").test[:400]
    left.scatter(*rows.T, s=2, color="white", alpha=0.6)
    left.scatter(*zip(*found["pair"], strict=True), marker="*", s=160, color="red")
    left.set(xlim=(-SIDE, SIDE), ylim=(-SIDE, SIDE))
    names = ["trained generator", "held-out rows", "eight centres", "two points"]
    right.barh(names, [found[name] for name in names])
    right.set(xlabel=f"H~ - mean E, nats (limit {found['limit']:.1f})")
    figure.savefig(path, dpi=110)


STUDY = Study("equilibria", __doc__ or "", cells, render)

if __name__ == "__main__":
    status = run_study(STUDY)
    quick = "-quick" if "--quick" in sys.argv else ""
    written = RESULTS / f"equilibria{quick}.json"
    if written.exists():
        results = read_json(written)["results"]
        draw_flat(results["flat energy"], written.with_name(f"flat-energy{quick}.png"))
        draw_points(results["two points / 0"], written.with_name(f"two-points{quick}.png"))
    sys.exit(status)
