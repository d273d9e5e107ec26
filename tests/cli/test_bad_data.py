"""Data that cannot be used: refused in one sentence that says where the fault is and what to do."""

import re
import warnings

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import SMALL

ROWS = np.random.default_rng(0).normal(size=(40, 2))


def csv(text):
    return lambda path: path.write_text(text)


def array(x):
    return lambda path: np.save(path, x)


def cut(length):
    """A .npy file of which only the first bytes are there."""

    def write(path):
        np.save(path, ROWS)
        path.write_bytes(path.read_bytes()[:length])

    return write


def spoilt(value):
    x = ROWS.copy()
    x[6, 1] = value
    return x


def images(path, sizes):
    path.mkdir()
    for i, size in enumerate(sizes):
        Image.fromarray(np.full((size, size), i, dtype=np.uint8)).save(path / f"{i}.png")


def mixed(path):
    images(path, [8, 8, 9, 8])


def unreadable(path):
    images(path, [8, 8, 8, 8, 8])
    file = path / "3.png"
    file.write_bytes(file.read_bytes()[:50])


BAD = {
    "empty.csv": (csv(""), "empty file; it needs rows"),
    "empty.npy": (csv(""), "empty file; it needs rows"),
    "header.csv": (csv("a,b\n"), "header but no rows"),
    "ragged.csv": (csv("a,b\n1,2\n3\n4,5\n"), "ragged: line 3 has 1 columns, line 1 has 2"),
    "text.csv": (
        csv("a,b\n1,2\n3,red\n4,5\n6,7\n"),
        r"'red' at row 2 \(line 3\), column 2 \('b'\); drop",
    ),
    "nan.csv": (
        csv("a,b\n1,2\nnan,4\n4,nan\n"),
        r"nan at row 2 \(line 3\), column 1 \('a'\); drop",
    ),
    "inf.csv": (csv("1,2\n3,4\n5,-inf\n6,7\n"), r"-inf at row 3 \(line 3\), column 2; drop"),
    "nan.npy": (array(spoilt(np.nan)), "nan at row 7, column 2; drop or fill"),
    "inf.npy": (array(spoilt(np.inf)), "inf at row 7, column 2; drop or fill"),
    "one.csv": (csv("a,b\n1,2\n"), "has 1 row; .* at least 4"),
    "constant.npy": (array(ROWS * [1, 0]), "column 2 is constant .* drop it"),
    "cut.npy": (cut(300), "truncated: .* copy or write it again"),
    "stub.npy": (cut(40), "not an intact NumPy file"),
    "objects.npz": (
        lambda path: np.savez(path, x=np.array([{"a": 1}, 2], dtype=object)),
        "pickled objects, .* save a plain array",
    ),
    "objects.npy": (array(np.array([{"a": 1}, 2], dtype=object)), "pickled objects"),
    "complex.npy": (array(ROWS.astype(complex)), "must be real numbers"),
    "deep.npy": (array(np.zeros((4, 1, 1, 2, 2))), r"shape \[4, 1, 1, 2, 2\]"),
    "unreadable": (unreadable, "3.png in unreadable cannot be read as an image .* remove it"),
    "mixed": (
        mixed,
        r"several sizes: 8x8 \(3 files, 0.png first\), 9x9 \(2.png\); bring them to one",
    ),
    "folder": (lambda path: path.mkdir(), "holds no images"),
    "notes.docx": (csv("hi"), "no kind that can be read; use .npy"),
}


@pytest.mark.parametrize("name", BAD)
def test_training_refuses(name, here, refused):
    write, sentence = BAD[name]
    write(here / name)
    assert re.search(sentence, refused("train", "cd", "--data", f"./{name}", "--out", "run"))


# Scoring leaves single unreadable files out.
@pytest.mark.parametrize(
    "name", [name for name in BAD if not name.startswith(("one", "const", "unreadable"))]
)
def test_scoring_refuses(name, here, run, refused):
    write, sentence = BAD[name]
    write(here / name)
    assert re.search(sentence, refused("score", run, f"./{name}", "--output", "scores.csv"))


def test_missing_file(refused, run):
    assert "gone.csv does not exist" in refused("train", "cd", "--data", "gone.csv")
    assert "gone.csv does not exist" in refused("score", run, "gone.csv")


@pytest.mark.parametrize(
    ("name", "near"), [("moonz", "did you mean moons"), ("qqq", "`gibbsian list data` names these")]
)
def test_unknown_set_names_the_nearest(name, near, refused):
    assert re.search(near, refused("train", "cd", "--data", name))


def test_absent_set_says_what_to_do(refused, monkeypatch, here):
    monkeypatch.delenv("GIBBSIAN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(here))
    sentence = refused("train", "cd", "--data", "mnist", "--data-root", "nowhere")
    assert re.search("needs the file .*put it there, or name its folder by --data-root", sentence)


def test_scoring_other_columns_names_both_numbers(here, run, refused):
    np.savetxt("three.csv", np.ones((5, 3)), delimiter=",")
    sentence = refused("score", run, "three.csv", "--output", "scores.csv")
    assert "trained on 2 columns; three.csv has 3" in sentence


def test_batch_larger_than_the_data(here, refused):
    np.save("rows.npy", ROWS)
    for data in ("rows.npy", "moons"):
        words = ("--data", data, *SMALL, "--max-rows", "40", "--batch", "500", "--out", "run")
        assert re.search("batch of 500 is larger than .* at most", refused("train", "cd", *words))


def test_too_few_rows_asked_for(refused):
    assert "at least 4" in refused("train", "cd", "--data", "moons", "--max-rows", "3")
    assert "--max-rows must not be negative" in refused(
        "train", "cd", "--data", "moons", "--max-rows", "-3"
    )


def test_warnings_are_put_back_as_they_were(here, refused):
    before = warnings.showwarning
    refused("train", "cd", "--data", "gone.csv")
    assert warnings.showwarning is before
