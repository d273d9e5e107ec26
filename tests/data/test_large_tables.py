"""Parquet tables too large to be held: the same columns, rows and batches as of tables that are held."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace as with_fields
from pathlib import Path

import numpy as np
import pytest
import torch

from gibbsian import load_model
from gibbsian.cli import main
from gibbsian.config.config import plain, replace
from gibbsian.data import Dataset, dataset, large_arrays, load_dataset, readers
from gibbsian.data.large_arrays import BlockStream, TrainingBlocks
from gibbsian.data.large_tables import large_table
from gibbsian.data.parquet_table import parquet_table
from gibbsian.data.transforms import columnwise
from gibbsian.models.train import resume, train

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
N = 5_000
NUMBERS = ("a", "count", "far")
MIXED = (*NUMBERS, "city", "member", "price")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables from 1 kB on are large; a block has 2400 bytes of numbers, a window 4 blocks."""
    monkeypatch.setattr(large_arrays, "LARGE", 1_000)
    monkeypatch.setattr(large_arrays, "BLOCK", 2_400)
    monkeypatch.setattr(large_arrays, "WINDOW", 4)
    monkeypatch.setattr(dataset, "SAMPLE", 700)


def table_of(names: tuple[str, ...] = MIXED, n: int = N) -> pa.Table:
    rng = np.random.default_rng(0)
    cities = rng.choice(["Rome", "Oslo", "Bern"], n)
    cities[:1_000] = "Rome"  # so that values appear in another order than the alphabet's
    columns = {
        "a": rng.normal(3, 2, n),
        "count": rng.integers(0, 9, n),
        "far": 1e4 + rng.random(n),
        "city": pa.array(cities).dictionary_encode(),
        "member": rng.random(n) < 0.3,
        "price": [f"${v:.2f}" for v in rng.random(n)],
    }
    return pa.table({name: columns[name] for name in names})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The mixed table in three files: many small row groups, large ones, and one of all rows."""
    table, path = table_of(), tmp_path / "parts"
    path.mkdir()
    pq.write_table(table[:900], path / "1.parquet", row_group_size=7)
    pq.write_table(table[900:2000], path / "2.parquet", row_group_size=170)
    pq.write_table(table[2000:], path / "3.parquet")
    (path / "_SUCCESS").touch()
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    pq.write_table(table_of(NUMBERS), tmp_path / "x.parquet", row_group_size=1_100)
    return tmp_path / "x.parquet"


def held(path: Path, monkeypatch: pytest.MonkeyPatch, **options: object) -> Dataset:
    with monkeypatch.context() as patch:
        patch.setattr(large_arrays, "LARGE", 2**29)
        return load_dataset(path, **options)


def in_file_order(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """All training rows, block after block, and their numbers."""
    assert data.blocks is not None
    parts = [data.blocks.read(block) for block in range(len(data.blocks.counts()))]
    return np.concatenate([x for x, _ in parts]), np.concatenate([n for _, n in parts])


def test_rows_columns_and_categories_are_those_of_the_held_table(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, whole = load_dataset(folder), held(folder, monkeypatch)
    assert data.table == whole.table and data.columns == whole.columns and data.space == whole.space
    assert data.notes[0] == whole.notes[0]  # what each column is
    with monkeypatch.context() as patch:
        patch.setattr(large_arrays, "LARGE", 2**29)
        rows = readers.read(folder).x
    x, numbers = in_file_order(data)
    np.testing.assert_array_equal(x, rows[numbers])
    assert data.blocks is not None and len(numbers) == len(data.blocks) == N - 1_000
    assert data.test_numbers is not None and len(data.test_numbers) == 500
    places = np.array(data.test_numbers) - 1
    np.testing.assert_array_equal(data.test.numpy(), rows[places])
    assert not set(places.tolist()) & set(numbers.tolist())
    known = {tuple(row) for row in x.tolist()}
    assert len(data.train) == 700 and {tuple(row) for row in data.train.tolist()} <= known


def test_the_scaling_is_that_of_all_training_rows(folder: Path) -> None:
    data = load_dataset(folder)
    x, _ = in_file_order(data)
    expected = columnwise(
        torch.from_numpy(x),
        MIXED,
        others=(data.valid, data.test),
        categories=data.transform.categories,
    )
    assert data.transform.levels == expected.levels and any(expected.levels)
    assert data.transform.columns == expected.columns
    for name in ("origin", "unit", "shift", "scale"):
        assert getattr(data.transform, name) == pytest.approx(getattr(expected, name), rel=1e-11)


@dataclass(frozen=True)
class HeldRows:
    """The rows of a block file, held: batches of them are what batches of the file must be."""

    path: Path
    edges: np.ndarray
    x: np.ndarray

    def block(self, number: int) -> np.ndarray:
        return self.x[self.edges[number] : self.edges[number + 1]]


def test_training_is_that_of_held_rows_in_the_same_order_to_the_bit(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load_dataset(folder)
    with monkeypatch.context() as patch:
        patch.setattr(large_arrays, "LARGE", 2**29)
        rows = readers.read(folder).x
    assert data.blocks is not None
    same = TrainingBlocks(HeldRows(folder, data.blocks.file.edges, rows), data.blocks.held_out)
    config = replace(plain("nce", str(folder)), training={"batch": 40, "rounds": 40})
    one = train(config, data).method.state_dict()
    other = train(config, with_fields(data, blocks=same)).method.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_table_of_numbers_trains_as_the_same_rows_in_an_npy_file(
    file: Path, tmp_path: Path
) -> None:
    """With row groups that end where blocks do; what is fitted differs by the name of the file alone."""
    table = table_of(NUMBERS)
    pq.write_table(table, file, row_group_size=300)
    np.save(tmp_path / "x.npy", np.column_stack([table[name].to_numpy() for name in NUMBERS]))
    config = replace(plain("nce", "x"), training={"batch": 50, "rounds": 30})
    found = [
        train(config, load_dataset(tmp_path / name)).method.state_dict()
        for name in ("x.npy", "x.parquet")
    ]
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_an_epoch_holds_each_training_row_once(file: Path) -> None:
    data = load_dataset(file)
    assert data.blocks is not None
    stream = BlockStream(data.blocks, data.transform, 40, seed=1)
    batches = int(stream._ends[-1])
    index = torch.cat([next(stream).index for _ in range(batches)])
    assert len(index.unique()) == len(index) > 3_500
    assert not set(index.tolist()) & set(data.blocks.held_out.tolist())


def test_a_run_is_resumed_evaluated_and_scores_as_one_of_held_rows(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = replace(plain("nce", str(folder)), training={"batch": 40, "rounds": 30})
    whole = train(config, str(folder))
    train(replace(config, training={"rounds": 13}), str(folder), out=tmp_path / "run")
    resumed = resume(tmp_path / "run", rounds=30)
    for name, value in whole.method.state_dict().items():
        assert torch.equal(value, resumed.method.state_dict()[name]), name
    capsys.readouterr()
    assert main(["score", str(tmp_path / "run"), str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == N + 1
    pq.write_table(table_of(), tmp_path / "one.parquet")
    assert main(["score", str(tmp_path / "run"), str(tmp_path / "one.parquet")]) == 0
    assert capsys.readouterr().out.splitlines() == lines
    model = load_model(tmp_path / "run")
    assert model.table is not None and len(model.table.kept) == len(MIXED)


def test_a_run_is_evaluated(file: Path, tmp_path: Path) -> None:
    run, options = str(tmp_path / "run"), ("--rounds", "5", "--columns", "a,far")
    assert main(["train", "nce", "--data", str(file), *options, "--out", run]) == 0
    assert main(["evaluate", run, "--log-z-effort", "quick"]) == 0


def test_no_more_than_a_window_is_held(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What PyArrow hands over is counted: blocks of 100 rows, however large the row groups."""
    most, seen = 0, 0
    read = pq.ParquetFile.iter_batches

    def counted(self: object, rows: int, *arguments: object, **options: object):
        nonlocal most, seen
        for batch in read(self, rows, *arguments, **options):
            most, seen = max(most, batch.num_rows), seen + batch.num_rows
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counted)
    data = load_dataset(file)
    assert most == 100 and seen == N  # one pass
    assert data.blocks is not None
    stream = BlockStream(data.blocks, data.transform, 40)
    for _ in range(200):
        next(stream)
    assert most == 100 and len(stream._low) <= 400
    for part in readers.read_parts(file, rows=64):
        assert len(part.x) <= 64
    assert most == 100


