"""The tilted flow against truth: quadrature, closed forms, its rules, its two stages, its files."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gibbsian
from gibbsian.cli import main
from gibbsian.core import Batch, Interval, Loss, PlayerUpdate
from gibbsian.core.measures import Counting, RealSpace
from gibbsian.core.tensor_files import read_tensors
from gibbsian.data import load_dataset
from gibbsian.evaluation.log_z.exact_draws import log_partition_from_exact_draws
from gibbsian.methods import NormalisingFlow, TiltedFlow
from gibbsian.methods.tilted_flow import (
    DRAWS,
    DRAWS_SEED,
    LEAST_SHARE,
    MOST_ERROR,
    best_scale,
)
from gibbsian.models.model import Model
from gibbsian.training.stepper import Stepper
from tests.methods.play import descend

LINE = RealSpace((1,))
TRAINING = {"device": "cpu", "batch": 64, "log_every": 1}


class Normal(nn.Module):
    """x = z: the standard normal distribution as a flow."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, z: Tensor) -> Tensor:
        return z

    def forward_with_log_det(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return z, z.new_zeros(len(z))

    def inverse_with_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x.new_zeros(len(x))


class Linear(nn.Module):
    """E(x) = a - w x."""

    def __init__(self, w: float = 0.0, a: float = 0.0):
        super().__init__()
        self.w, self.a = nn.Parameter(torch.tensor(w)), a

    def forward(self, x: Tensor) -> Tensor:
        return self.a - self.w * x.squeeze(1)


def tilted(energy: nn.Module, **options: object) -> TiltedFlow:
    """The standard normal distribution, in stage two at scale 1."""
    method = TiltedFlow(Normal(), energy, LINE, **options)  # type: ignore[arg-type]
    method.next_stage()
    method.scale.fill_(1.0)
    return method


def quadrature(method: TiltedFlow) -> tuple[float, Tensor, Tensor]:
    """log Z, a grid and the density on it."""
    x = torch.linspace(-12, 12, 20_001, dtype=torch.float64)
    with torch.no_grad():
        weight = torch.exp(-method.double().energy(x[:, None])) * (x[1] - x[0])
    method.float()
    return math.log(float(weight.sum())), x, weight / weight.sum()


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows_of(mean: float, seed: int) -> Iterator[Batch]:
    """Batches of N(mean, 1)."""
    generator = rng(seed)
    while True:
        yield Batch(mean + torch.randn(256, 1, generator=generator), torch.arange(256))


def test_log_z_of_exact_draws_is_that_of_quadrature() -> None:
    """131 072 weights of a tilt of slope 1.5, 20 times, within 4.5 standard errors: 1 in 7 000."""
    method = tilted(Linear(1.5, 0.3))
    truth = quadrature(method)[0]
    for seed in range(20):
        z = log_partition_from_exact_draws(method.z_log_weights, rng(seed))
        assert z.lower.standing == "bound in expectation" and z.upper.standing == "estimate"
        assert z.lower.value <= z.upper.value <= z.lower.value + 1e-3
        assert 1e-4 < z.upper.stderr < 0.02
        assert abs(z.upper.value - truth) < 4.5 * z.upper.stderr


def test_the_tilt_is_bounded() -> None:
    method, x = tilted(Linear(50.0), tilt_bound=2.0), torch.linspace(-5, 5, 101)[:, None]
    T = method.tilt(x).detach()
    assert float(T.min()) >= -2.0 and float(T.max()) <= 2.0
    torch.testing.assert_close(T, 2.0 * torch.tanh(25.0 * x.squeeze(1)))
    density = torch.distributions.Normal(0.0, 1.0).log_prob(x.squeeze(1))
    torch.testing.assert_close(method.energy(x), -density - T)


def test_samples_have_the_tilted_distribution() -> None:
    """Mean and variance of 20 000 draws against quadrature, within 4.5 standard errors: 1 in 70 000."""
    method = tilted(Linear(1.0))
    _, x, p = quadrature(method)
    mean = float((p * x).sum())
    variance = float((p * (x - mean) ** 2).sum())
    drawn = method.sample(20_000, rng(1)).double()
    # Resampled from ten times as many, with an effective share above 0.2: half as much again.
    error = math.sqrt(variance / 20_000 * 1.5)
    assert abs(float(drawn.mean()) - mean) < 4.5 * error
    assert abs(float(drawn.var()) / variance - 1) < 4.5 * math.sqrt(2 * 1.5 / 20_000)
    assert method.sample(3, rng(1)).shape == (3, 1)


@pytest.mark.parametrize("objective", ["nce", "kale"])
def test_training_finds_the_ratio_and_log_z(objective: str) -> None:
    """Data N(0.5, 1), noise N(0, 1): log ratio = 0.5 x - 1/8, so E = -0.5 x and A = 1/8.

    2 000 steps at 1 024 draws each: A's standard error from noise alone is below 0.005; 0.04 leaves room for
    the last steps' wandering, and is a third of what A moves by.
    """
    method = tilted(Linear(), tilt_objective=objective, tilt_bound=50.0, energy_steps=1)
    data, generator = rows_of(0.5, 2), rng(3)
    for index in range(2_000):
        moves = descend(
            method, method.round(index, data, generator), 0.5 * (1 - index / 2_000) + 0.01
        )
        assert [move.player for move in moves] == ["energy"]
    assert isinstance(method.potential, Linear)
    assert method.potential.w.item() == pytest.approx(0.5, abs=0.04)
    assert method.A.item() == pytest.approx(0.125, abs=0.04)
    assert quadrature(method)[0] == pytest.approx(method.A.item(), abs=0.04)


def test_the_two_objectives_are_those_of_the_papers() -> None:
    """At T = 0.5 x and A = 0.1, written out."""
    x, y = torch.tensor([[1.0], [-2.0]]), torch.tensor([[0.0], [1.0], [3.0], [-1.0]])
    G_data, G_flow = 0.5 * x.squeeze(1) - 0.1, 0.5 * y.squeeze(1) - 0.1
    expected = {
        "nce": -torch.log(torch.sigmoid(G_data - math.log(2))).mean()
        - 2 * torch.log(torch.sigmoid(math.log(2) - G_flow)).mean(),
        "kale": -(1 + G_data.mean() - G_flow.exp().mean()),
    }
    for objective, value in expected.items():
        method = tilted(Linear(0.5), tilt_objective=objective, tilt_bound=1e4, noise_ratio=2)
        method.A.data.fill_(0.1)
        torch.testing.assert_close(method.tilt_loss(x, y).value, value)


def test_a_scale_is_admitted_only_where_log_z_is_known() -> None:
    """Weights exp(s T), T normal of standard deviation 5: relative variance exp(25 s^2) - 1.

    Only scales with sqrt((exp(25 s^2) - 1) / 32 768) <= 0.02 may be taken, s <= 0.32, whatever others gain.
    """
    T_flow = 5.0 * torch.randn(DRAWS, generator=rng(4))
    T_data = 25.0 + 0.01 * torch.randn(1_000, generator=rng(5))
    gain, scale = best_scale(T_data, T_flow)
    assert 0.15 < scale < 0.35 and gain > 0
    weights = (scale * T_flow.double()).exp()
    assert float(weights.std() / weights.mean()) / math.sqrt(DRAWS) <= MOST_ERROR
    assert float(weights.sum() ** 2 / weights.square().sum()) >= LEAST_SHARE * DRAWS


def test_a_gain_within_its_error_is_none() -> None:
    """T that tells nothing: a mean of 0 on data and on draws; and one that is as large as its error."""
    T_flow = torch.randn(DRAWS, generator=rng(6))
    assert best_scale(torch.randn(500, generator=rng(7)), T_flow) == (0.0, 0.0)
    few = torch.tensor([0.3, 0.5, -0.1, 0.9])
    assert best_scale(few - 0.4, T_flow) == (0.0, 0.0)
    assert best_scale(few[:1], T_flow) == (0.0, 0.0)


def test_stages() -> None:
    """The flow stops after looks without a gain, or at its share of the rounds; then not again."""
    method = TiltedFlow(
        Normal(), Linear(), LINE, flow_early_stopping_patience=2, max_flow_rounds_fraction=0.5
    )
    said = [method.stage_ends(gained, 0.1) for gained in (True, False, True, False, False)]
    assert said == [False, False, False, False, True]
    assert TiltedFlow(Normal(), Linear(), LINE, max_flow_rounds_fraction=0.5).stage_ends(True, 0.5)
    method.next_stage()
    assert not method.stage_ends(False, 0.9)


def run_of(out: Path | None, **options: Any) -> Model:
    """A short run, its flow stopped after 3 of 8 rounds."""
    training = TRAINING | {"rounds": 8, "validate_every": 1, "save_every": 1}
    small: dict[str, Any] = {
        "flow": {"width": 8},
        "energy": {"width": 16},
        "max_flow_rounds_fraction": 0.3,
    }
    options = small | options
    return gibbsian.train(
        "tilted-flow",
        "ring8",
        out=out,
        source={"max_rows": 400},
        training=training | options.pop("training", {}),
        **options,
    )


def test_a_scale_of_zero_is_the_flow_itself() -> None:
    """Energies, samples and log Z, to the last bit; and log_prob is exact."""
    model = run_of(None)
    method, x = model.method, torch.randn(50, 2, generator=rng(8))
    assert isinstance(method, TiltedFlow)
    method.scale.zero_()
    flow = NormalisingFlow(method.flow, method.measure).eval()
    assert torch.equal(method.energy(x), flow.energy(x))
    assert torch.equal(method.sample(40, rng(9)), flow.sample(40, rng(9)))
    assert str(model.log_z()) == "log Z = 0 (exact)"
    low, high = model.log_prob_bounds(x)
    assert torch.equal(low, high) and torch.equal(low, model.log_prob(x))


def test_a_tilt_repairs_a_flow_that_was_stopped_early(tmp_path: Path) -> None:
    """ring8 after 30 rounds of the flow: 170 of the tilt gain half a nat at least; log Z by quadrature.

    The density of the folder, loaded again, integrates to one over a grid within log Z's error of 0.02.
    """
    training = {"rounds": 200, "validate_every": 10, "save_every": 0}
    out = tmp_path / "run"
    run_of(
        out,
        training=training,
        max_flow_rounds_fraction=0.15,
        energy={"width": 64, "fourier_features": 32},
    )
    model, data = gibbsian.load_model(out), load_dataset("ring8", max_rows=400)
    method = model.method
    assert isinstance(method, TiltedFlow) and float(method.scale) > 0
    z = model.log_z()
    assert isinstance(z, Interval)
    axis = torch.linspace(-5, 5, 501)
    with torch.no_grad():
        mass = torch.exp(-method.energy(torch.cartesian_prod(axis, axis))).double().sum()
    truth = math.log(float(mass) * float(axis[1] - axis[0]) ** 2)
    assert z.lower.value - 4.5 * z.lower.stderr < truth < z.upper.value + 4.5 * z.upper.stderr
    with torch.no_grad():
        u = model.to_network_units(data.test)
        gain = float((method.scale * method.tilt(u)).mean()) - z.lower.value
    assert gain > 0.5
    with pytest.raises(ValueError, match="log_prob_bounds"):
        model.log_prob(data.test)
    low, high = model.log_prob_bounds(data.test)
    assert float((high - low).max()) < 0.02
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    seen = [
        line["validation/log_likelihood"] for line in lines if "validation/log_likelihood" in line
    ]
    assert len(seen) == 20 and max(seen) > seen[2]


@pytest.mark.parametrize("killed", [2, 5])
def test_it_resumes_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: int
) -> None:
    """Killed in either stage: draws are made again, averages and best weights come back."""
    run_of(tmp_path / "whole")
    original = TiltedFlow.round

    def dies(self, index, data, rng):  # type: ignore[no-untyped-def]
        if index == killed:
            raise KeyError("killed")
        return original(self, index, data, rng)

    monkeypatch.setattr(TiltedFlow, "round", dies)
    with pytest.raises(KeyError):
        run_of(tmp_path / "cut")
    monkeypatch.undo()
    gibbsian.resume(tmp_path / "cut")
    for file in ("state/round-00000008.rank0.safetensors", "model/model.safetensors"):
        whole, cut = (read_tensors(tmp_path / run / file)[0] for run in ("whole", "cut"))
        assert whole.keys() == cut.keys() and not any("draws" in key for key in whole)
        assert [key for key in whole if not torch.equal(whole[key], cut[key])] == []
    assert whole["method/tilting"].ndim == 0


