"""Training from a file that is not held: memory, the pass before it, and rounds beside those of held rows.

A `.npy` file of 20 columns in single precision, of which a fiftieth of the rows in fifty places is normal and
the rest 0, so that it takes little room on the disk. `nce` with its defaults, batches of 256: of the methods
the one with the cheapest rounds. In one process each: the file's run of 7 000 rounds, more than a window
has, its continuation, and scores of a file; peak memory is the process's own. Rounds are timed by CPU
seconds in one process, the file's 7 000 and as many from a million held rows in turn, the reading of windows
included.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from benchmarks.command import Record, run_benchmark
from gibbsian.config import recipes
from gibbsian.config.config import Config, replace
from gibbsian.data import BatchStream, Dataset, load_dataset
from gibbsian.data.large_arrays import BlockStream
from gibbsian.models.train import untrained
from gibbsian.training import prepare_training

COLUMNS, BATCH, ROUNDS, REPEATS = 20, 256, 7_000, 5
HELD = 1_000_000
SIZES, SCORED = (20.0,), 1.0
"""Gigabytes of the files that are trained on, and of the one that is scored."""
MOST_GB, MOST_RATIO = 1.5, 1.1
PROCESS = """
import json, resource, sys, time
from gibbsian.cli import main
begun = time.process_time()
status = main(json.loads(sys.argv[1]))
most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
print(json.dumps({"status": status, "GB": most, "seconds": time.process_time() - begun}))
"""


def write(path: Path, gigabytes: float) -> None:
    """A sparse file of about so many GB."""
    rows = int(gigabytes * 1e9 / (4 * COLUMNS))
    array = np.lib.format.open_memmap(path, "w+", np.float32, (rows, COLUMNS))
    rng, gap = np.random.default_rng(0), rows // 50
    for first in range(0, rows - gap // 50, gap):
        array[first : first + gap // 50] = rng.normal(size=(gap // 50, COLUMNS))
    array.flush()


def command(*arguments: str) -> Record:
    """Peak memory and CPU seconds of one command in a process of its own."""
    out = subprocess.run(
        [sys.executable, "-c", PROCESS, json.dumps(arguments)],
        capture_output=True,
        text=True,
        check=True,
    )
    found: Record = json.loads(out.stdout.splitlines()[-1])
    assert found["status"] == 0, out.stderr
    return found


def rounds(config: Config, data: Dataset, stream: Any, count: int) -> float:
    """CPU seconds of one of ``count`` rounds, after a hundred."""
    config, method = untrained(config, data)
    progress = prepare_training(method, config.optimizers, config.training, stream)
    begun = 0.0
    for index in range(100 + count):
        if index == 100:
            begun = time.process_time()
        for move in method.round(index, stream, progress.rng):
            progress.stepper.step(move, index)
    return (time.process_time() - begun) / count


def timed(path: Path, count: int, repeats: int) -> list[list[float]]:
    """Seconds of a round from the file's blocks and from held rows, in turn."""
    data = load_dataset(path)
    assert data.blocks is not None
    config = replace(
        recipes.default_config("nce", str(path), data.space), training={"batch": BATCH}
    )
    held = torch.from_numpy(np.load(path, mmap_mode="r")[:HELD].copy())
    pairs = []
    for seed in range(repeats):
        blocks = BlockStream(data.blocks, data.transform, BATCH, seed)
        resident = BatchStream(held, data.transform, BATCH, seed)
        pairs.append([rounds(config, data, stream, count) for stream in (blocks, resident)])
    return pairs


def measured(quick: bool) -> Record:
    count, sizes = (50, (0.6,)) if quick else (ROUNDS, SIZES)
    found: Record = {"rows": {}}
    with TemporaryDirectory() as folder:
        for size in sizes:
            path, run = Path(folder) / f"{size:g}.npy", Path(folder) / f"run-{size:g}"
            write(path, size)
            base = ["nce", "--data", str(path), "--batch", str(BATCH)]
            row = {
                "training": command("train", *base, "--rounds", str(count), "--out", str(run)),
                "resuming": command("train", "--resume", str(run), "--rounds", str(count + 10)),
            }
            found["rows"][f"{size:g} GB"] = row
        scored = Path(folder) / "scored.npy"
        write(scored, 0.01 if quick else SCORED)
        out = str(Path(folder) / "scores.csv")
        found["scoring"] = command("score", str(run), str(scored), "--output", out)
        found["seconds of a round"] = timed(path, count, 1 if quick else REPEATS)
    return found


def table(record: Mapping[str, Any]) -> str:
    lines = ["| file | job | peak memory, GB | CPU seconds |", "|---|---|---|---|"]
    most = 0.0
    for name, row in record["rows"].items():
        for job in ("training", "resuming"):
            most = max(most, row[job]["GB"])
            lines.append(f"| {name} | {job} | {row[job]['GB']:.2f} | {row[job]['seconds']:.0f} |")
    scoring = record["scoring"]
    lines.append(f"| {SCORED:g} GB | scoring | {scoring['GB']:.2f} | {scoring['seconds']:.0f} |")
    most = max(most, scoring["GB"])
    pairs = record["seconds of a round"]
    ratio = median(blocks / held for blocks, held in pairs)
    low, high = (f(blocks / held for blocks, held in pairs) for f in (min, max))
    lines += [
        "",
        f"A round from blocks takes {ratio:.3f} times one from held rows ({low:.3f} to {high:.3f}; "
        f"{1e3 * median(held for _, held in pairs):.2f} ms).",
        "",
        f"{'Kept' if most <= MOST_GB and ratio <= MOST_RATIO else 'Broken'}: peak memory at most "
        f"{MOST_GB} GB, a round at most {MOST_RATIO} times as long.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run_benchmark("large_data", "Data that are not held", __doc__ or "", measured, table))
