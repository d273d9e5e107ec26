"""``gibbsian detect --model FOLDER``: other rows by detectors that were trained before."""

import csv
import json
import shutil

import numpy as np
import pytest

from gibbsian.cli import main
from gibbsian.core.files import CorruptFileError
from gibbsian.core.records import sealed
from gibbsian.core.tensor_files import read_tensors, write_tensors
from gibbsian.models import detector
from gibbsian.models.numeric_table import read_table
from gibbsian.models.saved_detectors import load_detectors
from gibbsian.models.strange_rows import fit_folds


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(detector, "ROUNDS", 20)


def table(path, seed, n=60, gaps=()):
    """Two columns of numbers, one of them an amount of money, and a category."""
    rng = np.random.default_rng(seed)
    lines = ["height,price,city"]
    for i, (a, b) in enumerate(rng.normal(size=(n, 2)).tolist()):
        height = "" if i in gaps else f"{a:.6g}"
        lines.append(f"{height},${abs(b):.2f},{['Ulm', 'Bonn', 'Kiel'][i % 3]}")
    path.write_text("\n".join(lines) + "\n")


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def known(here):
    table(here / "known.csv", 0, gaps={3, 7})
    table(here / "new.csv", 1, n=20, gaps={5})
    assert main(["detect", "known.csv", "--out", "known"]) == 0
    return here


def test_saved_detectors_score_to_the_same_bits(known):
    assert main(["detect", "known.csv", "--score", "new.csv", "--out", "trained"]) == 0
    shutil.move("known", "moved")
    (known / "known.csv").unlink()
    assert main(["detect", "new.csv", "--model", "moved"]) == 0
    texts = [(known / name / "rows.csv").read_bytes() for name in ("trained", "new-detected")]
    assert texts[0] == texts[1] and texts[0].count(b"\n") == 21
    page = (known / "new-detected" / "report.html").read_text()
    assert "two thirds of the rows of known.csv" in page and "Strange rows of new.csv" in page
    assert not (known / "new-detected" / "detector.json").exists()


def test_energies_of_numbers_are_kept_to_the_bit(here):
    np.save(here / "x.npy", np.random.default_rng(0).normal(size=(60, 3)))
    assert main(["detect", "x.npy", "--seed", "3"]) == 0
    loaded, source = load_detectors(here / "x-detected")
    fitted = fit_folds(read_table(here / "x.npy", missing="refuse"), seed=3)
    assert source == "x.npy" and loaded.table.schema is None
    assert loaded.held_out.equal(fitted.held_out) and loaded.centres.equal(fitted.centres)
    for one, other in zip(loaded.detectors, fitted.detectors, strict=True):
        assert one.energy(fitted.table.x).equal(other.energy(fitted.table.x))


def test_what_a_table_must_be_like(known, refused):
    words = ("detect", "other.csv", "--model", "known")
    (known / "other.csv").write_text("height,city\n1,Ulm\n")
    assert "lacks the column 'price'" in refused(*words)
    (known / "other.csv").write_text("price,height,city\n1,2,Ulm\n")
    assert "is called 'price'" in refused(*words)
    (known / "other.csv").write_text("height,price,city\n1,€2,Ulm\n")
    assert "numbers with € in column 2 ('price')" in refused(*words)


def test_more_columns_than_the_models_know_are_left_out(known, capsys):
    text = (known / "new.csv").read_text().splitlines()
    rows = [f"{i}00,{line},note {i}" for i, line in enumerate(text[1:])]
    (known / "more.csv").write_text("\n".join([f"number,{text[0]},remark", *rows]) + "\n")
    for name in ("new.csv", "more.csv"):
        assert main(["detect", name, "--model", "known"]) == 0
    assert (
        "left out, columns that the models do not know: number, remark" in capsys.readouterr().err
    )
    bare, more = (read(known / f"{name}-detected" / "rows.csv") for name in ("new", "more"))
    assert [row["energy"] for row in bare] == [row["energy"] for row in more]
    for row in more:
        assert row["number"] == f"{int(row['row']) - 1}00"
        assert row["remark"] == f"note {int(row['row']) - 1}"


