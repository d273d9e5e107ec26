"""What a round of training costs here over the shortest loop that does the same: CPU time.

Every method as `gibbsian train METHOD --data moons` starts it: default networks, batch, optimizer,
learning rates that fall and moving average of the weights. Ours is the training loop as a run has it,
with its data, health checks, logs every 100 rounds and copies to go back to, without files. The other
is the same equations written by hand in one function (`benchmarks/short_loops.py`): fused Adam, no
checks, no logs, no pass made twice. Before anything is timed both play three rounds from
the same weights, data and random numbers, and must arrive at the same weights. Then blocks of rounds,
alternating, one thread, five repeats after a block to warm up; the ratio is formed within a
repeat. The aim: at most 1.05.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from statistics import median
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from torch import Generator, Tensor

from benchmarks.command import Record, run_benchmark
from benchmarks.short_loops import LOOPS
from gibbsian import data as datasets
from gibbsian.config.config import Config
from gibbsian.config.recipes import default_config
from gibbsian.core import Batch, TrainingMethod
from gibbsian.core.randomness import seed_global
from gibbsian.models.build import assemble, resolve
from gibbsian.training import prepare_training, run_training_loop
from gibbsian.training.optimizers import OptimizerOptions

REPEATS, ROUNDS, AIM = 5, 100, 1.05
CHECKED, TOLERANCE = 3, 2e-4
"""Rounds after which both must have the same weights, and the largest difference (Adam's steps are 1e-3)."""


class SameRows:
    """Endless batches of the same rows for both contestants."""

    def __init__(self, x: Tensor, batch: int):
        self.x, self.batch, self.rng = x, batch, Generator().manual_seed(1)

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        index = torch.randint(len(self.x), (self.batch,), generator=self.rng)
        return Batch(self.x[index], index)

    def state_dict(self) -> dict[str, int]:
        return {}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Nothing to go back to: no run that is timed does."""


def built(name: str, dataset: Any) -> tuple[Config, TrainingMethod]:
    """The method as a run of its default options begins."""
    seed_global(0, torch.device("cpu"))
    config = default_config(name, "moons")
    config = resolve(config, dataset.space, dataset.transform.encode(dataset.train))
    return config, assemble(config, dataset.space)


def ours(config: Config, method: TrainingMethod, stream: Any) -> Callable[[int], None]:
    """What plays so many rounds more."""
    optimizers = {
        player: OptimizerOptions("sgd", 1.0)
        if player in method.self_optimized
        else config.optimizers[player]
        for player in method.players
    }
    options = dataclasses.replace(config.training, device="cpu", save_every=0)
    progress = prepare_training(method, optimizers, options, stream)

    def play(rounds: int) -> None:
        last = progress.index + rounds
        run_training_loop(progress, dataclasses.replace(options, rounds=last))

    return play


def by_hand(
    name: str, config: Config, method: TrainingMethod, batch: Callable[[], Tensor]
) -> Callable[[int], None]:
    """The same for the loop that is written by hand."""
    play_round, optimizers = LOOPS[name](method, config, batch, Generator().manual_seed(0))
    parameters = [p.detach() for p in method.parameters()]
    average = [p.clone() for p in parameters]
    index = 0

    def play(rounds: int) -> None:
        nonlocal index
        last = index + rounds
        for this in range(index, last):
            factor = 0.5 * (1 + math.cos(math.pi * this / last))
            for player, optimizer in optimizers.items():
                options = config.optimizers[player]
                optimizer.param_groups[0]["lr"] = factor * options.lr
            play_round(this)
            decay = min(config.training.ema, (1 + this) / (10 + this))
            torch._foreach_lerp_(average, parameters, 1 - decay)
        index = last

    return play


def difference(name: str, dataset: Any, x: Tensor) -> float:
    """The largest difference of a weight after a few rounds of both."""
    config, method = built(name, dataset)
    other = copy.deepcopy(method)
    rows = SameRows(x, config.training.batch), SameRows(x, config.training.batch)
    ours(config, method, rows[0])(CHECKED)
    by_hand(name, config, other, lambda: next(rows[1]).x)(CHECKED)
    pairs = zip(method.parameters(), other.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def timed(play: Callable[[int], None], rounds: int) -> float:
    begun = time.process_time()
    play(rounds)
    return time.process_time() - begun


def measured_method(name: str, dataset: Any, x: Tensor, repeats: int, rounds: int) -> Record:
    """Milliseconds of a round here and by hand, and the ratios."""
    if (apart := difference(name, dataset, x)) > TOLERANCE:
        raise ValueError(f"the loops of {name} differ by {apart:.2g} in a weight: not one method")
    config, method = built(name, dataset)
    size = config.training.batch
    stream = datasets.BatchStream(dataset.train, dataset.transform, size, 0)
    order = Generator().manual_seed(2)

    def batches() -> Iterator[Tensor]:
        while True:
            for index in torch.randperm(len(x), generator=order).split(size)[: len(x) // size]:
                yield x[index]

    rows = batches()
    plays = (
        ours(config, method, stream),
        by_hand(name, config, copy.deepcopy(method), rows.__next__),
    )
    for play in plays:
        play(rounds)
    pairs = [[timed(play, rounds) for play in plays] for _ in range(repeats)]
    ratios = [here / there for here, there in pairs]
    return {
        "milliseconds": [1e3 * median(seconds) / rounds for seconds in zip(*pairs, strict=True)],
        "ratio": [median(ratios), min(ratios), max(ratios)],
        "apart": apart,
    }


def measured(quick: bool) -> Record:
    dataset = datasets.load_dataset("moons")
    x = dataset.transform.encode(dataset.train)
    repeats, rounds = (1, 5) if quick else (REPEATS, ROUNDS)
    rows = {}
    for name in os.environ.get("METHODS", ",".join(LOOPS)).split(","):
        rows[name] = measured_method(name, dataset, x, repeats, rounds)
        print(name, rows[name], file=sys.stderr, flush=True)
    return {"repeats": repeats, "rounds": rounds, "day": time.strftime("%Y-%m-%d"), "rows": rows}


def table(record: Mapping[str, Any]) -> str:
    """A row for each method, and which of them are above the aim."""
    lines = [
        "| method | ms a round | ms by hand | ratio | weights differ by |",
        "|---|---|---|---|---|",
    ]
    for name, row in record["rows"].items():
        here, there = row["milliseconds"]
        ratio = "{:.2f} ({:.2f} to {:.2f})".format(*row["ratio"])
        lines.append(f"| `{name}` | {here:.2f} | {there:.2f} | {ratio} | {row['apart']:.0e} |")
    above = [name for name, row in record["rows"].items() if row["ratio"][0] > AIM]
    said = f"above it: {', '.join(above)}" if above else "all keep it"
    lines += [
        "",
        f"{record['repeats']} repeats of {record['rounds']} rounds, {record['day']}. "
        f"The aim of {AIM}: {said}.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(
        run_benchmark(
            "training_moves", "A round of training by hand", __doc__ or "", measured, table
        )
    )
