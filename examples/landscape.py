"""The picture on the first page of the docs: a density, its model, and the model's energy with samples.

python examples/landscape.py [--quick] [--data moons] [--output docs/images/landscape.png]
"""

import argparse
from pathlib import Path

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import gibbsian
from gibbsian.core.measures import Undefined
from gibbsian.data import load_dataset
from gibbsian.evaluation import kl_to_model, log_partition


def draw(data: str, output: Path, quick: bool) -> str:
    """Train persistent contrastive divergence with its defaults, draw, and say how near it came."""
    dataset = load_dataset(data)
    model = gibbsian.train("cd", data, training={"rounds": 20} if quick else {})
    energy, measure, rng = model.method.energy, model.method.measure, model.rng(0)
    assert dataset.density is not None and not isinstance(measure, Undefined)
    near = dataset.train[:2000]  # a built-in density is in the networks' units already
    log_z = log_partition(energy, measure, rng=rng, reference_points=near).lower.value
    kl = kl_to_model(dataset.density.log_prob, energy, measure, near=near)

    half = 1.2 * float(near.abs().max())
    axis = torch.linspace(-half, half, 80 if quick else 240)
    x, y = torch.meshgrid(axis, axis, indexing="xy")
    points = torch.stack([x.flatten(), y.flatten()], 1)
    e = model.energy(points).view(x.shape)
    truth = dataset.density.log_prob(points).view(x.shape).exp()
    samples = model.sample(100 if quick else 600)

    figure = Figure((10.2, 3.4), layout="constrained", dpi=90)
    left, middle, right = figure.subplots(1, 3, sharex=True, sharey=True)
    extent, top = (-half, half, -half, half), float(truth.max())
    for axes, title, density in (
        (left, "the data's density", truth),
        (middle, "the model's density, exp(-E) / Z", (-e - log_z).exp()),
    ):
        axes.imshow(
            density.numpy(), origin="lower", extent=extent, vmin=0, vmax=top, cmap="viridis"
        )
        axes.set_title(title)
    levels = torch.arange(float(e.min().floor()), float(e.min()) + 20, 1.0)
    lines = right.contourf(
        x.numpy(), y.numpy(), e.numpy(), levels.numpy(), cmap="magma_r", extend="max"
    )
    right.scatter(*samples.T.numpy(), s=2, color="#0ea5e9", linewidths=0)
    right.set_title("its energy E (nats), and samples")
    figure.colorbar(lines, ax=right)
    for axes in (left, middle, right):
        axes.set(aspect="equal", xticks=[], yticks=[])
    output.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_png(output)
    return f"{output}: KL(data || model) = {kl} nats"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few rounds, to see that it works")
    parser.add_argument("--data", default="moons", help="a two-dimensional built-in density")
    parser.add_argument("--output", type=Path, default=Path("docs/images/landscape.png"))
    options = parser.parse_args()
    print(draw(options.data, options.output, options.quick))
