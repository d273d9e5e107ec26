"""Categories that depend on each other: closed forms of the tree's energies, and planted rows found."""

import math

import numpy as np
import polars as pl
import pytest
import torch

from gibbsian.data.rows import Cells
from gibbsian.models.category_tree import PRIOR, CategoryTree
from gibbsian.models.detector import Detector
from gibbsian.models.numeric_table import NumericTable
from gibbsian.models.strange_rows import fit_folds

WARDS, CODES, WOMEN = 6, 18, 2


def test_one_column_has_the_probability_of_all_values_as_rare():
    codes = torch.tensor([0] * 70 + [1] * 20 + [2] * 5 + [3] * 5)[:, None]
    tree = CategoryTree.fit(codes, (5,))
    total, each = 100 + PRIOR, PRIOR / 5
    as_rare = [total, 30 + 4 * each, 10 + 3 * each, 10 + 3 * each, each]
    expected = [-math.log(mass / total) for mass in as_rare]
    found = tree.energy(torch.tensor([[0], [1], [2], [3], [4], [-1]]))
    assert found[:5].tolist() == pytest.approx(expected)
    assert found[5] == pytest.approx(math.log(100 / PRIOR + 1)) and found[5] > 5


def test_a_column_that_follows_from_another_adds_nothing():
    """b = a // 3 in 4 000 rows: a row that keeps to it costs what a costs; one that does not, log n_a / c."""
    rng = np.random.default_rng(0)
    a = rng.integers(9, size=4_000)
    codes = torch.tensor(np.stack([a, a // 3, rng.integers(2, size=4_000)], 1))
    tree = CategoryTree.fit(codes, (9, 3, 2))
    assert tree.is_whole and tree.parents.tolist() == [0, 0, 2]
    usual, broken = tree.terms(torch.tensor([[4, 1, 0], [4, 0, 0]]))
    often = float((codes[:, 0] == 4).sum())
    share = (float((codes[:, 1] == 0).sum()) + PRIOR / 3) / (4_000 + PRIOR)
    other = (float((codes[:, 1] == 2).sum()) + PRIOR / 3) / (4_000 + PRIOR)
    as_rare = share + (other if other <= share else 0)
    assert usual[1] < 0.01
    assert broken[1] == pytest.approx(-math.log(PRIOR * as_rare / (often + PRIOR)))
    assert usual[0] == broken[0] and usual[2] == broken[2]


def test_pairs_that_the_tree_does_not_join_may_exclude_each_other():
    """a - b and a - c are close, and b = 0 never meets c = 1: every row that was not seen is the stranger."""
    rng = np.random.default_rng(1)
    a = rng.integers(2, size=20_000)
    b, c = (np.where(rng.random(20_000) < 0.9, a, 1 - a) for _ in range(2))
    keep = ~((b == 0) & (c == 1))
    codes = torch.tensor(np.stack([a, b, c], 1)[keep])
    tree = CategoryTree.fit(codes, (2, 2, 2))
    joined = {frozenset((j, p)) for j, p in enumerate(tree.parents.tolist()) if j != p}
    assert len(joined) == 2
    seen = {tuple(row) for row in codes.tolist()}
    every = torch.tensor(np.stack(np.meshgrid(*[[0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3))
    energy = dict(zip(map(tuple, every.tolist()), tree.energy(every).tolist(), strict=True))
    assert min(energy[row] for row in energy if row not in seen) > max(energy[row] for row in seen)


def table(x: np.ndarray, counts: tuple[int, ...]) -> NumericTable:
    """Rows of codes and numbers as a table whose texts are ``v0``, ``v1``, ..."""

    class Coded(NumericTable):
        values = property(lambda self: tuple(tuple(f"v{i}" for i in range(c)) for c in counts))

    names = tuple(f"c{j}" for j in range(x.shape[1]))
    cells = Cells(names, pl.DataFrame({name: [""] * len(x) for name in names}))
    return Coded(torch.tensor(x), names, (), None, torch.zeros(x.shape, dtype=torch.bool), cells)


def wards(seed: int, n: int = 2_500) -> tuple[np.ndarray, list[int], list[int]]:
    """Ward, sex, code and age; a code belongs to one ward, and one ward has women only.

    Some codes are rare. Also: the row whose code is of another ward, and three men in the women's ward.
    """
    rng = np.random.default_rng([seed, 7])
    ward = rng.choice(WARDS, n, p=[0.3, 0.25, 0.2, 0.13, 0.08, 0.04])
    code = 3 * ward + rng.choice(3, n, p=[0.75, 0.22, 0.03])
    sex = np.where(ward == WOMEN, 0, rng.integers(2, size=n))
    x = np.stack([ward, sex, code, rng.normal(45 + 8 * ward, 12).round()], 1)
    rows = rng.choice(n, 4, replace=False).tolist()
    x[rows[0]] = [0, 0, 9, 50]
    x[rows[1:]] = [WOMEN, 1, 3 * WOMEN, 61]
    return x, rows[:1], rows[1:]


@pytest.mark.parametrize("seed", range(3))
def test_rows_that_break_a_rule_between_categories_are_found(seed: int):
    """Of 2 500 rows. Columns of 0 and 1 in a smooth energy gave rare codes thousands of nats, these men ranks
    of 1 100."""
    x, nested, forbidden = wards(seed)
    fitted = fit_folds(table(x, (WARDS, 2, CODES, 0)), seed=seed)
    energy = fitted.held_out
    rank = torch.empty(len(x), dtype=torch.long)
    rank[energy.argsort(descending=True)] = torch.arange(1, len(x) + 1)
    assert int(rank[nested[0]]) <= 25 and int(rank[forbidden].max()) <= 100
    assert float(energy.max()) < 40
    bad = torch.tensor(nested)
    detector = fitted.detectors[int(fitted.fold[bad[0]])]
    fall, best = detector.explain(fitted.table.x[bad], fitted.table.gaps[bad])
    assert int(fall[0].argmax()) in (0, 2)  # the ward or the code: either could be the wrong one
    fits = int(best[0, 2]), int(best[0, 0])
    assert fits[0] in (0, 1, 2) and fits[1] == 3


def test_categories_alone_need_no_model():
    x = wards(0)[0][:, :3]
    detector = Detector.fit(torch.tensor(x), categories=(WARDS, 2, CODES))
    assert detector.model is None and detector.tree is not None
    codes = torch.tensor(x[:50])
    assert detector.energy(codes).equal(detector.tree.energy(codes))
    gaps = torch.zeros(50, 3, dtype=torch.bool)
    gaps[0, 2] = True
    assert float(detector.completed(codes, gaps)[0, 2]) // 3 == x[0, 0]
    assert detector.explain(codes, gaps)[0].isfinite().all()
