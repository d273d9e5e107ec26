"""What made the host wait for the device, by the line of the package that asked for it."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

PACKAGE = str(Path(__file__).parents[2] / "gibbsian") + "/"

_WAITING = (
    "_local_scalar_dense equal is_nonzero allclose nonzero masked_select unique_dim _unique _unique2 "
    "unique_consecutive bincount histc multinomial _linalg_check_errors _linalg_eigh linalg_eig "
    "_linalg_svd linalg_lstsq"
)
WAITING = frozenset(_WAITING.split())
"""Operations whose CUDA kernels end with a look at the result from the host."""

TYPE = os.environ.get("GIBBSIAN_PRETEND", "cuda")
INDEXING = frozenset(("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"))


@dataclass
class Waits:
    """(line, operation) -> how often."""

    waits: Counter[tuple[str, str]] = field(default_factory=Counter)
    uploads: Counter[tuple[str, str]] = field(default_factory=Counter)
    doubles: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """Times that the host waited: for a result, or for a copy from memory that is not pinned.

        An Apple GPU reads the host's own memory.
        """
        return self.waits.total() + (self.uploads.total() if TYPE == "cuda" else 0)

    def __str__(self) -> str:
        found = self.waits + self.uploads
        return "; ".join(f"{line}: {what} x{n}" for (line, what), n in found.most_common())


_recorders: list[Waits] = []


@contextmanager
def waits() -> Iterator[Waits]:
    """Count what happens in this block, on whatever thread."""
    found = Waits()
    _recorders.append(found)
    try:
        yield found
    finally:
        _recorders.remove(found)


def line() -> str:
    """The innermost line of the package on this thread's stack."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(PACKAGE):
            return f"{path.removeprefix(PACKAGE)}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]  # None at the end
    return "elsewhere"


def count(
    func: Any,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    here: bool,
    there: list[Any],
    host: bool,
) -> None:
    """Note one operation. ``there``: its tensors on the device; ``host``: some are on the CPU.

    ``here``: its result is on the CPU.
    """
    if not _recorders:
        return
    name, overload = func._schema.name.removeprefix("aten::"), func._overloadname
    asynchronous = kwargs.get("non_blocking", False) or (name == "copy_" and True in args[2:])
    what = waits_for(name, overload, args) if there else ""
    if name in ("_to_copy", "copy_") and there and here:
        what = "copy to the host"
    for found in _recorders:
        if what:
            found.waits[line(), what] += 1
        if uploads(name, args, asynchronous, here, bool(there), host):
            found.uploads[line(), f"{name} from pageable memory"] += 1
        if any(tensor.dtype == torch.float64 for tensor in there):
            found.doubles[line(), name] += 1


def waits_for(name: str, overload: str, args: tuple[Any, ...]) -> str:
    """The operation if its number of results, or whether it fails, is looked at by the host."""
    if name in WAITING or (name == "repeat_interleave" and overload == "Tensor"):
        return name
    if name in INDEXING and any(i is not None and i.dtype == torch.bool for i in args[1]):
        fills = name != "index" and args[2].numel() == 1  # becomes masked_fill
        return "" if fills else f"{name} by a mask"
    return ""


def uploads(
    name: str, args: tuple[Any, ...], asynchronous: bool, here: bool, there: bool, host: bool
) -> bool:
    """Whether the host has to wait until its memory is copied to the device."""
    if here or not host:
        return False
    if name in ("_to_copy", "copy_", "_foreach_copy_"):
        source = args[1] if name == "copy_" else args[0]
        return not (asynchronous and getattr(source, "pinned", False))
    return there and name in INDEXING  # indices on the host
