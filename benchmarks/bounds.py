"""What each bound costs: CPU time of a round relative to plain VGAN on the same networks.

One thread, contestants alternating over 7 repeats, one round in a warm-up;
the ratio is formed within a repeat, and its median is printed with the smallest and the largest. Two
sets of networks: the plane (three layers of 128 units, latent 2, batch 256) and pictures of 28x28
(convolutions of 16 channels, latent 16, batch 64). Plain VGAN is the energy with K experts and the
entropy surrogate. "An eighth of the rows" computes Jacobians at an eighth of the batch's latents
(`--jacobian-batch-size`), whose mean is as unbiased as that over all. The aims: singular with 2 iterations,
and log-det at latent 16, at most 4.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import torch

from benchmarks.command import Record, run_benchmark
from gibbsian.config.config import Config, plain, replace
from gibbsian.core import Batch, DataSpace
from gibbsian.models.build import assemble, boxed, resolve
from gibbsian.training.stepper import Stepper

REPEATS = 7
EIGHTH = "an eighth of the rows"
BOUNDS: dict[str, dict[str, Any]] = {
    "none (log-det)": {"entropy_estimator": "log-det", "upper_bound_penalty": "none"},
    "none (singular, 2 iterations)": {
        "entropy_estimator": "singular",
        "upper_bound_penalty": "none",
    },
    f"none (log-det, {EIGHTH})": {"entropy_estimator": "log-det", "upper_bound_penalty": "none"},
    f"none (singular, 2 iterations, {EIGHTH})": {
        "entropy_estimator": "singular",
        "upper_bound_penalty": "none",
    },
    "none (encoder)": {"entropy_estimator": "encoder", "upper_bound_penalty": "none"},
    "none (InfoNCE)": {"entropy_estimator": "infonce", "upper_bound_penalty": "none"},
    "gradient penalty (log-det)": {
        "entropy_estimator": "log-det",
        "upper_bound_penalty": "gradient-penalty",
    },
    "gradient penalty (singular, 2 iterations)": {
        "entropy_estimator": "singular",
        "upper_bound_penalty": "gradient-penalty",
    },
    f"gradient penalty (log-det, {EIGHTH})": {
        "entropy_estimator": "log-det",
        "upper_bound_penalty": "gradient-penalty",
    },
    f"gradient penalty (singular, 2 iterations, {EIGHTH})": {
        "entropy_estimator": "singular",
        "upper_bound_penalty": "gradient-penalty",
    },
    "denoising (encoder)": {"entropy_estimator": "encoder", "upper_bound_penalty": "denoising"},
    "diffusion (encoder)": {"entropy_estimator": "encoder", "upper_bound_penalty": "diffusion"},
    "zero-centred (log-det)": {
        "entropy_estimator": "log-det",
        "upper_bound_penalty": "zero-centred",
    },
}


class Rows:
    """The same batch for ever."""

    def __init__(self, x: torch.Tensor):
        self.batch = Batch(x, torch.arange(len(x)))

    def __iter__(self) -> Rows:
        return self

    def __next__(self) -> Batch:
        return self.batch


def player(config: Config, x: torch.Tensor, space: DataSpace) -> Callable[[], float]:
    """A function that plays one round and returns its CPU seconds."""
    config = resolve(config, space, x)
    method = assemble(config, boxed(space, config.domain_half_width))
    optimizers = {name: getattr(config, f"{name}_optimizer") for name in method.players}
    stepper, rng, rows = Stepper(method, optimizers), torch.Generator().manual_seed(0), Rows(x)
    index = 0

    def play() -> float:
        nonlocal index
        begun = time.process_time()
        for move in method.round(index, rows, rng):
            stepper.step(move, index)
        index += 1
        return time.process_time() - begun

    return play


def settings(space: DataSpace, latent: int) -> dict[str, Any]:
    """Networks and latent dimension of both contestants."""
    if space.kind == "vector":
        net = {"width": 128, "depth": 3}
        return {"latent_dim": latent, "energy": net, "generator": net}
    net = {"channels": 16}
    return {"latent_dim": latent, "energy": net, "generator": net}


def measure(space: DataSpace, latent: int, batch: int, rounds: int) -> dict[str, list[float]]:
    """Contestant -> ratios to VGAN, one per repeat."""
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(batch, *space.shape, generator=rng) * 2 - 1
    nets, images = settings(space, latent), space.kind == "image"
    plays = {"VGAN": player(replace(plain("vgan", "noise", images), **nets), x, space)}
    for name, options in BOUNDS.items():
        rows = batch // 8 if EIGHTH in name else 0
        config = plain("bidirectional", "noise", images)
        config = replace(
            config, jacobian_diagnostics_every=0, jacobian_batch_size=rows, **options, **nets
        )
        if space.kind == "vector":
            config = replace(config, encoder=nets["energy"])
        plays[name] = player(config, x, space)
    for play in plays.values():
        play()
    ratios: dict[str, list[float]] = {name: [] for name in plays}
    for _ in range(REPEATS):
        seconds = {name: sum(play() for _ in range(rounds)) for name, play in plays.items()}
        for name, value in seconds.items():
            ratios[name].append(value / seconds["VGAN"])
    return ratios


def measured(quick: bool) -> Record:
    plane = measure(DataSpace((2,), "vector", (-4.0, 4.0)), 2, 256, 1 if quick else 10)
    pictures = measure(DataSpace((1, 28, 28), "image", (0.0, 1.0)), 16, 64, 1 if quick else 2)
    return {"plane": plane, "pictures": pictures}


def table(record: Mapping[str, Any]) -> str:
    """A row per bound."""
    lines = ["| upper (lower) | plane, latent 2 | pictures, latent 16 |", "|---|---|---|"]
    for name, plane in record["plane"].items():
        cells = (
            f"{median(r):.2f} ({min(r):.2f} to {max(r):.2f})"
            for r in (plane, record["pictures"][name])
        )
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run_benchmark("bounds", "What each bound costs", __doc__ or "", measured, table))
