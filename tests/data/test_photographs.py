"""Patches of photographs: where they come from, which images are held out, what is refused."""

import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from gibbsian import data
from gibbsian.data.patches import HELD_OUT, cut, photographs, read_patches, split


def write(folder, name, height, width, mode="RGB"):
    """An image whose red is the row and green the column (grey: the row): patches say where they were."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    channels = [rows, columns, np.full_like(rows, sum(map(ord, name)) % 200)]
    array = np.stack(channels, 2) if mode == "RGB" else rows
    Image.fromarray(array).save(folder / f"{name}.png")


@pytest.fixture
def folder(tmp_path):
    for number in range(9):
        write(tmp_path, f"picture{number}", 20 + number, 30 - number)
    return tmp_path


def test_patches_are_squares_of_the_pictures_and_both_ways_round(folder):
    rows = read_patches(folder, 8, 640, seed=0)
    assert rows.x.shape == (640 + 80 + 80, 3, 8, 8) and rows.x.dtype == np.uint8
    steps = np.diff(rows.x.astype(int), axis=2)[:, 0]
    assert (steps == 1).all()  # never upside down
    along = np.diff(rows.x.astype(int), axis=3)[:, 1, 0, 0]
    assert set(along) == {-1, 1} and 330 < (along == 1).sum() < 470  # 5 sigma
    assert rows.x[:640, 0].max() == 26 and rows.x[:640, 0].min() == 0  # up to the borders


def test_whole_pictures_are_held_out(folder):
    names = [f"picture{number}" for number in range(9)]
    parts = split(names)
    assert parts == {"train": names[2:8], "valid": names[1:2], "test": ["picture0", "picture8"]}
    rows = read_patches(folder, 8, 40, seed=0)
    blue = {name: sum(map(ord, name)) % 200 for name in names}
    for part, x in zip(parts, np.split(rows.x, [40, 45]), strict=True):
        assert set(np.unique(x[:, 2])) <= {blue[name] for name in parts[part]}


def test_the_studies_pictures_are_held_out_by_name():
    names = ["a/monarch", "b", "c", "kodim23", "nature"]
    assert split(names)["test"] == ["a/monarch", "kodim23"]
    assert len(set(HELD_OUT)) == 8 and {"monarch", "barbara", "astronaut"} <= set(HELD_OUT)
    assert split(["monarch", "tulips", "sail"])["test"] == ["monarch"]  # something must be left
    assert split(["alone"]) == {"train": ["alone"], "valid": ["alone"], "test": ["alone"]}


def test_large_pictures_give_more_patches():
    """Of 900 patches a share 1/10 from the smaller image: 90, 5 sigma 45."""
    small, large = (
        np.zeros((1, 8, 17), np.uint8),
        np.ones((1, 17, 16), np.uint8),
    )  # 10 and 90 places
    x = cut([small, large], 900, 8, np.random.default_rng(0))
    assert 45 < (x.max((1, 2, 3)) == 0).sum() < 135


def test_load_cuts_by_seed_grey_or_in_colour(folder):
    first = data.load_dataset(folder, patch_size=8, max_rows=40, seed=3)
    assert first.train.shape == (40, 3, 8, 8) and first.space.box == (-1.0, 1.0)
    assert len(first.valid) == len(first.test) == 5
    assert torch.equal(
        first.train, data.load_dataset(folder, patch_size=8, max_rows=40, seed=3).train
    )
    assert not torch.equal(
        first.train, data.load_dataset(folder, patch_size=8, max_rows=40, seed=4).train
    )
    assert any("for test: picture0, picture8" in note for note in first.notes)
    assert data.load_dataset(folder, patch_size=8, max_rows=40, greyscale=True).train.shape == (
        40,
        1,
        8,
        8,
    )


def test_zips_and_grey_folders(tmp_path):
    for number in range(4):
        write(tmp_path, f"{number}", 12, 12, "L")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for number in range(4):
            archive.write(tmp_path / f"{number}.png", f"in/{number}.png")
    found = photographs(tmp_path / "all.zip")
    assert list(found) == [f"in/{n}" for n in range(4)] and found["in/0"].shape == (1, 12, 12)


def test_what_is_refused(folder, monkeypatch, tmp_path_factory):
    with pytest.raises(ValueError, match=r"picture0 in .* is 30x20, smaller than a patch of 24x24"):
        data.load_dataset(folder, patch_size=24)
    with pytest.raises(ValueError, match="moons takes no --greyscale"):
        data.load_dataset("moons", greyscale=True)
    with pytest.raises(ValueError, match="does not exist"):
        data.load_dataset(folder / "nothing", patch_size=8)
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(ValueError, match="holds no images"):
        data.load_dataset(empty, patch_size=8)
    monkeypatch.setenv("GIBBSIAN_DATA", str(empty))
    monkeypatch.setenv("XDG_CACHE_HOME", str(empty))
    with pytest.raises(ValueError, match="photographs called 'photos' are in none of"):
        data.load_dataset("photos", patch_size=8)
    with pytest.raises(ValueError, match="say what to cut out of them"):
        data.load_dataset("photos")
    (empty / "photos").mkdir()
    write(empty / "photos", "monarch", 12, 12)
    assert data.load_dataset("photos", patch_size=8, max_rows=8).train.shape == (8, 3, 8, 8)
