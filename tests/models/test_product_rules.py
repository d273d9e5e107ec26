"""Columns that are multiplied with each other are taken by their logarithm; rows that break it are found."""

from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor

from gibbsian.models.log_columns import LogColumns
from gibbsian.models.numeric_table import read_table
from gibbsian.models.product_rules import columns_of_products
from gibbsian.models.strange_rows import detect_rows


def parcels(n: int = 900, seed: int = 0) -> Tensor:
    """Three sides, uniform; the volume to 1 %; a temperature that has nothing to do with them."""
    rng = Generator().manual_seed(seed)
    sides = 10 + 50 * torch.rand(n, 3, generator=rng, dtype=torch.float64)
    noise = torch.randn(n, 2, generator=rng, dtype=torch.float64)
    volume = sides.prod(1) * (1 + 0.01 * noise[:, 0])
    return torch.cat([sides, volume[:, None], 20 + noise[:, 1:]], 1)


def found(x: Tensor, *rest: list[int]) -> list[int]:
    return columns_of_products(x, x[:, :0], *rest)


def test_factors_and_product_and_no_other_column() -> None:
    x = parcels()
    assert found(x, [0, 1, 2, 3, 4]) == [0, 1, 2, 3]
    assert found(x, [0, 1, 2, 4]) == [], "without the product"
    assert found(x, [0, 1, 2, 4], [4]) == [4], "what was chosen without a rule stays"
    assert found(x[:49], [0, 1, 2, 3, 4]) == [], "too few rows"
    assert found(x[:, 2:4], [0, 1]) == [], "a product has two factors"


def test_units_change_nothing() -> None:
    x = parcels() * torch.tensor([1e300, 1e-300, 3.0, 1e-3, 7.0], dtype=torch.float64)
    assert LogColumns.fit(x, torch.zeros_like(x, dtype=torch.bool)).columns == [0, 1, 2, 3]


def test_sums_stay_sums() -> None:
    x = parcels()
    x[:, 3] = x[:, :3].sum(1)
    assert found(x, [0, 1, 2, 3, 4]) == []


def test_rows_that_break_the_rule_do_not_hide_it() -> None:
    x = parcels()
    x[:15, 3] *= 10
    assert found(x, [0, 1, 2, 3, 4]) == [0, 1, 2, 3]


def test_few_different_values_are_a_factor_and_not_for_their_shape() -> None:
    """A quantity from 1 to 12 has a price; grades, mostly 1, have none, and their logarithm narrows them."""
    rng = Generator().manual_seed(0)
    quantity = torch.randint(1, 13, (900,), generator=rng).double()
    price = 5 + 20 * torch.rand(900, generator=rng, dtype=torch.float64)
    grades = 1 + 9.0 * (torch.rand(900, 3, generator=rng) < 0.03).double()
    x = torch.cat([torch.stack([quantity, price, quantity * price], 1), grades], 1)
    everything = list(range(6))
    assert found(x, everything) == [0, 1, 2]
    assert found(x[:, 3:], [0, 1, 2]) == []


def test_what_a_category_says_is_no_part_of_a_rule() -> None:
    """Three machines with one level each in all columns: a product of levels alone."""
    rng = Generator().manual_seed(0)
    machine = torch.randint(3, (900,), generator=rng)
    noise = torch.randn(900, 4, generator=rng, dtype=torch.float64)
    x = 10 * 2.0 ** machine[:, None] * torch.tensor([1.0, 2.0, 3.0, 6.0]) + 0.5 * noise
    seen = torch.nn.functional.one_hot(machine, 3).double()
    assert columns_of_products(x, seen, [0, 1, 2, 3]) == []


def test_a_machine_that_is_off_has_no_product() -> None:
    """Values of a category that say where there is nothing; nothing anywhere else has no logarithm."""
    x = parcels()
    off = torch.arange(900) % 20 == 0
    x[off, 3] = 0
    table = torch.cat([x, off[:, None].double()], 1)
    gaps = torch.zeros_like(table, dtype=torch.bool)
    kinds = (0, 0, 0, 0, 0, 2)
    assert LogColumns.fit(table, gaps, kinds).columns == [0, 1, 2, 3]
    elsewhere = table.clone()
    elsewhere[:, 5] = table[:, 5].roll(1)
    assert LogColumns.fit(elsewhere, gaps, kinds).columns == []
    table[off, 3] = -table[off, 2]
    assert LogColumns.fit(table, gaps, kinds).columns == [], "what is returned is no nothing"


def test_gaps_elsewhere_do_not_hide_a_rule() -> None:
    """A column in one row of twenty, and one of six others lacking in each row, a tenth of a factor."""
    x = torch.cat([parcels(), 1 + parcels(seed=1)[:, :3], 2 + parcels(seed=2)[:, :3]], 1)
    gaps = torch.zeros_like(x, dtype=torch.bool)
    row = torch.arange(900)
    gaps[row, 5 + row % 6] = True
    gaps[row % 10 == 0, 0] = True
    gaps[row % 20 > 0, 4] = True
    assert LogColumns.fit(x, gaps).columns == [0, 1, 2, 3]


# Without logarithms one of the ten is among the first ten of its table; their ranks are 6 to 996.
@pytest.mark.parametrize("seed", [1, 2])
def test_invoices_whose_amount_is_not_quantity_times_price(seed: int, tmp_path: Path) -> None:
    rng = Generator().manual_seed(seed)
    n, wrong = 1_200, [100, 300, 500, 700, 900]
    quantity = torch.randint(1, 21, (n,), generator=rng).double()
    price = (3 + 0.6 * torch.randn(n, generator=rng, dtype=torch.float64)).exp()
    net = quantity * price
    for row, factor in zip(wrong, (0.5, 0.7, 1.5, 2.0, 0.8), strict=True):
        net[row] *= factor
    table = torch.stack([quantity, price, net, 0.19 * net, 1.19 * net], 1)
    path = tmp_path / "invoices.csv"
    lines = [f"{q:.0f},{p:.2f},{a:.2f},{b:.2f},{c:.2f}" for q, p, a, b, c in table.tolist()]
    path.write_text("\n".join(["quantity,price,net,tax,gross", *lines]) + "\n")
    detected = detect_rows(read_table(path))
    ranks = [detected.rows.index(row + 1) for row in wrong]
    assert max(ranks) < 5, ranks
    named = [detected.reasons[rank][0] for rank in ranks]
    assert all(any(name in reason for name in ("quantity", "price", "net")) for reason in named)
