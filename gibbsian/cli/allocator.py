"""The C library's allocator, told to keep what a computation frees instead of handing it back each time."""

from __future__ import annotations

import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # numbers of glibc's malloc.h
KEPT = 512 * 2**20
"""Bytes of freed memory above which some goes back to the system."""
MAPPED = 32 * 2**20
"""Bytes from which an allocation is a mapping of its own, which freeing hands back; glibc's largest."""
OPT_OUT = "GIBBSIAN_ALLOCATOR"


def keep_freed_memory() -> bool:
    """Raise the thresholds of glibc's malloc; return whether they are.

    By default every tensor of some megabytes is fresh memory, which the system clears page by page. Only
    the command line calls this; importing the library changes nothing. The environment variable
    ``GIBBSIAN_ALLOCATOR=system`` leaves the allocator as it is, and so do glibc's own variables
    (``MALLOC_TRIM_THRESHOLD_``, ``MALLOC_MMAP_THRESHOLD_``); elsewhere than on Linux nothing happens.
    """
    own = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
    if os.environ.get(OPT_OUT) == "system" or any(name in os.environ for name in own):
        return False
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    raised = [mallopt(M_MMAP_THRESHOLD, MAPPED), mallopt(M_TRIM_THRESHOLD, KEPT)]
    return all(raised)
