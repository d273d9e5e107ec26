"""The guard: what leaves its healthy range goes back, twice at most, and a killed run goes the same way."""

import contextlib
import dataclasses
import json
import os
import warnings

import pytest
import torch
from torch import nn

from gibbsian.core import DivergenceError, Loss, NonFiniteError, PlayerUpdate, TrainingMethod
from gibbsian.core.healthy_ranges import HealthyRange, energy_gap, relative_spread
from gibbsian.core.measures import RealSpace
from gibbsian.core.records import parse_line
from gibbsian.core.recoveries import read_recoveries
from gibbsian.training import (
    OptimizerOptions,
    TrainingOptions,
    checkpoints,
    guard,
    prepare_training,
    processes,
    restore_checkpoint,
    run_training_loop,
    save_checkpoint,
)
from tests.training.test_resume import OPTIMIZERS, assert_same, everything
from tests.training.toys import CountingStream, Seesaw

OPTIONS = TrainingOptions(rounds=40, log_every=5, save_every=8, ema=0.9, seed=3)
SHORT = dataclasses.replace(OPTIONS, rounds=26)
"""Rounds after which a run with a cliff at 0.7 has gone back twice."""
WALL = HealthyRange("only/height", "it has climbed; a smaller rate helps", high=1.0, looks=2)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch):
    """Looks every 2 rounds and snapshots every 4, so that a run of 40 goes back twice."""
    monkeypatch.setattr(guard, "LOOK_EVERY", 2)
    monkeypatch.setattr(guard, "SNAPSHOT_EVERY", 4)


class Climber(TrainingMethod):
    """Climbs by its rate each round, with a little noise; not finite above ``cliff``."""

    players = {"only": ("theta",)}
    roles = {}
    healthy = (WALL,)

    def __init__(self, cliff=float("inf")):
        super().__init__(RealSpace((2,)))
        self.theta = nn.Parameter(torch.zeros(2))
        self.cliff = cliff

    def round(self, index, data, rng):
        next(data)
        yield PlayerUpdate("only", self.loss, (torch.randn((), generator=rng),))

    def loss(self, noise):
        value = -self.theta.sum() * (1.0 + 0.1 * noise)
        height = self.theta.detach().max()
        return Loss(torch.where(height > self.cliff, torch.inf, value), {"height": height})

    def sample(self, n, rng, given=None):
        return self.theta.detach().expand(n, 2)


def climbing(lr=0.05, cliff=float("inf"), options=OPTIONS):
    torch.manual_seed(0)
    optimizer = {"only": OptimizerOptions("sgd", lr, momentum=0.5)}
    return prepare_training(Climber(cliff), optimizer, options, CountingStream())


def quietly(progress, *arguments, **named):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run_training_loop(progress, *arguments, **named)


def test_a_run_that_leaves_its_range_goes_back_with_smaller_rates_then_stops():
    # 0.1 a round at first: above 1 after some 10 rounds, then some 10 and some 20 later.
    progress = climbing()
    with pytest.warns(
        UserWarning, match=r"went back to round \d+, with learning rates x 0.3"
    ) as said:
        run_training_loop(progress, OPTIONS)
    assert [r.lr_factor for r in progress.health.recoveries] == [
        pytest.approx(0.3),
        pytest.approx(0.09),
    ]
    assert len(said) == 2
    first = progress.health.recoveries[0]
    assert 10 <= first.round <= 18
    assert first.back_to < 10
    assert first.back_to % 4 == 0
    assert "only/height is" in first.reason
    assert "it has climbed" in first.reason
    assert progress.stepper.optimizers["only"].param_groups[0]["lr"] == pytest.approx(0.0045)
    with pytest.raises(
        DivergenceError, match=r"training stops. Before, it went back from round .* and from round"
    ):
        quietly(climbing(), dataclasses.replace(OPTIONS, rounds=400))


def test_a_number_that_is_not_finite_goes_back_too():
    progress = climbing(cliff=0.7)
    quietly(progress, SHORT)
    assert [recovery.back_to for recovery in progress.health.recoveries] == [4, 12]
    assert "player 'only' is not finite" in progress.health.recoveries[0].reason
    assert progress.method.theta.isfinite().all()
    with pytest.raises(NonFiniteError, match="training stops"):
        quietly(climbing(cliff=0.5), dataclasses.replace(OPTIONS, rounds=400))


