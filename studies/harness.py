"""How a study runs: cells by name, each in its own process on one thread, results kept as they come.

A killed study continues where it was: a cell whose result stands in the file is not run again.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from gibbsian.core.files import read_json, write_json

RESULTS = Path("docs/results")
Result = dict[str, Any]


@dataclass(frozen=True)
class Study:
    """``cells(quick)`` maps names to picklable functions without arguments; ``render(results)`` is
    the Markdown that the docs show; ``about`` says what is fixed before running."""

    name: str
    about: str
    cells: Callable[[bool], Mapping[str, Callable[[], Result]]]
    render: Callable[[Mapping[str, Result]], str]


def _run(function: Callable[[], Result]) -> Result:
    torch.set_num_threads(1)
    begun = time.process_time()
    result = function()
    return result | {"cpu_seconds": round(time.process_time() - begun, 1)}


def machine() -> dict[str, str]:
    """What the numbers were measured on."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip()
            for line in info.read_text().splitlines()
            if "model name" in line
        ]
        model = names[0] if names else model
    return {
        "processor": model,
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def write_page(out: Path, title: str, about: str, table: str) -> None:
    """The Markdown page beside the results ``out``; the table on standard output too."""
    out.with_suffix(".md").write_text(f"# {title}\n\n{about.strip()}\n\n{table}\n")
    print(table)


def run_study(study: Study, argv: Sequence[str] | None = None) -> int:
    """Run the missing cells and write results and table; the exit status, 1 if a cell failed."""
    parser = argparse.ArgumentParser(prog=f"make study NAME={study.name}", description=study.about)
    parser.add_argument("--quick", action="store_true", help="a tiny version, to see that it works")
    parser.add_argument("--workers", type=int, default=2, help="processes at once, one thread each")
    parser.add_argument("--only", default="", help="run only cells whose name contains this")
    parser.add_argument(
        "--out", type=Path, help="results file (JSON); a .md table is put beside it"
    )
    parser.add_argument("--render", action="store_true", help="only write the table again")
    options = parser.parse_args(argv)
    name = f"{study.name}-quick" if options.quick else study.name
    out = options.out or RESULTS / f"{name}.json"
    record = read_json(out) if out.exists() else {"about": study.about, "results": {}}
    results: dict[str, Result] = record["results"]
    missing = {
        name: cell
        for name, cell in study.cells(options.quick).items()
        if name not in results and options.only in name and not options.render
    }
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(options.workers, get_context("spawn"), max_tasks_per_child=1) as pool:
        running = {
            pool.submit(partial(_run, cell)): cell_name for cell_name, cell in missing.items()
        }
        failed = []
        for done in as_completed(running):
            cell_name = running[done]
            if (error := done.exception()) is not None:
                # The others go on, and are kept; the same command tries this one again.
                failed.append(cell_name)
                print(f"{cell_name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
                continue
            results[cell_name] = done.result()
            write_json(
                out,
                record | {"about": study.about, "machine": machine(), "results": results},
            )
            seconds = results[cell_name]["cpu_seconds"]
            left = len(missing) - sum(name in results for name in missing)
            print(
                f"{cell_name}: {seconds:.0f} CPU seconds, {left} to go", file=sys.stderr, flush=True
            )
    table = study.render(results)
    write_page(out, study.name.replace("-", " ").capitalize(), study.about, table)
    return int(bool(failed))
