"""NumPy files, without pickles."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tokenize import TokenError

import numpy as np

from gibbsian.core import limits
from gibbsian.core.names import first_few
from gibbsian.data.archives import check_member, opened
from gibbsian.data.rows import Rows

ERRORS_OF_HEADERS = (ValueError, EOFError, TokenError, SyntaxError, TypeError, RecursionError)
"""What NumPy's reader of headers, which are Python literals, raises for damaged ones."""
PREFERRED = ("x", "X", "data", "images", "samples", "train")
"""Which array of an ``.npz`` is taken where several could be."""


def read_npy(path: Path) -> Rows:
    """The array of a ``.npy`` file; ValueError when truncated, pickled or not one."""
    shape, fortran, dtype, start = npy_layout(path)
    flat = np.fromfile(path, dtype, math.prod(shape), offset=start)
    return Rows(flat.reshape(shape, order="F" if fortran else "C"))


def npy_layout(path: Path) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, whether columns lie one after another, type and first byte of the array of a ``.npy`` file."""
    with path.open("rb") as file:
        return *_header(file, path.stat().st_size, str(path)), file.tell()


def npy_parts(path: Path, rows: int) -> Iterator[Rows]:
    """The same as at most ``rows`` rows at a time, or as a whole where columns lie one after another."""
    with path.open("rb") as file:
        shape, fortran, dtype = _header(file, path.stat().st_size, str(path))
        if shape == () or 0 in shape or (fortran and len(shape) > 1):
            yield read_npy(path)
            return
        size = math.prod(shape[1:])
        for first in range(0, shape[0], rows):
            count = min(rows, shape[0] - first)
            part = np.frombuffer(file.read(count * size * dtype.itemsize), dtype)
            yield Rows(part.reshape(count, *shape[1:]))


def read_npz(path: Path) -> Rows:
    """One array of an ``.npz`` file: the only one, else the first of ``PREFERRED``; the notes say it."""
    name = _choice(list(_members(path)), path)
    return Rows(read_array(path, name), notes=(f"array {name!r} of {path.name}",))


def read_array(path: Path, name: str) -> np.ndarray:
    """The array called ``name`` of an ``.npz`` file; ValueError when missing, truncated or pickled."""
    members = _members(path)
    if name not in members:
        raise ValueError(f"{path} holds no array {name!r}; it holds {first_few(sorted(members))}")
    limits.check("BYTES", members[name].file_size, f"{path} unpacks to")
    check_member(members[name], path)
    with opened(path) as archive:
        content = archive.read(members[name])
    return _array(content, f"{path} (array {name!r})")


def _members(path: Path) -> dict[str, zipfile.ZipInfo]:
    with opened(path) as archive:
        return {
            member.filename.removesuffix(".npy"): member
            for member in archive.infolist()
            if member.filename.endswith(".npy")
        }


def _choice(names: list[str], path: Path) -> str:
    if not names:
        raise ValueError(f"{path} holds no arrays; write it with numpy.savez")
    if len(names) == 1:
        return names[0]
    for name in PREFERRED:
        if name in names:
            return name
    raise ValueError(
        f"{path} holds several arrays ({first_few(sorted(names))}); call the one to use 'x'"
    )


def _array(content: bytes, name: str) -> np.ndarray:
    """The one array in ``content``, after comparing what its header promises with what there is."""
    file = io.BytesIO(content)
    shape, fortran, dtype = _header(file, len(content), name)
    flat = np.frombuffer(content, dtype, math.prod(shape), offset=file.tell())
    return flat.reshape(shape, order="F" if fortran else "C")


def _header(
    file: io.BufferedIOBase, size: int, name: str
) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether columns lie one after another, and type of the array in ``size`` bytes.

    ValueError where the header promises another number of bytes, or what is no array of numbers.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        else:
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    except ERRORS_OF_HEADERS as error:
        raise ValueError(
            f"{name} is not an intact NumPy file ({error}); write it with numpy.save"
        ) from error
    if dtype.hasobject:
        raise ValueError(
            f"{name} holds pickled objects, which are not opened because they can run code; save a "
            "plain array of numbers"
        )
    if min(shape, default=0) < 0 or dtype.itemsize == 0 or dtype.subdtype is not None:
        raise ValueError(
            f"{name} is not an intact NumPy file (its header says {dtype} of shape {shape}); write it "
            "with numpy.save"
        )
    count = math.prod(shape)
    there = size - file.tell()
    if there < count * dtype.itemsize:
        raise ValueError(
            f"{name} is truncated: its header promises {count * dtype.itemsize} bytes of data, there "
            f"are {there}; copy or write it again"
        )
    if there > count * dtype.itemsize:
        raise ValueError(
            f"{name} is damaged: its header promises {count * dtype.itemsize} bytes of data, there are "
            f"{there}; copy or write it again"
        )
    return shape, fortran, dtype