def test_rows_with_gaps_are_left_out_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, rng = table_of(("a", "city")), np.random.default_rng(1)
    a = table["a"].to_numpy().copy()
    a[rng.random(N) < 0.2] = np.nan
    city = [None if rng.random() < 0.1 else value for value in table["city"].to_pylist()]
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": a, "city": city}), path, row_group_size=123)
    with pytest.raises(ValueError, match=r"at row \d+, column .*drop leaves out \d+ of 5000 rows"):
        load_dataset(path)
    data = load_dataset(path, missing_values="drop")
    x, numbers = in_file_order(data)
    complete = np.flatnonzero(~np.isnan(a) & np.array([value is not None for value in city]))
    assert data.blocks is not None
    np.testing.assert_array_equal(numbers, np.setdiff1d(complete, data.blocks.held_out))
    np.testing.assert_array_equal(x[:, 0], a[numbers])
    assert len(data.blocks) == len(x) and not any(
        bool(part.isnan().any()) for part in (data.train, data.valid, data.test)
    )
    said = held(path, monkeypatch, missing_values="drop").notes
    assert said[1] in data.notes and "lack a value" in said[1]
    stream = BlockStream(data.blocks, data.transform, 30)
    assert all(bool(next(stream).x.isfinite().all()) for _ in range(100))


