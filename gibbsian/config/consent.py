"""Code that a file names is imported only with consent.

Names of built-in networks are no code. ``package.module:Class`` is: importing it runs whatever the
module holds. Typed on the command line or in Python it is the user's own choice; read from a
configuration, a space of settings or a journal it is whoever's wrote the file.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.machinery import PathFinder
from pathlib import Path

from gibbsian.core.text import printable


def check_consent(names: Mapping[str, str], origin: str, trust_code: bool) -> None:
    """ValueError where ``names`` hold code and nobody has said ``trust_code``; nothing is imported.

    ``names``: what is named, in words, to its name. ``origin``: the file that says so.
    """
    if trust_code:
        return
    for what, name in names.items():
        if ":" in name:
            raise ValueError(
                f"{origin} names code that is not part of Gibbsian, {what} {printable(name)} "
                f"({whereabouts(name)}); it would run with all your rights, so add --trust-code "
                "(in Python trust_code=True) only if you trust who wrote it"
            )


def whereabouts(name: str) -> str:
    """Where the module of ``package.module:Class`` lies, found without importing anything."""
    top = name.partition(":")[0].partition(".")[0]
    if not top.isidentifier():
        return "no name of a module"
    if top in sys.builtin_module_names:
        return "built into Python"
    spec = PathFinder.find_spec(top, [str(Path.cwd()), *sys.path])
    if spec is None:
        return "not found on this computer"
    return printable(f"in {spec.origin or top}")
