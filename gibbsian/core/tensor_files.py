"""Named tensors in files with a checksum and the identity of the run they belong to; never a pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from gibbsian.core.files import CorruptFileError, write_atomic


class ForeignFileError(ValueError):
    """A whole file that belongs to another run."""


def digest(tensors: Mapping[str, Tensor], facts: str) -> str:
    """A hash, 32 hexadecimal digits, of named tensors, in the order of their names, and of a text."""
    found = hashlib.blake2b(facts.encode(), digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        found.update(f"{name}{tensor.dtype}{list(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], run: str = ""
) -> None:
    """Write named tensors and JSON-able ``facts`` as one safetensors file with a checksum.

    ``run`` is the identity of the run it is a part of, if any.
    """
    copies = _apart(tensors)
    text = json.dumps(facts, allow_nan=False)
    metadata = {"facts": text, "run": run, "checksum": digest(copies, run + text)}
    write_atomic(path, safetensors.torch.save(copies, metadata))


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``tensors`` in main memory, contiguous; what lies in the same memory as another is copied."""
    found: dict[str, Tensor] = {}
    places: set[int] = set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        place = tensor.untyped_storage().data_ptr()
        found[name] = tensor.clone() if place in places else tensor
        places.add(place)
    return found


def read_tensors(path: Path, run: str | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what ``write_tensors`` wrote; anything else is a CorruptFileError naming the file.

    ForeignFileError where it is a part of another run than ``run``, if one is given.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for without end
        raise CorruptFileError(f"{path} is not a regular file")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError as error:
        raise CorruptFileError(f"{path} is truncated or damaged ({error})") from error
    there = metadata.get("run", "")
    if metadata.get("checksum") != digest(tensors, there + metadata.get("facts", "")):
        raise CorruptFileError(f"{path} is damaged: its checksum does not match its content")
    if run is not None and there != run:
        raise ForeignFileError(
            f"{path} belongs to another run, {there or 'without an identity'}, not to {run}; put the "
            "run's own file back"
        )
    return tensors, json.loads(metadata["facts"])
