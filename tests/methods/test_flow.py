"""The flow against truth: its density by quadrature, its loss by closed forms, its units, its validation."""

from __future__ import annotations

import json
import math
import sys
from itertools import repeat
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import gibbsian
from gibbsian.cli import main
from gibbsian.core import DataSpace
from gibbsian.core.measures import Box, Counting, Gaussian, RealSpace
from gibbsian.core.tensor_files import read_tensors
from gibbsian.data import load_dataset
from gibbsian.methods import NormalisingFlow
from gibbsian.models.model import Model
from gibbsian.models.scores import score_rows
from gibbsian.models.validation import Validation, chosen
from gibbsian.training import OptimizerOptions, TrainingOptions, prepare_training
from tests.methods.play import Stream, descend
from tests.nets import build_named

PLANE, BOX = RealSpace((2,)), Box((2,), -2.0, 1.0)
TRAINING = {"device": "cpu", "batch": 64, "log_every": 1}


class Diagonal(nn.Module):
    """x = exp(s) z + m: the normal distribution with means m and standard deviations exp(s)."""

    def __init__(self, log_std: tuple[float, ...], mean: tuple[float, ...]):
        super().__init__()
        self.s, self.m = nn.Parameter(torch.tensor(log_std)), nn.Parameter(torch.tensor(mean))

    def forward(self, z: Tensor) -> Tensor:
        return self.s.exp() * z + self.m

    def forward_with_log_det(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self(z), self.s.sum().expand(len(z))

    def inverse_with_log_det(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return (x - self.m) / self.s.exp(), -self.s.sum().expand(len(x))


def spline(box: tuple[float, float] | None = None) -> NormalisingFlow:
    """A small flow of the plane in float64, away from the identity."""
    torch.manual_seed(0)
    space = DataSpace((2,), "vector", box)
    return NormalisingFlow(
        build_named("flow", "spline", space, {"width": 8, "depth": 1}), PLANE
    ).double()


def rows(n: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, 2, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("box", [None, (-2.0, 1.0)])
def test_the_density_integrates_to_one(box: tuple[float, float] | None) -> None:
    """Midpoint sums over the declared measure, denser towards its edges, beyond 7 nothing to 1e-10."""
    method, (low, high) = spline(box), box or (-7.0, 7.0)
    assert method.measure == (PLANE if box is None else BOX)
    angle = math.pi * (torch.arange(200, dtype=torch.float64) + 0.5) / 200
    axis = low + (high - low) * 0.5 * (1 - angle.cos())
    widths = (high - low) * 0.5 * angle.sin() * math.pi / 200
    with torch.no_grad():
        density = torch.exp(-method.energy(torch.cartesian_prod(axis, axis)))
    mass = (density * torch.cartesian_prod(widths, widths).prod(1)).sum()
    assert mass.item() == pytest.approx(1.0, abs=1e-3)


def test_loss_is_the_mean_of_minus_log_q() -> None:
    """Of a diagonal normal distribution, written out by torch."""
    method = NormalisingFlow(Diagonal((0.3, -0.2), (0.5, -0.1)), PLANE).double()
    x, flow = rows(20, 1), method.flow
    truth = torch.distributions.Normal(flow.m, flow.s.exp()).log_prob(x).sum(1)
    torch.testing.assert_close(method.log_prob(x), truth)
    torch.testing.assert_close(method.energy(x), -truth)
    torch.testing.assert_close(method.loss(x).value, -truth.mean())
    z = Gaussian((2,)).sample(5, torch.Generator().manual_seed(2))
    assert torch.equal(method.sample(5, torch.Generator().manual_seed(2)), flow(z))


@pytest.mark.parametrize("box", [None, (-2.0, 1.0)])
def test_the_gradient_is_that_of_the_log_density(box: tuple[float, float] | None) -> None:
    """Central differences of a step that crosses no knot of the splines, where the slope has a kink."""
    method, x = spline(box), rows(20, 3).clamp(-1.9, 0.9)

    def truth() -> float:
        z, log_det = method.flow.inverse_with_log_det(x)
        log_normal = -0.5 * z.square().sum(1) - math.log(2 * math.pi)
        return -(log_normal + log_det).mean().item()

    parameters = list(method.parameters())
    found = torch.autograd.grad(method.loss(x).value, parameters)
    rng = torch.Generator().manual_seed(7)
    direction = [torch.randn(p.shape, generator=rng, dtype=p.dtype) for p in parameters]
    values = []
    for step in (1e-6, -2e-6):
        with torch.no_grad():
            for p, d in zip(parameters, direction, strict=True):
                p += step * d
        values.append(truth())
    slope = sum((g * d).sum().item() for g, d in zip(found, direction, strict=True))
    assert (values[0] - values[1]) / 2e-6 == pytest.approx(slope, rel=1e-5)


def test_maximum_likelihood_is_reached() -> None:
    """The affine flow's maximum is the rows' mean and standard deviation; gradient descent finds it."""
    method = NormalisingFlow(Diagonal((0.3, -0.2), (0.5, -0.1)), PLANE)
    batch = next(Stream(400))
    for index in range(300):
        moves = descend(method, method.round(index, repeat(batch), torch.Generator()), 0.2)
        assert [move.player for move in moves] == ["flow"]
    torch.testing.assert_close(method.flow.m, batch.x.mean(0), atol=1e-4, rtol=0)
    torch.testing.assert_close(method.flow.s.exp(), batch.x.std(0, correction=0), atol=1e-4, rtol=0)


def trained(x: Tensor, rounds: int = 3, **more: object) -> Model:
    return gibbsian.train(
        "flow", x, training=TRAINING | {"rounds": rounds}, flow={"width": 16}, **more
    )


def test_a_gaussian_is_learned_to_its_entropy() -> None:
    """KL(p || q) = E_p[log p - log q] on 4 000 fresh rows: 0.05 nats at most, its error below 0.01."""
    factor = torch.tensor([[2.0, 0.0], [1.0, 0.5]])
    p = torch.distributions.MultivariateNormal(torch.tensor([3.0, -1.0]), scale_tril=factor)
    model = trained(rows(3_000, 4).float() @ factor.T + p.mean, 300)
    x = rows(4_000, 5).float() @ factor.T + p.mean
    gap = p.log_prob(x) - model.log_prob(x)
    assert gap.std() / math.sqrt(len(gap)) < 0.01
    assert -0.03 < gap.mean() < 0.05
    assert float(-model.log_prob(x).mean()) == pytest.approx(float(p.entropy()), abs=0.1)


def test_densities_are_in_the_units_of_the_rows() -> None:
    """A column times 10: log p falls by log 10, the networks seeing the same rows up to rounding."""
    x, tenfold = rows(300, 6).float(), torch.tensor([10.0, 1.0])
    model, scaled = trained(x), trained(x * tenfold)
    fall = model.log_prob(x[:50]) - scaled.log_prob(x[:50] * tenfold)
    torch.testing.assert_close(fall, torch.full((50,), math.log(10.0)), atol=2e-3, rtol=0)


def test_both_sides_are_one_number() -> None:
    x = rows(300, 6).float()
    model = trained(x)
    assert str(model.log_z()) == "log Z = 0 (exact)"
    table, standing = score_rows(model, x[:5], 0)
    assert "exact" in standing
    assert torch.equal(table["log_density_lower"], table["log_density_upper"])
    torch.testing.assert_close(table["log_density_lower"], model.log_prob(x[:5]))
    # log p = -E - the logs of the columns' standard deviations.
    torch.testing.assert_close(
        table["energy"] + table["log_density_lower"],
        torch.full((5,), model.transform.log_jacobian),
        atol=1e-4,
        rtol=0,
    )


def test_in_a_box() -> None:
    """Beyond its walls the density is 0, in training an error; a user's own flow has no walls."""
    method = spline((-2.0, 1.0)).float()
    x = torch.tensor([[0.0, 0.0], [0.0, 1.5], [1.0, -2.0]])
    assert method.log_prob(x).isfinite().tolist() == [True, False, True]
    assert method.energy(x)[1] == math.inf
    with pytest.raises(ValueError, match=r"must lie in the box \[-2.0, 1.0\]"):
        method.loss(x)
    assert NormalisingFlow(Diagonal((0.0, 0.0), (0.0, 0.0)), BOX).measure == PLANE
    with pytest.raises(ValueError, match="needs continuous data"):
        NormalisingFlow(Diagonal((0.0, 0.0), (0.0, 0.0)), Counting((2,)))
    with pytest.raises(ValueError, match="use an invertible"):
        NormalisingFlow(nn.Linear(2, 2), PLANE)


def test_dequantised_images_have_densities_of_their_grey_levels() -> None:
    """log p of 8x8 digits of 17 levels: a uniform density has -64 log 17, and training begins near it."""
    data = load_dataset("digits", max_rows=300)
    model = gibbsian.train("flow", data, training=TRAINING | {"rounds": 30}, flow={"width": 16})
    assert isinstance(model.method.measure, Box)
    found = model.evaluate(data, samples=20).values["log-likelihood"]
    assert found.lower == found.upper and found.lower.standing == "exact"
    assert -64 * math.log(17) - 20 < found.lower.value < -64 * math.log(17) + 60


def run_of(out: Path, **training: object) -> Model:
    """A short run that looks at the validation rows in every second round."""
    return gibbsian.train(
        "flow",
        "ring8",
        out=out,
        source={"max_rows": 300},
        training=TRAINING
        | {"rounds": 8, "validate_every": 2, "save_every": 1, "ema": 0.0}
        | training,
        flow={"width": 16},
        flow_optimizer={"lr": 0.2, "lr_schedule": "constant"},
    )


def test_the_best_weights_on_validation_become_the_model(tmp_path: Path) -> None:
    model = run_of(tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    seen = {line["round"]: line.get("validation/log_likelihood") for line in lines}
    assert [index for index, value in seen.items() if value is not None] == [2, 4, 6, 8]
    best = max((value, index) for index, value in seen.items() if value is not None)
    valid = load_dataset("ring8", max_rows=300).valid
    for found in (model, gibbsian.load_model(tmp_path / "run")):
        assert float(found.log_prob(valid).double().mean()) == pytest.approx(best[0], abs=1e-5)


def test_weights_that_validation_likes_less_are_not_kept() -> None:
    """Means of 0 fit standardised rows better than 5 and 1 do."""
    data = load_dataset("ring8", max_rows=300)
    method = NormalisingFlow(Diagonal((0.0, 0.0), (1.0, 1.0)), PLANE)
    progress = prepare_training(method, {"flow": OptimizerOptions()}, TrainingOptions(), None)
    validation, values = Validation(method, data), []
    for mean in (5.0, 0.0, 1.0):
        with torch.no_grad():
            method.flow.m.fill_(mean)
        values.append(validation(progress))
    assert values[1] == max(values) == progress.best_value
    assert chosen(progress).flow.m.tolist() == [0.0, 0.0] and method.flow.m.tolist() == [1.0, 1.0]


def test_validation_resumes_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between two looks: the best weights so far come from the checkpoint."""
    run_of(tmp_path / "whole")
    original = NormalisingFlow.round

    def dies(self, index, data, rng):  # type: ignore[no-untyped-def]
        if index == 7:
            raise KeyError("killed")
        return original(self, index, data, rng)

    monkeypatch.setattr(NormalisingFlow, "round", dies)
    with pytest.raises(KeyError):
        run_of(tmp_path / "cut")
    monkeypatch.undo()
    gibbsian.resume(tmp_path / "cut")
    for file in ("state/round-00000008.rank0.safetensors", "model/model.safetensors"):
        whole, cut = (read_tensors(tmp_path / run / file)[0] for run in ("whole", "cut"))
        assert whole.keys() == cut.keys()
        assert [key for key in whole if not torch.equal(whole[key], cut[key])] == []
        assert file.startswith("model") or any(key.startswith("best/") for key in whole)


def test_validation_needs_an_exact_log_density() -> None:
    with pytest.raises(ValueError, match="--validate-every compares exact log-densities"):
        gibbsian.train(
            "nce", "ring8", source={"max_rows": 300}, training=TRAINING | {"validate_every": 1}
        )


def test_without_zuko_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "zuko.flows", None)
    assert main(["train", "flow", "--data", "ring8", "--max-rows", "300"]) == 2
    assert "gibbsian[flows]" in capsys.readouterr().err
