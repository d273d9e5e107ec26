"""The study of returned intervals: its list, its verdict, and that the truths are true."""

from __future__ import annotations

import math

import pytest
import torch

from gibbsian.core import NotDefined
from gibbsian.core.measures import Counting
from studies.logz_intervals import (
    SILENT,
    cells,
    cheapest_first,
    render,
    verdict,
    verdict_of_models,
)
from studies.logz_targets import FINAL, TUNING, field_chain, ising, machine, product, quartic, rings
from studies.logz_trained import MODELS, PairsEnergy, plane_log_z, row_of


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_lists_are_apart():
    assert len(FINAL) >= 20
    assert not set(FINAL) & set(TUNING)
    assert sorted(cheapest_first()) == sorted(FINAL)
    names = list(cells(False))
    assert [name for name in FINAL if name not in names] == []
    assert len(names) == 4 * len(FINAL) + 2 + len(MODELS)


def result(rows: dict[str, list[list[float]]]) -> dict[str, object]:
    return {"log_z": 0.0, "rows": rows}


def test_verdict():
    holds, warned = [-0.1, 0.1, 0.1, 0.1, 0.0, 1.0], [-0.1, 0.1, 0.1, 0.1, 1.0, 1.0]
    misses = [0.5, 0.1, 0.6, 0.1, 0.0, 1.0]
    first, second = list(FINAL)[:2]
    good = {first: result({"exact": [holds] * 20}), second: result({"exact": [holds] * 20})}
    found = verdict(good)
    assert found["runs"] == 40
    assert found["silent misses"] == 0
    assert found["silent misses are rare"] and found["few needless warnings"]
    bad = {first: result({"exact": [misses] * 3 + [holds] * 17 + [[]]}), second: good[second]}
    found = verdict(bad)
    assert found["refusals"] == 1 and not found["proper targets are never refused"]
    assert found["silent misses"] == pytest.approx(3 / 40)
    assert found["silent misses"] > SILENT and not found["silent misses are rare"]
    assert found["silent misses on the worst target"] == pytest.approx(3 / 20)
    assert not found["and rare on every target"]
    loud = {first: result({"exact": [warned] * 2 + [holds] * 18})}
    assert verdict(loud)["warned though it holds, exact points"] == pytest.approx(0.1)
    further = good | {f"{first}, more": result({"exact": [holds] * 5})}
    assert verdict(further)["runs"] == 45
    assert "| exact | 25 |" in render(further)


def test_truths_against_sums_and_grids():
    model = ising(3, 0.4)
    states = (torch.arange(2**9)[:, None] >> torch.arange(9) & 1).float()
    assert model.log_z == pytest.approx(
        float((-model.energy(states)).double().logsumexp(0)), abs=1e-5
    )
    small = machine(6, 4, 0.7, 1, joint=True)
    bits = (torch.arange(2**10)[:, None] >> torch.arange(10) & 1).float()
    assert small.log_z == pytest.approx(
        float((-small.energy(bits)).double().logsumexp(0)), abs=1e-5
    )
    assert isinstance(small.measure, Counting)
    line = torch.linspace(-4, 4, 401, dtype=torch.float64)
    plane, step = torch.cartesian_prod(line, line), 8 / 400
    for truth in (
        field_chain(2, 1.0),
        rings(1, 1.5, 0.2),
        product(2, quartic, -5, 5, model.measure),
    ):
        total = float((-truth.energy(plane)).logsumexp(0)) + 2 * math.log(step)
        assert truth.log_z == pytest.approx(total, abs=2e-3)


def test_draws_follow_their_energy():
    """E[E] over draws against the grid's; 4.5 standard errors, 1e-5."""
    line = torch.linspace(-4, 4, 401, dtype=torch.float64)
    plane = torch.cartesian_prod(line, line)
    for truth in (field_chain(2, 1.0), rings(1, 1.5, 0.2)):
        energy = truth.energy(plane)
        expected = float((torch.softmax(-energy, 0) * energy).sum())
        drawn = truth.energy(truth.draw(4000, rng(3)).double())
        error = float(drawn.std()) / math.sqrt(len(drawn))
        assert float(drawn.mean()) == pytest.approx(expected, abs=4.5 * error)


def test_verdict_of_trained_models():
    good, bad = [-0.1, 0.1, 0.1, 0.1, 0.0, 1.0], [0.5, 0.1, 0.6, 0.1, 0.0, 1.0]
    first, second = list(MODELS)[:2]
    cell = {"log_z": 0.0, "grid_error": 0.0, "rows": {"evaluate": [good] * 9, "log_z()": [good]}}
    found = verdict_of_models({f"model: {first}": cell})
    assert found["runs of trained models"] == 10
    assert all(value for value in found.values() if isinstance(value, bool))
    worse = {**cell, "rows": {"evaluate": [good] * 8 + [bad], "log_z()": [[]]}}
    results = {f"model: {first}": cell, f"model: {second}": worse}
    found = verdict_of_models(results)
    assert found["refusals of trained models"] == 1
    assert not found["trained models are never refused"]
    assert found["their silent misses"] == pytest.approx(1 / 19)
    assert not found["silent misses of trained models are rare"]
    assert f"| {second} | log_z() | 1 |" in render(results)
    assert row_of(NotDefined("why"), 1.0) == []
    unknown = {f"model: {first}": cell, f"model: {second}": {**worse, "grid_error": 0.1}}
    assert (
        verdict_of_models(unknown)["runs of trained models"] == 10
    )  # a grid too coarse is no truth
    assert f"| {second} | log_z() | 1 | no truth |" in render(unknown)


def test_the_grid_of_a_trained_energy():
    """A network that is 0 leaves the envelope: log Z of a normal distribution of std 2 in the plane."""
    energy = PairsEnergy(2)
    with torch.no_grad():
        for part in energy.parts:
            part.head.weight.zero_()
            part.head.bias.zero_()
    value, error = plane_log_z(energy.parts[0])
    assert value == pytest.approx(math.log(2 * math.pi * 4), abs=1e-6)
    assert error < 1e-6
    x = torch.randn(5, 4, generator=rng())
    torch.testing.assert_close(energy(x), x.square().sum(1) / 8)