def test_columns_are_chosen_and_left_out(folder: Path) -> None:
    data = load_dataset(folder, drop_columns="price,city")
    assert data.columns == ("a", "count", "far", "member")
    x, _ = in_file_order(data)
    assert x.shape[1] == 4
    graded = load_dataset(folder, columns="a,count", category_columns="count")
    assert graded.table is not None and graded.table.kept[1].values == tuple("012345678")
    x, _ = in_file_order(graded)
    assert set(x[:, 1].tolist()) == set(range(9))


def test_fewer_rows_are_held_and_take_every_option(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load_dataset(folder, max_rows=300, class_column="city", missing_values="impute")
    assert data.blocks is None and sum(map(len, (data.train, data.valid, data.test))) == 300
    assert set(data.targets) == {"train", "valid", "test"}
    with monkeypatch.context() as patch:
        patch.setattr(large_arrays, "LARGE", 2**29)
        rows = readers.read(folder, selection=dataset.Selection(drop=("city",))).x
    known = {tuple(row) for row in rows.tolist()}
    assert {tuple(row) for row in data.train.tolist()} <= known


def test_what_needs_all_rows_holds_them_up_to_the_limit(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_dataset(folder, class_column="city").blocks is None
    monkeypatch.setenv("GIBBSIAN_MAX_BYTES", "100000")
    for option, given in (("class_column", "city"), ("missing_values", "impute")):
        with pytest.raises(ValueError, match=r"in blocks, which takes no --.*; use --max-rows"):
            load_dataset(folder, **{option: given})
    assert load_dataset(folder).blocks is not None  # what is not held has no limit
    assert sum(len(part.x) for part in readers.read_parts(folder, selection=none_kept(folder))) == N


def none_kept(folder: Path) -> dataset.Selection:
    return dataset.Selection(drop=("city", "member"))


def test_bits_are_told_by_all_blocks(tmp_path: Path) -> None:
    rng, path = np.random.default_rng(2), tmp_path / "x.parquet"
    bits = rng.integers(0, 2, (2_000, 4))
    pq.write_table(pa.table({f"b{j}": bits[:, j] for j in range(4)}), path)
    assert load_dataset(path).space.kind == "binary"
    bits[1_999, 3] = 2
    pq.write_table(pa.table({f"b{j}": bits[:, j] for j in range(4)}), path)
    assert load_dataset(path).space.kind == "vector"


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({"a": [1.0, 2.0]}, r"b.parquet lacks the column 'c', which a.parquet has"),
        (
            {"a": [1.0], "c": ["x"], "d": [1]},
            r"b.parquet has the column 'd', which a.parquet lacks",
        ),
        (
            {"a": ["x", "y"], "c": ["x", "y"]},
            r"string values in column 'a', where a.parquet holds dou",
        ),
        ({"a": [1.0], "c": [["x"]]}, r"b.parquet holds nested values \(list.*in column 'c'"),
        ({"a": [1.0], "c": [{"x": 1}]}, r"b.parquet holds nested values \(struct.*in column 'c'"),
        ({"a": pa.array([], pa.float64()), "c": pa.array([], pa.string())}, "b.parquet is empty"),
        (b"", "b.parquet is an empty file"),
        (b"PAR1 and no more", "b.parquet is not an intact Parquet file"),
        (b"truncated", "b.parquet is not an intact Parquet file"),
    ],
)
def test_bad_files_are_one_sentence_and_exit_2(
    second: dict[str, object] | bytes,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    first = pa.table({"a": np.arange(200.0), "c": ["x", "y"] * 100})
    pq.write_table(first, folder / "a.parquet")
    if isinstance(second, dict):
        pq.write_table(pa.table(second), folder / "b.parquet")
    else:
        content = (folder / "a.parquet").read_bytes()
        (folder / "b.parquet").write_bytes(content[:-100] if second == b"truncated" else second)
    for options in ([], ["--max-rows", "20"]):
        command = ["train", "cd", "--data", str(folder), "--out", str(tmp_path / "run"), *options]
        assert main(command) == 2
        out = capsys.readouterr().err
        assert len(out.strip().splitlines()) == 1
        with pytest.raises(AssertionError, match=said):  # the same sentence, whatever asks
            raise AssertionError(out)
    with pytest.raises(ValueError, match=said):
        list(readers.read_parts(folder))


def test_columns_in_another_order_and_other_widths_of_numbers_are_the_same(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1.5, 2], "c": ["x", "y"]}), tmp_path / "1.parquet")
    floats = pa.array([3, 4], pa.int16())
    pq.write_table(pa.table({"c": pa.nulls(2), "a": floats}), tmp_path / "2.parquet")
    pq.write_table(pa.table({"c": ["y", "x"], "a": [5, 6]}), tmp_path / "3.parquet")
    rows = readers.read(tmp_path, selection=dataset.Selection(missing="impute"))
    np.testing.assert_array_equal(rows.x[:, 0], [1.5, 2, 3, 4, 5, 6])
    np.testing.assert_array_equal(rows.x[:, 1], [0, 1, np.nan, np.nan, 1, 0])


