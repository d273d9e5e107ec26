"""Files that are either the old ones or the new ones, never something between, and never a pickle."""

from __future__ import annotations

import io
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
