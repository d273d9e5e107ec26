"""A campaign of random damage against the command line.

    python -m fuzz [--minutes 10] [--cases N] [--seed 0] [--jobs 1] [--keep FOLDER]
    python -m fuzz --seed 0 --case 123 --keep FOLDER      (one case again, its files kept)

Counts tracebacks, hangs, deaths, code that ran, and results that changed without a word; prints how to
see each again. Exit status 0 if there is none, else 1. Needs a system with fork.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from fuzz.corpus import Corpus, make
from fuzz.execute import warm_up
from fuzz.judge import Verdict, clear, in_a_fork, read_verdict


def campaign(
    seed: int,
    numbers: Iterator[int],
    corpus: Corpus,
    folder: Path,
    jobs: int,
    keep: Path | None,
    keep_all: bool,
) -> Iterator[Verdict]:
    """Verdicts on the cases ``numbers`` as they come; folders of those with faults go to ``keep``."""
    running: dict[int, Path] = {}
    exhausted = False
    while running or not exhausted:
        while len(running) < jobs and not exhausted:
            number = next(numbers, None)
            if number is None:
                exhausted = True
                break
            place = folder / f"case-{number}"
            running[in_a_fork(seed, number, corpus, place)] = place
        if not running:
            return
        pid, _ = os.wait()
        place = running.pop(pid)
        verdict = read_verdict(place)
        if keep is not None and (verdict.fault or keep_all):
            with contextlib.suppress(shutil.Error):  # of a pipe, which no copy can be
                shutil.copytree(place, keep / place.name, dirs_exist_ok=True, symlinks=True)
        clear(place)
        yield verdict


def until(end: float, most: int | None) -> Iterator[int]:
    """Case numbers from 0 until the clock says ``end``, ``most`` of them at most."""
    number = 0
    while time.monotonic() < end and (most is None or number < most):
        yield number
        number += 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign and print what it found."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--cases", type=int, help="stop after so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="only the case of this number")
    parser.add_argument("--jobs", type=int, default=1, help="cases at a time")
    parser.add_argument(
        "--keep", type=Path, help="folder for the files of cases that found a fault"
    )
    wish = parser.parse_args(arguments)
    if not hasattr(os, "fork"):
        parser.error("this needs a system with fork")
    warm_up()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        corpus = make(Path(name) / "corpus")
        end = time.monotonic() + 60 * wish.minutes
        one = wish.case is not None
        numbers = iter([wish.case]) if one else until(end, wish.cases)
        kinds: collections.Counter[str] = collections.Counter()
        statuses: collections.Counter[int] = collections.Counter()
        spent: dict[str, float] = collections.defaultdict(float)
        faults: list[Verdict] = []
        for verdict in campaign(wish.seed, numbers, corpus, Path(name), wish.jobs, wish.keep, one):
            kinds[verdict.kind] += 1
            spent[verdict.kind] += verdict.seconds
            if kinds.total() % 100 == 0:
                sys.stderr.write(f"{kinds.total()} cases, {len(faults)} faults\n")
            statuses.update(verdict.statuses)
            if verdict.fault:
                faults.append(verdict)
                print(_told(verdict, wish.seed), flush=True)
            elif one:
                print(verdict)
    total = sum(kinds.values())
    print(f"seed {wish.seed}: {total} cases in {time.monotonic() - begun:.0f} s")
    print("  of each kind:", ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())))
    times = ", ".join(f"{spent[kind]:.0f} {kind}" for kind in sorted(kinds))
    print(f"  processor seconds: {sum(spent.values()):.0f}, of these {times}")
    print("  exit statuses:", ", ".join(f"{n} of {s}" for s, n in sorted(statuses.items())))
    found = collections.Counter(verdict.fault for verdict in faults)
    print("  faults:", ", ".join(f"{n} {fault}" for fault, n in found.items()) or "none")
    return int(bool(faults))


def _told(verdict: Verdict, seed: int) -> str:
    lines = [f"{verdict.fault.upper()} in case {verdict.number} ({verdict.kind}): {verdict.what}"]
    lines += [f"  {command}" for command in verdict.commands]
    lines += [f"    | {line}" for line in verdict.details.splitlines()[-12:]]
    lines.append(f"  again: python -m fuzz --seed {seed} --case {verdict.number} --keep FOLDER")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