def rates_played(monkeypatch: pytest.MonkeyPatch, **options: Any) -> dict[str, list[float]]:
    """The learning rate of each move of a run, player by player."""
    played: dict[str, list[float]] = {"flow": [], "energy": []}
    original = Stepper.step

    def watched(self: Stepper, move: PlayerUpdate, index: int) -> Loss:
        played[move.player].append(self.optimizers[move.player].param_groups[0]["lr"])
        return original(self, move, index)

    monkeypatch.setattr(Stepper, "step", watched)
    run_of(None, energy_steps=1, **options)
    return played


def falling(first: float, rounds: int) -> list[float]:
    """A quarter of a period and another of a cosine, from ``first`` to 0 after ``rounds``."""
    return [first * math.cos(math.pi * index / rounds / 2) ** 2 for index in range(rounds)]


def test_each_stage_has_the_whole_of_its_decay(monkeypatch: pytest.MonkeyPatch) -> None:
    """4 rounds of the flow and 6 of the tilt; and a flow that stops by itself leaves the rest to the tilt."""
    played = rates_played(monkeypatch, training={"rounds": 10}, max_flow_rounds_fraction=0.4)
    assert played["flow"] == pytest.approx(falling(2e-3, 4))
    assert played["energy"] == pytest.approx(falling(1e-3, 6))
    monkeypatch.setattr(TiltedFlow, "validate", lambda self, x: -1.0)
    played = rates_played(
        monkeypatch,
        training={"rounds": 10},
        max_flow_rounds_fraction=1.0,
        flow_early_stopping_patience=2,
    )
    assert played["flow"] == pytest.approx(falling(2e-3, 10)[:3])
    assert played["energy"] == pytest.approx(falling(1e-3, 7))


