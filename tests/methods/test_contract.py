"""One contract over every registered method: train, sample, score, save, load, resume, reproduce."""

import json

import pytest
import torch

from gibbsian.config import recipes
from gibbsian.config.config import from_json, replace, to_json
from gibbsian.core.protocols import (
    HasDecoder,
    HasEncoder,
    HasEnergy,
    HasLatentTarget,
    HasLearnedLogZ,
    HasLogProb,
    HasLogWeights,
    HasOverlap,
)
from gibbsian.core.tensor_files import read_tensors
from gibbsian.methods import TRAINING_METHODS
from gibbsian.models import train as facade
from gibbsian.models.model import load_model
from gibbsian.training.stepper import Stepper, player_parameters
from tests.nets import sized

SMALL = {"rounds": 3, "batch": 32, "log_every": 1, "save_every": 1, "seed": 5, "device": "cpu"}
BITS = "digits-4-binary"
DATA = {"bihm": BITS, "super-resolution": "digits"}
"""What a method is tried on where that is not ring8."""
STAGED = {"super-resolution", "tilted-flow"}
"""Methods whose players do not all move in every round."""
CAPABILITIES = {
    "energy": HasEnergy,
    "log_prob": HasLogProb,
    "encode": HasEncoder,
    "latent target": HasLatentTarget,
    "log weights": HasLogWeights,
    "decoder": HasDecoder,
    "overlap": HasOverlap,
    "learned log Z": HasLearnedLogZ,
}
# What each method can do beyond training and sampling. What is not listed, it cannot.
TABLE = {
    "gan": {"energy", "latent target"},
    "vgan": {"energy", "latent target"},
    "cd": {"energy"},
    "bidirectional": {"energy"},
    "flow": {"energy", "log_prob"},
    "tilted-flow": {"energy"},
    "lbt": set(),
    "gebm": {"energy", "latent target"},
    "ebgan": {"energy"},
    "transition-vgan": {"energy"},
    "vae": {"encode", "log weights", "decoder"},
    "bihm": {"log weights", "overlap"},
    "score-matching": {"energy"},
    "nce": {"energy", "learned log Z"},
    "energy-discrepancy": {"energy"},
    "energy-matching": {"energy"},
    "noise-levels": {"energy", "learned log Z"},
    "super-resolution": set(),
}


def small(name, **training):
    """A configuration of ``name`` that plays three rounds in well under a second."""
    config = recipes.default_config(name, DATA.get(name, "ring8"))
    sizes = {"width": 16, "num_experts": 8, "layer_sizes": "8,4", "channels": 4, "orientations": 2}
    changes = sized(config, sizes)
    if name == "cd":
        changes |= {"chains": 64, "sampler": {"steps": 2, "steps_per_sample": 2}}
    if name in ("score-matching", "nce", "energy-discrepancy", "noise-levels"):
        changes |= {"sampler": {"steps_per_sample": 2, "steps": 2}}
    if name == "energy-matching":  # a round of the first kind, then two of the other
        changes |= {"sampler": {"steps_per_sample": 2, "steps": 2}, "warmup_rounds": 1}
    if name == "bihm":
        changes |= {"latent_samples": 3, "gibbs_sweeps": 2}
    if name == "super-resolution":
        changes |= {
            "statistics_fine_tuning_start_round": 1,
            "upscaling_steps": 2,
            "negative_steps": 2,
        }
    if name == "tilted-flow":
        training = {"validate_every": 1} | training
        changes |= {"max_flow_rounds_fraction": 0.3}
    if name == "gebm":
        changes |= {"energy_burst_steps": 3, "energy_steps": 2, "log_z_init_batches": 2}
    config = replace(config, source={"max_rows": 500}, training=SMALL | training, **changes)
    return config


def snapshot(method):
    return {name: value.detach().clone() for name, value in method.state_dict().items()}


@pytest.fixture(params=sorted(TRAINING_METHODS))
def name(request):
    return request.param


def draw(model, n, seed=0):
    """Samples; of an image where the model is of what a small image leaves open."""
    given = torch.zeros(1, 4, 4) if model.method.conditional else None
    return model.sample(n, seed, given)


def test_every_method_stands_in_the_table():
    assert set(TABLE) == set(TRAINING_METHODS)


