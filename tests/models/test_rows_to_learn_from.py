"""Which rows a detector learns from, and what fills their gaps."""

import csv

import polars as pl
import pytest
import torch

from gibbsian.cli import main
from gibbsian.data.rows import Cells
from gibbsian.models import detector
from gibbsian.models.numeric_table import NumericTable
from gibbsian.models.strange_rows import detect_rows
from gibbsian.models.whitening import MOST_FAR_OUT, rows_to_learn_from


def correlated(n, seed=0):
    """Three numbers of a Gaussian, of which the third nearly follows from the others, and a category of 3."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=rng, dtype=torch.float64) * torch.tensor([1.0, 10.0, 0.1])
    x[:, 2] += 2 * x[:, 0] - 0.3 * x[:, 1]
    code = torch.randint(3, (n, 1), generator=rng).double()
    return torch.cat([x + torch.tensor([5.0, 0.0, -1.0]), code], 1)


def none(x):
    return torch.zeros(x.shape, dtype=torch.bool)


CATEGORIES = (0, 0, 0, 3)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n", [12, 100, 5_000])
def test_no_row_of_a_gaussian_is_far_out(n, seed):
    """Ten standard deviations of the others: the chance of one is below 1e-6 even of 12 rows.

    There it is that of a Student t with 10 degrees of freedom beyond 9.4: 3e-6 a value, 2e-4 a table.
    """
    x = correlated(n, seed)
    assert rows_to_learn_from(x, none(x), CATEGORIES)[1].all()


def test_gross_errors_are_far_out_though_they_hide_each_other():
    """In a column one beside a larger one, and a row that breaks the rule between three columns alone."""
    x = correlated(3_000)
    x[7, 1], x[8, 1] = 1e7, 1e3
    x[9, 2] = x[9, 2] + 3.0  # 30 standard deviations given the rest, 0.8 in its column
    x[10, 3], x[11:, 3] = 2, x[11:, 3] % 2  # a value of a category that is rare is not far out
    near = rows_to_learn_from(x, none(x), CATEGORIES)[1]
    assert (~near).nonzero()[:, 0].tolist() == [7, 8, 9]


@pytest.mark.parametrize("seed", range(3))
def test_of_long_tails_few_rows_are_far_out(seed):
    rng = torch.Generator().manual_seed(seed)
    x = (
        torch.randn(2_000, 8, generator=rng).double()
        / torch.randn(2_000, 8, generator=rng).double()
    )
    assert (~rows_to_learn_from(x, none(x))[1]).double().mean() <= MOST_FAR_OUT


def test_gaps_are_filled_by_the_mean_given_the_rest():
    """Of a Gaussian, E[x_3 | x_1, x_2] is the rule it was made by, up to what 3 000 rows leave open."""
    x = correlated(3_000)
    truth, gaps = 2 * (x[:, 0] - 5) - 0.3 * x[:, 1] - 1, none(x)
    gaps[::20, 2] = True
    gaps[5::50, 0] = True
    holes = torch.where(gaps, x.median(0).values, x)
    found, near = rows_to_learn_from(holes, gaps, CATEGORIES)
    assert torch.equal(found[~gaps], x[~gaps])
    # The floor of 0.1 % of the mean variance along each axis draws the fill towards the mean by 4 % at most.
    error = (found[::20, 2] - truth[::20]).abs().mean()
    assert error < 0.05 * (x[:, 2].std()) and near.all()
    assert rows_to_learn_from(x[:, 3:], gaps[:, 3:], (3,))[0].equal(x[:, 3:])


def invoices(path, gross):
    """600 rows whose tax is 19 % of the net price but where it was left out; two gross errors at most."""
    rng = torch.Generator().manual_seed(3)
    net = torch.exp(1.2 * torch.randn(600, generator=rng) + 6)
    tax, pieces = 0.19 * net, torch.randint(1, 20, (600,), generator=rng)
    tax[200], tax[201], net[100], pieces[101] = 0.0, 0.0, 900.0, 7
    net[200], net[201] = 1_500.0, 900.0
    if gross:
        net[100], pieces[101] = 9e6, 70_000
    with path.open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["net", "tax", "pieces"])
        for i in range(600):
            text = "" if i % 12 == 5 else f"{tax[i]:.2f}"
            writer.writerow([f"{net[i]:.2f}", text, int(pieces[i])])


@pytest.mark.parametrize("gross", [False, True])
def test_gross_errors_and_gaps_do_not_hide_a_broken_rule(tmp_path, monkeypatch, capsys, gross):
    monkeypatch.chdir(tmp_path)
    invoices(tmp_path / "invoices.csv", gross)
    assert main(["detect", "invoices.csv"]) == 0
    (note,) = (line for line in capsys.readouterr().err.splitlines() if "so far from" in line)
    assert ("102" in note) is gross
    rows = list(csv.DictReader((tmp_path / "invoices-detected/rows.csv").open()))
    first = [int(row["row"]) for row in rows[:6]]
    assert {201, 202} <= set(first)
    assert not gross or {101, 102} == set(first[:2])
    assert all("tax 0 " in row["reason_1"] + row["reason_2"] for row in rows if row["row"] == "201")


@pytest.mark.parametrize("odd", [(7,), (7, 300), (7, 300, 301), (7, 8, 9)])
def test_a_column_that_few_rows_vary_in_counts_alike_in_any_unit(odd, monkeypatch):
    """0 but in one to three rows, which are set aside or of one third: the column is constant in training."""
    monkeypatch.setattr(detector, "ROUNDS", 20)
    x = torch.cat([correlated(600)[:, :3], torch.zeros(600, 1)], 1)
    x[list(odd), 3] = torch.arange(1.0, len(odd) + 1, dtype=torch.float64)
    orders = []
    for unit in (1e-6, 1.0, 1e6):
        scaled = x * torch.tensor([1.0, 1.0, 1.0, unit], dtype=torch.float64)
        orders.append(detect_rows(table_of(scaled)).rows)
        assert set(orders[-1][: len(odd)]) == {row + 1 for row in odd}
    assert orders[0] == orders[1] == orders[2]


def test_a_gross_error_does_not_hide_another_value_of_a_column_of_zeros(monkeypatch):
    monkeypatch.setattr(detector, "ROUNDS", 20)
    x = torch.cat([correlated(600)[:, :3], torch.zeros(600, 1)], 1)
    x[7, 3], x[300, 3] = 1e9, 1.0
    assert set(detect_rows(table_of(x)).rows[:2]) == {8, 301}


def table_of(x):
    names = tuple("abcd")
    frame = pl.DataFrame({name: [""] * len(x) for name in names})
    return NumericTable(x, names, (), None, none(x), Cells(names, frame))
