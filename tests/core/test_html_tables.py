"""What a notebook shows of estimates, intervals, chains and models: a table, escaped, as `str` says it."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from gibbsian import Model
from gibbsian.config import recipes
from gibbsian.core import Estimate, Interval
from gibbsian.core.html_tables import html_table
from gibbsian.data import load_dataset
from gibbsian.models.train import untrained
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
