"""Images of what a model makes: samples, energies, landscape, latent plane. Each says what it shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gibbsian.report.blocks import PageImage
from gibbsian.report.canvas import Axes, Figure
from gibbsian.report.drawn_curves import (
    COLOURS,
    DASHES,
    DATA,
    MODEL,
    WIDTH,
    figure_image,
    number,
    plain_label,
    shortened,
)
from gibbsian.report.record import Arrays

DRAWN = 4_000
FEW = 400
"""Points that are drawn larger, to be seen at all."""
SHEET = 64


def samples(arrays: Arrays, columns: Sequence[str] = ()) -> list[PageImage]:
    """Held-out data, and samples of the model on the same scale: sheets, histograms or scatters.

    ``columns``: their names, () where they have none.
    """
    if not {"samples", "test"} <= arrays.keys():
        return []
    theirs, ours = as_pictures(arrays["test"]), as_pictures(arrays["samples"])
    pair = (("held-out data", theirs, DATA), ("samples of the model", ours, MODEL))
    if ours.ndim == 4:
        return [_sheet(title.split()[0], title, x[:SHEET], 8) for title, x, _ in pair]
    pictures = []
    for title, x, colour in pair:
        figure, axes = _panel(title)
        if x.shape[1] == 1:
            _histogram(axes, x[:, 0], theirs[:, 0], colour, columns[0] if columns else "value")
        else:
            _scatter(axes, x, theirs, colour)
            name_axes(axes, columns)
        told = f"{title}: {_told(x, columns)}."
        pictures.append(figure_image(figure, title.split()[0], told, "png"))
    return pictures


def _panel(title: str, height: float = 3.6) -> tuple[Figure, Axes]:
    figure = Figure((WIDTH, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    return figure, axes


def name_axes(axes: Axes, columns: Sequence[str]) -> None:
    """Call the axes by the first two of ``columns``, or by their numbers."""
    across, up = [plain_label(column_label(j, columns)) for j in (0, 1)]
    axes.set(xlabel=across, ylabel=up)


def column_label(j: int, columns: Sequence[str]) -> str:
    """The name of column ``j``, from 0, cut where it is too long for an axis."""
    return shortened(columns[j]) if j < len(columns) else f"column {j + 1}"


def _histogram(axes: Axes, x: NDArray, like: NDArray, colour: str, name: str) -> None:
    low, high = np.quantile(like, [0.001, 0.999]).tolist()
    axes.hist(x, np.linspace(low, high, 80).tolist(), color=colour)
    axes.set(xlabel=plain_label(shortened(name)), ylabel="rows")


def _scatter(axes: Axes, x: NDArray, like: NDArray, colour: str) -> None:
    low, high = np.quantile(like[:, :2], [0, 1], axis=0)
    margin = 0.2 * (high - low) + 1e-9
    size, alpha = (2, 0.4) if len(x) > FEW else (10, 0.7)
    axes.scatter(x[:DRAWN, 0], x[:DRAWN, 1], s=size, color=colour, alpha=alpha, linewidths=0)
    axes.set(xlim=(low[0] - margin[0], high[0] + margin[0]))
    axes.set(ylim=(low[1] - margin[1], high[1] + margin[1]))


def _told(x: NDArray, columns: Sequence[str]) -> str:
    """Number of rows, mean and standard deviation of the first two columns."""
    told = [
        f"{column_label(j, columns)} has mean {number(float(x[:, j].mean()))} and standard deviation "
        f"{number(float(x[:, j].std()))}"
        for j in range(min(2, x.shape[1]))
    ]
    return f"{len(x)} rows; {'; '.join(told)}"


def _sheet(name: str, title: str, images: NDArray, columns: int) -> PageImage:
    """A sheet of ``images [n, C, H, W]``."""
    figure, axes = _panel(title, WIDTH)
    sheet = sample_grid_image(images, columns)
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.axis("off")
    height, width = images.shape[2:]
    alt = (
        f"{title}: {len(images)} images of {width} by {height} pixels; mean value "
        f"{number(float(images.mean()))}, standard deviation {number(float(images.std()))}."
    )
    return figure_image(figure, name, alt, "png")


def sample_grid_image(images: NDArray, columns: int = 8) -> NDArray:
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
    """Rows of s^2 >= 16 numbers within [0, 1] as images ``[n, 1, s, s]``, everything else as it is."""
    side = math.isqrt(array[0].size)
    bits = array.ndim == 2 and array.min() >= 0 and array.max() <= 1
    return (
        array.reshape(-1, 1, side, side)
        if bits and side >= 4 and side**2 == array.shape[1]
        else array
    )


def energies(arrays: Arrays) -> list[PageImage]:
    """Histograms of the energy on held-out data, samples and corrupted data."""
    groups = {
        name.removeprefix("energy/"): v for name, v in arrays.items() if name.startswith("energy/")
    }
    if not groups:
        return []
    figure, axes = _panel("energies")
    low, high = np.quantile(np.concatenate(list(groups.values())), [0.002, 0.98]).tolist()
    bins = np.linspace(low, high + 1e-9, 60).tolist()
    filled = {"held-out data": DATA, "samples": MODEL}
    for k, (name, values) in enumerate(groups.items()):
        style: dict[str, Any]
        if name in filled:
            style = {"histtype": "stepfilled", "alpha": 0.45, "color": filled[name]}
        else:
            style = {"histtype": "step", "color": COLOURS[2 + k % 4], "linestyle": DASHES[k % 4]}
        axes.hist(np.clip(values, low, high), bins, density=True, label=name, **style)
    axes.set(xlabel="energy (low = probable)", ylabel="density")
    axes.legend(frameon=False, fontsize=9)
    medians = [f"{name} {number(float(np.median(v)))}" for name, v in groups.items()]
    return [
        figure_image(
            figure, "energies", f"Histograms of the energy. Medians: {', '.join(medians)}."
        )
    ]


def landscape(arrays: Arrays, columns: Sequence[str] = ()) -> list[PageImage]:
    """The model's density over the plane, beside the true one where it is known, on one scale."""
    titles = {"landscape/truth": "true density", "landscape/model": "density of the model: exp(-E)"}
    there = {name: np.exp(arrays[name]) for name in titles if name in arrays}
    if "landscape/model" not in there:
        return []
    top = max(float(next(iter(there.values())).max()), 1e-300)
    left, right, below, above = arrays["landscape/extent"].tolist()
    pictures = []
    for name, density in there.items():
        figure, axes = _panel(titles[name], 4.2)
        extent = (left, right, below, above)
        axes.imshow(density, origin="lower", extent=extent, cmap="viridis", vmin=0, vmax=top)
        name_axes(axes, columns)
        row, column = np.unravel_index(int(density.argmax()), density.shape)
        across = left + (right - left) * float(column) / (density.shape[1] - 1)
        up = below + (above - below) * float(row) / (density.shape[0] - 1)
        alt = (
            f"{titles[name]} over the plane: largest, {number(float(density.max()))}, at "
            f"({number(across)}, {number(up)}); "
            f"{float((density > density.max() / 10).mean()):.0%} of the plane has over a tenth of that."
        )
        pictures.append(figure_image(figure, name.replace("/", "-"), alt, "png"))
    return pictures


def manifold(arrays: Arrays, columns: Sequence[str] = ()) -> list[PageImage]:
    """What the model makes of a grid of its latent plane: images, or the images of the grid's lines."""
    if "manifold" not in arrays or arrays["manifold"][0].size == 1:
        return []
    x = arrays["manifold"]
    side, pictures = math.isqrt(len(x)), as_pictures(x)
    title = f"the latent plane, {side} by {side} points"
    if pictures.ndim == 4:
        return [_sheet("manifold", title, pictures, side)]
    figure, axes = _panel(title, WIDTH)
    for lines in (x.reshape(side, side, -1), x.reshape(side, side, -1).swapaxes(0, 1)):
        axes.plot(lines[..., 0].T, lines[..., 1].T, color=MODEL, linewidth=0.7)
    name_axes(axes, columns)
    return [figure_image(figure, "manifold", f"Images of {title}: {_told(x, columns)}.")]
