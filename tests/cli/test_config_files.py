"""A configuration goes out by --print-config and comes back by --config."""

import json
import re

import numpy as np
import pytest

from gibbsian.cli import main
from gibbsian.core.files import read_json
from tests.cli.conftest import SMALL, same

WORDS = ("train", "cd", "--data", "moons", *SMALL)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"method": "cd", ', "bad.json is not valid JSON"),
        (b"\xff\xfe\x00", "bad.json is not valid JSON"),
        (
            "[1, 2]",
            "bad.json cannot be used: a configuration needs the entries 'method' and 'data'",
        ),
        ('{"data": "moons"}', "needs the entries 'method' and 'data'"),
        ('{"config": 3}', "not written by gibbsian"),
        ('{"format": 2, "config": 3}', "needs the entries 'method' and 'data'"),
        ('{"method": "cb", "data": "moons"}', "unknown method 'cb'; did you mean cd"),
        ('{"method": ["cd"], "data": "moons"}', "unknown method"),
        ('{"method": "cd", "data": 5}', "option data must be of type str, not 5"),
        (
            '{"method": "cd", "data": "moons", "chainz": 3}',
            "unknown option 'chainz'; did you mean chains",
        ),
        (
            '{"method": "cd", "data": "moons", "chains": "many"}',
            "option chains must be of type int",
        ),
        (
            '{"method": "cd", "data": "moons", "sampler": {"kernel": "mla"}}',
            "'mla'; did you mean ula, mala|mala",
        ),
        (
            '{"method": "cd", "data": "moons", "training": 3}',
            "training must be a group of settings",
        ),
        ('{"method": "cd", "data": "moons", "training": {"rounds": 2.5}}', "rounds must be .* int"),
        (
            '{"method": "cd", "data": "moons", "training": {"rounds": 0}}',
            "--rounds must be at least 1",
        ),
        ('{"method": "cd", "data": "moons", "energy": {"widht": 3}}', "did you mean width"),
    ],
)
def test_refused(content, sentence, here, refused):
    file = here / "bad.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert re.search(sentence, refused("train", "--config", "bad.json", "--out", "new"))


def test_a_file_that_is_not_there_or_of_another_method(here, refused):
    assert "no configuration file gone.json" in refused("train", "--config", "gone.json")
    assert "--config needs a value" in refused("train", "--config")
    (here / "c.json").write_text('{"method": "cd", "data": "moons"}')
    assert "c.json is a configuration of cd" in refused("train", "vgan", "--config", "c.json")


def test_round_trip(here, capsys, trained):
    assert main([*WORDS, "--print-config"]) == 0
    printed = capsys.readouterr().out
    assert list(here.iterdir()) == []
    (here / "c.json").write_text(printed)
    assert main(["train", "--config", "c.json", "--print-config"]) == 0
    assert capsys.readouterr().out == printed
    assert main(["train", "--config", "c.json", "--out", "run"]) == 0
    model = "model/model.safetensors"
    assert same(here / "run" / model, trained / model)


def test_options_override_the_file_and_a_run_s_own_configuration_is_one(here, capsys, trained):
    file = str(trained / "config.json")
    words = ("train", "cd", "--config", file, "--rounds", "5", "--energy.width", "6")
    assert main([*words, "--out", "run"]) == 0
    before, after = (
        read_json(trained / "config.json")["config"],
        read_json(here / "run/config.json"),
    )
    assert after["config"]["training"] == before["training"] | {"rounds": 5}
    assert after["config"]["energy"] == before["energy"] | {"width": 6}
    assert (here / "run/state/round-00000005.rank0.safetensors").exists()
    capsys.readouterr()
    assert main(["train", "--resume", "run", "--rounds", "9", "--print-config"]) == 0
    assert json.loads(capsys.readouterr().out)["training"]["rounds"] == 9
    assert not (here / "run/state/round-00000009.rank0.safetensors").exists()


def test_a_column_times_ten_moves_every_log_density_by_minus_ln_10(here):
    rows = np.random.default_rng(0).normal(size=(150, 2)) @ np.array([[1.0, 0.4], [0.0, 2.0]]) + 3.0
    densities = []
    for name, factor in (("a", 1.0), ("b", 10.0)):
        np.savetxt(f"{name}.csv", rows * [1.0, factor], delimiter=",", fmt="%.17g")
        data = ("--data", f"{name}.csv", "--seed", "3", *SMALL, "--max-rows", "0")
        assert main(["train", "cd", *data, "--out", name]) == 0
        assert main(["score", name, f"{name}.csv", "--output", f"{name}-scores.csv"]) == 0
        table = np.genfromtxt(f"{name}-scores.csv", delimiter=",", names=True)
        densities.append((table["log_density_lower"], table["log_density_upper"]))
    shift = np.array(densities[1]) - np.array(densities[0])
    assert shift.shape == (2, 150)
    np.testing.assert_allclose(shift, -np.log(10), atol=1e-5, rtol=0)
