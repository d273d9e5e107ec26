"""Files read some rows at a time hold what they hold when read at once, and name the same faults."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from gibbsian.data import readers
from gibbsian.data.classes import Target

ROWS = 1000
KINDS = ("x.csv", "x.tsv", "x.csv.gz", "x.npy", "x.parquet", "f.npy", "x.npz")


@pytest.fixture
def x() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.column_stack([rng.normal(size=(ROWS, 2)), rng.integers(0, 5, ROWS)])


@pytest.fixture
def folder(x, tmp_path) -> Path:
    header = {"header": "a,b,kind", "comments": ""}
    np.savetxt(tmp_path / "x.csv", x, delimiter=",", **header)
    (tmp_path / "x.tsv").write_text((tmp_path / "x.csv").read_text().replace(",", "\t"))
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress((tmp_path / "x.csv").read_bytes()))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "f.npy", np.asfortranarray(x))
    np.savez(tmp_path / "x.npz", x=x)
    pyarrow, parquet = map(pytest.importorskip, ("pyarrow", "pyarrow.parquet"))
    columns = {name: x[:, j] for j, name in enumerate(("a", "b", "kind"))}
    parquet.write_table(pyarrow.table(columns), tmp_path / "x.parquet")
    return tmp_path


@pytest.mark.parametrize("name", KINDS)
def test_parts_are_the_whole(name, folder, x):
    parts = list(readers.read_parts(folder / name, rows=64))
    whole = readers.read(folder / name)
    np.testing.assert_array_equal(np.concatenate([part.x for part in parts]), whole.x)
    np.testing.assert_array_equal(whole.x, x)
    assert {part.columns for part in parts} == {whole.columns}
    longest = max(len(part.x) for part in parts)
    assert longest == (ROWS if name in ("f.npy", "x.npz") else 64)


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_a_column_of_classes_is_left_out_of_each_part(name, folder, x):
    target = Target("kind", others=2)
    parts = list(readers.read_parts(folder / name, target=target, rows=64))
    np.testing.assert_array_equal(np.concatenate([part.x for part in parts]), x[:, :2])
    whole = readers.read(folder / name, target=Target("kind"))
    assert whole.targets.tolist() == x[:, 2].astype(int).tolist()


@pytest.mark.parametrize("line", [3, 500, 1001])
@pytest.mark.parametrize(
    ("cell", "said"), [("nan", "missing value nan"), ("inf", "holds inf"), ("x", "the text 'x'")]
)
def test_a_bad_cell_is_named_in_whichever_part(line, cell, said, folder):
    lines = (folder / "x.csv").read_text().splitlines()
    lines[line - 1] = f"1,{cell},2"
    (folder / "x.csv").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=rf"{said} .*at row {line - 1} \(line {line}\), column 2"):
        list(readers.read_parts(folder / "x.csv", rows=64))


def test_rows_of_another_length_and_blank_lines(folder):
    lines = (folder / "x.csv").read_text().splitlines()
    spread = folder / "spread.csv"
    spread.write_text("\n\n".join(lines) + "\n\n\n")
    found = [part.x for part in readers.read_parts(spread, rows=64)]
    assert sum(map(len, found)) == ROWS
    lines[700] += ",9"
    spread.write_text("\n".join(lines))
    with pytest.raises(ValueError, match="line 701 has 4 columns, line 1 has 3"):
        list(readers.read_parts(spread, rows=64))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n \n", "is empty"),
        ("a,b\n", "has a header but no rows"),
        ('1,2\n"3\n4,5\n', r"cannot be read as delimited text from line 2 on: .*; mend its"),
        (",a\n" + "".join(f"{i},0.5\n" for i in range(200)), "only numbers the rows"),
    ],
)
def test_faults_of_the_whole(text, said, tmp_path):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=said):
        list(readers.read_parts(tmp_path / "t.csv", rows=64))


def test_a_packed_file_is_not_unpacked_beyond_the_limit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIBBSIAN_MAX_BYTES", "10000")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"1,2\n" * 5000))
    with pytest.raises(ValueError, match="unpacks to at least"):
        list(readers.read_parts(tmp_path / "t.csv.gz"))
