"""The user's files: what is read, what is detected, and one sentence for each way to be unusable."""

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gibbsian.data import Dataset, load_dataset, readers as files
from gibbsian.data.named import image_side
from gibbsian.data.queries import read_points
from gibbsian.data.transforms import columnwise, pixels

G = np.random.default_rng(0)
X = G.normal(size=(60, 3))


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def text(x: np.ndarray, mark: str = ",", header: str = "") -> str:
    return header + "".join(mark.join(f"{v!r}" for v in row) + "\n" for row in x.tolist())


def pictures(folder: Path, sizes: list[tuple[int, int]], mode: str = "L") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i, (width, height) in enumerate(sizes):
        shape = (height, width) if mode == "L" else (height, width, 3)
        pixels = G.integers(0, 256, shape).astype(np.uint8)
        Image.fromarray(pixels, mode).save(folder / f"{i:03}.png")
    return folder


@pytest.mark.parametrize("mark", [",", ";", "\t", ", "])
@pytest.mark.parametrize("header", ["", "a;b;c\n", "id;2019;2020\n"])
def test_csv(tmp_path: Path, mark: str, header: str) -> None:
    path = write(tmp_path / "x.csv", text(X, mark, header.replace(";", mark)))
    rows = files.read(path)
    np.testing.assert_array_equal(rows.x, X)
    assert rows.columns == tuple(header.strip().split(";") if header else ())
    assert any("header row" in note for note in rows.notes)


def test_csv_that_is_compressed_windows_or_quoted(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(text(X).encode()))
    np.testing.assert_array_equal(files.read(path).x, X)
    other = write(tmp_path / "y.csv", b'\xef\xbb\xbf"a, b","c"\r\n\r\n1,2.5\r\n"3",4\r\n')
    rows = files.read(other)
    assert rows.columns == ("a, b", "c")
    np.testing.assert_array_equal(rows.x, [[1, 2.5], [3, 4]])


def test_arrays(tmp_path: Path) -> None:
    for array in (X, X.astype(np.float32), np.asfortranarray(X), X.astype(">f8"), X[:, 0]):
        np.save(tmp_path / "x.npy", array)
        np.testing.assert_array_equal(files.read(tmp_path / "x.npy").x, array)
        assert load_dataset(tmp_path / "x.npy").train.shape[1:] == (array.shape[1:] or (1,))
    np.savez_compressed(tmp_path / "x.npz", other=X[:5], x=X)
    rows = files.read(tmp_path / "x.npz")
    np.testing.assert_array_equal(rows.x, X)
    assert "'x'" in rows.notes[0]


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"a": X[:, 0], "b": np.arange(60)})
    pq.write_table(table, tmp_path / "x.parquet")
    rows = files.read(tmp_path / "x.parquet")
    assert rows.columns == ("a", "b")
    np.testing.assert_array_equal(rows.x[:, 1], np.arange(60))
    pq.write_table(table.append_column("c", pyarrow.array(["red"] * 60)), tmp_path / "y.parquet")
    with pytest.raises(ValueError, match=r"the same value in every row of column 3 \('c'\)"):
        files.read(tmp_path / "y.parquet")
    index = pyarrow.array(range(60))
    pq.write_table(table.append_column("__index_level_0__", index), tmp_path / "z.parquet")
    with pytest.raises(ValueError, match=r"__index_level_0__ of .* is the index of a data frame"):
        files.read(tmp_path / "z.parquet")
    with pytest.raises(ValueError, match="not an intact Parquet file"):
        files.read(write(tmp_path / "z.parquet", "no"))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_images_in_a_folder_a_zip_or_alone(tmp_path: Path, mode: str) -> None:
    folder = pictures(tmp_path / "in", [(5, 4)] * 6, mode)
    rows = files.read(folder)
    channels = 1 if mode == "L" else 3
    assert rows.x.shape == (6, channels, 4, 5) and rows.x.dtype == np.uint8
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"top/{path.name}")
        archive.writestr("__MACOSX/top/._000.png", b"junk")
        archive.writestr("top/readme.txt", b"not an image")
    np.testing.assert_array_equal(files.read(tmp_path / "in.zip").x, rows.x)
    np.testing.assert_array_equal(files.read(folder / "002.png").x, rows.x[2:3])
    np.save(tmp_path / "in.npy", rows.x)
    places = (folder, tmp_path / "in.zip", folder / "002.png", tmp_path / "in.npy")
    assert [image_side(str(place)) for place in places] == [5] * 4
    data = load_dataset(folder)
    assert data.space.shape == (channels, 4, 5) and data.space.box == (-1.0, 1.0)
    assert load_dataset(
        pictures(tmp_path / "mixed", [(5, 4), (8, 8)] * 3), image_size=4
    ).space.shape == (
        1,
        4,
        4,
    )


