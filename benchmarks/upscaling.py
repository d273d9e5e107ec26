"""What it costs to enlarge a photograph: CPU seconds per megapixel of the result, and memory.

Factor 3, brightness, untrained networks (weights do not change the time). Each way enlarges the same
picture to 360 x 360; CPU time of one thread, ways alternating, medians with the smallest and the
largest. Memory is the largest resident size of a process of its own, which holds PyTorch too, while it
enlarges a colour photograph to 4000 x 3000 (12 megapixels): whole by the point estimate; for the others the
top 4000 x 400 of it by two steps, since tiles are done row by row and memory beside the result grows neither
with height nor with steps.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from torch import Generator

from gibbsian.assemble import assemble, resolve
from gibbsian.config import replace
from gibbsian.core import Space
from gibbsian.data.photo import Picture
from gibbsian.data.transforms import pixels
from gibbsian.files import write_json
from gibbsian.methods import SuperResolution
from gibbsian.model import Model
from gibbsian.recipes import default
from gibbsian.upscaling import enlarge
from studies.harness import machine

Record = dict[str, Any]
FACTOR = 3
SPACE = Space((1, 48, 48), "image", (-1.0, 1.0))
WAYS: Mapping[str, Mapping[str, Any]] = {
    "point estimate": {"inference": "point"},
    "TV, 300 steps": {"inference": "variational", "tv": 0.001, "steps": 300},
    "scattering, order 1, 10 steps": {"steps": 10},
    "scattering, order 1, 50 steps": {"steps": 50},
    "scattering, order 2, 50 steps": {"steps": 50, "statistics_net": {"order": 2}},
    "SqueezeNet, stage 2, 50 steps": {
        "steps": 50,
        "statistics": "squeezenet",
        "statistics_net": {"depth": 2},
    },
    "scattering, order 1, Langevin, 50 steps": {"steps": 50, "inference": "langevin"},
}
SIDE, REPEATS = 120, 3
WIDTH, HEIGHT, STRIP = 4000, 3000, 400


def model_of(way: str) -> Model:
    config = replace(default("super-resolution", "photos"), factor=FACTOR, **WAYS[way])
    config = resolve(config, SPACE, torch.zeros(2, *SPACE.shape))
    method = assemble(config, SPACE)
    assert isinstance(method, SuperResolution)
    return Model(method, config, SPACE, pixels(SPACE.shape, 256))


def photograph(channels: int, height: int, width: int) -> Picture:
    """Noise that is smooth over a few pixels, in [0, 1]."""
    rng = Generator().manual_seed(0)
    coarse = torch.rand(1, channels, height // 4 + 1, width // 4 + 1, generator=rng)
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return Picture(fine[0], None, 256)


def seconds_per_megapixel(models: Mapping[str, Model], side: int, repeats: int) -> Record:
    picture = photograph(1, side, side)
    megapixels = (FACTOR * side) ** 2 / 1e6
    taken: dict[str, list[float]] = {way: [] for way in models}
    for _ in range(repeats):
        for way, model in models.items():
            begun = time.process_time()
            enlarge(model, picture, Generator().manual_seed(0))
            taken[way].append((time.process_time() - begun) / megapixels)
    return {way: [median(t), min(t), max(t)] for way, t in taken.items()}


def peak(way: str, height: int, width: int) -> float:
    """The largest resident size in MiB of this process, after it enlarged a colour photograph."""
    torch.set_num_threads(1)
    picture = photograph(3, height // FACTOR, width // FACTOR)
    model = model_of(way)
    assert isinstance(model.method, SuperResolution)
    model.method.adjust(steps=2)
    enlarge(model, picture, Generator().manual_seed(0))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_a_process(way: str, height: int, width: int) -> float:
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(peak, (way, height, width))


def render(record: Mapping[str, Any]) -> str:
    """The Markdown of the results."""
    facts = ", ".join(f"{k} {v}" for k, v in record["machine"].items())
    lines = [
        "# Enlarging",
        "",
        f"`make bench NAME=upscaling`. {(__doc__ or '').strip()} {facts}.",
        "",
    ]
    lines += ["| way | CPU s per megapixel | MiB, of 12 megapixels |", "|---|---|---|"]
    for way, (middle, low, high) in record["seconds"].items():
        memory = record["memory"][way]
        lines.append(f"| {way} | {middle:.1f} ({low:.1f} to {high:.1f}) | {memory:.0f} |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make bench NAME=upscaling", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tiny version, to see that it works")
    parser.add_argument("--out", type=Path, help="JSON file; a .md table is put beside it")
    options = parser.parse_args(argv)
    name = "bench-upscaling-quick" if options.quick else "bench-upscaling"
    out = options.out or Path("docs/results") / f"{name}.json"
    torch.set_num_threads(1)
    side, repeats = (60, 1) if options.quick else (SIDE, REPEATS)
    memory = {}
    for way in WAYS:
        height = HEIGHT if way == "point estimate" else STRIP
        scale = 10 if options.quick else 1
        memory[way] = in_a_process(way, height // scale, WIDTH // scale)
        print(f"{way}: {memory[way]:.0f} MiB", file=sys.stderr, flush=True)
    seconds = seconds_per_megapixel({way: model_of(way) for way in WAYS}, side, repeats)
    record = {"machine": machine(), "seconds": seconds, "memory": memory}
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(out, record)
    out.with_suffix(".md").write_text(render(record))
    print(render(record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
