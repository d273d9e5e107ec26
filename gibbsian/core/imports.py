"""Importing the code that a user names as ``package.module:name``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType


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