def test_a_weight_that_is_not_finite_is_found_before_the_next_loss():
    progress = climbing(options=dataclasses.replace(OPTIONS, recover=False))
    with torch.no_grad():
        progress.method.theta[1] = torch.inf
    with pytest.raises(
        NonFiniteError, match="a weight of player 'only' is not finite after 0 rounds"
    ):
        progress.stepper.check(0)


def test_without_recovery_a_range_warns_once_and_a_number_ends_the_run():
    options = dataclasses.replace(OPTIONS, recover=False)
    with pytest.warns(UserWarning, match="training has left what is healthy: only/height") as said:
        progress = run_training_loop(climbing(), options)
    assert len(said) == 1
    assert progress.index == 40
    assert not progress.health.recoveries
    assert not progress.health.good
    with pytest.raises(NonFiniteError):
        quietly(climbing(cliff=0.5), options)


@pytest.mark.parametrize("save_every", [0, 8])
def test_a_healthy_run_is_the_same_to_the_bit_with_and_without_the_guard(save_every, tmp_path):
    def done(recover):
        torch.manual_seed(0)
        options = dataclasses.replace(OPTIONS, recover=recover, save_every=save_every)
        progress = prepare_training(Seesaw(), OPTIMIZERS, options, CountingStream())
        return everything(run_training_loop(progress, options, tmp_path / str(recover)))

    a, b = done(True), done(False)
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def test_the_path_does_not_depend_on_what_is_logged_and_saved(tmp_path):
    whole = quietly(climbing(), OPTIONS)
    options = dataclasses.replace(OPTIONS, log_every=7, save_every=3)
    other = quietly(climbing(options=options), options, tmp_path)
    assert_same(whole, other)
    assert whole.health.recoveries == other.health.recoveries


def test_after_going_back_the_random_numbers_are_others():
    progress, drawn = climbing(), []
    original = progress.method.round

    def watched(index, data, rng):
        state = rng.get_state()
        drawn.append((index, float(torch.randn((), generator=rng))))
        rng.set_state(state)
        return original(index, data, rng)

    progress.method.round = watched
    quietly(progress, OPTIONS)
    twice = [[x for i, x in drawn if i == index] for index in (4, 9, 20, 29)]
    assert [len(played) for played in twice] == [2, 2, 2, 2]
    assert all(first != second for first, second in twice)


class Killed(Exception):
    """What stands for SIGKILL."""


@pytest.mark.parametrize(
    ("plays", "cliff"),
    [(plays, float("inf")) for plays in range(1, 60, 5)]
    + [(plays, 0.7) for plays in range(2, 34, 4)],
)
def test_killed_at_any_play_and_resumed_is_the_uninterrupted_run(plays, cliff, tmp_path):
    """The rounds played include those thrown away: kills fall before, between and after two ways back."""
    options = OPTIONS if cliff > 1 else SHORT
    whole = quietly(climbing(cliff=cliff), options, tmp_path / "whole", tmp_path / "whole.jsonl")
    assert len(whole.health.recoveries) == 2
    progress, state, metrics = climbing(cliff=cliff), tmp_path / "state", tmp_path / "metrics.jsonl"
    original, count = progress.method.round, []

    def dies(index, data, rng):
        count.append(index)
        if len(count) > plays:
            raise Killed
        return original(index, data, rng)

    progress.method.round = dies
    with pytest.raises(Killed):
        quietly(progress, options, state, metrics)
    again = resumed(state, cliff)
    quietly(again, options, state, metrics)
    assert_same(again, whole)
    assert again.health.recoveries == whole.health.recoveries
    assert [g.index for g in again.health.good] == [g.index for g in whole.health.good]
    rows = [rows_of(path) for path in (metrics, tmp_path / "whole.jsonl")]
    assert rows[0] == rows[1]


def resumed(state, cliff):
    progress = climbing(cliff=cliff)
    if any(state.iterdir()):
        restore_checkpoint(state, progress)
    return progress


def rows_of(path):
    rows = [parse_line(line, "") for line in path.read_bytes().splitlines()]
    assert all(rows)
    return [{k: v for k, v in row.items() if k != "rounds_per_second"} for row in rows]


