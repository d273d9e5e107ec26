"""A run is stopped on one device and goes on, on the same or on another."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gibbsian.config.config import replace
from gibbsian.config.run_folder import new_run
from gibbsian.models.model import Model, load_model
from gibbsian.models.train import resume, train_config
from tests.device.pretend import TYPE
from tests.device.small import NAMES, data_of, small


def trained(name: str, folder: Path, rounds: int, device: str, **options: Any) -> Model:
    config = replace(small(name, rounds, device, **options), training={"save_every": 2})
    return train_config(config, new_run(folder), data_of(name))


def put_back(folder: Path, rounds: int) -> None:
    """As if the run had died before its last checkpoint."""
    (folder / "state" / f"round-{rounds:08d}.rank0.safetensors").unlink()


def state_of(model: Model) -> dict[str, torch.Tensor]:
    return {name: value.cpu() for name, value in model.method.state_dict().items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_run_is_the_uninterrupted_one(name, tmp_path):
    whole = trained(name, tmp_path / "run", 3, TYPE)
    put_back(tmp_path / "run", 3)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*goes on on")
        parts = resume(tmp_path / "run", dataset=data_of(name))
    assert parts.device.type == TYPE
    expected = state_of(whole)
    for key, value in state_of(parts).items():
        assert torch.equal(value, expected[key]), key


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("here", "there"), [(TYPE, "cpu"), ("cpu", TYPE)])
def test_a_run_goes_on_on_another_device(name, here, there, tmp_path):
    trained(name, tmp_path / "run", 1, here)
    with pytest.warns(UserWarning, match=f"trained on {here} and goes on on {there}"):
        model = resume(tmp_path / "run", rounds=2, device=there, dataset=data_of(name))
    assert model.device.type == there
    assert all(value.isfinite().all() for value in state_of(model).values())
    assert load_model(tmp_path / "run", device=TYPE).device.type == TYPE


def test_the_change_of_device_is_the_same_every_time(tmp_path):
    states = []
    for folder in ("first", "second"):
        trained("gan", tmp_path / folder, 1, "cpu")
        torch.manual_seed(len(states))  # whatever the process has drawn before
        with pytest.warns(UserWarning, match="goes on"):
            model = resume(tmp_path / folder, rounds=2, device=TYPE, dataset=data_of("gan"))
        states.append(state_of(model))
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key]), key


def test_dropout_draws_on_from_the_devices_own_generator(tmp_path):
    net = {"critic": {"dropout": 0.5, "width": 16}}
    whole = trained("gan", tmp_path / "run", 3, TYPE, **net)
    put_back(tmp_path / "run", 3)
    torch.rand(5, device=TYPE)
    parts = resume(tmp_path / "run", dataset=data_of("gan"))
    expected = state_of(whole)
    for key, value in state_of(parts).items():
        assert torch.equal(value, expected[key]), key


def test_the_users_generators_are_left_as_they_were():
    mine = getattr(torch, TYPE)
    torch.manual_seed(11)
    host, there = torch.get_rng_state(), mine.get_rng_state()
    train_config(small("gan"), None, data_of("gan"))
    assert torch.equal(torch.get_rng_state(), host)
    assert torch.equal(mine.get_rng_state(), there)


def test_training_on_the_cpu_leaves_the_devices_generator_alone():
    mine = getattr(torch, TYPE)
    mine.manual_seed(12)
    before = mine.get_rng_state()
    train_config(small("gan", device="cpu"), None, data_of("gan"))
    assert torch.equal(mine.get_rng_state(), before)


def test_other_networks_are_told_from_another_device(tmp_path):
    class Critic(nn.Module):
        def __init__(self, width: int):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 1))

        def forward(self, x):
            return self.layers(x).squeeze(1)

    data = data_of("gan")
    networks = {"critic": Critic(8)}
    train_config(small("gan", 1, "cpu"), new_run(tmp_path / "run"), data, networks)
    with pytest.raises(ValueError, match="trained with other networks"):
        resume(tmp_path / "run", 2, TYPE, {"critic": Critic(9)}, data)


def test_moving_averages_and_clipping_go_on(tmp_path):
    config = replace(small("vgan"), training={"ema": 0.9}, energy_optimizer={"clip_grad_norm": 1.0})
    train_config(config, new_run(tmp_path / "run"), data_of("vgan"))
    model = resume(tmp_path / "run", rounds=3, dataset=data_of("vgan"))
    assert model.device.type == TYPE
