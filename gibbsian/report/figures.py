"""The pictures of a run: losses, samples, energies, landscape, latent plane."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray]
DATA, MODEL, GREY = "#1f5fa8", "#c2410c", "#6b7280"


def draw(run: Path) -> dict[str, Path]:
    """Write every picture the run's files allow into ``run/samples``; name -> file.

    ``metrics.jsonl`` gives the losses; ``evaluation.npz`` (arrays that `gibbsian evaluate` left)
    gives samples, energies and landscape.
    """
    arrays: dict[str, NDArray] = {}
    if (run / "evaluation.npz").is_file():
        with np.load(run / "evaluation.npz", allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    folder = run / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for name, painter in PAINTERS.items():
        figure = painter(run, arrays)
        if figure is not None:
            written[name] = folder / f"{name}.png"
            FigureCanvasAgg(figure).print_png(written[name])
    return written


def losses(run: Path, arrays: Arrays) -> Figure | None:
    """Each logged value over the rounds, one panel per player."""
    path = run / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    series: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for line in lines:
        for key, value in line.items():
            player, slash, name = key.partition("/")
            if slash:
                series.setdefault(player, {}).setdefault(name, []).append((line["round"], value))
    if not series:
        return None
    figure = Figure((5 * len(series), 3.4), layout="constrained", dpi=110)
    for axes, (player, values) in zip(
        figure.subplots(1, len(series), squeeze=False)[0], series.items(), strict=True
    ):
        for name, points in values.items():
            axes.plot(*zip(*points, strict=True), label=name, linewidth=1.2)
        axes.set(title=player, xlabel="round")
        axes.legend(frameon=False, fontsize=8)
        axes.grid(alpha=0.2)
    return figure


def samples(run: Path, arrays: Arrays) -> Figure | None:
    """Samples beside held-out data: a sheet of images, or a scatter of the first two columns."""
    if "samples" not in arrays:
        return None
    ours, theirs = as_pictures(arrays["samples"]), as_pictures(arrays["test"])
    figure = Figure((8.4, 4.2), layout="constrained", dpi=110)
    left, right = figure.subplots(1, 2)
    left.set_title("held-out data")
    right.set_title("samples of the model")
    if ours.ndim == 4:
        for axes, images in ((left, theirs), (right, ours)):
            sheet = sample_sheet(images[:64])
            axes.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.axis("off")
        return figure
    if ours.shape[1] == 1:
        low, high = np.quantile(theirs, [0.001, 0.999]).tolist()
        bins = np.linspace(low, high, 80).tolist()
        left.hist(theirs[:, 0], bins, color=DATA)
        right.hist(ours[:, 0], bins, color=MODEL)
        return figure
    low, high = np.quantile(theirs[:, :2], [0, 1], axis=0)
    margin = 0.2 * (high - low)
    for axes, points, colour in ((left, theirs, DATA), (right, ours, MODEL)):
        axes.scatter(points[:4000, 0], points[:4000, 1], s=2, color=colour, alpha=0.4, linewidths=0)
        axes.set(xlim=(low[0] - margin[0], high[0] + margin[0]))
        axes.set(
            ylim=(low[1] - margin[1], high[1] + margin[1]), xlabel="column 1", ylabel="column 2"
        )
    return figure


def sample_sheet(images: NDArray, columns: int = 8) -> NDArray:
    """Images ``[N, C, H, W]`` tiled on one sheet ``[rows H, columns W(, 3)]`` with values in [0, 1]."""
    n, c, h, w = images.shape
    low, high = float(images.min()), float(images.max())
    scaled = (images - low) / max(high - low, 1e-12)
    rows = -(-n // columns)
    sheet = np.ones((c, rows * (h + 1) - 1, columns * (w + 1) - 1))
    for k, image in enumerate(scaled):
        top, left = k // columns * (h + 1), k % columns * (w + 1)
        sheet[:, top : top + h, left : left + w] = image
    return sheet[0] if c == 1 else sheet.transpose(1, 2, 0)


def as_pictures(array: NDArray) -> NDArray:
    """Rows of s^2 >= 16 numbers within [0, 1] as pictures ``[n, 1, s, s]``, everything else as it is."""
    side = math.isqrt(array[0].size)
    bits = array.ndim == 2 and array.min() >= 0 and array.max() <= 1
    return (
        array.reshape(-1, 1, side, side)
        if bits and side >= 4 and side**2 == array.shape[1]
        else array
    )


def energies(run: Path, arrays: Arrays) -> Figure | None:
    """Histograms of the energy on held-out data, samples and corrupted data."""
    groups = {
        name.removeprefix("energy/"): v for name, v in arrays.items() if name.startswith("energy/")
    }
    if not groups:
        return None
    figure = Figure((6.4, 3.6), layout="constrained", dpi=110)
    axes = figure.subplots()
    low, high = np.quantile(np.concatenate(list(groups.values())), [0.002, 0.98])
    bins = np.linspace(low, high + 1e-9, 60).tolist()
    colours = {"held-out data": DATA, "samples": MODEL}
    for name, values in groups.items():
        filled = name in colours
        axes.hist(
            np.clip(values, low, high),
            bins,
            density=True,
            histtype="stepfilled" if filled else "step",
            alpha=0.45 if filled else 0.9,
            color=colours.get(name),
            label=name,
        )
    axes.set(xlabel="energy (low = probable)", ylabel="density")
    axes.legend(frameon=False, fontsize=8)
    return figure


def landscape(run: Path, arrays: Arrays) -> Figure | None:
    """The model's density over the plane, beside the true one where it is known."""
    if "landscape/model" not in arrays:
        return None
    names = [n for n in ("landscape/truth", "landscape/model") if n in arrays]
    titles = {"landscape/truth": "true density", "landscape/model": "the model: exp(-E)"}
    extent = arrays["landscape/extent"].tolist()
    figure = Figure((4.4 * len(names), 4.2), layout="constrained", dpi=110)
    top = max(float(np.exp(arrays[names[0]]).max()), 1e-300)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        axes.imshow(
            np.exp(arrays[name]), origin="lower", extent=extent, cmap="viridis", vmin=0, vmax=top
        )
        axes.set(title=titles[name], xlabel="column 1", ylabel="column 2")
    return figure


def manifold(run: Path, arrays: Arrays) -> Figure | None:
    """What the model makes of a grid of its latent plane: pictures, or the images of the grid's lines."""
    if "manifold" not in arrays:
        return None
    x = arrays["manifold"]
    side = math.isqrt(len(x))
    figure = Figure((6, 6), layout="constrained", dpi=110)
    axes = figure.subplots()
    pictures = as_pictures(x)
    if pictures.ndim == 4:
        sheet = sample_sheet(pictures, side)
        axes.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.axis("off")
    elif x.shape[1] == 1:
        return None
    else:
        for lines in (x.reshape(side, side, -1), x.reshape(side, side, -1).swapaxes(0, 1)):
            axes.plot(lines[..., 0].T, lines[..., 1].T, color=MODEL, linewidth=0.7)
        axes.set(xlabel="column 1", ylabel="column 2")
    return figure


PAINTERS: Mapping[str, Callable[[Path, Arrays], Figure | None]] = {
    "samples": samples,
    "energies": energies,
    "landscape": landscape,
    "manifold": manifold,
    "losses": losses,
}
