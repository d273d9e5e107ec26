"""The tutorial's methods are one file each: a new role, its defaults and options, and what is refused."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import gibbsian
from gibbsian.cli import main
from gibbsian.config.config import load_method, method_class
from gibbsian.config.recipes import default_config
from gibbsian.methods import TRAINING_METHODS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorials" / "new-method.md"
SMALL = {"rounds": 3, "batch": 32, "device": "cpu"}


@pytest.fixture
def denoising(tmp_path, monkeypatch):
    """The file that the tutorial shows, in the current folder."""
    found = re.search(
        r"<!-- file: denoising.py -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL
    )
    assert found is not None and len(found[1].splitlines()) <= 120
    (tmp_path / "denoising.py").write_text(found[1])
    monkeypatch.chdir(tmp_path)
    yield "denoising:Denoising"
    load_method.cache_clear()
    sys.modules.pop("denoising", None)


def test_a_new_role_is_one_file(denoising, capsys):
    assert main(["train", denoising, "--help-all"]) == 0
    out = capsys.readouterr().out
    assert all(f"--{o} " in out for o in ("sigma", "denoiser", "denoiser.width", "steps"))
    assert default_config(denoising, "moons").denoiser_optimizer.lr == 2e-3
    words = ["--max-rows", "200", "--rounds", "3", "--denoiser.width", "8", "--device", "cpu"]
    assert main(["train", denoising, "--data", "moons", *words, "--out", "run"]) == 0
    assert main(["sample", "run", "-n", "3", "--output", "x.csv"]) == 2
    assert "--trust-code" in capsys.readouterr().err
    assert main(["sample", "run", "-n", "3", "--output", "x.csv", "--trust-code"]) == 0
    model = gibbsian.load_model("run", trust_code=True)
    assert model.sample(5).shape == (5, 2)
    assert denoising not in TRAINING_METHODS


def test_what_does_not_fit_is_refused_in_a_sentence(denoising, monkeypatch):
    cls = method_class(denoising)
    with pytest.raises(ValueError, match=r"denoiser returns \[3\] per row, but .* \[2\]"):
        gibbsian.train(
            denoising, "moons", networks={"denoiser": torch.nn.Linear(2, 3)}, training=SMALL
        )
    with pytest.raises(ValueError, match="denoiser network dense has no option 'channels'; it has"):
        gibbsian.train(denoising, "moons", denoiser={"channels": 3}, training=SMALL)
    monkeypatch.setattr(cls, "players", {"denoiser": ("denoiser",), "idle": ("denoiser",)})
    with pytest.raises(ValueError, match="player 'idle' does not move in the first round"):
        gibbsian.train(denoising, "moons", training=SMALL)
    role = cls.roles["denoiser"]
    monkeypatch.setattr(cls, "roles", {"denoiser": role.but(networks="denoisers")})
    with pytest.raises(ValueError, match="unknown group of networks 'denoisers'; did you mean"):
        default_config(denoising, "moons")
    with pytest.raises(ValueError, match="is no method"):
        method_class("denoising:dense")


def test_a_module_that_does_not_import_is_refused_in_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "broken_method.py").write_text("1 / 0\n")
    words = {
        "broken_method:Mine": "your own method broken_method:Mine fails with ZeroDivisionError",
        "broken_method:": "a method of your own is named package.module:Class, not 'broken_method:'",
        "no_such_module:Mine": "cannot import 'no_such_module'",
    }
    for name, sentence in words.items():
        assert main(["train", name, "--data", "moons"]) == 2
        said = capsys.readouterr().err
        assert sentence in said and len(said.splitlines()) == 1


def test_adding_it_changes_no_file_of_the_package(denoising):
    done = subprocess.run(
        ["git", "grep", "-l", "denoising:Denoising", "--", "gibbsian"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.stdout == ""
