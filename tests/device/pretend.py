"""A plugin of pytest, given by ``-p tests.device.pretend``: the pretended device is there from here on."""

from __future__ import annotations

import os

from tests.device.stub import load

os.environ.setdefault(
    "GIBBSIAN_TYPECHECK", "0"
)  # types are checked by the other tests, in less time
TYPE = os.environ.setdefault("GIBBSIAN_PRETEND", "cuda")
ABSENT = load()
"""Why there is no pretended device, in a sentence; empty where there is one."""

if not ABSENT:
    from tests.device.install import install

    install(TYPE)
