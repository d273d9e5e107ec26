"""The picture on each method's page: rows of a density, the energy learned from them, and samples.

python examples/method_figures.py [NAME ...] [--rounds N] [--quick] [--data pinwheel] [--folder FOLDER]
python examples/method_figures.py [NAME ...] --stepped    the game on ring8: energy and samples at five rounds

Every method has its default networks and rounds, or the rounds that are given, and seed 0.
"""

import argparse
import copy
import io
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

import gibbsian
from gibbsian.config.config import replace
from gibbsian.config.recipes import default_config
from gibbsian.core.protocols import HasEnergy
from gibbsian.data import BatchStream, load_dataset
from gibbsian.methods import TRAINING_METHODS
from gibbsian.models.train import untrained
from gibbsian.training import prepare_training, run_training_loop
from gibbsian.training.checkpoints import Progress

ELSEWHERE = ("bihm", "super-resolution")
"""Methods of bits and of photographs, whose pages have pictures of their own."""
GAMES = ("vgan", "bidirectional")
"""Methods whose game is drawn in steps unless others are named."""
SHARES = (0.01, 0.04, 0.15, 0.4, 1.0)
"""Of the rounds, where the panels of a stepped picture stand."""
POINTS, COLOURS = 2_000, 64
NATS = 12
"""Energies are drawn up to so far above the lowest one; beyond is one colour."""


def draw_energy(axes: Axes, model: gibbsian.Model, half: float, cells: int) -> None:
    """Lines of equal energy, one nat apart."""
    axis = torch.linspace(-half, half, cells)
    x, y = torch.meshgrid(axis, axis, indexing="xy")
    e = model.energy(torch.stack([x.flatten(), y.flatten()], 1)).view(x.shape)
    lowest = float(e.min())
    levels = torch.linspace(lowest, lowest + min(NATS, float(e.max()) - lowest + 1e-6), NATS + 1)
    axes.contourf(x.numpy(), y.numpy(), e.numpy(), levels.tolist(), cmap="magma_r", extend="max")
    axes.set_title(f"energy E, {float(levels[1] - levels[0]):.2g} nats a shade")


def draw_points(axes: Axes, x: Tensor, colour: str, title: str) -> None:
    """Rows of the plane."""
    axes.scatter(*x.T.numpy(), s=2, color=colour, linewidths=0)
    axes.set_title(title)


def figure_of(name: str, data: str, rounds: int | None, quick: bool) -> bytes:
    """A PNG of the method called ``name``, trained on ``data``."""
    rounds = 10 if quick else rounds or default_config(name, data).training.rounds
    model = gibbsian.train(name, data, training={"rounds": rounds, "seed": 0, "device": "cpu"})
    rows = load_dataset(data).train[:POINTS]
    samples = model.sample(100 if quick else POINTS, seed=0)
    half = 1.25 * float(rows.abs().max())
    with_energy = isinstance(model.method, HasEnergy)
    figure = Figure((7.2 if with_energy else 4.8, 2.6), layout="constrained", dpi=100)
    panels = figure.subplots(1, 3 if with_energy else 2, squeeze=False)[0]
    draw_points(panels[0], rows, "#334155", "data")
    if with_energy:
        draw_energy(panels[1], model, half, 40 if quick else 160)
    draw_points(panels[-1], samples, "#0369a1", "samples")
    for axes in panels:
        axes.set(aspect="equal", xlim=(-half, half), ylim=(-half, half), xticks=[], yticks=[])
    return as_png(figure)


def stepped_figure_of(name: str, data: str, rounds: int | None, quick: bool) -> bytes:
    """A PNG of one training of ``name``: its energy with its samples, early to late."""
    rounds = 10 if quick else rounds or default_config(name, data).training.rounds
    training = {"rounds": rounds, "seed": 0, "device": "cpu", "validate_every": 1}
    dataset = load_dataset(data)
    config, method = untrained(replace(default_config(name, data), training=training), dataset)
    batches = BatchStream(
        dataset.train, dataset.transform, batch_size=config.training.batch, seed=0, device="cpu"
    )
    shown = [max(1, round(share * rounds)) for share in SHARES]
    models: dict[int, gibbsian.Model] = {}

    def look(progress: Progress) -> float:
        if progress.index in shown:
            now = copy.deepcopy(progress.method)
            models[progress.index] = gibbsian.Model(now, config, dataset.space, dataset.transform)
        return 0.0

    progress = prepare_training(method, config.optimizers, config.training, batches)
    run_training_loop(progress, config.training, validate=look)
    half = 1.25 * float(dataset.train[:POINTS].abs().max())
    figure = Figure((9.0, 2.1), layout="constrained", dpi=100)
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for axes, index in zip(panels, shown, strict=True):
        draw_energy(axes, models[index], half, 40 if quick else 120)
        samples = models[index].sample(100 if quick else POINTS // 4, seed=0)
        draw_points(axes, samples, "#0ea5e9", f"round {index}")
        axes.set(aspect="equal", xlim=(-half, half), ylim=(-half, half), xticks=[], yticks=[])
    return as_png(figure)


def as_png(figure: Figure) -> bytes:
    """A small PNG."""
    whole, small = io.BytesIO(), io.BytesIO()
    FigureCanvasAgg(figure).print_png(whole)
    Image.open(whole).convert("RGB").quantize(COLOURS).save(small, "PNG", optimize=True)
    return small.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    known = [name for name in TRAINING_METHODS if name not in ELSEWHERE]
    parser.add_argument("names", nargs="*", metavar="NAME", help="methods; all that model a plane")
    parser.add_argument("--rounds", type=int, help="of training; each method's default")
    parser.add_argument("--quick", action="store_true", help="hardly train: does it run?")
    parser.add_argument("--stepped", action="store_true", help="the game, in five steps")
    parser.add_argument("--data", help="a two-dimensional built-in density; pinwheel, or ring8")
    parser.add_argument("--folder", type=Path, default=Path("docs/images/methods"))
    given = parser.parse_args()
    if unknown := set(given.names) - set(known):
        parser.error(f"no picture of {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    given.folder.mkdir(parents=True, exist_ok=True)
    usual = list(GAMES) if given.stepped else known[:1] * given.quick or known
    draw = stepped_figure_of if given.stepped else figure_of
    data = given.data or ("ring8" if given.stepped else "pinwheel")
    for name in given.names or usual:
        path = given.folder / f"{name}{'-steps' if given.stepped else ''}.png"
        path.write_bytes(draw(name, data, given.rounds, given.quick))
        print(f"{path}: {path.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main()
