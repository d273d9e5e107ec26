"""What the study of table densities does to its tables before the tool reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from studies import table_densities

ROWS, MORE = 1_000, [f"x{j}" for j in range(10)]


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`vehicle`, which is punched, and `german`, which is not, of the same content."""
    draw = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "colour": draw.choice(["red", "green", "blue"], ROWS),
            "length": draw.integers(0, 50, ROWS),
            "weight": draw.standard_normal(ROWS).round(3),
            **{name: draw.standard_normal(ROWS).round(3) for name in MORE},
            "same": ["a"] * ROWS,
            "class": draw.integers(0, 2, ROWS),
        }
    )
    (tmp_path / "tables").mkdir()
    for name in ("vehicle", "german"):
        frame.write_csv(tmp_path / "tables" / f"{name}.csv")
    monkeypatch.setenv("GIBBSIAN_DATA", str(tmp_path))
    return tmp_path / "tables" / "german.csv"


def test_categories_are_whole_numbers_and_dequantised(tables: Path) -> None:
    data = table_densities.table("german", 3)
    assert data.columns == ("colour", "length", "weight", *MORE) and data.space.kind == "vector"
    frame = pl.read_csv(tables)
    codes = frame["colour"].replace_strict({"blue": 0, "green": 1, "red": 2})
    rows = frame.select(codes, "length", "weight", *MORE).rows()
    found = torch.cat([data.train, data.valid, data.test])
    assert sorted(map(tuple, found.tolist())) == sorted(rows)
    assert any("on a grid" in note and "colour, length (integers)" in note for note in data.notes)


def test_gaps_are_punched_in_training_rows_alone_and_filled(tables: Path) -> None:
    """Gaps among 10 400 cells with probability 0.1: 1 040 +- 31, further than 4.5 times that 1 in 150 000."""
    whole, punched = table_densities.table("german", 3), table_densities.table("vehicle", 3)
    assert torch.equal(whole.valid, punched.valid) and torch.equal(whole.test, punched.test)
    frame = pl.read_csv(tables).drop("class", "same")
    gaps = sum(table_densities.punched(frame, 3).null_count().row(0))
    assert abs(gaps - 1_040) < 4.5 * (10_400 * 0.1 * 0.9) ** 0.5
    changed = whole.train != punched.train
    # A cell that was its column's median is filled by what it was: a few integers are.
    assert gaps - 60 < int(changed.sum()) <= gaps
    for column, where in zip(punched.train.T, changed.T, strict=True):
        assert len(column[where].unique()) == 1
    again, other = (table_densities.table("vehicle", seed).train for seed in (3, 4))
    assert torch.equal(again, punched.train) and not torch.equal(other, punched.train)


def test_the_flows_come_first() -> None:
    cells = list(table_densities.cells(False))
    flows = [cell for cell in cells if " / flows / " in cell]
    assert cells[: len(flows)] == flows and len(flows) == 30 and len(cells) == 150
    assert [cell[-1] for cell in flows] == ["0"] * 10 + ["1"] * 10 + ["2"] * 10
