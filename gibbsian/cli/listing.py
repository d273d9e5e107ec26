"""The command ``list``: methods, data, recipes, networks. Each list imports what it shows and no more."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

from gibbsian.core import nearest


def list_(arguments: list[str]) -> int:
    """Show what there is: `list`, or `list methods|data|recipes|networks`."""
    if not arguments:
        return _everything()
    what = arguments[0]
    if what in ("-h", "--help"):
        print(f"usage: gibbsian list [{'|'.join(TABLES)}]")
        return 0
    if what not in TABLES:
        raise nearest("list", what, TABLES)
    if len(arguments) > 1:
        raise ValueError(f"one list at a time: leave out {' '.join(arguments[1:])}")
    rows = TABLES[what]()
    width = max(19, *(len(name) for name, _ in rows))
    for name, text in rows:
        print(f"{name:{width}s} {text}")
    if what == "data":
        print(
            "image sets also averaged to a SIZE, as in mnist-14, and as bits, as in digits-binary"
        )
    return 0


def _everything() -> int:
    """The names in all lists, wrapped; of networks those of each role."""
    for what, rows_of in TABLES.items():
        print(f"{what} (`gibbsian list {what}` says more):")
        rows = rows_of()
        lines = [f"{role}: {names}" for role, names in rows] if what == "networks" else []
        for line in lines or [", ".join(name for name, _ in rows)]:
            print(
                textwrap.fill(
                    line, 96, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
                )
            )
    return 0


def about(thing: object) -> str:
    """The first line of a docstring, of the function itself where some arguments are filled in."""
    thing = getattr(thing, "func", thing)
    return (thing.__doc__ or "").strip().splitlines()[0]


def _methods() -> list[tuple[str, str]]:
    from gibbsian.methods import TRAINING_METHODS

    return [(name, about(cls)) for name, cls in TRAINING_METHODS.items()]


def _data() -> list[tuple[str, str]]:
    from gibbsian import data

    return [(entry.name, entry.description) for entry in data.dataset_names()]


def _recipes() -> list[tuple[str, str]]:
    from gibbsian.config import recipes

    return [(name, about(function)) for name, function in recipes.RECIPES.items()]


def _networks() -> list[tuple[str, str]]:
    from gibbsian.models.build import known_networks

    return [(role, ", ".join(names)) for role, names in known_networks().items()]


TABLES: dict[str, Callable[[], list[tuple[str, str]]]] = {
    "methods": _methods,
    "data": _data,
    "recipes": _recipes,
    "networks": _networks,
}