def test_a_file_that_changes_while_it_is_read_is_said(file: Path) -> None:
    data = load_dataset(file)
    assert data.blocks is not None
    for change in ("grows", "shrinks", "is written", "goes"):
        stream = BlockStream(data.blocks, data.transform, 40)
        parts = readers.read_parts(file, rows=64)
        if change == "grows":
            with file.open("ab") as appended:
                appended.write(b"more")
        elif change == "shrinks":
            os.truncate(file, 5_000)
        elif change == "is written":
            pq.write_table(table_of(NUMBERS), file)
        else:
            file.unlink()
        with pytest.raises(ValueError, match="changed while it was read; leave it as it is"):
            next(stream)
        if change == "shrinks":
            with pytest.raises(ValueError, match="not an intact Parquet file"):
                next(parts)
    pq.write_table(table_of(NUMBERS), file)
    parts = readers.read_parts(file, rows=64)
    next(parts)
    os.truncate(file, 5_000)
    with pytest.raises(ValueError, match="changed while it was read"):
        list(parts)


def test_bad_cells_are_named_by_their_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.parquet"
    x = np.random.default_rng(0).normal(size=(N, 2))
    for value, said in ((np.inf, r"holds inf at row 4322, column 2 \('b'\)"), (5.0, "constant")):
        x[4321, 1] = value
        x[:, 1] = 5.0 if value == 5.0 else x[:, 1]
        pq.write_table(pa.table({"a": x[:, 0], "b": x[:, 1]}), path)
        sentences = []
        for reader in (load_dataset, lambda path: held(path, monkeypatch)):
            with pytest.raises(ValueError, match=said) as caught:
                reader(path)
            sentences.append(str(caught.value))
        assert sentences[0] == sentences[1]
    texts = [str(i) for i in range(N)]
    texts[4_000] = "no number"
    pq.write_table(pa.table({"a": x[:, 0], "b": texts}), path)
    with pytest.raises(ValueError, match=r"the text 'no number' at row 4001, column 2"):
        load_dataset(path)
    with pytest.raises(ValueError, match=r"the text 'no number' at row 4001, column 2"):
        load_dataset(path, max_rows=N - 1)


