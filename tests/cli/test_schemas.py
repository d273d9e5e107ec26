"""The columns of a table from `train` to `score`: cleaned alike, held to their order, names and kinds."""

import io
import json
import re
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

import gibbsian
from gibbsian.cli import main
from gibbsian.core.files import CorruptFileError
from gibbsian.data.schema import table_of
from gibbsian.models.model import load_model
from tests.cli.conftest import SMALL

RNG = np.random.default_rng(0)
ROWS = 60
PRICES = RNG.normal(2000, 300, ROWS).round(2).tolist()
GROWTH = RNG.normal(5, 2, ROWS).round(1).tolist()
FLAGS = (RNG.random(ROWS) < 0.5).tolist()
CITIES = RNG.choice(["Rome", "Oslo"], ROWS).tolist()
HEADER = "city;price;growth;flag"
TRAIN = ("train", "cd", *SMALL, "--max-rows", "0")


def price(value):
    """1,012.50 as it is written in Germany."""
    return f"{value:,.2f} €".translate(str.maketrans(",.", ".,"))


def lines(gap=None):
    rows = zip(CITIES, PRICES, GROWTH, FLAGS, strict=True)
    return [
        f"{city};{'' if i == gap else price(p)};{str(g).replace('.', ',')}%;{'yes' if flag else 'no'}"
        for i, (city, p, g, flag) in enumerate(rows)
    ]


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A run on an office's table: a category dropped, gaps imputed."""
    folder = tmp_path_factory.mktemp("taught")
    (folder / "x.csv").write_text("\n".join([HEADER, *lines(gap=3)]), encoding="cp1252")
    data = ("--data", str(folder / "x.csv"), "--drop-columns", "city", "--missing-values", "impute")
    assert main([*TRAIN, *data, "--out", str(folder / "run")]) == 0
    return folder


def energies(run, file):
    """The scores' column, which are written as ``file`` is."""
    assert main(["score", str(run), str(file), "--output", "scores.csv"]) == 0
    text = Path("scores.csv").read_text(encoding="utf-8-sig")
    if ";" in text.partition("\n")[0]:
        text = text.replace(",", ".").replace(";", ",")
    return np.genfromtxt(text.splitlines(), delimiter=",", names=True)["energy"]


def test_the_table_is_said_when_training_starts(here, capsys):
    (here / "x.csv").write_text("\n".join([HEADER, *lines()]), encoding="cp1252")
    assert main([*TRAIN, "--data", "x.csv", "--drop-columns", "city", "--out", "run"]) == 0
    said = capsys.readouterr().err
    assert "decimals with a comma" in said and "text in cp1252" in said
    assert (
        "columns: city: category, 2 values: left out by --drop-columns; price: number (thousands separators, "
        "€ removed); growth: number (% removed); flag: true or false, as 1 or 0"
    ) in said


def test_a_renamed_file_scores_the_same_however_it_is_written(taught, here):
    """As it was, without the dropped column, plain numbers of Python's, another encoding: one score."""
    model = load_model(taught / "run")
    fill = model.table.kept[0].fill
    assert fill in PRICES
    plain = [
        f"{fill if i == 3 else p},{g},{int(flag)}"
        for i, (p, g, flag) in enumerate(zip(PRICES, GROWTH, FLAGS, strict=True))
    ]
    files = {
        "renamed.txt": (taught / "x.csv").read_bytes(),
        "bare.csv": "\n".join(line.partition(";")[2] for line in [HEADER, *lines(gap=3)]).encode(),
        "no-header.csv": "\n".join(lines(gap=3)).encode("utf-16"),
        "plain.csv": "\n".join(["price,growth,flag", *plain]).encode(),
        "numbers.csv": "\n".join(plain).encode(),
    }
    expected = energies(taught / "run", taught / "x.csv")
    assert expected.shape == (ROWS,) and np.isfinite(expected).all()
    for name, content in files.items():
        (here / name).write_bytes(content)
        np.testing.assert_array_equal(energies(taught / "run", name), expected, err_msg=name)


