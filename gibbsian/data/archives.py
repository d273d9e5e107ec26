"""Zip archives, those of arrays among them: what goes wrong in one is said in a sentence."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""How members may be packed: what every program that makes a zip does unless told otherwise."""


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive at ``path``; within the block too, ValueError in place of what a damaged one raises."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    # Of flags and versions that it does not know, and of nothing else here, it raises RuntimeErrors.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        kind = ".npz file" if path.suffix.lower() == ".npz" else "zip file"
        raise ValueError(f"{path} is not an intact {kind} ({error}); copy it again") from error


def check_member(member: zipfile.ZipInfo, path: Path) -> None:
    """ValueError where ``member`` of the archive at ``path`` is encrypted, or packed in a rare way."""
    if member.flag_bits & 1:
        raise ValueError(f"{path} is encrypted; make a zip without a password")
    if member.compress_type not in METHODS:
        raise ValueError(
            f"{path} holds {member.filename!r} packed by method {member.compress_type}; make a zip with "
            "the usual one (deflate)"
        )
