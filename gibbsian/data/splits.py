"""Which rows are for training, validation and test, and their labels as numbers."""

from __future__ import annotations

import math

import numpy as np
import torch

from gibbsian.data.rows import Rows
from gibbsian.data.streams import derived

SPLIT = 2
"""Key of the generator that splits (``streams`` uses 0 and 1)."""


def orders(rows: Rows, seed: int, limit: int | None) -> dict[str, np.ndarray]:
    """Row numbers of each split: the official ones where there are any, otherwise by seed.

    By seed a tenth is for test and a tenth for validation; next to an official test set, a sixth
    of the rest is for validation (10 000 of MNIST's 60 000).
    """
    n = len(rows.x)
    share = 1.0 if limit is None else min(1.0, limit / n)
    rng = derived("cpu", seed, SPLIT)
    pools = np.split(np.arange(n), [n - rows.valids - rows.tests, n - rows.tests])
    train, valid, test = (
        pool[torch.randperm(len(pool), generator=rng).numpy()][: math.ceil(share * len(pool))]
        for pool in pools
    )
    if len(test) == 0:
        count = max(1, len(train) // 10)
        valid, test, train = train[:count], train[count : 2 * count], train[2 * count :]
    elif len(valid) == 0:
        count = max(1, len(train) // 6)
        valid, train = train[:count], train[count:]
    return {"train": train, "valid": valid, "test": test}


def labels_of(targets: np.ndarray) -> np.ndarray:
    """Class numbers as int64 and other numbers as float32; words become class numbers."""
    if targets.dtype.kind == "f":
        return targets.astype(np.float32)
    if targets.dtype.kind in "biu":
        return targets.astype(np.int64)
    return np.unique(targets, return_inverse=True)[1]