@pytest.mark.parametrize("call", ["replace", "unlink", "fsync"])
@pytest.mark.parametrize("number", range(0, 24, 3))
def test_a_fault_while_going_back_costs_nothing(call, number, tmp_path, monkeypatch):
    whole = quietly(climbing(), OPTIONS)
    original, calls = getattr(os, call), []

    def faulty(*arguments, **named):
        calls.append(1)
        if len(calls) == number + 2:  # the first save, of round 0, succeeds
            raise Killed
        return original(*arguments, **named)

    progress, state = climbing(), tmp_path / "state"
    with monkeypatch.context() as patched, contextlib.suppress(Killed):
        patched.setattr(os, call, faulty)
        quietly(progress, OPTIONS, state, tmp_path / "metrics.jsonl")
    again = resumed(state, float("inf"))
    quietly(again, OPTIONS, state, tmp_path / "metrics.jsonl")
    assert_same(again, whole)
    assert again.health.recoveries == whole.health.recoveries


def test_of_several_processes_each_goes_back_to_its_own_chains(tmp_path, monkeypatch):
    """What all share is in the first one's file; the second reads both."""
    held = []
    for rank in (0, 1):
        torch.manual_seed(0)
        progress = prepare_training(Seesaw(), OPTIMIZERS, OPTIONS, CountingStream())
        progress.rng.manual_seed(rank)
        run_training_loop(progress, dataclasses.replace(OPTIONS, rounds=9))
        assert [good.index for good in progress.health.good] == [4, 8]
        held.append(progress)
    monkeypatch.setattr(processes, "barrier", lambda: None)
    monkeypatch.setattr(processes, "any_process", lambda flag, device: flag)
    monkeypatch.setattr(processes, "world", lambda: 2)
    for rank, progress in enumerate(held):
        monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
        save_checkpoint(tmp_path, progress)
    again = prepare_training(Seesaw(), OPTIMIZERS, OPTIONS, CountingStream())
    restore_checkpoint(tmp_path, again)
    for found, own, shared in zip(
        again.health.good, held[1].health.good, held[0].health.good, strict=True
    ):
        assert found.tensors.keys() == own.tensors.keys()
        for name, value in found.tensors.items():
            source = shared if name.startswith(checkpoints.SHARED) else own
            assert torch.equal(value, source.tensors[name])
        assert not torch.equal(own.tensors["local/chains"], shared.tensors["local/chains"])


def test_metrics_hold_each_round_once_and_the_way_back_is_told(tmp_path):
    progress = climbing()
    progress.run = "0123456789abcdef"
    metrics = tmp_path / "metrics.jsonl"
    seen = []
    quietly(progress, OPTIONS, tmp_path / "state", metrics, watch=seen.append)
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    rounds = [line["round"] for line in lines]
    assert rounds == sorted(set(rounds))
    assert rounds[-1] == 40
    assert lines[-1]["recoveries"] == 2
    assert lines[-1]["lr_factor"] == pytest.approx(0.09)
    assert [
        row["round"] for row in seen
    ] != rounds  # the tracker saw the rounds that were thrown away
    told = read_recoveries(tmp_path / "recoveries.json", progress.run)
    assert told == tuple(map(str, progress.health.recoveries))
    with pytest.raises(ValueError, match="of another run"):
        read_recoveries(tmp_path / "recoveries.json", "fedcba9876543210")
    again = climbing()  # a new run at the same place has not gone back
    run_training_loop(again, dataclasses.replace(OPTIONS, rounds=1), None, metrics)
    assert not (tmp_path / "recoveries.json").exists()


def test_ranges_in_numbers():
    gap = energy_gap("energy")
    assert gap.limits(9) == (-1e3, 1e3)
    assert gap.limits(3072) == (-30_720, 30_720)
    logs = {"energy/energy_data": torch.tensor(3.0), "energy/energy_model": torch.tensor(5.0)}
    assert gap.value(logs) == -2.0
    assert gap.value({"energy/energy_data": torch.tensor(3.0)}) is None
    x = torch.tensor([[3.0, 4.0], [0.0, 5.0]])
    assert relative_spread(2 * x[:1], x) == pytest.approx(2.0)
    assert relative_spread(x, 0 * x) == 0
    assert relative_spread(torch.full_like(x, torch.nan), x).isnan()


def test_nan_is_outside_every_range():
    progress = climbing()
    progress.index = 2
    assert guard._left(progress, {"only/height": torch.tensor(torch.nan)}) == {"only/height": 1}
    assert guard._left(progress, {}) == {"only/height": 1}  # not logged: nothing is known
    assert guard._left(progress, {"only/height": torch.tensor(1.0)}) == {}
