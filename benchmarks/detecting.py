"""`gibbsian detect` on a large table: CPU time and peak memory of the command, start to end.

A CSV file of 20 columns of normal numbers, correlated, written to a temporary folder; one process on one
thread. The promise: 100 000 rows within 60 CPU-seconds and 1 GB.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import Record, run_benchmark

COLUMNS, ROWS, QUICK_ROWS = 20, 100_000, 2_000
MOST_SECONDS, MOST_MEGABYTES = 60.0, 1_000.0
MEASURE = """
import resource, sys
from gibbsian.cli import main
assert main(["detect", sys.argv[1], "--out", sys.argv[2]]) == 0
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime)
print(used.ru_maxrss / 1024)
"""


def write_table(path: Path, rows: int) -> None:
    import polars

    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, COLUMNS)) @ rng.normal(size=(COLUMNS, COLUMNS))
    polars.DataFrame(x, schema=[f"c{j}" for j in range(COLUMNS)]).write_csv(path)


def measured(quick: bool) -> Record:
    rows = QUICK_ROWS if quick else ROWS
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        write_table(path, rows)
        command = [sys.executable, "-c", MEASURE, str(path), f"{folder}/found"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, megabytes = map(float, done.stdout.split()[-2:])
    return {"rows": rows, "columns": COLUMNS, "seconds": seconds, "megabytes": megabytes}


def table(record: Mapping[str, Any]) -> str:
    kept = record["seconds"] <= MOST_SECONDS and record["megabytes"] <= MOST_MEGABYTES
    return (
        f"{record['rows']} rows of {record['columns']} columns: {record['seconds']:.1f} CPU-seconds, "
        f"{record['megabytes']:.0f} MB at most.\n\n{'Kept' if kept else 'Broken'}: at most "
        f"{MOST_SECONDS:.0f} CPU-seconds and {MOST_MEGABYTES:.0f} MB."
    )


if __name__ == "__main__":
    sys.exit(run_benchmark("detecting", "Detecting", __doc__ or "", measured, table))
