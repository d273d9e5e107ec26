"""Which columns are taken by their logarithm, and back; that ordinary large values fill no list."""

import math
from pathlib import Path

import pytest
import torch

from gibbsian.models.log_columns import FEWEST, LogColumns
from gibbsian.models.numeric_table import read_table
from gibbsian.models.strange_rows import detect_rows


def samples(n: int = 900, seed: int = 0) -> torch.Tensor:
    """A normal number, a count that spreads by factors, two amounts and their sum, grades."""
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn(n, 4, generator=rng, dtype=torch.float64)
    net, tax = (7 + z[:, 2]).exp(), (5 + z[:, 3]).exp()
    grade = torch.randint(1, 7, (n,), generator=rng).double()
    return torch.stack([170 + 8 * z[:, 0], (5 + z[:, 1]).exp(), net, tax, net + tax, grade], 1)


def none(x: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(x, dtype=torch.bool)


def test_columns_that_spread_by_factors_and_are_no_sum() -> None:
    x = samples()
    assert LogColumns.fit(x, none(x)).columns == [1]
    assert LogColumns.fit(x[:, :4], none(x[:, :4])).columns == [1, 2, 3], "without their sum"
    nothing = x.clone()
    nothing[:5, 1] = 0
    logs = LogColumns.fit(nothing, none(x))
    assert logs.columns == [1], "a few zeros are errors"
    lowest = logs(nothing)[:, 1].sort().values
    assert bool((lowest[:5] == lowest[0]).all()) and float(lowest[5] - lowest[0]) == pytest.approx(
        math.log(1e3)
    )
    nothing[:10, 1] = 0
    assert LogColumns.fit(nothing, none(x)).columns == [], (
        "where some of a hundred are, they have no logarithm"
    )
    gaps = none(x)
    gaps[:10, 1] = True
    assert LogColumns.fit(nothing, gaps).columns == [1]
    assert LogColumns.fit(x[: FEWEST - 1], none(x)[: FEWEST - 1]).columns == []


def test_gross_errors_choose_no_scale() -> None:
    x = samples()
    x[:9, 0] *= 100
    assert LogColumns.fit(x, none(x)).columns == [1]


def test_levels_of_categories_are_no_spread() -> None:
    """Three products at 1, 100 and 10 000, each normal: once these are known nothing spreads by factors."""
    rng = torch.Generator().manual_seed(0)
    product = torch.randint(3, (900,), generator=rng).double()
    level = 100.0**product
    normal = level * (1 + 0.05 * torch.randn(900, generator=rng, dtype=torch.float64))
    x = torch.stack([product, normal], 1)
    # Of the three the widest sets the spread on the plain scale, so that the logarithm is chosen here ...
    assert LogColumns.fit(x, none(x), (3, 0)).columns == [1]
    # ... and is not where all spread alike.
    x[:, 1] = 300 + level.log() + torch.randn(900, generator=rng, dtype=torch.float64)
    assert LogColumns.fit(x, none(x), (3, 0)).columns == []


def test_back_and_forth_and_later_values_that_have_none() -> None:
    x = samples()
    logs = LogColumns.fit(x, none(x))
    torch.testing.assert_close(logs.inverse(logs(x)), x)
    later = x[:2].clone()
    later[:, 1] = torch.tensor([0.0, -3.0])
    least = float(x[:, 1].min())
    assert logs(later)[:, 1].tolist() == pytest.approx([math.log(1e-3 * least)] * 2)
    assert torch.equal(logs(x)[0, [0, 2, 3, 4, 5]], x[0, [0, 2, 3, 4, 5]])


def test_what_no_number_is_so_large_as_stays_finite_and_the_least_is_nothing() -> None:
    """Where columns change together as of a Gaussian, a logarithm may come out at anything."""
    logs = LogColumns(torch.tensor([0.0, 0.5], dtype=torch.float64))
    y = torch.tensor([[-3.0, 1e4], [2.0, math.log(0.5)]], dtype=torch.float64)
    x = logs.inverse(y)
    assert x[:, 0].tolist() == [-3.0, 2.0] and bool(x.isfinite().all()) and float(x[1, 1]) == 0.0


def test_ordinary_large_values_are_not_strange_and_one_too_small_is(tmp_path: Path) -> None:
    x = samples(600)[:, [0, 1]]
    x[0, 1] = 0.05  # exp(-8 deviations)
    path = tmp_path / "cells.csv"
    rows = [f"{height:.1f},{count:.3f}" for height, count in x.tolist()]
    path.write_text("\n".join(["height,count", *rows]) + "\n")
    found = detect_rows(read_table(path))
    assert found.rows[0] == 1 and found.reasons[0][0].startswith("count 0.05 is unusual")
    largest = (1 + x[:, 1].argsort(descending=True)[:12]).tolist()
    # On its own scale 11 of the 12 are among the strangest 20; of a Gaussian two or three are.
    assert sum(row in largest for row in found.rows[:20]) <= 8
    proposed = found.reasons[0][0].split("; ")[1].split(" ")[0]
    assert 30 < float(proposed) < 600, "in the table's units"


def test_a_zero_among_counts_is_strange(tmp_path: Path) -> None:
    x = samples(600)[:, [0, 1]]
    x[7, 1] = 0
    path = tmp_path / "germs.csv"
    rows = [f"{height:.1f},{count:.0f}" for height, count in x.tolist()]
    path.write_text("\n".join(["height,count", *rows]) + "\n")
    found = detect_rows(read_table(path))
    assert found.rows[0] == 8 and found.reasons[0][0].startswith("count 0 is unusual")
