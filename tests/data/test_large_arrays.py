"""Files too large to be held: what one pass finds is what the rows say, and batches are rows of the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gibbsian.cli import main
from gibbsian.config.config import plain, replace
from gibbsian.data import dataset, large_arrays, load_dataset
from gibbsian.data.large_arrays import BlockStream, TrainingBlocks, large_array
from gibbsian.data.survey import distinct_numbers, survey
from gibbsian.data.transforms import columnwise, unscaled
from gibbsian.models.train import resume, train

N, D = 5_000, 3


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files from 1 kB on are large; a block has 100 rows of 3 doubles, a window 4 blocks."""
    monkeypatch.setattr(large_arrays, "LARGE", 1_000)
    monkeypatch.setattr(large_arrays, "BLOCK", 2_400)
    monkeypatch.setattr(large_arrays, "WINDOW", 4)
    monkeypatch.setattr(dataset, "SAMPLE", 700)


@pytest.fixture
def x() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.column_stack([rng.normal(3, 2, N), rng.integers(0, 9, N), 1e4 + rng.random(N)])


@pytest.fixture
def path(x: np.ndarray, tmp_path: Path) -> Path:
    np.save(tmp_path / "x.npy", x)
    return tmp_path / "x.npy"


def rows_of(path: Path, held_out: list[int]) -> TrainingBlocks:
    file = large_array(path)
    assert file is not None
    return TrainingBlocks(file, np.array(held_out, dtype=int))


def test_one_pass_finds_what_columnwise_finds_in_the_rows(x: np.ndarray, path: Path) -> None:
    held_out = [0, 7, 99, 100, N - 1]
    picked = np.array([N - 1, 3, 250, 0])
    rows = rows_of(path, held_out)
    found = survey(rows.file, rows.held_out, picked)
    training = np.delete(x, held_out, 0)
    expected = columnwise(torch.from_numpy(training), others=(torch.from_numpy(x[held_out]),))
    transform = found.transform("standardise", True)
    assert transform.levels == expected.levels == (0, 9, 0)
    for name in ("origin", "unit", "shift", "scale"):
        assert getattr(transform, name) == pytest.approx(getattr(expected, name), rel=1e-12)
    assert np.array_equal(found.picked, x[picked])
    unscaled_too = found.transform("none", True)
    assert unscaled_too == columnwise(torch.from_numpy(training), (), "none")


