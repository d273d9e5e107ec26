"""Transport distances against assignments, scipy, POT and closed forms."""

from __future__ import annotations

import math
import sys

import ot
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.stats import norm, wasserstein_distance
from torch import Tensor

from gibbsian.evaluation import sliced_wasserstein, wasserstein


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def draw(rng: torch.Generator, n: int, d: int) -> Tensor:
    return torch.randn(n, d, generator=rng, dtype=torch.float64)


def assigned(x: Tensor, y: Tensor, p: int) -> float:
    """W_p by the best one-to-one assignment of rows repeated to a common number."""
    common = math.lcm(len(x), len(y))
    x, y = x.repeat_interleave(common // len(x), 0), y.repeat_interleave(common // len(y), 0)
    cost = (x[:, None] - y[None]).square().sum(2).sqrt() ** p
    rows, columns = linear_sum_assignment(cost.numpy())
    return float(cost[rows, columns].mean()) ** (1 / p)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize(("n", "m", "d"), [(9, 9, 1), (12, 8, 1), (9, 9, 3), (12, 8, 2)])
def test_exact_is_the_best_assignment(n: int, m: int, d: int, p: int, rng: torch.Generator) -> None:
    x, y = draw(rng, n, d), 0.5 + 2 * draw(rng, m, d)
    assert wasserstein(x, y, rng, p).value == pytest.approx(assigned(x, y, p), rel=1e-9)


def test_one_column_against_libraries(rng: torch.Generator) -> None:
    x, y = draw(rng, 37, 1), 1 + draw(rng, 53, 1)
    pair = x[:, 0].numpy(), y[:, 0].numpy()
    assert wasserstein(x, y, rng, 1).value == pytest.approx(wasserstein_distance(*pair), rel=1e-12)
    assert wasserstein(x, y, rng, 2).value ** 2 == pytest.approx(ot.emd2_1d(*pair), rel=1e-12)


def test_normal_laws_in_closed_form(rng: torch.Generator) -> None:
    """W_2^2 of N(0, 1) and N(m, s^2) is m^2 + (1 - s)^2; their quantiles at 20 000 places come near."""
    places = (torch.arange(20_000) + 0.5) / 20_000
    z = torch.as_tensor(norm.ppf(places.double().numpy()))[:, None]
    found = wasserstein(z, 0.7 + 1.5 * z, rng)
    assert found.value == pytest.approx(math.sqrt(0.7**2 + 0.5**2), rel=1e-4)


@pytest.mark.parametrize("p", [1, 2])
def test_a_shift_costs_its_length(p: int, rng: torch.Generator) -> None:
    """And sliced, the mean length of its projections: |c| / sqrt(d) for p = 2, 2 |c| / pi in a plane."""
    x, c = draw(rng, 40, 2), torch.tensor([3.0, 4.0], dtype=torch.float64)
    assert wasserstein(x, x + c, rng, p).value == pytest.approx(5.0, rel=1e-12)
    found = sliced_wasserstein(x, x + c, rng, p, projections=400)
    truth = 5 / math.sqrt(2) if p == 2 else 10 / math.pi
    # The shift is the same in every half, so that all error is the directions'; 4.5 of it.
    assert abs(found.value - truth) < 4.5 * found.diagnostics["stderr_directions"]
    exact = {1: 5 * math.sqrt(0.5 - 4 / math.pi**2), 2: 25 * math.sqrt(1 / 8) / (2 * truth)}[p]
    # The standard deviation of 400 draws is known within 4 %.
    assert found.diagnostics["stderr_directions"] == pytest.approx(exact / 20, rel=0.16)


def test_directions_depend_on_the_generator_alone(rng: torch.Generator) -> None:
    x, y = draw(rng, 30, 3), draw(rng, 20, 3)

    def distance(a: Tensor, b: Tensor) -> float:
        return sliced_wasserstein(a, b, torch.Generator().manual_seed(5), projections=3).value

    assert distance(x, y) == pytest.approx(distance(y, x), rel=1e-12)
    assert distance(x, x) == 0.0
    line = sliced_wasserstein(x[:, :1], y[:, :1], rng)
    assert line.value == pytest.approx(wasserstein(x[:, :1], y[:, :1], rng).value, rel=1e-12)
    assert line.diagnostics["stderr_directions"] == 0.0 and line.diagnostics["few"]


@pytest.mark.parametrize(
    ("kind", "p"), [("sliced", 1), ("sliced", 2), ("line", 2), ("exact", 1), ("exact", 2)]
)
def test_errors_are_those_of_repetition(kind: str, p: int, rng: torch.Generator) -> None:
    """50 repetitions: the ratio has an error of 10 %, and the method one of its own; the band is 45 %."""
    found = []
    for _ in range(50):
        x, y = draw(rng, 40, 2), 1.2 * draw(rng, 60, 2) + 0.8
        if kind == "sliced":
            found.append(sliced_wasserstein(x, y, rng, p, projections=10))
        elif kind == "line":
            found.append(wasserstein(x[:, :1], y[:, :1], rng, p))
        else:
            found.append(wasserstein(x, y, rng, p))
    values = torch.tensor([f.value for f in found])
    claimed = torch.tensor([f.stderr for f in found]).square().mean().sqrt()
    assert float(claimed / values.std()) == pytest.approx(1.0, abs=0.45)


def test_error_of_moving_all_to_one_point(rng: torch.Generator) -> None:
    """W_2^2 is then the mean of |y|^2, and its error that of a mean; whichever side is the point."""
    point, y = torch.zeros(7, 2, dtype=torch.float64), 1 + draw(rng, 30, 2)
    cost = y.square().sum(1)
    expected = float(cost.std()) / math.sqrt(30) / (2 * math.sqrt(float(cost.mean())))
    for pair in ((point, y), (y, point)):
        assert wasserstein(*pair, rng).stderr == pytest.approx(expected, rel=1e-9)


def test_unusable_input(rng: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    x = draw(rng, 8, 2)
    with pytest.raises(ValueError, match="at least 2 projections"):
        sliced_wasserstein(x, x, rng, projections=1)
    with pytest.raises(ValueError, match="equal width"):
        wasserstein(x, x[:, :1], rng)
    with monkeypatch.context() as short:
        short.setattr("gibbsian.evaluation.metrics.transport.PIVOTS", 1)
        with (
            pytest.raises(ValueError, match="did not finish"),
            pytest.warns(UserWarning, match="numItermax"),
        ):
            wasserstein(x, draw(rng, 8, 2), rng)
    monkeypatch.setitem(sys.modules, "ot", None)
    with pytest.raises(ImportError, match=r"gibbsian\[transport\]"):
        wasserstein(x, x, rng)
    assert wasserstein(x[:, :1], x[:, :1], rng).value == 0.0  # needs no library
