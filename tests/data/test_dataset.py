"""Names, splits, limits, and the density that comes with a data set."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from gibbsian.core import DataSpace
from gibbsian.data import BatchStream, Dataset, dataset_names, from_array, load_dataset
from gibbsian.data.named import holds_pictures, image_side
from gibbsian.data.sets import NAMED, area_average

needs_data = pytest.mark.skipif(
    "GIBBSIAN_DATA" not in os.environ, reason="$GIBBSIAN_DATA names no folder of data sets"
)


def rows_of(data: Dataset) -> torch.Tensor:
    return torch.cat([data.train, data.valid, data.test])


def test_a_density_brings_its_law() -> None:
    data = load_dataset("moons", seed=3)
    assert [len(part) for part in (data.train, data.valid, data.test)] == [50_000, 10_000, 10_000]
    assert data.density is not None and data.transform.log_jacobian == 0
    assert torch.equal(data.train, load_dataset("moons", seed=3).train)
    assert not torch.equal(data.train, load_dataset("moons", seed=4).train)
    small = load_dataset("gaussian-5-0.3", max_rows=70)
    assert (len(small.train), small.space.shape) == (50, (5,))


def test_split_by_seed() -> None:
    x = np.random.default_rng(0).normal(size=(207, 2))
    data = from_array(x, seed=1)
    assert [len(part) for part in (data.train, data.valid, data.test)] == [167, 20, 20]
    assert torch.equal(rows_of(data).sort(0).values, torch.from_numpy(x).sort(0).values)
    assert torch.equal(from_array(x, seed=1).test, data.test)
    assert not torch.equal(from_array(x, seed=2).test, data.test)
    # Statistics are those of the training rows alone.
    u = data.transform.encode(data.train)
    np.testing.assert_allclose(u.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(u.std(0, correction=0), 1, atol=1e-6)
    np.testing.assert_allclose(data.transform.decode(u), data.train, atol=1e-5)


def test_targets_follow_their_rows() -> None:
    x = np.arange(100.0)[:, None] ** 1.5
    data = from_array(x, targets=np.arange(100))
    for part in ("train", "valid", "test"):
        rows = getattr(data, part)[:, 0]
        torch.testing.assert_close(rows, data.targets[part].double() ** 1.5)
    words = from_array(x, targets=np.array(["b", "a"] * 50))
    assert words.targets["train"].unique().tolist() == [0, 1]


def test_rescaling_a_csv_column_leaves_what_the_networks_see(tmp_path: Path) -> None:
    """So every log-density falls by exactly ln 10, whatever was trained."""
    g = np.random.default_rng(0)
    x = np.c_[g.normal(size=300), np.round(g.normal(size=300), 1), g.integers(0, 9, 300)]
    for j in range(3):
        y = x.copy()
        y[:, j] *= 10
        pair = []
        for name, values in (("one", x), ("ten", y)):
            np.savetxt(tmp_path / f"{name}.csv", values, fmt="%.10g", delimiter=",")
            pair.append(load_dataset(tmp_path / f"{name}.csv"))
        one, ten = pair
        assert ten.transform.log_jacobian - one.transform.log_jacobian == pytest.approx(
            -np.log(10), abs=1e-12
        )
        streams = [BatchStream(d.train, d.transform, 32, 5) for d in pair]
        for _ in range(20):
            a, b = (next(s).x for s in streams)
            assert torch.equal(a, b)


def test_notes_say_what_was_detected(tmp_path: Path) -> None:
    g = np.random.default_rng(0)
    x = np.c_[g.normal(size=50), g.integers(0, 9, 50), g.integers(0, 90, 50) / 2]
    np.savetxt(tmp_path / "x.csv", x, delimiter=";", header="w;n;h", comments="")
    notes = " | ".join(load_dataset(tmp_path / "x.csv").notes)
    for part in ("semicolons", "header row: w, n, h", "n (integers)", "h (in steps of 0.5)"):
        assert part in notes
    assert "40 / 5 / 5 rows" in notes
    assert "dequantised" not in " ".join(load_dataset(tmp_path / "x.csv", dequantise=False).notes)
    raw = load_dataset(tmp_path / "x.csv", column_scaling="none")
    np.testing.assert_allclose(raw.transform.encode(raw.train), raw.train, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ring9", "did you mean ring8"),
        ("minst", "did you mean mnist"),
        ("qqqq", "`gibbsian list data` names these"),
        ("digits-99", "between 2 and 8"),
        ("wine-7", "neither"),
    ],
)
def test_unknown_names_list_the_nearest(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_dataset(name)


def test_a_missing_set_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GIBBSIAN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(ValueError, match=r"dna.npz.*here or .*cache.gibbsian; put it there, or"):
        load_dataset("dna", data_root=tmp_path / "here")
    present = {known.name: known.present for known in dataset_names(tmp_path)}
    assert present["ring8"] and present["digits"] and not present["mnist"]


def test_roots_are_searched_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i, folder in enumerate(("argument", "variable")):
        (tmp_path / folder / "tabular").mkdir(parents=True)
        table = np.random.default_rng(i).normal(size=(40, 3))
        path = tmp_path / folder / "tabular" / "winequality-red.csv"
        np.savetxt(path, table, delimiter=",")
    monkeypatch.setenv("GIBBSIAN_DATA", str(tmp_path / "variable"))
    variable = load_dataset("wine-quality-red")
    argument = load_dataset("wine-quality-red", data_root=tmp_path / "argument")
    assert not torch.equal(variable.train, argument.train)
    assert variable.space.shape == (2,)  # the last column is a target


def test_bad_options() -> None:
    for options in ({"max_rows": 2}, {"max_rows": -1}):
        with pytest.raises(ValueError, match="rows"):
            load_dataset("ring8", **options)


def test_sets_of_scikit_learn() -> None:
    digits = load_dataset("digits")
    assert digits.space.shape == (1, 8, 8) and digits.transform.levels == (17,)
    assert float(digits.train.max()) == 16 and len(rows_of(digits)) == 1797
    assert set(digits.targets["test"].tolist()) <= set(range(10))
    wine, cancer = load_dataset("wine"), load_dataset("breast-cancer")
    assert wine.columns is not None and wine.columns[0] == "alcohol"
    assert (wine.space.shape, cancer.space.shape) == ((13,), (30,))
    small = load_dataset("digits-4")
    assert small.space.shape == (1, 4, 4) and small.transform.levels == (17,)


def test_area_average() -> None:
    x = np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4)
    np.testing.assert_array_equal(area_average(x, 2)[0, 0], [[2.5, 4.5], [10.5, 12.5]])


@needs_data
@pytest.mark.parametrize(
    ("name", "sizes", "shape", "kind"),
    [
        ("wine-quality-red", (1281, 159, 159), (11,), "vector"),
        ("wine-quality-white", (3920, 489, 489), (11,), "vector"),
        ("parkinsons", (4701, 587, 587), (20,), "vector"),
        ("protein", (36584, 4573, 4573), (9,), "vector"),
        ("binarized-mnist", (50_000, 10_000, 10_000), (784,), "binary"),
        ("ocr-letters", (41722, 5215, 5215), (128,), "binary"),
        ("dna", (2550, 318, 318), (180,), "binary"),
        ("omniglot", (4672, 584, 584), (784,), "binary"),
        ("frey-faces", (1573, 196, 196), (1, 28, 20), "image"),
        ("orl-faces", (320, 40, 40), (1, 112, 92), "image"),
        ("mnist-14", (50_000, 10_000, 10_000), (1, 14, 14), "image"),
    ],
)
def test_sets_under_the_root(
    name: str, sizes: tuple[int, ...], shape: tuple[int, ...], kind: str
) -> None:
    if not {k.name: k.present for k in dataset_names()}[name.removesuffix("-14")]:
        pytest.skip(f"the files of {name} are not under $GIBBSIAN_DATA")
    data = load_dataset(name)
    assert tuple(len(part) for part in (data.train, data.valid, data.test)) == sizes
    assert (data.space.shape, data.space.kind) == (shape, kind)
    limited = load_dataset(name, max_rows=100)
    assert 90 <= len(rows_of(limited)) <= 103


@needs_data
def test_binarized_mnist_has_its_means() -> None:
    if not {k.name: k.present for k in dataset_names()}["binarized-mnist"]:
        pytest.skip("binarized-mnist is not under $GIBBSIAN_DATA")
    data = load_dataset("binarized-mnist")
    means = [float(part.mean()) for part in (data.train, data.valid, data.test)]
    np.testing.assert_allclose(means, [0.1306, 0.1311, 0.1325], atol=6e-5)


def test_idx_files(tmp_path: Path) -> None:
    import gzip

    folder = tmp_path / "mnist"
    folder.mkdir()
    g = np.random.default_rng(0)
    for part, n in (("train", 60), ("t10k", 10)):
        images = g.integers(0, 256, (n, 28, 28)).astype(np.uint8)
        labels = g.integers(0, 10, n).astype(np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
            path = folder / f"{part}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(head + array.tobytes()))
    data = load_dataset("mnist", data_root=tmp_path)
    assert [len(part) for part in (data.train, data.valid, data.test)] == [50, 10, 10]
    torch.testing.assert_close(
        data.test.sort(0).values[:, 0], torch.from_numpy(images).float().sort(0).values
    )
    path = folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-5]))
    with pytest.raises(ValueError, match="not an intact idx file"):
        load_dataset("mnist", data_root=tmp_path)


def test_every_set_is_described() -> None:
    assert {known.name for known in dataset_names()} >= set(NAMED)
    assert all(known.description for known in dataset_names())


def test_pictures_thresholded_to_bits() -> None:
    """1 from half of the brightest level on: 8 of 0..16 for the digits; also after a reduction."""
    grey, bits = load_dataset("digits", max_rows=50), load_dataset("digits-binary", max_rows=50)
    assert bits.space == DataSpace((64,), "binary", (0.0, 1.0))
    assert torch.equal(bits.train, (grey.train.flatten(1) >= 8).float())
    assert any("binarised" in note for note in bits.notes)
    assert load_dataset("digits-4-binary", max_rows=50).space.shape == (16,)
    with pytest.raises(ValueError, match="neither a built-in data set"):
        load_dataset("wine-binary")


@pytest.mark.parametrize(
    ("name", "pictures"),
    [
        *[(name, True) for name in ("digits", "mnist-14", "photos", "a.png", "b.zip")],
        *[(name, False) for name in ("digits-binary", "moons", "gaussian-3", "wine", "t.csv")],
    ],
)
def test_which_data_are_pictures(name: str, pictures: bool) -> None:
    assert holds_pictures(name) == pictures


def test_a_folder_holds_pictures_unless_its_name_means_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert holds_pictures(str(tmp_path)) and not holds_pictures(str(tmp_path / "missing"))
    monkeypatch.chdir(tmp_path)
    names = ("moons", "gaussian-3", "wine", "array", "digits-binary")
    for name in names:
        Path(name).mkdir()
    assert not any(holds_pictures(name) for name in ("", *names))


def test_sides_of_named_images_are_those_of_their_files() -> None:
    for name, named in NAMED.items():
        if not named.side:
            assert image_side(name) == 0
            continue
        assert image_side(f"{name}-6") == 6
        try:
            data = load_dataset(name, max_rows=20)
        except ValueError as error:
            assert "needs the file" in str(error)  # which is not on this machine
            continue
        assert max(data.space.shape[1:]) == named.side == image_side(name)
    assert image_side("digits-4-binary") == image_side("moons") == image_side("photos") == 0