def test_capabilities_are_the_declared_ones(name):
    method = facade.train(small(name)).method
    assert {what for what, kind in CAPABILITIES.items() if isinstance(method, kind)} == TABLE[name]


def test_a_move_changes_its_player_and_nothing_else(name, monkeypatch):
    make, moved = Stepper.step, set()

    def watched(self, move, index):
        before = snapshot(self.method)
        inputs = [tensor.clone() for tensor in move.inputs]
        loss = make(self, move, index)
        after = self.method.state_dict()
        changed = {key for key in before if not torch.equal(before[key], after[key])}
        own = set(player_parameters(self.method, move.player))
        if move.player in self.method.self_optimized:  # it carries its optimizer's state itself
            own |= {key for key in before if key.startswith("memory.")}
        assert changed and changed <= own, move.player
        assert all(torch.equal(a, b) for a, b in zip(inputs, move.inputs, strict=True))
        assert not loss.value.requires_grad
        assert not any(log.requires_grad for log in loss.logs.values())
        moved.add(move.player)
        return loss

    monkeypatch.setattr(Stepper, "step", watched)
    facade.train(small(name))
    assert moved == set(TRAINING_METHODS[name].players)


def test_parameters_belong_to_exactly_one_player(name):
    method = facade.train(small(name)).method
    owned = [key for player in method.players for key in player_parameters(method, player)]
    assert sorted(owned) == sorted(key for key, p in method.named_parameters() if p.requires_grad)
    assert set(method.local) <= {key for key, _ in method.named_buffers()}


def test_samples_have_the_data_s_shape_and_come_from_the_seed(name):
    model = facade.train(small(name))
    x = draw(model, 7, seed=1)
    assert x.shape == (7, *model.space.shape) and torch.isfinite(x).all()
    torch.testing.assert_close(draw(model, 7, seed=1), x, rtol=0, atol=0)
    assert not torch.equal(draw(model, 7, seed=2), x)


def test_the_same_seed_gives_the_same_run_and_another_another(name):
    first, again = facade.train(small(name)), facade.train(small(name))
    other = facade.train(small(name, seed=6))
    one, two, three = (snapshot(model.method) for model in (first, again, other))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert any(not torch.equal(one[key], three[key]) for key in one)


def test_training_leaves_the_global_generator_alone(name):
    torch.manual_seed(123)
    expected = torch.rand(3)
    torch.manual_seed(123)
    facade.train(small(name))
    assert torch.equal(torch.rand(3), expected)


def test_a_saved_model_is_the_model(name, tmp_path):
    model = facade.train(small(name), out=tmp_path / "run")
    loaded = load_model(tmp_path / "run")
    one, two = snapshot(model.method), snapshot(loaded.method)
    assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)
    assert torch.equal(draw(model, 5), draw(loaded, 5))
    if isinstance(model.method, HasEnergy):
        x = model.sample(5)
        assert model.energy(x).shape == (5,)
        assert torch.equal(model.energy(x), loaded.energy(x))


def test_a_resumed_run_is_the_uninterrupted_one(name, tmp_path, monkeypatch):
    facade.train(small(name), out=tmp_path / "whole")

    class Killed(Exception):
        pass

    original = TRAINING_METHODS[name].round

    def dies(self, index, data, rng):
        if index == 2:
            raise Killed
        return original(self, index, data, rng)

    monkeypatch.setattr(TRAINING_METHODS[name], "round", dies)
    with pytest.raises(Killed):
        facade.train(small(name), out=tmp_path / "cut")
    monkeypatch.undo()
    facade.resume(tmp_path / "cut")
    for file in ("state/round-00000003.rank0.safetensors", "model/model.safetensors"):
        (whole, facts), (cut, cut_facts) = (
            read_tensors(tmp_path / r / file) for r in ("whole", "cut")
        )
        assert facts == cut_facts and whole.keys() == cut.keys()
        assert [key for key in whole if not torch.equal(whole[key], cut[key])] == []


def test_metrics_have_a_line_per_round_with_each_player_s_loss(name, tmp_path):
    facade.train(small(name), out=tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["round"] for line in lines] == [1, 2, 3]
    whole = any if name in STAGED else all
    for player in TRAINING_METHODS[name].players:
        assert whole(f"{player}/loss" in line for line in lines)


def test_the_configuration_survives_json(name):
    config = small(name)
    assert from_json(json.loads(json.dumps(to_json(config)))) == config
