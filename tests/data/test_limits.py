"""Files that unpack to more than they look like, and shapes that no memory holds."""

import gzip
import io
import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from gibbsian.data import named
from gibbsian.data.readers import read
from gibbsian.data.sets import NAMED


def png(width, height):
    """A valid image of zeros, a thousandth of its size."""
    buffer = io.BytesIO()
    Image.new("L", (width, height)).save(buffer, "png")
    return buffer.getvalue()


def zip_of(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_", "."), content)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setenv("GIBBSIAN_MAX_BYTES", "100000")
    monkeypatch.setenv("GIBBSIAN_MAX_PIXELS", "10000")
    monkeypatch.setenv("GIBBSIAN_MAX_COLUMNS", "50")


def refused(path, **options):
    with pytest.raises(ValueError) as caught:
        read(path, **options)
    return str(caught.value)


BYTES = "above the limit of 1e.05; set GIBBSIAN_MAX_BYTES to allow more"


def test_zips(tmp_path, monkeypatch):
    path = tmp_path / "images.zip"
    zip_of(path, a_png=png(8, 8), b_png=b"\0" * 10**6)
    assert path.stat().st_size < 3000
    assert re.search(BYTES, refused(path))
    zip_of(path, **{f"a{i}_png": b"\0" * 60_000 for i in range(3)})  # each is allowed, all are not
    assert re.search(BYTES, refused(path))
    monkeypatch.setenv("GIBBSIAN_MAX_BYTES", str(10**7))
    assert "cannot be read as an image" in refused(path)


def test_arrays(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros((10**5, 2)))
    assert re.search(BYTES, refused(tmp_path / "x.npz"))


def test_compressed_tables(tmp_path):
    with gzip.open(tmp_path / "t.csv.gz", "wb") as file:
        file.write(b"0,0\n" * 10**5)
    assert re.search(BYTES, refused(tmp_path / "t.csv.gz"))


def test_parquet(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

    table = pyarrow.table({"a": np.zeros(10**6), "b": np.zeros(10**6)})
    parquet.write_table(table, tmp_path / "t.parquet")
    assert re.search(BYTES, refused(tmp_path / "t.parquet"))


def test_pixels(tmp_path):
    (tmp_path / "p.png").write_bytes(png(200, 200))
    message = "above the limit of 1e.04; set GIBBSIAN_MAX_PIXELS to allow more"
    assert re.search(message, refused(tmp_path / "p.png"))
    (tmp_path / "p.png").write_bytes(png(50, 50))
    assert re.search(message, refused(tmp_path / "p.png", size=100_000))
    assert read(tmp_path / "p.png", size=100).x.shape == (1, 1, 100, 100)


def test_columns(tmp_path):
    (tmp_path / "t.csv").write_text("\n".join(",".join("1" * 51) for _ in range(3)))
    assert "t.csv has 51 columns, above the limit of 50" in refused(tmp_path / "t.csv")
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

    table = pyarrow.table({f"c{i}": [1.0] for i in range(51)})
    parquet.write_table(table, tmp_path / "t.parquet")
    assert "has 51 columns" in refused(tmp_path / "t.parquet")


HEADER = b"\x93NUMPY\x01\x00"


@pytest.mark.parametrize("length", [0, 1, 5, 10, 30, 60, 100])
def test_truncated_headers_of_arrays(length, tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((4, 2)))
    content = bytearray(buffer.getvalue())
    content[8:10] = length.to_bytes(2, "little")  # as long as the header says it is
    (tmp_path / "x.npy").write_bytes(content)
    assert "x.npy" in refused(tmp_path / "x.npy")
    (tmp_path / "x.npy").write_bytes(buffer.getvalue()[: 10 + length])
    assert "x.npy" in refused(tmp_path / "x.npy")


@pytest.mark.parametrize(
    "header",
    [
        b"(" * 5000,
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (" + b"9" * 400 + b",)}",
        b"{'descr': '|S0', 'fortran_order': False, 'shape': (1000000000000,)}",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -8)}",
        b"{'descr': ('<f8', (1000000000,)), 'fortran_order': False, 'shape': (2,)}",
        b"{'descr': 'zz', 'fortran_order': False, 'shape': (2,)}",
        b"{'descr': '<f8'",
        b"'''",
        b"\xff\xfe",
        b"__import__('os')",
    ],
)
def test_hostile_headers_of_arrays(header, tmp_path):
    content = HEADER + len(header).to_bytes(2, "little") + header + b"\0" * 64
    (tmp_path / "x.npy").write_bytes(content)
    assert "x.npy" in refused(tmp_path / "x.npy")


def test_named_sets(tmp_path):
    for file in NAMED["mnist"].files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        with gzip.open(tmp_path / file, "wb") as packed:
            packed.write(b"\0" * 10**6)
    with pytest.raises(ValueError, match=BYTES):
        named.read("mnist", tmp_path)
