"""A column of a table that holds classes leaves the observations and becomes their targets."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gibbsian.data import Dataset, load_dataset
from gibbsian.data.queries import read_points
from gibbsian.data.transforms import columnwise

X = np.random.default_rng(0).normal(size=(40, 2))
KINDS = np.array(["rose", "iris", "lily"] * 14)[:40]


def table(path: Path, cells: list[str], header: str = "a,kind,b\n") -> Path:
    rows = zip(X[:, 0], cells, X[:, 1], strict=True)
    path.write_text(header + "".join(f"{a},{kind},{b}\n" for a, kind, b in rows))
    return path


def check_rows(data: Dataset, classes: np.ndarray) -> None:
    """Every split holds the rows ``[a, b]`` with the class of each."""
    known = {a: (b, int(y)) for (a, b), y in zip(X.tolist(), classes, strict=True)}
    for part in ("train", "valid", "test"):
        y = data.targets[part]
        assert y.dtype == torch.int64
        for (a, b), label in zip(getattr(data, part).tolist(), y.tolist(), strict=True):
            assert known[a] == (b, label)


@pytest.mark.parametrize(
    ("header", "target"), [("a,kind,b\n", "kind"), ("a,kind,b\n", "2"), ("", "2")]
)
def test_words_become_class_numbers(tmp_path: Path, header: str, target: str) -> None:
    data = load_dataset(table(tmp_path / "x.csv", KINDS.tolist(), header), class_column=target)
    check_rows(data, np.unique(KINDS, return_inverse=True)[1])
    assert data.columns == (("a", "b") if header else None)
    assert any("3 classes: iris is 0, lily is 1, rose is 2" in note for note in data.notes)


def test_whole_numbers_are_class_numbers(tmp_path: Path) -> None:
    y = np.arange(40) % 4 + 1
    data = load_dataset(table(tmp_path / "x.csv", [f"{v}.0" for v in y]), class_column="kind")
    check_rows(data, y)
    assert any("column 2 ('kind') holds classes from 0 to 4" in note for note in data.notes)


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "x.parquet"
    columns = {"a": X[:, 0], "kind": pyarrow.array(KINDS).dictionary_encode(), "b": X[:, 1]}
    pq.write_table(pyarrow.table(columns), path)
    data = load_dataset(path, class_column="kind")
    check_rows(data, np.unique(KINDS, return_inverse=True)[1])
    assert data.columns == ("a", "b")
    assert read_points(path, data.transform, class_column="kind").shape == (40, 2)
    missing = pyarrow.table(columns | {"kind": pyarrow.array([None, *KINDS[1:]])})
    pq.write_table(missing, path)
    with pytest.raises(ValueError, match=r"an empty cell at row 1, column 2 \('kind'\); drop"):
        load_dataset(path, class_column="kind")


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("1.5", r"holds 1.5 at row 3, column 2 \('kind'\); classes must be whole numbers"),
        ("-1", "holds -1 at row 3, .* whole numbers from 0, or words"),
        ("1e300", "holds 1e300 at row 3"),
        ("NA", r"the missing value NA at row 3, column 2 \('kind'\); drop or fill"),
        ("", "an empty cell at row 3, .* drop or fill"),
    ],
)
def test_what_is_no_class(tmp_path: Path, cell: str, sentence: str) -> None:
    path = table(tmp_path / "x.csv", ["0", "1", cell, *["1"] * 37])
    with pytest.raises(ValueError, match=sentence):
        load_dataset(path, class_column="kind")


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    named = table(tmp_path / "x.csv", KINDS.tolist())
    for target in ("kinds", "0", "4", "-1"):
        with pytest.raises(ValueError, match=f"no column '{target}'; .* did you mean .*kind"):
            load_dataset(named, class_column=target)
    with pytest.raises(ValueError, match=r"no header row; .* number of a column, from 1 to 3"):
        load_dataset(table(tmp_path / "y.csv", KINDS.tolist(), ""), class_column="kind")
    (tmp_path / "z.csv").write_text("kind\n1\n2\n3\n4\n")
    with pytest.raises(ValueError, match="one column, its --class-column"):
        load_dataset(tmp_path / "z.csv", class_column="kind")


@pytest.mark.parametrize("source", ["moons", "digits", "x.npy", "folder"])
def test_data_without_columns_take_no_target(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)
    Path("folder").mkdir()
    with pytest.raises(ValueError, match=f"{source} takes no --class-column: .* .csv or .parquet"):
        load_dataset("./folder" if source == "folder" else source, class_column="a")


@pytest.mark.parametrize(("target", "others"), [("kind", ("a", "b")), ("2", ()), ("2", ("a", "b"))])
def test_rows_to_score_may_have_their_classes_or_not(
    tmp_path: Path, target: str, others: tuple[str, ...]
) -> None:
    like = columnwise(torch.from_numpy(X), others)
    header = "a,kind,b\n" if others else ""
    cells = ["", "who knows", "1.5", *["rose"] * 37]
    path = table(tmp_path / "x.csv", cells, header)
    np.testing.assert_array_equal(read_points(path, like, class_column=target), X)
    bare = tmp_path / "bare.csv"
    np.savetxt(bare, X, delimiter=",", header=",".join(others), comments="", fmt="%s")
    np.testing.assert_array_equal(read_points(bare, like, class_column=target), X)
    np.save(tmp_path / "x.npy", X)
    np.testing.assert_array_equal(read_points(tmp_path / "x.npy", like, class_column=target), X)
