"""How a benchmark is called and what it leaves: JSON and a page beside it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from gibbsian.core.files import write_json
from studies.harness import machine, write_page

Record = dict[str, Any]


def run_benchmark(
    name: str,
    title: str,
    about: str,
    measured: Callable[[bool], Record],
    table: Callable[[Mapping[str, Any]], str],
    argv: Sequence[str] | None = None,
) -> int:
    """Measure, ``measured(quick)``, print and save; the exit status."""
    parser = argparse.ArgumentParser(prog=f"make bench NAME={name}", description=about)
    parser.add_argument("--quick", action="store_true", help="a tiny version, to see that it works")
    parser.add_argument("--out", type=Path, help="JSON file; a .md table is put beside it")
    options = parser.parse_args(argv)
    stem = f"bench-{name}-quick" if options.quick else f"bench-{name}"
    out = options.out or Path("docs/results") / f"{stem}.json"
    torch.set_num_threads(1)
    record = {"machine": machine(), **measured(options.quick)}
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(out, record)
    facts = ", ".join(f"{key} {value}" for key, value in record["machine"].items())
    write_page(out, title, f"`make bench NAME={name}`. {about.strip()} {facts}.", table(record))
    return 0
