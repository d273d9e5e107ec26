"""What categories say of numbers: levels and spreads by value, gaps filled, prices told by their product."""

import numpy as np
import pytest
import torch

from gibbsian.models.detector import Detector
from gibbsian.models.numbers_given import NumbersGiven

PRICES, SPREADS = np.array([2.0, 50.0, 900.0]), np.array([0.1, 5.0, 60.0])


def orders(n: int = 6_000, seed: int = 0) -> torch.Tensor:
    """Product, region, price by product, pieces by neither."""
    rng = np.random.default_rng(seed)
    product, region = rng.integers(3, size=n), rng.integers(4, size=n)
    price = PRICES[product] + SPREADS[product] * rng.normal(size=n)
    return torch.tensor(np.stack([product, region, price, rng.normal(10, 3, size=n)], 1))


def test_levels_and_spreads_are_those_of_the_values() -> None:
    x = orders()
    given = NumbersGiven.fit(x, (3, 4, 0, 0))
    z = given(x)
    for value in range(3):
        rows = x[:, 0] == value
        # The mean of 2 000 rows has an error of 0.022 spreads, of which four are exceeded in 6e-5 of
        # seeds; the ridge takes less.
        expected = pytest.approx(0.0, abs=0.1 * 317 / SPREADS[value])
        assert float(z[rows, 0].mean()) == expected
        assert float(z[rows, 0].std()) == pytest.approx(float(z[x[:, 0] == 0, 0].std()), rel=0.15)
    spreads = given.log_spread(x)[:, 0].exp()
    ratio = [float(spreads[x[:, 0] == value][0]) for value in range(3)]
    assert ratio[2] / ratio[1] == pytest.approx(12, rel=0.1)
    assert given.log_spreads[3:].abs().max() == 0, "a spread depends on one category at most"
    assert given.log_spreads[:, 1].abs().max() == 0, "and on none where it depends on none"


def test_a_value_without_rows_has_a_spread_of_the_size_of_the_levels() -> None:
    x = orders()
    given = NumbersGiven.fit(x, (4, 4, 0, 0))  # of four products the last one has no row
    assert given.levels[3].abs().max() < 1e-6
    known, none, never = (given(torch.tensor([[k, 1.0, 900.0, 10.0]]))[0] for k in (2.0, 3.0, -1.0))
    assert abs(float(known[0])) < 50 and abs(float(none[0])) < 100
    assert none.allclose(never), "as little is known of a text that no row had"
    assert float(given.log_spread(torch.tensor([[3.0, 1, 900, 10]]))[0, 1]) < 0.1


def test_a_price_that_another_product_has_is_strange_and_a_gap_is_filled_by_the_product() -> None:
    x = orders(2_000)
    detector = Detector.fit(x, categories=(3, 4, 0, 0))
    odd = torch.tensor([[0.0, 1.0, 50.0, 10.0], [2.0, 1.0, 900.0, 10.0]]).double()
    energy = detector.energy(x)
    assert float(detector.energy(odd)[0]) > float(energy.max())
    assert float(detector.energy(odd)[1]) < float(energy.quantile(0.9))
    gaps = torch.zeros(2, 4, dtype=torch.bool)
    fall, best = detector.explain(odd, gaps)
    assert int(fall[0].argmax()) in (0, 2)
    assert float(best[0, 2]) == pytest.approx(2.0, abs=8) and float(best[0, 0]) == 1
    gaps[:, 2] = True
    filled = detector.completed(torch.tensor([[0.0, 1, 0, 10], [1.0, 1, 0, 10]]).double(), gaps)
    # What regions add has an error of 60 / sqrt(500), from the product whose prices spread most.
    assert filled[:, 2].tolist() == [pytest.approx(2, abs=8), pytest.approx(50, abs=10)]
