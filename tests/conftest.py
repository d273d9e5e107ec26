"""What holds for every test: checked types, one thread, deterministic kernels, a seeded start.

``GIBBSIAN_TEST_THREADS=2`` computes on two threads. ``GIBBSIAN_TYPECHECK=0`` runs the tests as users
run the package, without the checks. Tests with "compile" in their name run only so, because
torch.compile cannot trace the checks; ``make test`` runs both.
"""

from __future__ import annotations

import os

import jaxtyping
import pytest
import torch

import tests.typecheck  # noqa: F401 - looked up by name below

CHECKED = os.environ.get("GIBBSIAN_TYPECHECK", "1") != "0"
if CHECKED:
    # Arguments, results and dataclass fields are checked against their annotations, array shapes
    # among them. Only modules imported after this line are.
    jaxtyping.install_import_hook("gibbsian", "tests.typecheck.check")

os.environ.setdefault("MPLBACKEND", "Agg")
THREADS = os.environ.get("GIBBSIAN_TEST_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", THREADS)  # for the processes that tests start
torch.set_num_threads(int(THREADS))
torch.use_deterministic_algorithms(True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what the type checks stand in the way of, and say how to run it."""
    for item in items:
        if CHECKED and "compile" in item.nodeid:
            item.add_marker(pytest.mark.skip(reason="run with GIBBSIAN_TYPECHECK=0"))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Networks draw their weights from the global generator: the same ones in any test order."""
    torch.manual_seed(0)
