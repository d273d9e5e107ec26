"""The command line raises the allocator's thresholds; the library does not."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from gibbsian.cli.allocator import OPT_OUT, keep_freed_memory

GLIBC = platform.libc_ver()[0] == "glibc"
FAULTS = """
import resource, sys
import torch
from gibbsian.cli.allocator import keep_freed_memory
if sys.argv[1] == "raised":
    assert keep_freed_memory()
blocks = lambda: [torch.ones(2**20) for _ in range(16)]  # 64 MB in pieces of 4 MB
blocks()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    blocks()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(mode: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(not GLIBC, reason="only glibc has these thresholds")
def test_freed_memory_is_used_again() -> None:
    # Measured 4 097 and 5 120 against 17 394 and 33 733.
    assert faults("raised") < faults("plain") / 2


@pytest.mark.parametrize("name", [OPT_OUT, "MALLOC_TRIM_THRESHOLD_"])
def test_the_allocator_is_left_alone_where_asked(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "system")
    assert not keep_freed_memory()
