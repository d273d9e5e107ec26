"""What a notebook shows of estimates, chains, models and comparisons: a table, escaped, as `str` says it."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch

import gibbsian
from gibbsian import Model
from gibbsian.config import recipes
from gibbsian.core import Estimate, Interval, NotDefined
from gibbsian.core.html_tables import html_table
from gibbsian.data import load_dataset
from gibbsian.evaluation.metrics.out_of_distribution import Auroc, AurocTable
from gibbsian.experiments.compare.comparison_page import ComparisonTable
from gibbsian.models.evaluation_record import LABELS, Evaluation
from gibbsian.models.train import untrained
from gibbsian.report import Page, Section, Table, TextBlock
from gibbsian.samplers import Chains, ChainState
from tests.report.reading import Reading

EVIL = "<script>alert(1)</script>\"'&"
LOWER = Estimate(1.23456, 0.0321, "lower", "bound in expectation", "ais")
UPPER = Estimate(12345.6, math.nan, "upper", "estimate", EVIL)


def shown(value) -> Reading:
    page = Reading(value._repr_html_())
    assert len(page.all("table")) == 1
    return page


@pytest.mark.parametrize("estimate", [LOWER, UPPER, dataclasses.replace(LOWER, stderr=0.0)])
def test_an_estimate(estimate):
    page = shown(estimate)
    cells = page.said("th", "td")
    assert cells[:4] == ["value", "standing", "side", "how"]
    assert f"{cells[4]} ({cells[5]})" == str(estimate)
    assert cells[6:] == [estimate.side, estimate.how]


def test_an_interval():
    page = shown(Interval(LOWER, UPPER, name=EVIL, warnings=("few", EVIL)))
    assert not page.all("script") and page.said("caption") == [EVIL]
    assert page.said("p") == ["Warning: few", f"Warning: {EVIL}"]
    cells = page.said("th", "td")[4:]
    assert cells == [
        *("lower", "1.235 ± 0.032", "bound in expectation", "ais"),
        *("upper", "1.235e+04", "estimate", EVIL),
    ]
    exact = dataclasses.replace(LOWER, standing="exact", stderr=0.0)
    assert shown(Interval(exact, exact)).said("th", "td")[4:] == ["both", "1.235", "exact", "ais"]


def chains(kept: int, size: int) -> Chains[ChainState]:
    x = torch.randn(kept, 4, size, generator=torch.Generator().manual_seed(0)).double()
    one = torch.tensor(1.0)
    state = ChainState(x[-1], x[-1, :, 0], None, one, one, one)
    rates = torch.full((4,), 0.55)
    return Chains(x, state, rates, torch.tensor([0, 1, 0, 2]), 2 * kept, 2, 2 * kept)


@pytest.mark.parametrize("size", [2, 9])
def test_chains(size):
    """Cell by cell what ``str`` says in columns; of nine coordinates the worst six."""
    found = chains(100, size)
    page, (head, columns, *lines) = shown(found), str(found).splitlines()
    assert page.said("caption") == [head]
    rows = [line.split() for line in lines[: min(size, 6)]]
    assert page.said("th", "td") == [*columns.split(), *(cell for row in rows for cell in row)]
    assert page.said("p") == lines[min(size, 6) :]
    assert [len(columns), *(len(line) for line in lines[: len(rows)])] == [68] * (1 + len(rows))
    assert len(page.said("p")) == (2 if size > 6 else 1)


def test_chains_too_short_to_be_diagnosed():
    page = shown(chains(3, 2))
    assert not page.said("th", "td") and page.said("p")[0].startswith("not converged: 3 kept draws")


def test_a_model():
    """A folder's name is nobody's business; the file's is escaped."""
    rows = load_dataset("moons", max_rows=200)
    config, method = untrained(recipes.default_config("cd", "moons"), rows)
    config = dataclasses.replace(config, data=str(Path("secret") / "a<b>.csv"))
    html = Model(method, config, rows.space, rows.transform)._repr_html_()
    assert "secret" not in html
    cells = Reading(html).said("th", "td")
    told = dict(zip(cells[::2], cells[1::2], strict=True))
    assert told["method"] == "cd" and told["data"] == "a<b>.csv"
    assert told["observations"] == "vector, 2" and told["device"] == "cpu"
    assert told["energy"] == config.networks["energy"].name
    count = sum(math.prod(parameter.shape) for parameter in method.parameters())
    assert int(told["parameters"].replace(",", "")) == count > 1000


