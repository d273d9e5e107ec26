"""Files that are either the old ones or the new ones, never something between, and never a pickle."""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

PART = ".part"
"""Ending of a file that is being written."""


class CorruptFileError(ValueError):
    """A file that this program wrote does not hold what was written."""


def write_atomic(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``: write beside it, fsync, rename, fsync the folder.

    A crash at any point leaves the previous file whole. Raises OSError as the system does, naming
    ``path``.
    """
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[io.BufferedWriter]:
    """A file to write to, which replaces ``path`` when the block ends, and not if it ends by an error.

    As ``write_atomic``, for contents that are not in memory at once.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = part_of(path)
        try:
            with open(part, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:  # of a write it names no file, of the rest a file of ours
        raise OSError(error.errno, error.strerror, str(path)) from error


def part_of(path: Path) -> Path:
    """A new name beside ``path`` for what is to become it."""
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}{PART}")


def sync_folder(path: Path) -> None:
    """Have the names in a folder survive a power failure."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically; NaN and infinity are refused (ValueError)."""
    write_atomic(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read JSON; a file that is not JSON is a CorruptFileError naming it."""
    try:
        return json.loads(path.read_text())
    except (
        ValueError,
        RecursionError,
    ) as error:  # not JSON, not UTF-8, digits or brackets without end
        raise CorruptFileError(
            f"{path} is not valid JSON ({error}); restore it from a copy"
        ) from error


def digest(tensors: Mapping[str, Tensor], facts: str) -> str:
    """A hash, 32 hexadecimal digits, of named tensors, in the order of their names, and of a text."""
    found = hashlib.blake2b(facts.encode(), digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        found.update(f"{name}{tensor.dtype}{list(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


class ForeignFileError(ValueError):
    """A whole file that belongs to another run."""


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