def test_texts_never_seen_and_new_gaps_are_scored(known):
    """The first city is unknown, the second one lacks; no row of known.csv has a gap there."""
    lines = (known / "new.csv").read_text().splitlines()
    lines[1] = lines[1].replace("Ulm", "Atlantis")
    lines[2] = lines[2].replace("Bonn", "")
    (known / "odd.csv").write_text("\n".join(lines) + "\n")
    for name in ("new.csv", "odd.csv"):
        assert main(["detect", name, "--model", "known"]) == 0
    found, plain = (
        {row["row"]: row for row in read(known / f"{name}-detected" / "rows.csv")}
        for name in ("odd", "new")
    )
    assert "1" in list(found)[:2] and found["1"]["city"] == "Atlantis"
    assert found["1"]["reason_1"] == "city: 'Atlantis' was never seen in training"
    assert float(found["1"]["percentile"]) > 95
    assert float(found["1"]["contribution of city"]) > 2
    assert found["2"]["contribution of city"] == "0" and found["2"]["city"] == ""
    assert float(found["2"]["energy"]) <= float(plain["2"]["energy"]) + 1e-4  # in nats, as printed
    assert {k: found[k]["energy"] for k in found if k not in "12"} == {
        k: plain[k]["energy"] for k in plain if k not in "12"
    }


def test_settled_options_are_refused(known, refused):
    for option in (
        ("--score", "new.csv"),
        ("--columns", "height"),
        ("--drop-columns", "city"),
        ("--missing-values", "refuse"),
        ("--seed", "1"),
    ):
        said = refused("detect", "new.csv", "--model", "known", *option)
        assert f"{option[0]} was settled" in said
    assert "columns that they do not know are left out anyway" in refused(
        "detect", "new.csv", "--model", "known", "--drop-columns", "id"
    )
    assert "nothing holds no detectors" in refused("detect", "new.csv", "--model", "nothing")


FILES = (
    "detector.json",
    "detector.safetensors",
    "fold-0/config.json",
    "fold-1/model.safetensors",
)


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_are_refused(name, known, refused):
    path = known / "known" / name
    content = path.read_bytes()
    for place in (len(content) // 3, len(content) - 9):
        damaged = bytearray(content)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        refused("detect", "new.csv", "--model", "known")
        assert not (known / "new-detected").exists()
    path.write_bytes(content[: len(content) // 2])
    refused("detect", "new.csv", "--model", "known")
    path.unlink()
    refused("detect", "new.csv", "--model", "known")


def test_parts_of_two_tables_are_refused(known, refused):
    assert main(["detect", "known.csv", "--out", "again", "--seed", "1"]) == 0
    for name in ("detector.safetensors", "fold-2"):
        whole = known / "known" / name
        shutil.move(whole, known / "aside")
        source = known / "again" / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, whole)
        said = refused("detect", "new.csv", "--model", "known")
        assert "belongs to another run" in said or "is no part of known" in said
        (shutil.rmtree if whole.is_dir() else whole.unlink.__func__)(whole)
        shutil.move(known / "aside", whole)
    assert main(["detect", "new.csv", "--model", "known"]) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("names", ["height"]),
        ("names", []),
        ("categories", [0, 0, -3]),
        ("categories", [0, 0, 4]),
        ("id", "x"),
        ("source", 3),
        ("table", []),
        ("format", 1),
    ],
)
def test_a_record_written_by_hand_is_checked(name, value, known, refused):
    """A checksum is no signature."""
    path = known / "known" / "detector.json"
    entries = json.loads(path.read_text())
    entries.pop("checksum")
    path.write_text(json.dumps(sealed(entries | {name: value})))
    refused("detect", "new.csv", "--model", "known")


@pytest.mark.parametrize("name", ["mean-0", "factor-1", "candidates-2", "centres", "held_out"])
def test_tensors_written_by_hand_are_checked(name, known):
    path = known / "known" / "detector.safetensors"
    tensors, facts = read_tensors(path)
    identity = json.loads((known / "known" / "detector.json").read_text())["id"]
    for changed in (tensors[name][:1], tensors[name].float(), tensors[name] + np.inf):
        write_tensors(path, tensors | {name: changed}, facts, identity)
        if name in ("held_out", "candidates-2") and len(changed) == 1:
            continue  # little, and no damage
        with pytest.raises(CorruptFileError):
            load_detectors(known / "known")