def test_a_line_about_a_model(tmp_path):
    """Method, data, shape, rounds, folder and log Z, after training and loading; no control characters."""
    options = {"rounds": 2, "batch": 16, "log_every": 1, "device": "cpu"}
    source = {"max_rows": 100}
    run = tmp_path / "run"
    trained = gibbsian.train("cd", "moons", out=run, training=options, source=source)
    line = f"Model(cd on moons, 2 columns a row, 2 rounds, in {run}, log Z by log_z())"
    assert repr(trained) == str(trained) == repr(gibbsian.load_model(run)) == line
    trained.save_pretrained(tmp_path / "alone")
    alone = gibbsian.load_model(tmp_path / "alone")
    assert f"2 rounds or fewer, in {tmp_path / 'alone'}" in repr(alone)
    alone.rounds, alone.folder = 1, None
    assert "1 of 2 rounds, in no folder" in repr(alone)
    for method, said in (("gan", "log Z not defined"), ("vae", "normalised: it needs no log Z")):
        there = gibbsian.train(method, "moons", training=options, source=source)
        assert repr(there).endswith(f"in no folder, {said})")
    alone.config = dataclasses.replace(alone.config, data="a\x1b[2J.csv")
    assert "\\x1b" in repr(alone) and "\x1b" not in repr(alone)


def test_what_a_console_shows_is_short():
    found = chains(100, 2)
    assert repr(found) == f"Chains({str(found).splitlines()[0]})"
    long = dataclasses.replace(LOWER, diagnostics={"weights": list(range(1000))})
    assert repr(long) == repr(LOWER) and len(repr(Interval(long, UPPER))) < 400


def test_an_evaluation():
    cells = {"energy": {"noise <1>": Auroc(0.75, 0.01)}, "PCA": {"noise <1>": Auroc(0.5, 0.02)}}
    values = {"log-z": Interval(LOWER, UPPER, warnings=("few",)), "kl": NotDefined(EVIL)}
    both = {**values, "log-likelihood": Interval(LOWER, UPPER, "log p", ("few",))}
    said = str(Evaluation(both, NotDefined(EVIL), {}, 5, 0))
    assert said.count("few") == 1, "a warning of log Z is one of log p, and stands once"
    found = Evaluation(values, AurocTable(cells, 9), {"test": torch.zeros(999)}, 5, 0, ("went",))
    page = Reading(found._repr_html_())
    assert len(page.all("table")) == 2 and not page.all("script")
    told = page.said("th", "td")
    assert told[2:6] == [
        LABELS["log-z"],
        f"log Z {values['log-z'].sides}",
        LABELS["kl"],
        f"not defined: {EVIL}",
    ]
    assert told[6:] == ["score", "noise <1>", "energy", "0.750 ± 0.010", "PCA", "0.500 ± 0.020"]
    assert page.said("p") == ["Warning: went", "Warning: few"]
    assert repr(found) == str(found) and "tensor" not in repr(found)
    none = dataclasses.replace(found, anomaly=NotDefined("no energy"))
    assert len(Reading(none._repr_html_()).all("table")) == 1


def test_a_comparison():
    ranking = Table("Mean <b>", ("row", "KL"), (("cd", "0.1 ± 0.02 [1]"), (EVIL, "not defined")))
    section = Section("Ranking", (ranking, TextBlock("how to read it")))
    found = ComparisonTable(Page("Methods compared", "2 methods", (section,)))
    page = shown(found)
    assert page.said("caption") == ["Mean <b>"] and not page.all("script")
    assert page.said("th", "td")[2:] == ["cd", "0.1 ± 0.02 [1]", EVIL, "not defined"]
    assert page.said("p") == ["2 methods", "how to read it"]
    assert str(found).startswith("# Methods compared") and "| cd | 0.1 ± 0.02" in repr(found)


def test_every_text_is_escaped():
    page = Reading(html_table(EVIL, (EVIL,), [(EVIL, EVIL)], [EVIL]))
    assert [page.said(tag) for tag in ("caption", "th", "td", "p")] == [
        [EVIL],
        [EVIL, EVIL],
        [EVIL],
        [EVIL],
    ]
    assert not page.all("script")
    assert html_table("", (), []) == "<table><tbody></tbody></table>"
