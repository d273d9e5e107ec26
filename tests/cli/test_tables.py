"""Tables with classes and names: from `train --class-column` to the file of samples and back to `score`."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from gibbsian.cli import main
from gibbsian.config.config import from_json, to_json
from gibbsian.core.files import read_json
from gibbsian.data.cells import read_back
from tests.cli.conftest import SMALL

X = np.random.default_rng(0).normal(size=(60, 2))
TRAIN = ("train", "cd", *SMALL, "--max-rows", "0", "--class-loss-weight", "1", "--energy", "joint")


def table(path, cells):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["height, m", "kind", "2020"])
        writer.writerows([a, kind, b] for (a, b), kind in zip(X, cells, strict=True))


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A run on a table of which a column of words holds the classes."""
    folder = tmp_path_factory.mktemp("taught")
    table(folder / "x.csv", ["iris", "rose"] * 30)
    data = ("--data", str(folder / "x.csv"), "--class-column", "kind", "--energy.classes", "2")
    assert main([*TRAIN, *data, "--out", str(folder / "run")]) == 0
    return folder


def test_scoring_takes_rows_with_or_without_their_classes(taught, here):
    table(here / "other.csv", ["", "?"] * 30)
    np.savetxt("bare.csv", X, delimiter=",", header='"height, m",2020', comments="", fmt="%s")
    found = []
    for name in (taught / "x.csv", "other.csv", "bare.csv"):
        assert main(["score", str(taught / "run"), str(name), "--output", "scores.csv"]) == 0
        found.append(np.genfromtxt("scores.csv", delimiter=",", names=True)["energy"])
    assert found[0].shape == (60,) and np.isfinite(found[0]).all()
    np.testing.assert_array_equal(found[1:], found[:1] * 2)


def test_samples_carry_the_names_of_the_columns_and_are_read_back(taught, here, capsys):
    run = str(taught / "run")
    assert main(["sample", run, "-n", "5", "--condition-on", "1", "--output", "x.csv"]) == 0
    lines = (here / "x.csv").read_text().splitlines()
    assert lines[0] == '"height, m",2020' and len(lines) == 6
    assert main(["score", run, "x.csv", "--output", "scores.csv"]) == 0
    assert len((here / "scores.csv").read_text().splitlines()) == 6


@pytest.mark.parametrize(
    ("columns", "back"),
    [
        (("a", "b"), True),
        (("id", "2020"), True),
        (("a, b", 'c "d"'), True),
        (("0", "1"), False),
        (("a", "1.5"), False),
        (("a;b", "c"), False),
        (("a", ""), False),
        ((), False),
    ],
)
def test_names_that_a_reader_would_not_take_for_names_are_left_out(columns, back):
    assert read_back(columns) is back


def test_what_has_no_columns_or_classes(here, refused):
    assert "moons takes no --class-column" in refused(
        "train", "cd", "--data", "moons", "--class-column", "kind"
    )
    table(here / "x.csv", ["1.5", "1"] * 30)
    words = ("train", "cd", "--data", "x.csv", "--class-column")
    assert (
        "x.csv has no column 'kin'; name the one with the labels by --class-column: did you mean kind?"
        in refused(*words, "kin")
    )
    assert "classes must be whole numbers from 0" in refused(*words, "kind")


def test_pictures_of_several_sizes(here, refused, capsys):
    (here / "mixed").mkdir()
    for i, side in enumerate([8, 9, 12, 8, 10, 8]):
        Image.fromarray(np.full((side, side), 40 * i, np.uint8)).save(f"mixed/{i}.png")
    words = ("train", "cd", "--data", "./mixed", "--print-config")
    assert "bring them to one size, as --image-size 8 does" in refused(*words)
    assert "--image-size must not be negative" in refused(*words, "--image-size", "-1")
    assert "moons takes no --image-size" in refused(
        "train", "cd", "--data", "moons", "--image-size", "4"
    )
    capsys.readouterr()
    assert main([*words, "--image-size", "8"]) == 0
    assert json.loads(capsys.readouterr().out)["source"]["image_size"] == 8


def test_a_configuration_of_before_has_neither(taught):
    values = read_json(taught / "run/config.json")["config"]
    del values["source"]["image_size"], values["source"]["class_column"]
    source = from_json(values).source
    assert (source.image_size, source.class_column) == (0, None)
    assert to_json(from_json(values))["source"].keys() >= {"image_size", "class_column"}


def test_print_config_of_data_that_are_there_and_cannot_be_used(here, refused, capsys):
    (here / "x.csv").write_text("a,b\n1,\n")
    assert "empty cell" in refused("train", "cd", "--data", "x.csv", "--print-config")
    capsys.readouterr()
    assert main(["train", "cd", "--data", "elsewhere.csv", "--print-config"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["data"] == "elsewhere.csv" and "not filled in" in said.err


def test_class_numbers_of_many_digits(taught, here, refused):
    words = ("sample", taught / "run", "-n", "2", "--output", "y.csv", "--condition-on")
    for digits in (20, 5000):
        sentence = refused(*words, "9" * digits)
        assert "at most 9 digits" in sentence and len(sentence) < 150
    np.save("labels.npy", [1e300, 1])
    assert "one class, a whole number, per row" in refused(*words, "labels.npy")
