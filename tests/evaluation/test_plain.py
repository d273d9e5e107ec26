"""`gibbsian.log_z` of a plain function: closed forms, one sentence for what is unusable, progress bars."""

from __future__ import annotations

import functools
import io
import math
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

import gibbsian
from gibbsian.core import Interval, NotDefined, progress
from gibbsian.evaluation.log_z.effort import LogZEffort


def bowl(x: Tensor) -> Tensor:
    return 0.5 * x.square().sum(1)


def step(x: Tensor) -> Tensor:
    return bowl(x) + 2.0 * (x[:, 0] > 0)


def level(x: Tensor) -> Tensor:
    return torch.full((len(x),), 3.0)  # without a gradient, too


def partly_nan(x: Tensor) -> Tensor:
    return bowl(x).masked_fill(x[:, 0] > 1, math.nan)


class Linear:
    """An energy with numbers of single precision in it."""

    def __call__(self, x: Tensor) -> Tensor:
        return 0.5 * (x @ torch.eye(5)).square().sum(1)


def test_samples_may_be_arrays_and_have_the_precision_of_the_energy():
    x = np.random.default_rng(0).normal(size=(400, 5))
    found = gibbsian.log_z(Linear(), 5, samples=x)
    assert isinstance(found, Interval) and found.interval95 is not None
    low, high = found.interval95
    assert low < found.lower.value <= found.upper.value < high
    assert holds(found, 2.5 * math.log(2 * math.pi))
    with pytest.raises(ValueError, match=r"points of shape \[3, 5\] in float64: .*dtype"):
        gibbsian.log_z(Linear(), 5, samples=torch.from_numpy(x))


def holds(found: object, truth: float) -> bool:
    """Within four standard errors of either side: a false alarm in 6e-5 of the seeds."""
    assert isinstance(found, Interval), str(found)
    low, high = found.lower, found.upper
    return low.value - 4 * low.stderr - 1e-4 < truth < high.value + 4 * high.stderr + 1e-4


def test_a_grid_says_how_narrow_a_mode_it_would_miss():
    found = gibbsian.log_z(bowl, 2)
    assert isinstance(found, Interval) and found.interval95 is None, "a grid has no such error"
    assert isinstance(found, Interval) and found.lower.standing == "exact"
    (low, high), points = found.lower.diagnostics["box"][0], found.lower.diagnostics["points"]
    cell = f"{(high - low) / points:.2g}"
    assert any(f"narrower than the grid's cells, {cell}" in text for text in found.warnings)
    shown = gibbsian.log_z(bowl, 2, samples=torch.randn(50, 2))
    assert isinstance(shown, Interval) and not shown.warnings


def test_heavy_tails_that_no_mixture_covers_are_told():
    """Student's t of 0.3 degrees of freedom: intervals of 3 in 8 seeds miss."""

    energies = [functools.partial(student_energy, nu) for nu in (0.3, 3.0)]
    quick = [gibbsian.log_z(energy, 5, effort="quick") for energy in energies]
    told = [
        isinstance(z, Interval) and any("falls off like" in w for w in z.warnings) for z in quick
    ]
    assert told == [True, False]


def student_energy(nu: float, x: Tensor) -> Tensor:
    return 0.5 * (nu + x.shape[1]) * torch.log1p(x.square().sum(1) / nu)


@pytest.mark.parametrize("d", [2, 5])
def test_a_discontinuous_energy(d: int):
    truth = 0.5 * d * math.log(2 * math.pi) + math.log((1 + math.exp(-2)) / 2)
    assert holds(gibbsian.log_z(step, d, effort="quick"), truth)


@pytest.mark.parametrize("d", [2, 5])
def test_a_constant_has_no_integral_on_all_of_space_but_on_a_box(d: int):
    found = gibbsian.log_z(level, d)
    assert isinstance(found, NotDefined) and "does not confine" in found.why and "Box" in found.why
    assert holds(gibbsian.log_z(level, d, box=(-3.0, 3.0), effort="quick"), d * math.log(6.0) - 3.0)


@pytest.mark.parametrize("options", [{}, {"box": (-3.0, 3.0)}])
@pytest.mark.parametrize("d", [2, 7])
def test_an_energy_that_is_nan_somewhere(d: int, options: dict[str, tuple[float, float]]):
    with pytest.raises(ValueError, match=r"the energy is NaN .*at x = \["):
        gibbsian.log_z(partly_nan, d, **options)


def test_what_is_no_density():
    with pytest.raises(ValueError, match="at least one dimension"):
        gibbsian.log_z(bowl, 0)
    with pytest.raises(ValueError, match=r"one number per row, shape \[3\]; .* \[3, 5\]"):
        gibbsian.log_z(lambda x: x, 5)
    with pytest.raises(ValueError, match="squeeze the last dimension"):
        gibbsian.log_z(lambda x: x[:, :1], 5)
    with pytest.raises(ValueError, match="do not fit points of shape"):
        gibbsian.log_z(bowl, 5, samples=torch.randn(30, 4))
    with pytest.raises(ValueError, match="low < high"):
        gibbsian.log_z(bowl, 2, box=(1.0, 1.0))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bars_are_seen_on_a_terminal_and_change_no_number(monkeypatch: pytest.MonkeyPatch):
    def two_wells(x: Tensor) -> Tensor:
        return 3.0 * (x.square() - 1).square().sum(1)

    few = LogZEffort(components=1, particles=64, pilot=32, moves=1, draws=256)

    def estimated(stream: io.StringIO) -> str:
        monkeypatch.setattr(sys, "stderr", stream)
        return str(gibbsian.log_z(two_wells, 5, effort=few))

    quiet, seen, filed = Terminal(), Terminal(), io.StringIO()
    alone = estimated(quiet)
    with progress.shown():
        assert estimated(seen) == alone
        assert estimated(filed) == alone
    for name in ("chains", "mixtures", "temperatures", "annealing forward", "annealing back"):
        assert name in seen.getvalue()
    assert quiet.getvalue() == filed.getvalue() == ""
