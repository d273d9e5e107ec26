"""Drawings of lines: curves, intervals, chains. Each says what it shows."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from gibbsian.report.blocks import Curves, PageImage, Points
from gibbsian.report.canvas import Figure, mpl

DATA, MODEL, GREY = "#1f5fa8", "#b93a08", "#4b5563"
COLOURS = (DATA, MODEL, "#126e35", "#7e22ce", GREY, "#8a5606")
DASHES = ("-", "--", ":", "-.")
WIDTH = 4.6
"""Inches. One panel an image, so that its letters are as large as the text on a phone too."""

LONGEST = 56
"""Letters of a label that fit on one line of an image."""


def figure_image(
    figure: Figure, name: str, alt: str, kind: Literal["png", "svg"] = "svg"
) -> PageImage:
    """``figure`` encoded, the same bytes each time; its size in CSS pixels is 96 to the inch."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(buffer, format=kind, dpi=192, metadata=metadata)
    width, height = (round(96 * float(side)) for side in figure.get_size_inches())
    return PageImage(name, buffer.getvalue(), kind, width, height, alt)


def number(value: float) -> str:
    """Four significant digits."""
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}", 1 if value < 0 else 0)


def curves_image(curves: Curves) -> PageImage:
    """The same lines as a picture."""
    figure = Figure((WIDTH, 3.3), layout="constrained")
    axes = figure.subplots()
    for k, (label, points) in enumerate(curves.series.items()):
        style: dict[str, Any] = {
            "color": COLOURS[k % len(COLOURS)],
            "linestyle": DASHES[k % len(DASHES)],
        }
        marker = "o" if len(points) == 1 else ""
        axes.plot(
            *zip(*points, strict=True),
            label=plain_label(shortened(label)),
            linewidth=1.4,
            marker=marker,
            **style,
        )
    title = textwrap.fill(plain_label(curves.title), LONGEST)
    axes.set(title=title, xlabel=curves.xlabel, ylabel=curves.ylabel)
    axes.legend(frameon=False, fontsize=9)
    axes.grid(alpha=0.25)
    return figure_image(figure, curves.name, curves_told(curves))


def shortened(label: str) -> str:
    """The end of a label, which tells folders and columns apart, where all of it has no place."""
    return label if len(label) <= LONGEST else f"... {label[-LONGEST:]}"


def plain_label(text: str) -> str:
    """``text`` for matplotlib, which reads formulas between $ and leaves out labels that begin with _."""
    return f"{' ' if text.startswith('_') else ''}{text}".replace("$", r"\$")


def curves_told(curves: Curves) -> str:
    """The same in words."""
    told = (f"{label} {_course(points)}" for label, points in curves.series.items())
    return f"{curves.title}. {'; '.join(told)}."


def curves_data(curves: Curves) -> dict[str, Any]:
    """The same as JSON for the chart, to six significant digits."""
    return {
        "title": curves.title,
        "told": curves_told(curves),
        "across": curves.xlabel,
        "up": curves.ylabel,
        "series": [
            {
                "label": label,
                "x": [float(f"{x:.9g}") for x, _ in points],
                "y": [float(f"{y:.6g}") for _, y in points],
            }
            for label, points in curves.series.items()
        ],
    }


def _course(points: Points) -> str:
    (first, a), (last, b) = points[0], points[-1]
    if len(points) == 1:
        return f"is {number(a)} at round {first}"
    low, high = min(v for _, v in points), max(v for _, v in points)
    ends = f"goes from {number(a)} at round {first} to {number(b)} at round {last}"
    return f"{ends}, between {number(low)} and {number(high)}"


def interval_chart(
    name: str, title: str, rows: Iterable[tuple[str, Mapping[str, Any] | None]]
) -> PageImage | None:
    """One horizontal bar per quantity, from its lower to its upper estimate, with 95 % whiskers.

    ``rows``: label and the figures of an ``Interval`` (``lower``, ``upper``) or an ``Estimate``
    (``value``, ``stderr``, ``standing``); None, or a side that is not finite, is left out. None if
    nothing is left to draw.
    """
    drawn = [(label, sides) for label, value in rows if (sides := _sides(value))]
    if not drawn:
        return None
    figure = Figure((WIDTH, 1.1 + 0.55 * len(drawn)), layout="constrained")
    axes = figure.subplots()
    told = []
    for k, (label, sides) in enumerate(drawn):
        values = [side["value"] for side in sides]
        axes.plot(values, [k] * len(values), color=DATA, linewidth=4, solid_capstyle="butt")
        for side, colour in zip(sides, (DATA, MODEL), strict=False):
            error = 1.96 * (side["stderr"] or 0.0)
            axes.errorbar(side["value"], k, xerr=error, fmt="o", color=colour, capsize=4)
        axes.annotate(
            plain_label(shortened(label)),
            (0.02, k - 0.25),
            xycoords=("axes fraction", "data"),
            fontsize=9,
        )
        told.append(f"{label}: {' to '.join(_told(side) for side in sides)}")
    axes.set(title=title, xlabel="nats", ylim=(len(drawn) - 0.5, -0.6), yticks=[])
    axes.grid(axis="x", alpha=0.25)
    axes.margins(x=0.1)
    return figure_image(figure, name, f"{title}. {'; '.join(told)}.")


def _sides(value: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """The finite estimates of a value, lower side first; equal sides once."""
    if value is None:
        return []
    both = [value["lower"], value["upper"]] if "lower" in value else [value]
    both = both[:1] if both[0] == both[-1] else both
    return [side for side in both if side["value"] is not None]


def _told(side: Mapping[str, Any]) -> str:
    error = f" ± {side['stderr']:.2g}" if side["stderr"] else ""
    return f"{number(side['value'])}{error} ({side['standing']})"


def traces(chains: Mapping[str, Any]) -> PageImage | None:
    """The least settled coordinate of some chains over their kept draws; None if none was kept."""
    trace = chains["trace"]
    if not trace["values"]:
        return None
    figure = Figure((WIDTH, 3), layout="constrained")
    axes = figure.subplots()
    values = [v for path in trace["values"] for v in path if v is not None]
    for k, path in enumerate(trace["values"]):
        heights = [math.nan if v is None else v for v in path]
        axes.plot(trace["steps"], heights, linewidth=1, color=COLOURS[k % len(COLOURS)])
    axes.set(title=f"{trace['name']} along {len(trace['values'])} chains", xlabel="step")
    axes.grid(alpha=0.25)
    span = f"between {number(min(values))} and {number(max(values))}" if values else "never finite"
    alt = (
        f"{trace['name']}, the coordinate with the largest R-hat, along {len(trace['values'])} chains "
        f"of {chains['kernel']}: {span}. {chains['verdict']}."
    )
    return figure_image(figure, f"chains-{chains['kernel']}", alt)
