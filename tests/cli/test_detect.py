"""``gibbsian detect`` and ``gibbsian evaluate --anomalies``: what they find, write and refuse."""

import csv
import json

import numpy as np
import pytest
import torch

from gibbsian.cli import main
from gibbsian.evaluation.metrics.baseline_detectors import ecod
from gibbsian.models import detector
from gibbsian.models.detector import Detector, Whitening
from gibbsian.models.numeric_table import read_table
from gibbsian.models.strange_rows import EXPLAINED, detect_rows, to_csv

ODD = 17
"""The row, from 1, that was made strange in its second column."""


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    """A tenth of the training: for what is tested here the Gaussian envelope suffices."""
    monkeypatch.setattr(detector, "ROUNDS", 50)


def rows(n=120, seed=0):
    """Three columns, the first two nearly proportional."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    return np.stack([100 + 10 * a, 5 * a + 0.5 * rng.normal(size=n), rng.normal(size=n)], 1)


def write(path, x, names="height,weight,age", gaps=(), extra=None):
    lines = [names]
    for i, row in enumerate(x):
        cells = ["" if (i, j) in gaps else f"{value:.6g}" for j, value in enumerate(row)]
        lines.append(",".join(cells + ([] if extra is None else [extra[i]])))
    path.write_text("\n".join(lines) + "\n")


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def table(here):
    """``people.csv``: the odd row has an ordinary weight, far from what its height asks for."""
    x = rows()
    x[ODD - 1, :2] = 110.0, -5.0
    write(here / "people.csv", x, gaps={(3, 2), (50, 0)})
    return here


def test_the_strange_row_comes_first_with_its_reason(table, capsys):
    assert main(["detect", "people.csv"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"row {ODD}, percentile 100.0: ") and "would fit" in out
    assert "1 of height by" in err and "1 of age by" in err
    found = read(table / "people-detected" / "rows.csv")
    assert len(found) == 120 and {int(row["row"]) for row in found} == set(range(1, 121))
    energy = np.array([float(row["energy"]) for row in found])
    assert (np.diff(energy) <= 0).all()
    percentile = np.array([float(row["percentile"]) for row in found])
    no_higher = 100 * (energy[None] <= energy[:, None]).mean(1)
    assert percentile == pytest.approx(no_higher, rel=1e-3)
    first = found[0]
    assert first["row"] == str(ODD)
    shares = [float(first[f"contribution of {name}"]) for name in ("height", "weight", "age")]
    assert min(shares[:2]) > 10 * shares[2]
    assert first["reason_1"].startswith(("height 110 is unusual", "weight -5 is unusual"))
    page = (table / "people-detected" / "report.html").read_text()
    assert "Strange rows of people.csv" in page and "is unusual given the rest" in page


def test_the_same_seed_finds_the_same(table):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert main(["detect", "people.csv", "--out", name, "--seed", str(seed)]) == 0
    texts = [(table / name / "rows.csv").read_text() for name in "abc"]
    assert texts[0] == texts[1] != texts[2]


def test_another_table_is_scored_by_the_columns_of_the_first(table, refused):
    write(table / "new.csv", [[110.0, 5.0, 0.0], [110.0, -5.0, 0.0]], gaps={(0, 2)})
    assert main(["detect", "people.csv", "--score", "new.csv", "--out", "new"]) == 0
    found = read(table / "new" / "rows.csv")
    assert [row["row"] for row in found] == ["2", "1"]
    assert float(found[0]["percentile"]) > 99 > float(found[1]["percentile"])
    write(table / "swapped.csv", [[5.0, 110.0, 0.0]], "weight,height,age")
    assert "column 1 of swapped.csv is called 'weight'" in refused(
        "detect", "people.csv", "--score", "swapped.csv"
    )
    write(table / "short.csv", [[5.0, 110.0]], "height,weight")
    assert "short.csv lacks the column 'age'" in refused(
        "detect", "people.csv", "--score", "short.csv"
    )


def test_categories_have_reasons_too(table):
    """Heights are told apart by city: one tall row is called by the wrong one."""
    x, cities = rows(), ["Ulm", "Bonn"] * 60
    x[::2, 0] += 40
    cities[6] = "Bonn"
    write(table / "cities.csv", x, "height,weight,age,city", extra=cities)
    assert main(["detect", "cities.csv"]) == 0
    found = read(table / "cities-detected" / "rows.csv")
    (place,) = (i for i, row in enumerate(found) if row["row"] == "7")
    assert place < 3
    assert any(
        found[place][f"reason_{k}"].startswith("city 'Bonn' is unusual given the rest")
        and "'Ulm' would fit" in found[place][f"reason_{k}"]
        for k in (1, 2, 3)
    )


def test_a_category_is_a_block_of_one_hot_columns():
    x = torch.tensor([[0.5, 2.0], [1.5, 0.0]])
    wide = torch.tensor([[0.5, 0.0, 0.0, 1.0], [1.5, 1.0, 0.0, 0.0]], dtype=torch.float64)
    assert torch.equal(detector.expanded(x, (0, 3)), wide)
    values = detector.candidates_of(x.double(), (0, 3))
    assert set(values[:, 1].tolist()) == {0.0, 1.0, 2.0}
    assert set(values[:, 0].tolist()) == {0.5, 1.5}


def test_columns_are_left_out_on_request(table):
    cities = ["Ulm", "Bonn", "Kiel"] * 40
    write(table / "cities.csv", rows(), "height,weight,age,city", extra=cities)
    assert main(["detect", "cities.csv", "--drop-columns", "city"]) == 0
    assert "contribution of city" not in read(table / "cities-detected" / "rows.csv")[0]
    assert main(["detect", "cities.csv", "--columns", "weight,age", "--out", "two"]) == 0
    assert "contribution of height" not in read(table / "two" / "rows.csv")[0]


def test_what_cannot_be_done_is_one_sentence(table, refused):
    assert "nothing.csv does not exist" in refused("detect", "nothing.csv")
    assert "empty cell at row 4" in refused("detect", "people.csv", "--missing-values", "refuse")
    write(table / "few.csv", rows(11))
    assert "few.csv has 11 rows; to say which are strange takes at least 12" in refused(
        "detect", "few.csv"
    )
    np.save(table / "images.npy", np.zeros((20, 4, 4)))
    assert "images.npy holds images" in refused("detect", "images.npy")
    (table / "there").mkdir()
    assert "there exists already" in refused("detect", "people.csv", "--out", "there")
    assert "is no folder" in refused("detect", "people.csv", "--out", "no/such")
    assert "seed" in refused("detect", "people.csv", "--seed", "-1")


def test_arrays_and_constant_columns(here):
    x = np.concatenate([rows(), np.ones((120, 1))], 1)
    x[ODD - 1, 3] = 2.0
    np.save(here / "x.npy", x)
    assert main(["detect", "x.npy"]) == 0
    first = read(here / "x-detected" / "rows.csv")[0]
    assert first["row"] == str(ODD) and first["reason_1"].startswith("column 4 2 is unusual")


def test_columns_with_one_text_or_number_are_no_reason(here, capsys):
    x = rows()
    x[:, 2] = 7
    x[ODD - 1, 1] = 30.0
    write(here / "same.csv", x, "height,weight,age,unit", extra=["kg"] * 120)
    assert main(["detect", "same.csv"]) == 0
    said = capsys.readouterr().err
    assert "the same in every row, so never a reason there: age, unit" in said
    found = read(here / "same-detected" / "rows.csv")
    assert found[0]["row"] == str(ODD)
    assert {row[f"contribution of {name}"] for row in found for name in ("age", "unit")} == {"0"}


def test_a_column_that_numbers_the_rows_is_named(here, capsys):
    x = rows()
    x[:, 2] = np.arange(120) + 1000
    write(here / "numbered.csv", x, "height,weight,id")
    assert main(["detect", "numbered.csv"]) == 0
    sentence = "column 3 ('id') holds whole numbers that only grow"
    said = capsys.readouterr().err
    assert sentence in said and "leave it out by --drop-columns" in said
    train = ["train", "score-matching", "--rounds", "1", "--energy.width", "8", "--device", "cpu"]
    assert main([*train, "--data", "numbered.csv", "--out", "t"]) == 0
    assert sentence in capsys.readouterr().err
    x[5, 2] = 0
    write(here / "mixed.csv", x, "height,weight,count")
    assert main([*train, "--data", "mixed.csv", "--out", "u"]) == 0
    assert "only grow" not in capsys.readouterr().err


def test_too_few_rows_are_not_called_constant(here, refused):
    (here / "two.csv").write_text("height,city\n1,Ulm\n1,Ulm\n")
    assert "two.csv has 2 rows; to say" in refused("detect", "two.csv")
    assert "two.csv has 2 rows; training" in refused("train", "nce", "--data", "two.csv")


def test_rows_are_scored_by_detectors_that_have_not_seen_them(table, monkeypatch):
    """Of each fold the detector is fitted to exactly the rows that it does not score."""
    people = read_table(table / "people.csv")
    fitted, scored = [], []
    fit, energy = Detector.fit.__func__, Detector.energy

    def watched_fit(cls, x, **settings):
        fitted.append({tuple(row) for row in x.tolist()})
        scored.append(None)
        return fit(cls, x, **settings)

    def watched_energy(self, x):
        if scored[-1] is None:
            scored[-1] = {tuple(row) for row in x.tolist()}
        return energy(self, x)

    monkeypatch.setattr(Detector, "fit", classmethod(watched_fit))
    monkeypatch.setattr(Detector, "energy", watched_energy)
    detect_rows(people)
    every = {tuple(row) for row in people.x.tolist()}
    assert len(fitted) == 3 and set().union(*scored) == every
    assert sum(map(len, scored)) == len(every) == 120
    for seen, judged in zip(fitted, scored, strict=True):
        assert seen | judged == every and not seen & judged


def test_only_the_strangest_of_many_rows_have_reasons(monkeypatch, table):
    monkeypatch.setattr("gibbsian.models.strange_rows.EXPLAINED", 5)
    lines = list(csv.reader(to_csv(detect_rows(read_table(table / "people.csv"))).splitlines()))
    assert EXPLAINED > 5 and [bool(line[-1]) for line in lines[1:8]] == [True] * 5 + [False] * 2


def test_whitened_columns_have_unit_covariance_in_any_units():
    x = torch.from_numpy(rows(2000))
    u = Whitening.fit(x)(x)
    # Up to the floor of the eigenvalues, 1e-3 of their mean, beside the smallest one of about 5e-3.
    assert torch.cov(u.T, correction=0) == pytest.approx(torch.eye(3).double(), abs=0.25)
    scaled = x * torch.tensor([1e3, 1e-3, 1.0]) + 7.0
    assert (Whitening.fit(scaled)(scaled)).abs() == pytest.approx(u.abs(), abs=1e-6)


def test_units_whose_squares_overflow_change_nothing():
    """A column of 1e302 once had an infinite deviation, and so no say."""
    x = torch.from_numpy(rows(500))
    u = Whitening.fit(x)(x)
    for factor in (1e300, 1e-300):
        scaled = x * torch.tensor([factor, 1.0, 1.0], dtype=torch.float64)
        assert Whitening.fit(scaled)(scaled).abs() == pytest.approx(u.abs(), abs=1e-6)


def test_ecod_of_one_column_by_hand():
    """Ranks among 1..9: the value 9 leaves itself alone above, 2 of 10 with the row itself."""
    score = ecod(np.arange(1.0, 10.0)[:, None], 0)
    expected = -np.log([2 / 10, 6 / 10, 1 / 10])
    assert score(np.array([[9.0], [5.0], [100.0]])) == pytest.approx(expected)


@pytest.fixture
def trained_table(here):
    write(here / "known.csv", rows(200, 1))
    options = ["--rounds", "30", "--energy.width", "8", "--device", "cpu", "--out", "t"]
    assert main(["train", "score-matching", "--data", "known.csv", *options]) == 0
    normal, strange = rows(60, 2), rows(40, 3)
    strange[:, 2] += 8
    labels = ["ok"] * 60 + ["broken", "worn"] * 20
    names = "height,weight,age,class"
    write(here / "labelled.csv", np.concatenate([normal, strange]), names, extra=labels)
    return here


def test_labelled_anomalies_are_told_apart_beside_plain_detectors(trained_table, capsys, refused):
    capsys.readouterr()
    command = ["evaluate", "t", "--anomalies", "labelled.csv", "--normal-label", "ok"]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {
        "energy",
        "isolation forest",
        "local outlier factor",
        "Gaussian mixture",
        "ECOD",
    }
    assert found["energy"]["auroc"]["value"] > 0.95 and found["energy"]["fpr95"]["value"] < 0.2
    for figures in found.values():
        # Eight standard deviations in one column: ECOD, which adds up columns, sees them least well.
        assert figures["auroc"]["value"] > 0.8 and figures["aupr"]["value"] > 0.7
        low, high = figures["auroc"]["interval"]
        assert low <= figures["auroc"]["value"] <= high
    assert main(command) == 0
    assert "AUROC" in capsys.readouterr().out
    said = refused("evaluate", "t", "--anomalies", "labelled.csv")
    assert "0 normal rows (label 0)" in said and "--normal-label" in said
    assert "(class holds broken, ok, worn)" in said
    said = refused("evaluate", "t", "--anomalies", "known.csv")
    assert "known.csv has no column 'class'; name the one with the labels by --class-column" in said