def test_texts_without_end_are_not_remembered(tmp_path: Path) -> None:
    path, n = tmp_path / "x.parquet", 30_000
    pq.write_table(pa.table({"a": np.arange(n) ** 0.5, "id": [f"no {i}" for i in range(n)]}), path)
    with pytest.raises(ValueError, match="more than 1000 values, and at most 100 can be modelled"):
        load_dataset(path)
    data = load_dataset(path, drop_columns="id")
    assert data.columns == ("a",)


def test_a_folder_with_images_is_one_of_images(tmp_path: Path) -> None:
    pq.write_table(table_of(), tmp_path / "metadata.parquet")
    assert readers.is_table(tmp_path) and large_table(tmp_path) is not None
    (tmp_path / "a.png").touch()
    assert readers.holds_images(tmp_path) and large_table(tmp_path) is None
    (tmp_path / "a.png").unlink()
    (tmp_path / "cats").mkdir()
    assert readers.holds_images(tmp_path)


def test_blocks_are_runs_of_rows(folder: Path) -> None:
    table = parquet_table(folder)
    for most in (5, 50, 170, 10_000):
        blocks = table.blocks(most)
        counts = [sum(piece.count for piece in block) for block in blocks]
        assert sum(counts) == N and max(counts) <= most
        together = [v for f in table.in_order(blocks, [0]) for v in f.to_series(0).to_list()]
        assert together == table_of()["a"].to_pylist()
        last = table.block(blocks[-1], [0]).to_series(0).to_list()
        assert last == together[-len(last) :]


def test_detect_says_that_it_holds_all_rows(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("GIBBSIAN_MAX_BYTES", "100000")
    assert main(["detect", str(folder), "--out", str(tmp_path / "found")]) == 2
    out = capsys.readouterr().err
    assert "detect holds all rows; train an energy on it and score its rows" in out
    assert out.count("\n") == 1


def test_blocks_are_smaller_where_categories_are_wide(tmp_path: Path) -> None:
    """A window holds one-hot blocks: 50 rows of 101 numbers of 4 bytes take more than 2400 bytes."""
    path, rng = tmp_path / "x.parquet", np.random.default_rng(0)
    names = np.array([f"kind {i}" for i in range(100)])
    kind = [None if rng.random() < 0.1 else name for name in names[rng.integers(0, 100, N)]]
    pq.write_table(pa.table({"a": rng.normal(size=N), "kind": kind}), path)
    data = load_dataset(path, missing_values="drop")
    assert data.blocks is not None and data.space.shape == (101,)
    edges, counts = data.blocks.file.edges, data.blocks.counts()
    assert int(np.diff(edges).max()) == 2_400 // (4 * 101)
    for block in (0, 7, len(counts) - 1):
        assert len(data.blocks.read(block)[0]) == counts[block]
    in_none = np.isin(np.arange(N), data.blocks.held_out) | np.array([k is None for k in kind])
    assert len(data.blocks) == int((~in_none).sum())