def test_an_array_with_a_gap_is_filled_too(taught, here):
    x = np.column_stack([PRICES, GROWTH, FLAGS])
    x[3, 0] = np.nan
    np.save("x.npy", x)
    np.testing.assert_array_equal(
        energies(taught / "run", "x.npy"), energies(taught / "run", taught / "x.csv")
    )


def test_samples_are_scored(taught, here):
    assert main(["sample", str(taught / "run"), "-n", "5", "--output", "s.csv"]) == 0
    assert np.isfinite(energies(taught / "run", "s.csv")).all()


def test_evaluation_reads_the_table_as_training_did(taught, capsys):
    assert main(["evaluate", str(taught / "run"), "--num-samples", "50", "--json"]) == 0
    assert "log-likelihood" in json.loads(capsys.readouterr().out)["values"]


@pytest.mark.parametrize(
    ("header", "change", "sentence"),
    [
        (
            "city;growth;price;flag",
            {},
            "column 2 .* is called 'growth'; .* trained on 'price' there",
        ),
        ("city;price;flag", {}, "lacks the column 'growth', which this model was trained on"),
        ("city;cost;growth;flag", {}, "lacks the column 'price'"),
        (
            "price;rise;flag",
            {},
            "column 2 .* is called 'rise'; this model was trained on 'growth' there",
        ),
        (
            HEADER,
            {"price": "$5"},
            r"numbers with \$ in column 2 \('price'\); .* with € there: write",
        ),
        (
            HEADER,
            {"price": "much"},
            r"'much' at row 3 \(line 4\), column 2 .* trained on numbers there",
        ),
        (HEADER, {"price": "yes"}, "'yes' at row 3 .* trained on numbers there"),
        (HEADER, {"flag": "maybe"}, "'maybe' at row 3 .* trained on true and false there"),
        (HEADER, {"price": "2020-01-02"}, "the date '2020-01-02' at row 3"),
        (HEADER, {"price": "inf"}, "holds inf at row 3"),
    ],
)
def test_what_is_unlike_the_training_table_is_refused(
    taught, here, refused, header, change, sentence
):
    cells = {"city": "Rome", "price": "5,5 €", "growth": "5%", "flag": "no"}
    names = header.split(";")
    rows = [";".join(cells.get(name, "1") for name in names) for _ in range(5)]
    rows[2] = ";".join((cells | change).get(name, "1") for name in names)
    (here / "y.csv").write_text("\n".join([header, *rows]))
    assert re.search(sentence, refused("score", taught / "run", "y.csv"))


def test_more_columns_are_left_out_with_a_note(taught, here, capsys):
    plain = "city;price;growth;flag", [f"Rome;{k},5 €;5%;no" for k in range(9)]
    more = "town;price;remark;growth;flag", [f"Rome;{k},5 €;call {k};5%;no" for k in range(9)]
    for name, (header, rows) in (("plain.csv", plain), ("more.csv", more)):
        (here / name).write_text("\n".join([header, *rows]))
    expected = energies(taught / "run", "plain.csv")
    assert "left out" not in capsys.readouterr().err
    np.testing.assert_array_equal(energies(taught / "run", "more.csv"), expected)
    assert "left out, columns that the model does not know: town, remark" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["refuse", "drop"])
def test_gaps_are_refused_where_none_was_imputed(missing, here, refused):
    (here / "x.csv").write_text("\n".join([HEADER, *lines(gap=3 if missing == "drop" else None)]))
    data = ("--data", "x.csv", "--drop-columns", "city", "--missing-values", missing)
    assert main([*TRAIN, *data, "--out", "run"]) == 0
    (here / "y.csv").write_text("\n".join([HEADER, *lines(gap=3)]))
    sentence = refused("score", "run", "y.csv")
    assert "empty cell at row 4 (line 5), column 2 ('price')" in sentence
    assert "trained on complete rows, not with --missing-values impute" in sentence


