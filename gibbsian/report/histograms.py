"""Histograms of a sweep: all values, and for each option that varies those of each of its settings."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np

from gibbsian.report.canvas import Figure, FigureCanvasAgg

Groups = Mapping[str, Sequence[float]]
BINS = 20
MOST = 6


def histograms(name: str, panels: Mapping[str, Groups]) -> bytes:
    """A PNG with one panel per option: the share of values of ``name`` in each bin, a line per group.

    ``panels`` maps a title to groups, label -> values. At most six groups of a panel are drawn.
    """
    everything = [v for groups in panels.values() for values in groups.values() for v in values]
    edges = np.histogram_bin_edges(np.asarray(everything), BINS)
    figure = Figure((5.2, 2.4 * len(panels)), layout="constrained", dpi=110)
    for axes, (title, groups) in zip(
        figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels.items(), strict=True
    ):
        for label, values in list(groups.items())[:MOST]:
            share = np.full(len(values), 100.0 / max(1, len(values)))
            axes.hist(values, edges.tolist(), weights=share, histtype="step", label=label)
        axes.set(title=title, ylabel="% of trials", xlabel=name)
        axes.legend(frameon=False, fontsize=7)
        axes.grid(alpha=0.2)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()
