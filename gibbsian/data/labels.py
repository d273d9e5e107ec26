"""Classes to sample from: one number for all samples, or a file with one per sample."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from gibbsian.data import readers
from gibbsian.data.rows import arranged

DIGITS = 9
"""Class numbers have no more."""


def read_labels(given: str) -> Tensor:
    """The class number ``given`` says, 0-d, or those in the file of that name, ``[N]``; int64.

    Raises ValueError for what is neither a number nor a file, or a file that holds other things than
    one whole number a row.
    """
    if given.isdecimal():
        if len(given) > DIGITS:
            raise ValueError(
                f"no class has the number {given[:40]}; give one of at most {DIGITS} digits"
            )
        return torch.tensor(int(given))
    if not Path(given).is_file():
        raise ValueError(
            f"--condition-on takes a class number or a file with one per row, not {given!r}"
        )
    x = torch.tensor(arranged(readers.read(Path(given)), given).x).double()
    if x.numel() != len(x) or bool(((x != x.round()) | (x.abs() >= 10**DIGITS)).any()):
        raise ValueError(f"{given} must hold one class, a whole number, per row")
    return x.flatten().long()
