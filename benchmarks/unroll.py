"""What it costs a generator to look K steps ahead: memory and time against a GAN's generator step.

LBT-GAN with a VAE student and the unrolled GAN, on the two nets of the studies: the plane (batch 512)
and 14x14 stacks of digits (batch 128). CPU time of one thread, contestants alternating, medians with
the smallest and the largest. Memory is what the graph of the generator's loss keeps for its backward
pass, counted, not the process's size. *segments*: only every round(sqrt K)-th step is kept.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import torch

from benchmarks.command import Record, run_benchmark
from benchmarks.kept import kept_bytes
from gibbsian.config.config import Config, replace
from gibbsian.config.recipes import default_config, recipe
from gibbsian.core import Batch, DataSpace, PlayerUpdate, TrainingMethod
from gibbsian.models.build import assemble, resolve

PLANE = DataSpace((2,), "vector")
STACKS = DataSpace((3, 14, 14), "image", (-1.0, 1.0))
BATCH = {"plane": 512, "stacks": 128}
AHEAD = (1, 2, 5, 10, 20)
REPEATS = 7


def method_of(config: Config, space: DataSpace) -> TrainingMethod:
    return assemble(resolve(config, space, torch.zeros(64, *space.shape)), space)


def contestants(name: str, ahead: Sequence[int]) -> dict[str, TrainingMethod]:
    """Name -> method; the first is the GAN that the others are compared with."""
    space = PLANE if name == "plane" else STACKS
    if name == "plane":
        gan, lbt = default_config("gan", "ring8"), default_config("lbt", "ring8")
    else:
        gan, lbt = recipe("stacked-mnist-gan"), recipe("stacked-mnist-lbt")
    found = {"GAN": method_of(gan, space)}
    for K in ahead:
        found[f"LBT-GAN / {K}"] = method_of(
            replace(lbt, unrolled_student_steps=K, gan_warmup_rounds=0), space
        )
        if K > 2:
            segment = round(math.sqrt(K))
            config = replace(
                lbt,
                unrolled_student_steps=K,
                unroll_gradient_checkpoint_every=segment,
                gan_warmup_rounds=0,
            )
            found[f"LBT-GAN, segments / {K}"] = method_of(config, space)
        found[f"unrolled GAN / {K}"] = method_of(replace(gan, unrolled_critic_steps=K), space)
    implicit = replace(lbt, hypergradient="implicit", gan_warmup_rounds=0)
    return found | {"LBT-GAN, implicit / 5": method_of(implicit, space)}


class Noise:
    """Endless batches of noise in the box."""

    def __init__(self, n: int, space: DataSpace):
        rng = torch.Generator().manual_seed(0)
        self.batch = Batch(2 * torch.rand(n, *space.shape, generator=rng) - 1, torch.arange(n))

    def __iter__(self) -> Noise:
        return self

    def __next__(self) -> Batch:
        return self.batch


def generator_move(method: TrainingMethod, n: int, space: DataSpace) -> PlayerUpdate:
    moves = list(method.round(0, Noise(n, space), torch.Generator().manual_seed(0)))
    return moves[-1]


def step_seconds(method: TrainingMethod, move: PlayerUpdate) -> float:
    """CPU time of the generator's loss and gradient."""
    parameters = [p for n, p in method.named_parameters() if n.startswith("generator.")]
    begun = time.process_time()
    torch.autograd.grad(move.loss(*move.inputs).value, parameters)
    return time.process_time() - begun


def measured(name: str, ahead: Sequence[int], repeats: int) -> Record:
    space, n = (PLANE if name == "plane" else STACKS), BATCH[name]
    methods = contestants(name, ahead)
    moves = {label: generator_move(method, n, space) for label, method in methods.items()}
    kept = {label: kept_bytes(move.loss(*move.inputs).value) for label, move in moves.items()}
    seconds: dict[str, list[float]] = {label: [] for label in methods}
    for repeat in range(repeats + 1):
        for label, method in methods.items():
            taken = step_seconds(method, moves[label])
            if repeat > 0:  # the first warms up
                seconds[label].append(taken)
    ratios = {
        label: [value / gan for value, gan in zip(values, seconds["GAN"], strict=True)]
        for label, values in seconds.items()
    }
    return {
        label: {
            "milliseconds": 1e3 * median(seconds[label]),
            "over_gan": [median(r), min(r), max(r)],
            "megabytes": kept[label] / 2**20,
        }
        for label, r in ratios.items()
    }


def table(record: Mapping[str, Any]) -> str:
    """A table for each net."""
    lines = []
    for name, cells in record["results"].items():
        lines += ["", f"## {name.capitalize()}, batch {BATCH[name]}", ""]
        lines += ["| generator step | K | ms | over the GAN's | MB kept |", "|---" * 5 + "|"]
        for label, cell in cells.items():
            who, _, K = label.partition(" / ")
            middle, low, high = cell["over_gan"]
            lines.append(
                f"| {who} | {K} | {cell['milliseconds']:.1f} | {middle:.1f} ({low:.1f} to {high:.1f}) "
                f"| {cell['megabytes']:.1f} |"
            )
    return "\n".join(lines)


def both(quick: bool) -> Record:
    ahead, repeats = ((1, 5), 1) if quick else (AHEAD, REPEATS)
    return {"results": {name: measured(name, ahead, repeats) for name in BATCH}}


if __name__ == "__main__":
    sys.exit(run_benchmark("unroll", "Unrolling", __doc__ or "", both, table))
