"""Spaces: what a file may say, spelling as on the command line, values in a configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gibbsian.config.recipes import default_config
from gibbsian.experiments.sweep import SweepSettings, read_search_space
from gibbsian.experiments.sweep.space import (
    Choices,
    Range,
    applied,
    decoded,
    grid,
    parse_search_space,
    to_entries,
)


def test_a_file_and_what_it_means(tmp_path: Path) -> None:
    entries = {
        "--margin": [1, 2.5],
        "energy.width": {"low": 8, "high": 64, "log": True},
        "lr": {"low": 0.1, "high": 1},
    }
    (tmp_path / "space.json").write_text(json.dumps(entries))
    space = read_search_space(tmp_path / "space.json")
    assert space == {
        "margin": Choices(("1", "2.5")),
        "energy.width": Range(8, 64, True),
        "lr": Range(0.1, 1),
    }
    assert space["energy.width"].whole and not space["lr"].whole
    assert parse_search_space(to_entries(space)) == space
    point = {"margin": "2.5", "energy.width": 9, "lr": 0.5}
    assert decoded(space, point) == {"margin": 2.5, "energy.width": 9, "lr": 0.5}


def test_a_grid_is_every_combination() -> None:
    space = parse_search_space({"a": [1, 2], "b": [[0.5, 0.9], [0.9, 0.99]]})
    assert [decoded(space, point) for point in grid(space)] == [
        {"a": a, "b": b} for a in (1, 2) for b in ([0.5, 0.9], [0.9, 0.99])
    ]


def test_values_reach_the_configuration() -> None:
    values = {
        "margin": 3,
        "energy.width": 24,
        "energy": "autoencoder",
        "rounds": 7,
        "training.batch": 16,
        "max_rows": 100,
        "energy_optimizer.betas": [0.5, 0.9],
        "generator": "conv",
    }
    config = applied(default_config("ebgan", "digits"), values)
    assert (config.margin, config.energy.width, config.generator.name) == (3.0, 24, "conv")
    assert (config.training.rounds, config.training.batch, config.source.max_rows) == (7, 16, 100)
    assert config.energy_optimizer.betas == (0.5, 0.9)
    with pytest.raises(ValueError, match="did you mean margin"):
        applied(config, {"margni": 3})
    with pytest.raises(ValueError, match="must be of type int"):
        applied(config, {"energy.width": "wide"})


def test_options_that_vary_together() -> None:
    space = parse_search_space({"generator-optimizer.lr, energy-optimizer.lr": [0.1, 0.2]})
    first, second = (decoded(space, point) for point in grid(space))
    config = applied(default_config("ebgan", "digits"), second)
    assert config.generator_optimizer.lr == config.energy_optimizer.lr == 0.2
    assert list(first.values()) == [0.1]


@pytest.mark.parametrize(
    ("name", "runs"), [("ebgan-mnist", 512), ("gan-mnist", 6144), ("ebgan-margin", 8)]
)
def test_the_published_grids(name: str, runs: int) -> None:
    """Table 1 and figure 9 of Zhao et al. (2017); every value is one that the configuration takes."""
    space = read_search_space(Path(__file__).parents[2] / "studies" / "spaces" / f"{name}.json")
    assert len(grid(space)) == runs
    SweepSettings(default_config(name.partition("-")[0], "mnist"), space, "grid", "frechet")


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({}, "at least one option"),
        ([1, 2], "at least one option"),
        ({"a": []}, "a must be a list of values"),
        ({"a": 3}, "a must be a list of values"),
        ({"a": [1, 1]}, "a lists a value twice"),
        ({"a": {"low": 1}}, "a must be a list of values"),
        ({"a": {"low": 1, "high": 2, "step": 3}}, "a must be a list of values"),
        ({"a": {"low": 1, "high": 2, "log": "no"}}, "a must be a list of values"),
        ({"a": {"low": True, "high": 5}}, "a must be a list of values"),
        ({"a": {"low": 2, "high": 1}}, "a needs low < high"),
        ({"a": {"low": 0, "high": 1, "log": True}}, "low > 0 on a logarithmic scale"),
    ],
)
def test_unusable_spaces(entries, words: str, tmp_path: Path) -> None:
    path = tmp_path / "space.json"
    path.write_text(json.dumps(entries))
    with pytest.raises(ValueError, match=words) as error:
        read_search_space(path)
    assert str(path) in str(error.value)
    with pytest.raises(ValueError, match="there is no space file"):
        read_search_space(tmp_path / "gone.json")