def test_averages_of_the_tilt_start_with_its_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After one round of it they hold a tenth of the first weights, as after the first of a run."""
    first: dict[str, Tensor] = {}
    original = TiltedFlow.next_stage

    def watched(self: TiltedFlow) -> None:
        first.update({name: value.clone() for name, value in self.potential.state_dict().items()})
        original(self)

    monkeypatch.setattr(TiltedFlow, "next_stage", watched)
    run_of(tmp_path, training={"rounds": 5, "ema": 0.999}, max_flow_rounds_fraction=0.8)
    tensors, _ = read_tensors(tmp_path / "state/round-00000005.rank0.safetensors")
    for name, value in first.items():
        last, mean = tensors[f"method/potential.{name}"], tensors[f"average/potential.{name}"]
        assert not torch.equal(last, value)
        torch.testing.assert_close(mean, 0.1 * value + 0.9 * last)


def test_the_tilt_starts_from_the_flow_that_validation_liked_best(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At a rate that ruins the flow the last weights are not the best; stage two has the best."""
    ended: list[dict[str, Tensor]] = []
    original = TiltedFlow.next_stage

    def watched(self: TiltedFlow) -> None:
        ended.append({name: value.clone() for name, value in self.flow.state_dict().items()})
        original(self)

    monkeypatch.setattr(TiltedFlow, "next_stage", watched)
    rate = {"lr": 0.3, "lr_schedule": "constant"}
    model = run_of(
        None,
        training={"rounds": 12, "ema": 0.0},
        flow_early_stopping_patience=2,
        flow_optimizer=rate,
    )
    assert len(ended) == 1
    assert isinstance(model.method, TiltedFlow)
    final = model.method.flow.state_dict()
    assert all(torch.equal(value, final[name]) for name, value in ended[0].items())


