"""Columns that determine each other: which, what they become, and that they are named together."""

import pytest
import torch

from gibbsian.models.coupled_columns import MOST, Change, coupled_groups, lowest_together
from gibbsian.models.detector import Detector
from gibbsian.models.reasons import reasons_of
from gibbsian.models.whitening import Whitening


def amounts(n: int = 1_500, seed: int = 0) -> torch.Tensor:
    """Persons, use by persons, its price, and a number by itself."""
    rng = torch.Generator().manual_seed(seed)
    noise = torch.randn(n, 4, generator=rng, dtype=torch.float64)
    persons = 3 + noise[:, 0]
    use = 10 * persons + 5 * noise[:, 1]
    return torch.stack([persons, use, 5 + 2 * use + 0.05 * noise[:, 2], noise[:, 3]], 1)


def scaled_of(x: torch.Tensor) -> torch.Tensor:
    whitening = Whitening.fit(x)
    return whitening.factor / whitening.std[:, None]


def test_groups_are_columns_that_determine_each_other() -> None:
    x = amounts()
    assert coupled_groups(scaled_of(x)) == [(1, 2)]
    assert coupled_groups(scaled_of(x[:, [2, 3, 1]])) == [(0, 2)]
    assert coupled_groups(scaled_of(x[:, [0, 1, 3]])) == []
    # Net, tax and their sum are one group, with one rate of tax and with two.
    assert coupled_groups(scaled_of(torch.cat([x, x[:, 1:2] + x[:, 2:3]], 1))) == [(1, 2, 4)]
    tax = x[:, 1] * torch.tensor([0.07, 0.19])[torch.arange(len(x)) % 2]
    prices = torch.stack([x[:, 1], x[:, 3], tax, x[:, 1] + tax], 1)
    assert coupled_groups(scaled_of(prices)) == [(0, 2, 3)]
    copies = x[:, :1] + 1e-3 * torch.randn(len(x), 7, dtype=torch.float64)
    groups = coupled_groups(scaled_of(copies))
    assert groups and max(map(len, groups)) <= MOST
    assert len(set(sum(groups, ()))) == sum(map(len, groups))


def test_the_others_follow_to_the_least_of_the_gaussian() -> None:
    """Of |u|^2 / 2 over the second and third column, the first being given."""
    x = amounts(300)
    scaled, whitening = scaled_of(x), Whitening.fit(x)
    u = whitening(x[:5])

    def energy(u: torch.Tensor) -> torch.Tensor:
        return u.square().sum(1) / 2

    steps = torch.tensor([[0.75, -0.25]]).double().expand(5, 2)
    lowest, change = lowest_together(energy, scaled, u, (0, 1, 2), steps)
    other = change[:, 1:].clone().requires_grad_()
    value = energy(u + change[:, :1] * scaled[0] + other @ scaled[1:3]).sum()
    (slope,) = torch.autograd.grad(value, other)
    assert slope.abs().max() < 1e-9, "the energy is convex: where its slope is 0 it is least"
    there = energy(whitening(x[:5] + torch.cat([change, torch.zeros(5, 1)], 1)))
    torch.testing.assert_close(lowest, there)
    assert set(change[:, 0].tolist()) <= {0.75, -0.25}


@pytest.mark.parametrize("kinds", [False, True])
def test_use_and_price_are_named_together(kinds: bool) -> None:
    """One person uses and pays as much as ten: changing either alone breaks their price."""
    x = amounts()
    odd = torch.tensor([[1.0, 100.0, 205.0, 0.0], [3.0, 30.0, 650.0, 0.0]]).double()
    categories: tuple[int, ...] = ()
    if kinds:
        of = torch.arange(len(x) + 2)[:, None] % 2
        x, odd = torch.cat([of[:-2], x], 1).double(), torch.cat([of[:2], odd], 1).double()
        categories = (2, 0, 0, 0, 0)
    detector = Detector.fit(x, categories=categories)
    gaps, first = torch.zeros_like(odd, dtype=torch.bool), int(kinds)
    groups = detector.groups()
    assert groups == [(1 + first, 2 + first)]
    ((fall, values, by_one),) = detector.explain_together(odd, gaps, groups)
    alone, best = detector.explain(odd, gaps)
    energy, usual = detector.energy(odd), detector.energy(x).median()
    assert float(fall[0]) > float(alone[0].max()) + 10
    changed = odd.clone()
    changed[:, list(groups[0])] = values
    torch.testing.assert_close(energy - detector.energy(changed), fall, rtol=1e-4, atol=1e-3)
    names = ("kind", "persons", "use", "price", "other")[1 - first :]
    texts: tuple[tuple[str, ...], ...] = ((("a", "b"),) if kinds else ()) + ((),) * 4
    told = []
    for i in range(2):
        change = Change(groups[0], float(fall[i]), tuple(values[i].tolist()), float(by_one[i]))
        row, above = (odd[i], alone[i], best[i]), float(energy[i] - usual)
        told.append(reasons_of(*row, names, texts, above, 8.0, detector.candidates, None, [change]))
    assert told[0][0].startswith("use 100 and price 205 together are unusual given the rest (-")
    assert told[1][0].startswith("price 650 is unusual"), "a price alone is wrong here"
    none = detector.explain_together(
        odd, gaps.index_fill(1, torch.tensor(groups[0][0]), True), groups
    )
    assert none[0][0].tolist() == none[0][2].tolist() == [0, 0], "what filled a gap is no reason"