@pytest.mark.parametrize(
    "change",
    [
        {"decimal": ";"},
        {"named": None},
        {"missing": 3},
        {"columns": [1]},
        {"columns": []},
        {"more": 1},
        {"columns": [{"name": "a", "kind": "number", "marks": [], "kept": True, "fill": "x"}]},
        {"columns": [{"name": "a", "kind": "words", "marks": [], "kept": True, "fill": None}]},
        {"columns": [{"name": "a\n", "kind": "number", "marks": [], "kept": True, "fill": None}]},
    ],
)
def test_a_damaged_table_is_refused(taught, change):
    model = load_model(taught / "run")
    entries = json.loads(json.dumps(asdict(model.table)))
    assert table_of(entries, model.space, taught) == model.table
    assert table_of(None, model.space, taught) is None
    with pytest.raises(CorruptFileError, match="is damaged: its table"):
        table_of(entries | change, model.space, taught)


def test_standard_input(here, monkeypatch, capsys):
    text = "\n".join([HEADER, *lines()]).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    assert main([*TRAIN, "--data", "-", "--drop-columns", "city", "--out", "run"]) == 0
    (here / "x.csv").write_bytes(text)
    expected = energies("run", "x.csv")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    np.testing.assert_array_equal(energies("run", "-"), expected)


@pytest.mark.parametrize(
    ("columns", "method"),
    [(("price", "growth"), "cd"), (("price", "growth", "flag", "more"), "nce")],
)
def test_without_a_method_the_recommended_one_is_taken(columns, method, here, capsys):
    more = RNG.normal(size=ROWS).tolist()
    rows = zip(PRICES, GROWTH, map(int, FLAGS), more, strict=True)
    (here / "x.csv").write_text(
        "\n".join(["price,growth,flag,more", *(",".join(map(str, r)) for r in rows)])
    )
    words = ("--data", "x.csv", "--columns", ",".join(columns), "--rounds", "1", "--out", "run")
    assert main(["train", *words]) == 0
    assert f"no method was named: {method}, which docs/which-method.md" in capsys.readouterr().err
    assert load_model(here / "run").config.method == method
    assert load_model(here / "run").transform.columns == columns


def test_the_recommended_methods_are_those_of_the_page(capsys):
    for data, method in (
        ("moons", "cd"),
        ("digits", "vae"),
        ("digits-binary", "vae"),
        ("wine", "nce"),
    ):
        assert main(["train", "--data", data, "--print-config"]) == 0
        assert json.loads(capsys.readouterr().out)["method"] == method


def test_gaps_in_python_end_in_a_sentence():
    x = RNG.normal(size=(40, 2))
    x[4, 1] = np.nan
    torch = pytest.importorskip("torch")
    pandas = pytest.importorskip("pandas")
    for rows in (
        x,
        torch.from_numpy(x),
        torch.from_numpy(x).float(),
        pandas.DataFrame(x, columns=["a", "b"]),
    ):
        with pytest.raises(
            ValueError,
            match=r"(array|data frame) holds nan at row 5, column 2.*; drop or fill such",
        ):
            gibbsian.train("cd", rows, training={"rounds": 1})


def test_units_are_those_of_the_training_table(here, refused):
    """Numbers without the unit are taken; another unit is refused; frames are read like files."""
    pandas = pytest.importorskip("pandas")
    rows = RNG.normal(70, 10, size=(ROWS, 2)).round(1)

    def written(name, unit):
        lines = [f"{str(a).replace('.', ',')}{unit};{b:.0f}" for a, b in rows]
        (here / name).write_text("\n".join(["weight;age", *lines]))

    for name, unit in (
        ("x.csv", " kg"),
        ("plain.csv", ""),
        ("close.csv", "kg"),
        ("other.csv", " lb"),
    ):
        written(name, unit)
    assert main([*TRAIN, "--data", "x.csv", "--out", "run"]) == 0
    expected = energies("run", "x.csv")
    for name in ("plain.csv", "close.csv"):
        np.testing.assert_array_equal(energies("run", name), expected)
    said = refused("score", "run", "other.csv")
    assert re.search(r"' *\d+,\d lb' at row 1 .* trained on numbers in kg there: correct it", said)
    frame = pandas.read_csv("x.csv", sep=";")
    model = load_model("run")
    np.testing.assert_allclose(np.ravel(model.energy(frame)), expected, rtol=1e-5)
