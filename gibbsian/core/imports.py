"""Importing the code that a user names as ``package.module:name``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from gibbsian.core.module_errors import blaming
from gibbsian.core.names import did_you_mean


def import_named(spec: str, kind: str, thing: str = "Class") -> Any:
    """What ``spec``, ``package.module:name``, names.

    ``kind`` of thing of the user's own ("network", "tracker") and ``thing``, what stands for the name in
    the form, are for sentences. Importing runs the module: whoever passes a name that was read from a file
    has asked `gibbsian.config.consent.check_consent` first.

    Raises ValueError, in one sentence, when the text is not of this form, when the module is not
    found or fails, and when it has nothing of that name.
    """
    module, colon, name = spec.partition(":")
    if not (module and colon and name):
        article = "an" if kind[0] in "aeiou" else "a"
        raise ValueError(
            f"{article} {kind} of your own is named package.module:{thing}, not {spec!r}"
        )
    if "/" in module or module.endswith(".py"):
        stem = module.removesuffix(".py").rpartition("/")[2]
        raise ValueError(
            f"{spec} names a file; go to its folder and write {stem}:{name}, as Python imports it"
        )
    with blaming(f"your own {kind} {spec}"):
        found = import_here(module)
    if not hasattr(found, name):
        own = [
            other
            for other, value in vars(found).items()
            if callable(value) and getattr(value, "__module__", "") == found.__name__
        ]
        hint = f"; {did_you_mean(name, own)}" if own else ""
        raise ValueError(f"module {module!r} has no {name!r}{hint}")
    return getattr(found, name)


def import_here(name: str) -> ModuleType:
    """The module ``name``, looked for in the current folder too; ValueError if it cannot be imported."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    except (ImportError, SyntaxError) as error:
        raise ValueError(
            f"cannot import {name!r} ({error}); it must be installed or lie in {folder}"
        ) from error
    finally:
        sys.path.remove(folder)
