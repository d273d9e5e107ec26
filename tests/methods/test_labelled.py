"""EBGAN told a few classes: what is kept and drawn, what it costs, that it learns, resumes, is scored."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from gibbsian import data
from gibbsian.config import recipes
from gibbsian.config.config import Config, replace
from gibbsian.core import Batch, DataSpace
from gibbsian.core.measures import Gaussian, RealSpace
from gibbsian.core.tensor_files import read_tensors
from gibbsian.methods import TRAINING_METHODS
from gibbsian.methods.ebgan import EBGAN
from gibbsian.methods.labelled import LabelledRows, classification_cost
from gibbsian.models import train as facade
from gibbsian.models.build import assemble, resolve
from gibbsian.models.evaluate import classification_error, evaluate_run
from tests.nets import build_energy, build_generator

PLANE = DataSpace((2,), "vector")


def batch(index: list[int], offset: float = 0.0) -> Batch:
    """Row i is (i, i) plus ``offset``, of class i mod 3."""
    rows = torch.tensor(index)
    return Batch(rows[:, None].expand(-1, 2) + offset, rows, rows % 3)


def test_the_first_rows_are_kept_as_they_were_last_seen() -> None:
    rows = LabelledRows(4, (2,))
    rows.keep(batch([7, 1, 9]))
    rows.keep(batch([0, 1, 50], offset=0.5))
    assert rows.seen[:4].tolist() == [1, 1, 0, 0]
    assert rows.x[:2].tolist() == [[0.5, 0.5], [1.5, 1.5]]
    x, target, seen = rows.draw(400, torch.Generator().manual_seed(0))
    assert set(target[seen == 1].tolist()) == {0, 1} and x[seen == 1].max() == 1.5
    # Each of four rows has the same chance: 4.5 sd of a binomial, false alarm 7e-6.
    assert abs(float(seen.mean()) - 0.5) < 4.5 * 0.5 / 20
    with pytest.raises(ValueError, match="classes"):
        rows.keep(Batch(torch.zeros(2, 2), torch.arange(2)))
    with pytest.raises(ValueError, match="classes"):
        rows.keep(Batch(torch.zeros(2, 2), torch.arange(2), torch.zeros(2)))


def test_the_cost_counts_rows_that_were_seen() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [9.0, 9.0]], requires_grad=True)
    target = torch.tensor([0, 0, 1])
    by_hand = (torch.tensor(1 + 2.718281828**-2).log() + torch.tensor(1 + 2.718281828).log()) / 2
    cost = classification_cost(logits, target, torch.tensor([1.0, 1.0, 0.0]))
    torch.testing.assert_close(cost, by_hand)
    nothing = classification_cost(logits, target, torch.zeros(3))
    assert nothing.item() == 0
    assert torch.autograd.grad(nothing, logits)[0].abs().max() == 0


def ladder_game(**options: object) -> EBGAN:
    torch.manual_seed(0)
    network = dict(layers="5", classes=3, noise=0.0, width=6)
    energy = build_energy("ladder", PLANE, network)
    generator = build_generator("mlp", PLANE, 2, network)
    return EBGAN(energy, generator, Gaussian((2,)), RealSpace((2,)), num_labelled_rows=4, **options)


def test_the_energy_s_loss_has_the_weighted_cost_on_top() -> None:
    method = ladder_game(class_loss_weight=0.3)
    rng = torch.Generator().manual_seed(0)
    moves = list(method.round(0, iter([batch([0, 1, 2, 3, 4, 5])]), rng))
    energy, generator = moves
    x, noisy, z, margin, x_known, target, seen = energy.inputs
    assert bool((seen == 1).all()) and torch.equal(target, x_known[:, 0].long() % 3)
    game = method.energy_loss(x, noisy, z, margin).value
    cost = nn.functional.cross_entropy(method.energy.logits(x_known), target)
    whole = method.energy_loss(*energy.inputs)
    torch.testing.assert_close(whole.value, game + 0.3 * cost)
    torch.testing.assert_close(whole.logs["classification"], cost.detach())
    assert len(generator.inputs) == 1
    parameters = list(method.energy.parameters())
    assert None not in torch.autograd.grad(whole.value, parameters, allow_unused=True)


def test_labels_need_an_energy_that_classifies() -> None:
    energy, generator = build_energy("mlp", PLANE, dict()), nn.Linear(2, 2)
    with pytest.raises(ValueError, match="logits"):
        EBGAN(energy, generator, Gaussian((2,)), RealSpace((2,)), num_labelled_rows=4)


def digits(labels: int, rounds: int, layers: str) -> Config:
    return replace(
        recipes.recipe("mnist-ladder-100"),
        data="digits",
        num_labelled_rows=labels,
        margin_decay_rounds=rounds // 3,
        energy={"layer_sizes": layers},
        training={"rounds": rounds, "device": "cpu", "save_every": 1 if rounds < 9 else 0},
    )


def test_it_learns_from_a_hundred_labels_and_is_scored(tmp_path: Path) -> None:
    """Held-out 8x8 digits; chance errs on 90 %. The evaluation reports the same figure."""
    rows = data.load_dataset("digits")
    model = facade.train_config(digits(100, 120, "100,50"), None, rows)
    found = classification_error(model, rows)
    u = rows.transform.encode(rows.test)
    wrong = model.method.energy.logits(u).argmax(1) != rows.targets["test"]
    assert found.value == pytest.approx(wrong.double().mean().item()) and found.value < 0.3
    assert bool(model.method.labelled.seen[:100].all())
    figures = evaluate_run(model, rows, 100, 0, ["error"])
    assert figures["values"]["error"]["value"] == found.value


def test_a_resumed_run_with_labels_is_the_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = digits(50, 4, "10")
    facade.train(config, out=tmp_path / "whole")

    class Killed(Exception):
        pass

    original = TRAINING_METHODS["ebgan"].round

    def dies(self, index, stream, rng):
        if index == 3:
            raise Killed
        return original(self, index, stream, rng)

    monkeypatch.setattr(TRAINING_METHODS["ebgan"], "round", dies)
    with pytest.raises(Killed):
        facade.train(config, out=tmp_path / "cut")
    monkeypatch.undo()
    facade.resume(tmp_path / "cut")
    for file in ("state/round-00000004.rank0.safetensors", "model/model.safetensors"):
        whole, cut = (read_tensors(tmp_path / run / file)[0] for run in ("whole", "cut"))
        assert whole.keys() == cut.keys()
        assert [key for key in whole if not torch.equal(whole[key], cut[key])] == []


@pytest.mark.parametrize("labels", [100, 1_000])
def test_published_sizes(labels: int) -> None:
    config = recipes.recipe(f"mnist-ladder-{labels}", "paper")
    space = DataSpace((1, 28, 28), "image", (-1.0, 1.0))
    method = assemble(resolve(config, space, torch.zeros(1, 1, 28, 28)), space)
    assert isinstance(method, EBGAN) and method.labelled.count == labels
    widths = [784, 1000, 500, 250, 250, 250, 10]
    assert [layer.in_features for layer in method.energy.up] == widths[:-1]
    assert [layer.out_features for layer in method.energy.up] == widths[1:]
    assert method.margin_at(0) == 16 and method.margin_at(59_999) > 0 == method.margin_at(60_000)
