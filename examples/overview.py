"""The picture in the README: strange wines with their reasons, and digits of 28x28 drawn by an energy.

python examples/overview.py [--quick] [--run runs/overview] [--output docs/images/overview.png]

The digits are MNIST's, whose files must be there (`gibbsian list data` says whether they are).
"""

import argparse
import csv
import tempfile
import textwrap
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.datasets import load_wine

import gibbsian
from gibbsian.cli import main as command

ROWS, SIDE = 4, 8
TRAINING = "energy-matching --data mnist --threads 1"
"""Takes about twenty CPU-minutes."""


def strange_wines(folder: Path) -> list[dict[str, str]]:
    """What `gibbsian detect` writes of scikit-learn's wines, the strangest first."""
    wines = load_wine(as_frame=True).data
    wines.to_csv(folder / "wine.csv", index=False)
    if command(["detect", str(folder / "wine.csv"), "--out", str(folder / "detected")]):
        raise SystemExit("detect failed")
    with (folder / "detected" / "rows.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def digits(quick: bool, run: Path) -> torch.Tensor:
    """``[SIDE^2, 28, 28]`` samples, within [0, 1], of `gibbsian train energy-matching --data mnist ...`.

    Of the ``run`` in this folder, which is trained first if there is none. Quick: of digits of 8x8.
    """
    if quick:
        model = gibbsian.train("energy-matching", "digits", training={"rounds": 3})
        return (model.sample(SIDE**2).view(-1, 8, 8) / 16).clamp(0, 1)
    if not run.exists() and command(["train", *TRAINING.split(), "--out", str(run)]):
        raise SystemExit("training failed")
    return (gibbsian.load_model(run).sample(SIDE**2).view(-1, 28, 28) / 255).clamp(0, 1)


def draw_reasons(axes: Axes, rows: list[dict[str, str]]) -> None:
    """One paragraph a row: its number, percentile and up to two reasons."""
    axes.axis("off")
    axes.set_title("gibbsian detect wine.csv", loc="left", family="monospace", fontsize=11)
    for place, row in enumerate(rows):
        top = 0.97 - place / len(rows)
        percentile = float(row["percentile"])
        axes.text(0, top, f"wine {row['row']}", va="top", weight="bold", fontsize=10)
        axes.text(0.22, top, f"percentile {percentile:.1f}", va="top", fontsize=10)
        reasons = [row[f"reason_{k}"] for k in (1, 2) if row[f"reason_{k}"]]
        lines = [line for reason in reasons for line in textwrap.wrap(reason, 84)]
        axes.text(0, top - 0.07, "\n".join(lines), va="top", fontsize=8.5, color="#334155")


def draw_digits(axes: Axes, x: torch.Tensor) -> None:
    """The samples side by side."""
    tiles = torch.nn.functional.pad(x, (1, 1, 1, 1))
    rows = [torch.cat(list(part), 1) for part in tiles.split(SIDE)]
    axes.imshow(torch.cat(rows).numpy(), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.set_title(
        "gibbsian train energy-matching --data mnist", loc="left", family="monospace", fontsize=11
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("docs/images/overview.png"))
    parser.add_argument("--quick", action="store_true", help="hardly train: does it run?")
    parser.add_argument("--run", type=Path, default=Path("runs/overview"), help="the digits' model")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = strange_wines(Path(folder))[:ROWS]
    figure = Figure((10.2, 4.2), layout="constrained", dpi=100)
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    draw_reasons(left, rows)
    draw_digits(right, digits(given.quick, given.run))
    given.output.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_png(given.output)
    print(given.output)


if __name__ == "__main__":
    main()