def test_images_from_arrays(tmp_path: Path) -> None:
    grey = G.integers(0, 256, (20, 6, 5)).astype(np.uint8)
    for array, shape, levels in (
        (grey, (1, 6, 5), 256),
        (grey.astype(np.float64), (1, 6, 5), 256),
        (grey // 16, (1, 6, 5), 256),
        ((grey // 16).astype(np.int64), (1, 6, 5), 16),
        (grey / 255, (1, 6, 5), 0),
        (np.stack([grey] * 3, 3), (3, 6, 5), 256),
        (np.stack([grey] * 3, 1), (3, 6, 5), 256),
    ):
        np.save(tmp_path / "x.npy", array)
        data = load_dataset(tmp_path / "x.npy")
        assert data.space.shape == shape and data.space.kind == "image"
        assert data.transform.levels == (levels,)
        u = data.transform.encode(data.train, torch.Generator().manual_seed(0))
        assert float(u.min()) >= -1 and float(u.max()) <= 1
        back = data.transform.decode(u)
        torch.testing.assert_close(back, data.train)
    np.save(tmp_path / "x.npy", grey - 300.0)
    with pytest.raises(ValueError, match="bring them to integers from 0 to 255"):
        load_dataset(tmp_path / "x.npy")


def test_bits(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X > 0)
    data = load_dataset(tmp_path / "x.npy")
    assert data.space.kind == "binary" and data.transform.log_jacobian == 0
    np.save(tmp_path / "y.npy", G.integers(0, 2, (9, 3, 4)))
    assert load_dataset(tmp_path / "y.npy").space.shape == (12,)


def bad_inputs(folder: Path) -> dict[str, tuple[Path, str]]:
    """Case -> a file that cannot be used and what the sentence must say."""
    good = text(X)
    lines = good.splitlines(keepends=True)
    np.save(folder / "whole.npy", X)
    np.save(folder / "objects.npy", np.array([{"a": 1}, None], dtype=object))
    np.savez(folder / "objects.npz", x=np.array([{"a": 1}], dtype=object))
    np.savez(folder / "several.npz", a=X, b=X)
    np.save(folder / "nan.npy", np.where(np.arange(180).reshape(60, 3) == 100, np.nan, X))
    np.save(folder / "words.npy", np.array(["a", "b"]))
    np.save(folder / "deep.npy", np.zeros((3, 1, 1, 1, 1)))
    np.save(folder / "none.npy", np.zeros((0, 3)))
    np.save(folder / "constant.npy", np.c_[X, np.full(60, 2.5)])
    whole = (folder / "whole.npy").read_bytes()
    truncated_zip = pictures(folder / "cut", [(4, 4)] * 3)
    with zipfile.ZipFile(folder / "cut.zip", "w") as archive:
        for path in truncated_zip.iterdir():
            archive.write(path, path.name)
    broken = pictures(folder / "broken", [(4, 4)] * 4)
    write(broken / "002.png", (broken / "001.png").read_bytes()[:40])
    (folder / "no_pictures").mkdir()
    mixed = pictures(folder / "mixed", [(4, 4), (4, 4), (6, 4)])
    deep = folder / "deep"
    deep.mkdir()
    Image.fromarray(np.zeros((4, 4), np.float32)).save(deep / "000.tif")

    def csv(name: str, content: str | bytes) -> Path:
        return write(folder / f"{name}.csv", content)

    return {
        "missing": (folder / "nowhere.csv", "does not exist"),
        "empty": (csv("empty", ""), "is an empty file"),
        "blank": (csv("blank", "\n \n"), "is empty"),
        "header only": (csv("header", "a,b\n"), "a header but no rows"),
        "ragged": (csv("ragged", good + "1,2\n"), "line 61 has 2 columns, line 1 has 3"),
        "text": (
            csv("text", "a,b,c\n" + "".join(lines[:4]) + "1,high,2\n"),
            r"'high' at row 5 \(line 6\), column 2 \('b'\)",
        ),
        "text column": (
            csv("labels", "1.5,red\n2.5,red\n" * 4),
            "same value in every row of column 2",
        ),
        "named text column": (csv("names", "x,colour\n" + "1.5,red\n2,red\n" * 4), "'colour'"),
        "decimal commas beside points": (csv("points", "1.5;2,5\n3.5;4,1\n"), "with a point"),
        "mixed decimals": (csv("commas", "1,5;2,5\n3.5;4,1\n"), "'1,5' .*decimals .*with a point"),
        "empty cell": (
            csv("cell", "1,2\n3,\n5,6\n7,8\n"),
            r"empty cell at row 2 \(line 2\), column 2",
        ),
        "nan": (
            csv("nan", "a,b\n1,2\n3,4\n5,nan\n6,7\n"),
            r"nan at row 3 \(line 4\), column 2 \('b'\)",
        ),
        "inf": (csv("inf", "1,2\n-inf,4\n5,1\n6,7\n"), r"-inf at row 2 \(line 2\), column 1"),
        "nan in an array": (folder / "nan.npy", "nan at row 34, column 2"),
        "one row": (csv("one", "1,2,3\n"), "has 1 row;"),
        "constant": (folder / "constant.npy", r"column 4 is constant \(2.5\).*drop it"),
        "not text": (csv("binary", bytes(range(128, 256))), "not UTF-8 text"),
        "nul": (csv("nul", "1,2\n\x00,3\n4,5\n6,7\n"), "cannot be read|holds the text"),
        "open quote": (csv("quote", '1,"2\n3,4\n5,6\n7,8\n'), "quote|delimited"),
        "not gzip": (write(folder / "x.csv.gz", "1,2\n"), "not an intact gzip"),
        "truncated npy": (write(folder / "short.npy", whole[:-100]), "truncated.*1440 bytes.*1340"),
        "header of npy": (write(folder / "head.npy", whole[:40]), "not an intact NumPy file"),
        "no npy": (write(folder / "no.npy", "hello"), "not an intact NumPy file"),
        "objects": (folder / "objects.npy", "pickled objects"),
        "objects in npz": (folder / "objects.npz", r"array 'x'.*pickled objects"),
        "no npz": (write(folder / "no.npz", "hello"), "not an intact .npz"),
        "several arrays": (folder / "several.npz", "several arrays \\(a, b\\)"),
        "words": (folder / "words.npy", "real numbers"),
        "too deep": (folder / "deep.npy", r"shape \[3, 1, 1, 1, 1\]"),
        "no rows": (folder / "none.npy", r"is empty \(shape \[0, 3\]\)"),
        "unreadable image": (broken, "002.png.*cannot be read as an image"),
        "mixed sizes": (mixed, r"sizes: 4x4 \(2 files, 000.png first\), 6x4 \(002.png\);"),
        "no images": (folder / "no_pictures", "holds no images"),
        "32 bits": (deep, "pixels of 32 bits"),
        "truncated zip": (
            write(folder / "short.zip", (folder / "cut.zip").read_bytes()[:-60]),
            "not an intact zip",
        ),
        "unknown kind": (write(folder / "x.docx", "hello"), "of no kind that can be read"),
        "unknown name": (Path("moon"), "neither a built-in"),
    }


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    for case, (path, message) in bad_inputs(tmp_path).items():
        with pytest.raises(ValueError, match=message) as caught:
            load_dataset(str(path))
        assert type(caught.value) is ValueError, case
        assert "\n" not in str(caught.value), case


def test_a_nul_image_in_a_folder_names_the_file(tmp_path: Path) -> None:
    write(pictures(tmp_path / "in", [(4, 4)] * 3) / "001.png", b"\0" * 50)
    with pytest.raises(ValueError, match=r"001.png in .*cannot be read"):
        files.read(tmp_path / "in")


def scored(tmp_path: Path) -> Dataset:
    return load_dataset(write(tmp_path / "train.csv", text(X, header="a,b,c\n")))


def test_points_to_score(tmp_path: Path) -> None:
    like = scored(tmp_path).transform
    assert like.columns == ("a", "b", "c")
    one = read_points(write(tmp_path / "one.csv", "a,b,c\n1,2,3\n"), like)
    assert one.tolist() == [[1.0, 2.0, 3.0]] and one.dtype == torch.float64
    with pytest.raises(ValueError, match=r"trained on 3 columns; .*wide.csv has 4"):
        read_points(write(tmp_path / "wide.csv", "1,2,3,4\n"), like)
    with pytest.raises(ValueError, match=r"column 2 of .* is called 'c'; .* trained on 'b'"):
        read_points(write(tmp_path / "swapped.csv", "a,c,b\n1,2,3\n"), like)
    with pytest.raises(ValueError, match="nan at row 1"):
        read_points(write(tmp_path / "nan.csv", "nan,2,3\n"), like)


def test_images_to_score(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "in", [(4, 4)] * 3)
    assert read_points(folder, pixels((1, 4, 4), 256)).shape == (3, 1, 4, 4)
    with pytest.raises(ValueError, match=r"shape \[1, 8, 8\]; .* have shape \[1, 4, 4\]"):
        read_points(folder, pixels((1, 8, 8), 256))
    with pytest.raises(ValueError, match="values from 0 to 16"):
        read_points(folder, pixels((1, 4, 4), 17))
    with pytest.raises(ValueError, match=r"trained on observations of shape \[2\]"):
        read_points(folder, columnwise(torch.from_numpy(X[:, :2])))


def test_a_missing_extra_names_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r"gibbsian\[parquet\]"):
        files.read(write(tmp_path / "x.parquet", "PAR1"))


def test_pictures_of_several_sizes_say_how_to_bring_them_to_one(tmp_path: Path) -> None:
    mixed = pictures(tmp_path / "mixed", [(5, 4), (8, 8)] * 3)
    with pytest.raises(ValueError, match=r"--image-size [58] does$"):
        load_dataset(mixed)
    large = pictures(tmp_path / "large", [(50, 48), (64, 52)] * 3)
    with pytest.raises(
        ValueError, match=r"--image-size \d+ does, .* photographs by --patch-size 48$"
    ):
        load_dataset(large)
    np.save(tmp_path / "x.npy", X)
    for source in ("moons", "digits", str(tmp_path / "x.npy")):
        with pytest.raises(ValueError, match="takes no --image-size"):
            load_dataset(source, image_size=4)
    with pytest.raises(ValueError, match="takes no --image-size"):
        load_dataset(mixed, image_size=4, patch_size=4)
    like = pixels((1, 4, 4), 256)
    assert read_points(mixed, like, image_size=4).shape == (6, 1, 4, 4)
