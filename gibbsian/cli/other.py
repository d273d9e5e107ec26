"""Commands that need no run: ``list`` and ``demo``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from gibbsian import data, recipes
from gibbsian.assemble import known_networks
from gibbsian.cli.console import parse
from gibbsian.cli.train import about
from gibbsian.core import nearest
from gibbsian.methods import METHODS


def list_(arguments: list[str]) -> int:
    """Show what there is: `list methods|data|recipes|networks`."""
    tables: dict[str, Callable[[], list[tuple[str, str]]]] = {
        "methods": lambda: [(name, about(cls)) for name, cls in METHODS.items()],
        "data": lambda: [(entry.name, entry.description) for entry in data.names()],
        "recipes": lambda: [(name, about(f)) for name, f in recipes.RECIPES.items()],
        "networks": lambda: [(role, ", ".join(names)) for role, names in known_networks().items()],
    }
    what = arguments[0] if arguments else "--help"
    if what in ("-h", "--help"):
        print("usage: gibbsian list methods|data|recipes|networks")
        return 0
    if what not in tables:
        raise nearest("list", what, tables)
    if len(arguments) > 1:
        raise ValueError(f"one list at a time: leave out {' '.join(arguments[1:])}")
    for name, text in tables[what]():
        print(f"{name:20s}{text}")
    return 0


def demo(arguments: list[str]) -> int:
    """Train on handwritten digits, sample, score, and write a report with pictures (minutes)."""
    from gibbsian.demo import run_demo  # matplotlib takes a second to import

    wish = parse(Demo, arguments, "demo")
    return run_demo(wish.out, wish.quick)


@dataclasses.dataclass(frozen=True)
class Demo:
    """Train on real handwritten digits and on one 2-D density; write pictures and a report.

    Args:
        out: folder for the two runs; earlier demo runs in it are replaced.
        quick: a few rounds only, to see that everything works.
    """

    out: Path = Path("runs/demo")
    quick: bool = False
