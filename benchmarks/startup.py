"""What it costs to start: CPU seconds of the overview, and of each list beside `import torch`.

Every command runs in a fresh interpreter and is paired with an interpreter that only imports PyTorch,
one after the other; medians over the pairs with the smallest and the largest.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from statistics import median
from typing import Any

from benchmarks.command import Record, run_benchmark

COMMANDS = ("--help", "list", "list methods", "list data", "list recipes", "list networks")
RUN = "import sys; from gibbsian.cli import main; sys.exit(main(sys.argv[1:]))"
PAIRS = 11
MOST_SECONDS, MOST_RATIO = 0.5, 1.2
"""What the overview may take, and what a list may take of the time of `import torch`."""


def cpu_seconds(*arguments: str) -> float:
    """User and system time of one fresh interpreter."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    return usage.ru_utime + usage.ru_stime


def measured(quick: bool) -> Record:
    rows: dict[str, Any] = {}
    cpu_seconds("-c", RUN, "list", "recipes")  # byte code is compiled once, not here
    for command in COMMANDS:
        pairs = [
            (cpu_seconds("-c", RUN, *command.split()), cpu_seconds("-c", "import torch"))
            for _ in range(2 if quick else PAIRS)
        ]
        ratios = [ours / torchs for ours, torchs in pairs]
        seconds = [ours for ours, _ in pairs]
        rows[command] = {
            "seconds": [median(seconds), min(seconds), max(seconds)],
            "ratio": [median(ratios), min(ratios), max(ratios)],
        }
    return {"pairs": 2 if quick else PAIRS, "rows": rows}


def table(record: Mapping[str, Any]) -> str:
    lines = ["| `gibbsian` | CPU seconds | times `import torch` |", "|---|---|---|"]
    for command, row in record["rows"].items():
        seconds = "{:.2f} ({:.2f} to {:.2f})".format(*row["seconds"])
        ratio = "{:.2f} ({:.2f} to {:.2f})".format(*row["ratio"])
        lines.append(f"| `{command}` | {seconds} | {ratio} |")
    helped = record["rows"]["--help"]["seconds"][0]
    slowest = max(row["ratio"][0] for row in record["rows"].values())
    kept = helped <= MOST_SECONDS and slowest <= MOST_RATIO
    verdict = "Kept" if kept else "Broken"
    lines += [
        "",
        f"{verdict}: the overview takes at most {MOST_SECONDS} CPU seconds, a list at most {MOST_RATIO} "
        "times `import torch` (medians).",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run_benchmark("startup", "Starting up", __doc__ or "", measured, table))
