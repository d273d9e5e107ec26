"""The faults that tests must notice stand where they say, once, and name tests that exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.fault import Fault
from faults.semantic import FAULTS

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.file}: {fault.old[:40]}")
def test_a_fault_can_be_made(fault: Fault) -> None:
    assert (ROOT / fault.file).read_text().count(fault.old) == 1
    for test in fault.tests:
        path, _, name = test.partition("::")
        text = (ROOT / path).read_text() if (ROOT / path).is_file() else ""
        assert (ROOT / path).exists()
        assert not name or f"def {name.partition('[')[0]}(" in text
