"""Stacked-MNIST: three digits as colours, the target says which."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from gibbsian.data import load_dataset, sets


def write_idx(path: Path, array: np.ndarray) -> None:
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    path.write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes()))


def test_a_stack_s_target_is_its_three_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each image is filled with 20 times its label; stacks are drawn anew for each set, the same ones."""
    (tmp_path / "mnist").mkdir()
    monkeypatch.setattr(sets, "STACKS", 500)
    for part, n in (("train", 50), ("t10k", 20)):
        labels = np.arange(n) % 10
        write_idx(tmp_path / f"mnist/{part}-labels-idx1-ubyte.gz", labels)
        images = np.broadcast_to(20 * labels[:, None, None], (n, 28, 28))
        write_idx(tmp_path / f"mnist/{part}-images-idx3-ubyte.gz", images)
    data = load_dataset("stacked-mnist-14", data_root=tmp_path)
    assert data.space.shape == (3, 14, 14) and data.space.box == (-1.0, 1.0)
    assert [len(part) for part in (data.train, data.valid, data.test)] == [400, 50, 50]
    digits = data.train[:, :, 3, 5] / 20
    place = torch.tensor([1.0, 10.0, 100.0])
    assert torch.equal((digits @ place).long(), data.targets["train"])
    assert len(torch.unique(data.targets["train"])) > 200  # of 1000, 400 draws hit about 330
    assert torch.equal(load_dataset("stacked-mnist-14", data_root=tmp_path).train, data.train)