def test_what_evaluation_draws_training_has_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seed 0 in both: the generator of log Z is neither that of training nor that of the bank."""
    model = run_of(None)
    method, seen = model.method, []
    assert isinstance(method, TiltedFlow)
    original = method.z_log_weights

    def watched(n: int, generator: torch.Generator) -> Tensor:
        seen.append(generator.get_state().clone())
        return original(n, generator)

    monkeypatch.setattr(method, "z_log_weights", watched)
    model.log_z(seed=0, effort="quick")
    assert len(seen) == 1
    assert not any(torch.equal(seen[0], rng(seed).get_state()) for seed in (0, DRAWS_SEED))


def test_wrong_input_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "tilted-flow", "--data", "ring8", "--max-rows", "300"]
    assert main([*command, "--validate-every", "0"]) == 2
    assert "chooses on validation rows when its stages end" in capsys.readouterr().err
    assert main([*command, "--max-flow-rounds-fraction", "1.5"]) == 2
    assert "max_flow_rounds_fraction must lie in (0, 1]" in capsys.readouterr().err
    assert main([*command, "--tilt-bound", "0"]) == 2
    assert "tilt_bound" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "zuko.flows", None)
    assert main(command) == 2
    assert "gibbsian[flows]" in capsys.readouterr().err
    with pytest.raises(ValueError, match="needs continuous data"):
        TiltedFlow(Normal(), Linear(), Counting((1,)))
    with pytest.raises(ValueError, match="use an invertible"):
        TiltedFlow(nn.Linear(1, 1), Linear(), LINE)
