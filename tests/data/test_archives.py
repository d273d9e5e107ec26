"""Archives whose directory is damaged or that are packed in rare ways are refused in a sentence."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gibbsian.data.readers import read

FLAGS, METHOD, CRC, OFFSET = 8, 10, 16, 42
"""Places of entries in a member's record in the directory of an archive."""


def arrays(path: Path) -> None:
    np.savez(path, x=np.arange(20.0).reshape(10, 2))


def images(path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(buffer, "png")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", buffer.getvalue())


@pytest.mark.parametrize(("write", "name"), [(arrays, "x.npz"), (images, "x.zip")])
@pytest.mark.parametrize(
    ("place", "noise", "said"),
    [
        (FLAGS, b"\x01\x00", "encrypted"),
        (FLAGS, b"\x40\x00", "strong encryption"),
        (FLAGS, b"\x20\x00", "patched"),
        (METHOD, b"\x63\x00", "packed by method 99"),
        (METHOD, b"\x0c\x00", "packed by method 12"),
        (METHOD, b"\x0e\x00", "packed by method 14"),
        (METHOD, b"\x08\x00", "not an intact"),
        (CRC, b"\x00\x00\x00\x00", "not an intact"),
        (OFFSET, b"\x07\x00\x00\x00", "not an intact"),
    ],
)
def test_a_damaged_directory(write, name, place, noise, said, tmp_path):
    path = tmp_path / name
    write(path)
    content = bytearray(path.read_bytes())
    start = content.rindex(b"PK\x01\x02") + place
    content[start : start + len(noise)] = noise
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=said):
        read(path)
