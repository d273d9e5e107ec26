"""What it costs to enlarge a photograph: CPU seconds per megapixel of the result, and memory.

Factor 3, brightness, untrained networks (weights do not change the time). Each way enlarges the same
picture to 360 x 360; CPU time of one thread, ways alternating, medians with the smallest and the
largest. Memory is the largest resident size of a process of its own, which holds PyTorch too, while it
enlarges a colour photograph to 4000 x 3000 (12 megapixels): whole by the point estimate; for the others the
top 4000 x 400 of it by two steps, since tiles are done row by row and memory beside the result grows neither
with height nor with steps.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Mapping
from multiprocessing import get_context
from statistics import median
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from torch import Generator

from benchmarks.command import Record, run_benchmark
from gibbsian.config.config import replace
from gibbsian.config.recipes import default_config
from gibbsian.core import DataSpace
from gibbsian.data.photo import Picture
from gibbsian.data.transforms import pixels
from gibbsian.methods import SuperResolution
from gibbsian.models.build import assemble, resolve
from gibbsian.models.model import Model
from gibbsian.models.upscaling import enlarge

FACTOR = 3
SPACE = DataSpace((1, 48, 48), "image", (-1.0, 1.0))
WAYS: Mapping[str, Mapping[str, Any]] = {
    "point estimate": {"super_resolution_inference": "point"},
    "TV, 300 steps": {
        "super_resolution_inference": "variational",
        "total_variation_weight": 0.001,
        "upscaling_steps": 300,
    },
    "scattering, order 1, 10 steps": {"upscaling_steps": 10},
    "scattering, order 1, 50 steps": {"upscaling_steps": 50},
    "scattering, order 2, 50 steps": {"upscaling_steps": 50, "sufficient_statistics": {"order": 2}},
    "SqueezeNet, stage 2, 50 steps": {
        "upscaling_steps": 50,
        "sufficient_statistics": {"name": "squeezenet", "depth": 2},
    },
    "scattering, order 1, Langevin, 50 steps": {
        "upscaling_steps": 50,
        "super_resolution_inference": "langevin",
    },
}
SIDE, REPEATS = 120, 3
WIDTH, HEIGHT, STRIP = 4000, 3000, 400


def model_of(way: str) -> Model:
    config = replace(default_config("super-resolution", "photos"), factor=FACTOR, **WAYS[way])
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
    model.method.adjust(upscaling_steps=2)
    enlarge(model, picture, Generator().manual_seed(0))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_a_process(way: str, height: int, width: int) -> float:
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(peak, (way, height, width))


def table(record: Mapping[str, Any]) -> str:
    """A row per way."""
    lines = ["| way | CPU s per megapixel | MiB, of 12 megapixels |", "|---|---|---|"]
    for way, (middle, low, high) in record["seconds"].items():
        memory = record["memory"][way]
        lines.append(f"| {way} | {middle:.1f} ({low:.1f} to {high:.1f}) | {memory:.0f} |")
    return "\n".join(lines)


def measured(quick: bool) -> Record:
    memory, scale = {}, 10 if quick else 1
    for way in WAYS:
        height = HEIGHT if way == "point estimate" else STRIP
        memory[way] = in_a_process(way, height // scale, WIDTH // scale)
        print(f"{way}: {memory[way]:.0f} MiB", file=sys.stderr, flush=True)
    side, repeats = (60, 1) if quick else (SIDE, REPEATS)
    models = {way: model_of(way) for way in WAYS}
    return {"seconds": seconds_per_megapixel(models, side, repeats), "memory": memory}


if __name__ == "__main__":
    sys.exit(run_benchmark("upscaling", "Enlarging", __doc__ or "", measured, table))
