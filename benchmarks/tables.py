"""Reading a table: our CPU time and peak memory as multiples of what its engine, Polars, takes alone.

A CSV file of 20 columns of normal numbers with all their digits, written to a temporary folder. Ours is
`gibbsian.data.readers.read`, with layout, kinds of columns and every check; the engine's is
`polars.read_csv(path).to_numpy()`. Each runs in a fresh interpreter after both libraries are imported,
one after the other; medians over the pairs with the smallest and the largest. Memory is the largest
resident size above the one before reading.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.command import Record, run_benchmark

COLUMNS = 20
ROWS, PAIRS = 1_000_000, 5
QUICK_ROWS, QUICK_PAIRS = 20_000, 2
MOST_RATIO = 1.5
OURS = "rows = read(Path(sys.argv[1])).x"
ENGINE = "rows = polars.read_csv(sys.argv[1]).to_numpy()"
MEASURE = """
import resource, sys
from pathlib import Path
import polars, torch
from gibbsian.data.readers import read
resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
before = resource.getrusage(resource.RUSAGE_SELF)
{}
after = resource.getrusage(resource.RUSAGE_SELF)
assert rows.shape[1] == 20
print(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
print(after.ru_maxrss / 1024 - resident)
"""


def write_table(path: Path, rows: int) -> None:
    import polars

    x = np.random.default_rng(0).normal(size=(rows, COLUMNS))
    polars.DataFrame(x, schema=[f"c{j}" for j in range(COLUMNS)]).write_csv(path)


def taken(statement: str, path: Path) -> tuple[float, float]:
    """CPU seconds and megabytes."""
    command = [sys.executable, "-c", MEASURE.format(statement), str(path)]
    environment = os.environ | {"GIBBSIAN_MAX_BYTES": str(2**40)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    seconds, megabytes = map(float, done.stdout.split())
    return seconds, megabytes


def measured(quick: bool) -> Record:
    rows, pairs = (QUICK_ROWS, QUICK_PAIRS) if quick else (ROWS, PAIRS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_table(path, rows)
        found = [(taken(OURS, path), taken(ENGINE, path)) for _ in range(pairs)]
    record: Record = {"rows": rows, "columns": COLUMNS, "pairs": pairs}
    for k, name in enumerate(("seconds", "megabytes")):
        record[name] = {
            "ours": _spread([ours[k] for ours, _ in found]),
            "engine": _spread([engine[k] for _, engine in found]),
            "ratio": _spread([ours[k] / engine[k] for ours, engine in found]),
        }
    return record


def _spread(values: list[float]) -> list[float]:
    return [median(values), min(values), max(values)]


def table(record: Mapping[str, Any]) -> str:
    lines = [
        f"{record['rows']} rows of {record['columns']} columns, {record['pairs']} pairs.",
        "",
        "| | ours | Polars alone | ratio |",
        "|---|---|---|---|",
    ]
    for name, what in (("seconds", "CPU seconds"), ("megabytes", "MB at most")):
        cells = [
            "{:.2f} ({:.2f} to {:.2f})".format(*record[name][who])
            for who in ("ours", "engine", "ratio")
        ]
        lines.append(f"| {what} | {' | '.join(cells)} |")
    worst = max(record[name]["ratio"][0] for name in ("seconds", "megabytes"))
    verdict = "Kept" if worst <= MOST_RATIO else "Broken"
    return "\n".join([*lines, "", f"{verdict}: at most {MOST_RATIO} times the engine's (medians)."])


if __name__ == "__main__":
    sys.exit(run_benchmark("tables", "Reading tables", __doc__ or "", measured, table))
