"""The strangest held-out rows of a table: which they are, why, and on the report's page."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

import gibbsian
from gibbsian.cli import main
from gibbsian.models.reasons import STRANGEST, strangest_held_out
from tests.report.reading import Reading


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run on a table with a category, two columns that go together, and few rounds."""
    folder = tmp_path_factory.mktemp("table")
    rng = np.random.default_rng(0)
    with (folder / "people.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["age", "weight", "city"])
        for _ in range(300):
            age = rng.normal(40, 10)
            writer.writerow([f"{age:.1f}", f"{2 * age + rng.normal():.1f}", rng.choice(["a", "b"])])
    options = {"rounds": 60, "batch": 64, "log_every": 20}
    gibbsian.train("nce", folder / "people.csv", out=folder / "run", training=options)
    return folder


def test_they_are_the_rows_of_the_highest_energy(folder):
    model = gibbsian.load_model(folder / "run")
    data = gibbsian.data.load_dataset(folder / "people.csv")
    found = strangest_held_out(model, data, data.test)
    energies = np.sort(model.energy_as_tensor(data.test, 0, dequantise=False).numpy())[::-1]
    assert len(found) == STRANGEST
    np.testing.assert_allclose([row.energy for row in found], energies[:STRANGEST], rtol=1e-6)
    assert found[0].percentile == 100.0
    with (folder / "people.csv").open() as file:
        lines = list(csv.reader(file))  # the header is line 0, and so rows count from 1
    order = model.energy_as_tensor(data.test, 0, dequantise=False).argsort(descending=True)
    for row, x in zip(found, data.test[order.cpu()].tolist(), strict=False):
        assert row.row is not None
        assert [float(text) for text in lines[row.row][:2]] == pytest.approx(x[:2])
    # Energies of different rows are numbers of a network, which do not tie.
    assert [row.percentile for row in found] == pytest.approx(
        [100 * (1 - k / len(data.test)) for k in range(STRANGEST)]
    )
    # `Model.explain` is the same contribution, at the training rows themselves: more values to try.
    most = model.explain(data.test.numpy(), data.train.numpy()).max()
    told = [reason for row in found for reason in row.reasons if "would fit" in reason]
    assert told and all(
        0.1 <= float(r.partition("(-")[2].partition(" nats;")[0]) <= most + 0.05 for r in told
    )
    assert all(r.partition(" ")[0] in ("age", "weight", "city") for r in told)


def test_a_gap_is_no_reason(folder):
    lines = (folder / "people.csv").read_text().splitlines()
    # Two columns go together, so that a median beside an age far from it would be the first reason.
    holes = [",".join((age, "", city)) for age, _, city in (line.split(",") for line in lines[1:])]
    gappy = [
        hole if i % 3 == 0 else line
        for i, (line, hole) in enumerate(zip(lines[1:], holes, strict=True))
    ]
    (folder / "gaps.csv").write_text("\n".join([lines[0], *gappy]) + "\n")
    model = gibbsian.load_model(folder / "run")
    data = gibbsian.data.load_dataset(folder / "gaps.csv", missing_values="impute")
    found = strangest_held_out(model, data, data.test)
    filled = [row for row in found if row.row is not None and (row.row - 1) % 3 == 0]
    assert filled, "a row with a gap is among the strangest, as its median does not fit its age"
    assert not [r for row in filled for r in row.reasons if r.startswith("weight")]
    unknown = strangest_held_out(model, replace(data, test_gaps=None), data.test)
    assert [r for row in unknown for r in row.reasons if r.startswith("weight")]


def test_there_are_none_of_what_is_no_table(folder):
    model = gibbsian.load_model(folder / "run")
    data = gibbsian.data.load_dataset(folder / "people.csv")
    assert (
        strangest_held_out(model, gibbsian.data.load_dataset("moons", max_rows=100), data.test)
        == ()
    )


def test_they_stand_on_the_page(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert main(["evaluate", "run", "--num-samples", "50", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["strangest"]
    assert main(["report", "run"]) == 0
    page = Reading((folder / "run" / "report.html").read_text())
    assert "Strangest rows" in page.said("h2")
    cells = page.said("td")
    for row in found:
        assert ("; ".join(row["reasons"]) or "no single column explains it") in cells
