"""One small trained run for every test of the command line, and the check that input is refused well."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gibbsian.cli import main
from gibbsian.core.tensor_files import read_tensors

NOTE = re.compile(r"^gibbsian: (?!error: )")
SMALL = [
    *(
        "--max-rows",
        "200",
        "--batch",
        "32",
        "--rounds",
        "4",
        "--save-every",
        "2",
        "--device",
        "cpu",
    ),
    *("--chains", "16", "--sampler.steps", "2", "--sampler.steps-per-sample", "2"),
    *("--energy.width", "8", "--energy.fourier-features", "4"),
]
NETWORK = """
import torch
from torch import nn


class Net(nn.Module):
    confining = True

    def __init__(self):
        super().__init__()
        self.hidden, self.head = nn.Linear(2, 8), nn.Linear(8, 1)

    def forward(self, x):
        return self.head(torch.tanh(self.hidden(x))).squeeze(1) + x.square().sum(1) / 2
"""
"""A module with a network of one's own, a small energy that grows at infinity."""
GAME = [
    *("--max-rows", "200", "--batch", "32", "--rounds", "2", "--device", "cpu"),
    *("--generator.width", "8"),
]


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file below ``folder`` with its bytes; None for folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if "__pycache__" not in path.parts
    }


def same(one: Path, two: Path) -> bool:
    """Whether two files hold the same facts and, to the bit, the same tensors (in any order)."""
    (a, facts), (b, other) = read_tensors(one), read_tensors(two)
    return facts == other and a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A finished run of contrastive divergence on moons with checkpoints of rounds 2 and 4."""
    run = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", "cd", "--data", "moons", *SMALL, "--out", str(run)]) == 0
    return run


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty folder to stand in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(trained, here) -> Path:
    """A copy of the run that a test may damage: ``./run``."""
    shutil.copytree(trained, here / "run")
    return here / "run"


@pytest.fixture
def refused(here, capsys) -> Callable[..., str]:
    """Run a command that must be refused; return its one sentence.

    Exit status 2, one line on standard error (after notes on the data, where those were read), none on
    standard output, no file changed.
    """

    def refuse(*words: object) -> str:
        capsys.readouterr()
        before = contents(here)
        status = main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert status == 2, err
        assert out == ""
        spoken = [line for line in err.splitlines() if not line.startswith("gibbsian: warning: ")]
        noted, error = spoken[:-1], spoken[-1]
        assert error.startswith("gibbsian: error: ") and all(map(NOTE.search, noted)), err
        assert contents(here) == before
        return error.removeprefix("gibbsian: error: ")

    return refuse
