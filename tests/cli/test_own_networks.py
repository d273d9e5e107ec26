"""A user's own module, from the command line and from Python, and what is said when it does not fit."""

import re

import numpy as np
import pytest
import torch
from torch import nn

import gibbsian
from gibbsian.cli import main
from gibbsian.config.config import replace
from gibbsian.config.recipes import default_config
from tests.cli.conftest import NETWORK, SMALL

UNSIZED = SMALL[:-4]  # the options of a built-in network are none of one's own

MODULE = (
    NETWORK
    + """

class Column(Net):
    def forward(self, x):
        return super().forward(x)[:, None]


class Total(Net):
    def forward(self, x):
        return super().forward(x).sum()


class Pair(Net):
    def forward(self, x):
        return super().forward(x), x


class Detached(Net):
    def forward(self, x):
        return super().forward(x).detach()


class Whole(Net):
    def forward(self, x):
        return super().forward(x).long()


class Three(Net):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(3, 8)


class Idle(Net):
    def __init__(self):
        super().__init__()
        self.unused = nn.Linear(2, 2)


class Frozen(nn.Module):
    def forward(self, x):
        return x.square().sum(1)


class Breaks(nn.Module):
    def __init__(self):
        raise RuntimeError("no luck\\nand more lines")


class Wants(Net):
    def __init__(self, width):
        super().__init__()


class Plain:
    pass


def function():
    pass
"""
)
BAD = {
    "mine:Column": r"one number per row, shape \[2\]; this one returned \[2, 1\]",
    "mine:Total": r"one number per row, shape \[2\]; this one returned \[\]",
    "mine:Pair": "the energy network returns a tuple, not a tensor",
    "mine:Detached": "carries no gradient to its parameters; leave out detach",
    "mine:Whole": "carries no gradient to its parameters; .* whole numbers",
    "mine:Three": r"the energy network, given \[2, 2\], fails with RuntimeError: mat1 and mat2",
    "mine:Idle": "the loss of player 'energy' does not reach its parameter 'energy.unused.weight'",
    "mine:Frozen": "the energy network has no parameters to train",
    "mine:Breaks": r"mine:Breaks fails with RuntimeError: no luck \(GIBBSIAN_DEBUG=1 shows where\)$",
    "mine:Wants": "constructor of mine:Wants .* 'width'; give the rest a default",
    "mine:Plain": "mine:Plain is not a class derived from torch.nn.Module",
    "mine:function": "mine:function is not a class derived from torch.nn.Module",
    "mine:Main": "module 'mine' has no 'Main'",
    "mine:": "a network of your own is named package.module:Class, not 'mine:'",
    ".mine:Net": "your own network .mine:Net fails with TypeError",
    "gone:Net": "cannot import 'gone' .* installed or lie in",
    "broken:Net": "your own network broken:Net fails with ZeroDivisionError",
    "garbled:Net": "cannot import 'garbled' .*syntax",
}


@pytest.fixture
def modules(here, monkeypatch):
    """The modules above in the current folder, forgotten afterwards."""
    import sys

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    (here / "mine.py").write_text(MODULE)
    (here / "broken.py").write_text("1 / 0\n")
    (here / "garbled.py").write_text("def f(:\n")
    yield here
    for name in set(sys.modules) & {"mine", "broken", "garbled"} - before:
        del sys.modules[name]


TRAIN = ("train", "cd", "--data", "moons", *UNSIZED, "--out", "new")


@pytest.mark.parametrize("name", BAD)
def test_refused(name, modules, refused):
    assert re.search(BAD[name], refused(*TRAIN, "--energy", name))


def test_a_generator_of_the_wrong_shape(modules, refused):
    words = ("train", "vgan", "--data", "moons", "--latent-dim", "2", "--generator", "mine:Net")
    sentence = refused(*words, "--out", "new")
    assert r"the generator returns [] per row, but one observation is [2]" in sentence


TRUST = "--trust-code"


def test_from_the_command_line_to_samples_scores_and_figures(modules, capsys):
    assert main([*TRAIN, "--energy", "mine:Net"]) == 0
    assert main(["sample", "new", "-n", "5", "--output", "x.csv", TRUST]) == 0
    assert np.loadtxt("x.csv", delimiter=",").shape == (5, 2)
    capsys.readouterr()
    assert main(["score", "new", "x.csv", TRUST]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 6
    assert (
        main(
            ["evaluate", "new", "--num-samples", "100", "--fail-if-metric-missing", "log-z", TRUST]
        )
        == 0
    )
    assert re.search(r"log Z = \d", capsys.readouterr().out)
    assert main(["train", "--resume", "new", "--rounds", "6", TRUST]) == 0


class Instance(nn.Module):
    confining = True

    def __init__(self, width):
        super().__init__()
        self.hidden, self.head = nn.Linear(2, width), nn.Linear(width, 1)

    def forward(self, x):
        return self.head(torch.tanh(self.hidden(x))).squeeze(1) + x.square().sum(1) / 2


def test_an_instance_in_python(here):
    config = replace(
        default_config("cd", "moons"),
        source={"max_rows": 200},
        training={"rounds": 2, "batch": 32, "device": "cpu"},
        chains=16,
        sampler={"steps": 2, "steps_per_sample": 2},
    )
    model = gibbsian.train(config, out="run", networks={"energy": Instance(7)})
    loaded = gibbsian.load_model("run", networks={"energy": Instance(7)})
    x = model.sample(5)
    assert torch.equal(loaded.sample(5), x)
    assert torch.equal(loaded.energy(x), model.energy(x))
    gibbsian.resume("run", rounds=4, networks={"energy": Instance(7)})
    for other in ({"energy": Instance(8)}, {}):
        with pytest.raises(ValueError, match=r"trained with other networks: .* networks="):
            gibbsian.load_model("run", networks=other)
        with pytest.raises(ValueError, match="trained with other networks"):
            gibbsian.resume("run", rounds=6, networks=other)
    with pytest.raises(ValueError, match="cd has no network 'critic'; its networks are energy"):
        gibbsian.train(config, networks={"critic": Instance(7)})


def test_the_box_is_chosen_for_the_instance_not_for_the_name(here):
    """VGAN's named energy is bounded and gets a box; an energy that confines needs none."""
    config = replace(
        default_config("vgan", "moons"),
        source={"max_rows": 200},
        training={"rounds": 1, "batch": 32, "device": "cpu"},
        generator_entropy="none",
        expert_entropy_weight=0.0,
    )
    model = gibbsian.train(config, networks={"energy": Instance(7)})
    assert model.config.domain_half_width == "none"
