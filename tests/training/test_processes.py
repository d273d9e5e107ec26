"""Two processes hold the same bits, except what is declared local."""

import os
import subprocess
import sys

import torch

from gibbsian.core.files import read_tensors
from tests.training.toys import CountingStream


def torchrun(*arguments, timeout=300):
    """Run a module under torchrun with two gloo processes."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, "-m", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment,
        check=False,
    )


def test_replicas_stay_identical_and_local_buffers_differ(tmp_path):
    done = torchrun("tests.training.worker", str(tmp_path))
    assert done.returncode == 0, done.stderr[-2000:]
    first, _ = read_tensors(tmp_path / "rank0.safetensors")
    second, _ = read_tensors(tmp_path / "rank1.safetensors")
    different = {name for name in first if not torch.equal(first[name], second[name])}
    assert different == {"chains", "rng"}
    x = next(CountingStream()).x  # rank 1 sees the same points, shifted by 1
    torch.testing.assert_close(first["averaged step"], x.mean(0) + 0.5)
    saved = {path.name for path in (tmp_path / "state").iterdir()}
    assert saved == {f"round-000000{r}.rank{k}.safetensors" for r in (20, 30) for k in (0, 1)}