def test_an_epoch_holds_each_training_row_once_and_no_other(x: np.ndarray, path: Path) -> None:
    held_out = list(range(0, N, 10))  # 90 training rows a block
    stream = BlockStream(rows_of(path, held_out), unscaled((D,)), 30, seed=1)
    for _ in range(2):
        seen = [next(stream) for _ in range(N * 9 // 10 // 30)]
        index = torch.cat([batch.index for batch in seen])
        assert sorted(index.tolist()) == sorted(set(range(N)) - set(held_out))
        together = torch.cat([batch.x for batch in seen])
        assert torch.equal(together, torch.from_numpy(x[index.numpy()]).float())
    first = seen[0].index // 100
    assert len(first.unique()) == 4  # a batch of 30 from one block alone: 4 in 4^30


def test_rows_that_fill_no_batch_wait(path: Path) -> None:
    """Windows of 400 rows hold 5 batches of 70; the last has 200 rows and 2."""
    stream = BlockStream(rows_of(path, []), unscaled((D,)), 70)
    an_epoch = 12 * 5 + 2
    seen = torch.cat([next(stream).index for _ in range(an_epoch)])
    assert len(seen.unique()) == len(seen)
    next(stream)
    assert stream._epoch == 1


@pytest.mark.parametrize("drawn", [0, 3, 49, 50, 1234])
def test_resumes_to_the_bit(drawn: int, path: Path) -> None:
    rows = rows_of(path, [5])
    made = survey(rows.file, rows.held_out, np.array([1])).transform("standardise", True)
    one, other = (BlockStream(rows_of(path, [5]), made, 64, seed=7) for _ in range(2))
    for _ in range(drawn):
        next(one)
    other.load_state_dict(one.state_dict())
    after = [next(other) for _ in range(12)]
    for batch in after:
        same = next(one)
        assert torch.equal(batch.x, same.x) and torch.equal(batch.index, same.index)
    other.load_state_dict({"drawn": drawn})  # and back again
    assert torch.equal(next(other).x, after[0].x)


def test_processes_share_one_order(path: Path) -> None:
    whole = BlockStream(rows_of(path, []), unscaled((D,)), 20, 3)
    parts = [BlockStream(rows_of(path, []), unscaled((D,)), 10, 3, rank=r, world=2) for r in (0, 1)]
    for _ in range(60):
        together = torch.cat([next(part).index for part in parts])
        assert torch.equal(together, next(whole).index)


def test_a_run_trains_and_resumes_from_the_file(path: Path, tmp_path: Path) -> None:
    config = replace(plain("nce", str(path)), training={"batch": 50, "device": "cpu", "rounds": 30})
    whole = train(config, str(path))
    data = load_dataset(path)
    assert data.blocks is not None and len(data.blocks) == N - 1000
    assert [len(part) for part in (data.train, data.valid, data.test)] == [700, 500, 500]
    train(replace(config, training={"rounds": 13}), str(path), out=tmp_path / "run")
    resumed = resume(tmp_path / "run", rounds=30)
    for name, value in whole.method.state_dict().items():
        assert torch.equal(value, resumed.method.state_dict()[name]), name
    assert torch.isfinite(resumed.energy(data.test)).all()


def test_the_splits_are_disjoint_and_a_sample_by_the_seed(x: np.ndarray, path: Path) -> None:
    one, again, other = load_dataset(path), load_dataset(path), load_dataset(path, seed=1)
    assert torch.equal(one.train, again.train) and not torch.equal(one.train, other.train)
    parts = [{tuple(row) for row in part.tolist()} for part in (one.train, one.valid, one.test)]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    assert one.blocks is not None
    out = {tuple(row) for row in x[one.blocks.held_out].tolist()}
    assert out == parts[1] | parts[2]


def test_fewer_rows_are_held(x: np.ndarray, path: Path) -> None:
    data = load_dataset(path, max_rows=200)
    assert data.blocks is None and sum(map(len, (data.train, data.valid, data.test))) == 200
    known = {tuple(row) for row in x.tolist()}
    assert {tuple(row) for row in data.train.tolist()} <= known


def test_pictures_and_bits_are_known_from_all_blocks(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    images = rng.integers(0, 2, (600, 6, 6)).astype(np.uint8)
    np.save(tmp_path / "bits.npy", images)
    bits = load_dataset(tmp_path / "bits.npy")
    assert bits.space.kind == "binary" and bits.space.shape == (36,)
    assert bits.blocks is not None
    batch = next(BlockStream(bits.blocks, bits.transform, 8))
    assert batch.x.shape == (8, 36)
    images[599, 5, 5] = 200  # in the last block alone
    np.save(tmp_path / "grey.npy", images)
    grey = load_dataset(tmp_path / "grey.npy")
    assert grey.space.kind == "image" and grey.space.shape == (1, 6, 6)
    assert grey.transform.levels == (256,)


def test_bad_values_are_named_by_their_row(x: np.ndarray, tmp_path: Path) -> None:
    x[4321, 1] = np.nan
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(ValueError, match="holds nan at row 4322, column 2"):
        load_dataset(tmp_path / "x.npy")
    x[:, 1] = 5
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(ValueError, match="column 2 is constant"):
        load_dataset(tmp_path / "x.npy")


@pytest.mark.parametrize("rows", [1, 3])
def test_a_few_wide_rows_are_refused_as_in_small_files(rows: int, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(rows, 500)))
    with pytest.raises(ValueError, match=rf"has {rows} rows?; training, validation and test need"):
        load_dataset(tmp_path / "x.npy")


def test_one_text_as_long_as_a_large_file_is_no_array(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array(b"x" * 2_000))
    with pytest.raises(ValueError, match="observations must be real numbers"):
        load_dataset(tmp_path / "x.npy")


def test_a_file_that_is_cut_while_it_is_read_is_said(path: Path) -> None:
    stream = BlockStream(rows_of(path, []), unscaled((D,)), 64)
    with path.open("rb+") as file:
        file.truncate(5_000)
    with pytest.raises(ValueError, match="became shorter while it was read"):
        next(stream)


def test_a_batch_larger_than_a_window_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="use a batch of at most 400"):
        BlockStream(rows_of(path, []), unscaled((D,)), 401)


def test_columns_one_after_another_are_read_whole(x: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.asfortranarray(x))
    assert large_array(tmp_path / "f.npy") is None
    assert load_dataset(tmp_path / "f.npy").blocks is None


@pytest.mark.parametrize(("n", "count"), [(10, 10), (10**12, 500), (2_000, 499)])
def test_distinct_numbers(n: int, count: int) -> None:
    found = distinct_numbers(n, count, torch.Generator().manual_seed(0))
    assert len(set(found.tolist())) == count and found.min() >= 0 and found.max() < n


PASS = """
import resource, sys
from pathlib import Path
from gibbsian.data import large_arrays, load_dataset
large_arrays.LARGE = 1
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
data = load_dataset(Path(sys.argv[1]))
stream = large_arrays.BlockStream(data.blocks, data.transform, 256)
for _ in range(8_000):
    next(stream)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """640 MB that take little room on the disk; 8 000 batches are more than a window of 128 MB."""
    path, rows = tmp_path / "x.npy", 8_000_000
    array = np.lib.format.open_memmap(path, "w+", np.float32, (rows, 20))
    array[: rows // 100] = np.random.default_rng(0).normal(size=(rows // 100, 20))
    del array
    out = subprocess.run(
        [sys.executable, "-c", PASS, str(path)], capture_output=True, text=True, check=True
    )
    assert int(out.stdout) < 400_000  # kB


def test_the_command_never_reads_the_file_whole(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, most = np.fromfile, 4 * 2_400

    def in_blocks(*arguments: object, **options: object) -> np.ndarray:
        found = read(*arguments, **options)
        assert found.nbytes <= most
        return found

    monkeypatch.setattr(np, "fromfile", in_blocks)
    assert (
        main(["train", "nce", "--data", str(path), "--rounds", "3", "--out", str(tmp_path / "run")])
        == 0
    )
    assert main(["train", "--resume", str(tmp_path / "run"), "--rounds", "5"]) == 0
