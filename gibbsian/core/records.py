"""JSON records that notice a changed bit: each carries a checksum of its own content.

A checksum finds damage and mix-ups. It is no signature: whoever changes a record on purpose can
compute a new one, so what a record says is checked besides.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gibbsian.core.files import CorruptFileError, read_json, write_json

CHECK = "checksum"
LINE_END = len(', "checksum": "00000000"}')


def checksum(entries: Mapping[str, Any]) -> str:
    """SHA-256 of ``entries`` as JSON, in hexadecimal, whatever their order and layout."""
    text = json.dumps(entries, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sealed(entries: Mapping[str, Any]) -> dict[str, Any]:
    """``entries`` with their checksum."""
    return {**entries, CHECK: checksum(entries)}


def unsealed(entries: Any, path: Path, remedy: str = "restore it from a copy") -> dict[str, Any]:
    """``entries`` without their checksum; CorruptFileError naming ``path`` where it does not match."""
    if not isinstance(entries, dict):
        raise CorruptFileError(f"{path} is damaged: it holds no JSON object; {remedy}")
    rest = {name: value for name, value in entries.items() if name != CHECK}
    try:
        found = checksum(rest)
    except (ValueError, RecursionError) as error:  # NaN, and nesting, which nobody here writes
        raise CorruptFileError(f"{path} is damaged ({error}); {remedy}") from error
    if entries.get(CHECK) != found:
        raise CorruptFileError(
            f"{path} is damaged: its checksum does not match its content; {remedy}"
        )
    return rest


def write_record(path: Path, entries: Mapping[str, Any]) -> None:
    """Write ``entries`` with their checksum as indented JSON, atomically."""
    write_json(path, sealed(entries))


def read_record(path: Path, remedy: str = "restore it from a copy") -> dict[str, Any]:
    """What ``write_record`` wrote; CorruptFileError, with ``remedy``, for anything else."""
    return unsealed(read_json(path), path, remedy)


def line(entry: Mapping[str, Any], key: str) -> bytes:
    """``entry`` as a line of a log, with a checksum of itself and of ``key``, the log's identity."""
    text = json.dumps(entry).encode()
    return text[:-1] + b', "checksum": "%08x"}\n' % zlib.crc32(text, _start(key))


def parse_line(text: bytes, key: str) -> dict[str, Any] | None:
    """The entry of a line that ``line`` made, with or without its end; None for any other."""
    content = content_of(text, key)
    return None if content is None else json.loads(content)


@functools.lru_cache(16)
def _start(key: str) -> int:
    """What the checksums of a log's lines begin with."""
    return zlib.crc32(key.encode())


def content_of(text: bytes, key: str) -> bytes | None:
    """The JSON of such a line, without its checksum; None where that does not match."""
    text = text.rstrip(b"\n")
    content = text[:-LINE_END] + b"}"
    end = b', "checksum": "%08x"}' % zlib.crc32(content, _start(key))
    return content if text.endswith(end) else None


def all_match(lines: Sequence[bytes], key: str) -> bool:
    """Whether ``content_of`` would know every line, each with its end; in a third of the time."""
    heads = [text[: -LINE_END - 1] for text in lines]
    sums = map(
        zlib.crc32, itertools.repeat(b"}"), map(zlib.crc32, heads, itertools.repeat(_start(key)))
    )
    found = b"".join([text[-LINE_END - 1 :] for text in lines])
    if len(found) != len(lines) * (LINE_END + 1):
        return False
    tails = np.frombuffer(found, "S1").reshape(len(lines), LINE_END + 1)
    text = np.frombuffer(b', "checksum": "00000000"}\n', "S1")
    digits = slice(-11, -3)
    fixed = np.delete(tails, digits, axis=1) == np.delete(text, digits)
    wanted = np.fromiter(sums, ">u4", len(lines)).tobytes().hex().encode()
    return bool(fixed.all()) and tails[:, digits].tobytes() == wanted
