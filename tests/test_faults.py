"""The faults of `python -m faults` are still where they say: each text is found exactly once."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import faults

ROOT = Path(__file__).parent.parent


def test_every_fault_is_found_once() -> None:
    modules = [
        importlib.import_module(f"faults.{m.name}") for m in pkgutil.iter_modules(faults.__path__)
    ]
    known = [fault for module in modules for fault in getattr(module, "FAULTS", [])]
    assert len(known) > 90
    lost = [str(f) for f in known if (ROOT / f.file).read_text().count(f.old) != 1]
    assert not lost
    assert all((ROOT / test.partition("::")[0]).is_file() for f in known for test in f.tests)
