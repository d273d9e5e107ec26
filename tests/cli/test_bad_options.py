"""Options that cannot be used: refused before anything is computed or written."""

import os
import re

import pytest

from gibbsian.cli import COMMANDS, main
from gibbsian.methods import TRAINING_METHODS
from tests.cli.conftest import SMALL

TRAIN = ("train", "cd", "--data", "moons", *SMALL, "--out", "new")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("trian",), "unknown command 'trian'; did you mean train"),
        (("qqq",), "there are 14, such as train, sample, score"),
        (("train",), "say what to train: `gibbsian train METHOD --data DATA`"),
        (("train", "vgam", "--data", "moons"), "unknown method 'vgam'; did you mean vgan"),
        (("train", "cd"), "missing: --data DATA; see `gibbsian train cd --help`"),
        (("train", "--rounds", "3"), "--resume RUN or --recipe NAME, or name a method"),
        (("train", "--recipe", "moon-cd"), "unknown recipe 'moon-cd'; did you mean moons-cd"),
        (("train", "--recipe", "qqq"), "unknown recipe 'qqq'; there are .*, such as moons-cd"),
        (
            ("train", "--recipe", "moons-cd", "--scale", "huge"),
            "--scale is cpu or paper, not 'huge'",
        ),
        (("train", "--recipe", "moons-cd", "--chainz", "3"), "--chainz.*; did you mean --chains"),
        (("train", "--recipe", "moons-cd", "--config", "x"), "either --config FILE or --recipe"),
        (("train", "vgan", "--recipe", "moons-cd"), "moons-cd is a configuration of cd"),
        ((*TRAIN, "--rounds", "0"), "^--rounds must be at least 1, not 0"),
        ((*TRAIN, "--rounds", "-3"), "^--rounds must be at least 1, not -3"),
        ((*TRAIN, "--rounds", "three"), "^--rounds: 'three' is not a whole number; see"),
        ((*TRAIN, "--rounds"), "missing value for argument '--rounds'"),
        ((*TRAIN, "--energy-l2", "loud"), "^--energy-l2: 'loud' is not a number"),
        ((*TRAIN, "--round", "3"), "unrecognized options: --round, 3; did you mean --rounds?"),
        ((*TRAIN, "--epochs", "3"), "unrecognized options: --epochs, 3; --epochs is --rounds here"),
        (("sample", "run", "-o", "a.png"), "-o is --output here"),
        (("log-z", "a:b", "--dims", "2"), "--dims is --dim here"),
        (
            ("log-z", "torch.nn.functional:softplos", "--dim", "2"),
            "has no 'softplos'; did you mean",
        ),
        (("train", "vae", "."), "did you mean --data .?"),
        ((*TRAIN, "--chainz", "3"), "--chainz.*; did you mean --chains"),
        ((*TRAIN, "--energy", "bonded"), "unknown energy network 'bonded'; did you mean bounded"),
        (
            ("train", "cd", "--data", "moons", "--energy", "conv"),
            "a convolutional network needs images .*; use mlp",
        ),
        ((*TRAIN, "--energy.width", "0"), "width must be at least 1, not 0"),
        (
            (*TRAIN, "--energy.kernels", "3"),
            "the energy network confined has no option 'kernels'; it has confinement_std, time, width",
        ),
        (
            (*TRAIN, "--energy-net.kernels", "3"),
            "the energy network confined has no option 'kernels'; it has confinement_std, time, width",
        ),
        ((*TRAIN, "--energy-net.width", "3"), "--energy-net.width is now called --energy.width"),
        ((*TRAIN, "--step-size", "0.1"), "did you mean --sampler.step-size"),
        ((*TRAIN, "--energy-optimizer.lr", "0"), "a learning rate must be positive, not 0.0"),
        ((*TRAIN, "--sampler.step-size", "0"), "step_size must be finite and positive, not 0.0"),
        ((*TRAIN, "--sampler.kernel", "mla"), "'mla' for argument '--sampler.kernel'.*'mala'"),
        (
            (*TRAIN, "--domain-half-width", "0"),
            "--domain-half-width must be auto, none or a positive half-width, not '0'",
        ),
        ((*TRAIN, "--device", "cuda:77"), "device 'cuda:77' is not there; this machine has cpu"),
        ((*TRAIN, "--device", "toaster"), "device 'toaster' is not there; this machine has cpu"),
        ((*TRAIN, "--device", "meta"), "device 'meta' is not there"),
        ((*TRAIN, "--seed", "-1"), "--seed must lie between 0 and"),
        ((*TRAIN, "--split-seed", "-1"), "--split-seed must not be negative"),
        ((*TRAIN, "--skip-unreadable"), "moons takes no --skip-unreadable: that is for the images"),
        ((*TRAIN, "--batch", "-1"), "--batch must not be negative"),
        ((*TRAIN, "--ema", "1"), r"--ema must lie in \[0, 1\)"),
        (("list", "metods"), "unknown list 'metods'; did you mean methods"),
        (("list", "methods", "data"), "one list at a time"),
    ],
)
def test_refused(words, sentence, refused):
    assert re.search(sentence, refused(*words))


SAMPLE = ("sample", "run", "--output", "x.csv")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("sample",), "missing: RUN, --output PATH; see `gibbsian sample --help`"),
        ((*SAMPLE, "-n", "0"), "number of samples must be at least 1, not 0"),
        ((*SAMPLE, "-n", "-5"), "number of samples must be at least 1, not -5"),
        ((*SAMPLE, "--seed", "-1"), "--seed must lie between"),
        ((*SAMPLE, "--seed", "9" * 30), "--seed must lie between"),
        ((*SAMPLE, "--device", "cuda:77"), "this machine has cpu"),
        ((*SAMPLE, "--refine", "mla"), "'mla' for argument '--refine'.*'mala'"),
        (
            (*SAMPLE, "--refine", "mala", "--mcmc-step-size", "0"),
            "--mcmc-step-size must be positive, not 0.0",
        ),
        (
            (*SAMPLE, "--refine", "hmc", "--mcmc-step-size", "-1"),
            "--mcmc-step-size must be positive",
        ),
        (
            (*SAMPLE, "--refine", "langevin", "--mcmc-step-size", "nan"),
            "--mcmc-step-size must be positive",
        ),
        ((*SAMPLE, "--refine", "hmc", "--mcmc-steps", "0"), "at least 1 sample and 20 steps"),
        ((*SAMPLE, "--refine", "mala", "-n", "0"), "at least 1 sample and 20 steps"),
        (("sample", "run", "--output", "x.docx"), "--output must end in .png or .npz"),
        (("sample", "run", "--output", "x"), "--output must end in"),
        (("sample", "run", "--output", "gone/x.csv"), "--output gone/x.csv .* gone does not exist"),
        (("sample", "run", "--output", "a-file/x.csv"), "a-file is not a folder"),
        (
            ("sample", "run", "--output", "folder.csv"),
            "--output folder.csv is a folder; name a file",
        ),
        (("score", "run", "rows.csv", "--output", "x.txt"), "--output must end in .csv"),
        (("score", "run", "rows.csv", "--output", "gone/x.csv"), "gone does not exist"),
        (("score", "run"), "missing: POINTS"),
        (
            ("score", "rows.csv", "--model", "run"),
            "give the run and the rows: `gibbsian score RUN FILE`",
        ),
        (("report", "run", "--output", "x.txt"), "--output must end in .html or .md"),
        (("report", "run", "--output", "gone/x.html"), "gone does not exist"),
        (("evaluate", "run", "--num-samples", "0"), "number of samples must be at least 1"),
        (
            ("evaluate", "run", "--fail-if-metric-missing", "log-zz"),
            "unknown quantity 'log-zz' .* log-z",
        ),
        (("train", "--resume", "run", "--rounds", "0"), "--rounds must be at least 1, not 0"),
        (("train", "--resume", "run", "--rounds", "3"), "run already has 4 rounds; ask for more"),
        (("train", "--resume", "run", "--out", "new"), "a run that is continued keeps"),
        (("train", "--resume", "run", "--recipe", "moons-cd"), "either --resume RUN or --recipe"),
        (("train", "--resume", "run", "--device", "toaster"), "this machine has cpu"),
        ((*TRAIN[:-1], "run"), "already holds a run; continue it with .* choose another --out"),
        ((*TRAIN[:-1], "a-file"), "a-file exists and is not an empty folder; choose another --out"),
        ((*TRAIN[:-1], "full"), "full exists and is not an empty folder"),
        ((*TRAIN[:-1], "a-file/new"), "a-file is a file; choose another --out"),
    ],
)
def test_refused_on_a_run(words, sentence, here, run, refused):
    (here / "a-file").write_text("x")
    (here / "rows.csv").write_text("1,2\n3,4\n")
    (here / "folder.csv").mkdir()
    (here / "full").mkdir()
    (here / "full" / "thing").write_text("x")
    assert re.search(sentence, refused(*words))


def test_folders_that_may_not_be_written(run, refused, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as for anyone but root
    assert "is not writable; choose another --out" in refused(*TRAIN)
    assert re.search("cannot be written: . is not writable", refused(*SAMPLE))


def test_debugging_shows_the_traceback(here, monkeypatch):
    monkeypatch.setenv("GIBBSIAN_DEBUG", "1")
    with pytest.raises(ValueError, match="does not exist"):
        main(["train", "cd", "--data", "gone.csv"])


HELP = [*((name,) for name in COMMANDS), *(("train", name) for name in TRAINING_METHODS)]


@pytest.mark.parametrize("words", HELP, ids=" ".join)
def test_help_explains_every_option(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")  # too narrow for panels side by side
    assert main([*words, "--help"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and out.startswith("usage: gibbsian " + " ".join(words))
    # Without a help text, an option's default or "(required)" follows right after its name.
    assert re.findall(r"(--\w\S*(?: \S+)?)[\s│|]+\((?:default|required)", out) == []


def test_help_of_train_shows_the_methods_and_an_example(capsys):
    assert main(["train", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(re.search(rf"^  {name} +\w", out, re.MULTILINE) for name in TRAINING_METHODS)
    assert "gibbsian train cd --data moons" in out and "--resume RUN" in out


def test_help_of_a_method_shows_all_its_options(capsys):
    assert main(["train", "vgan", "--help"]) == 0
    out = capsys.readouterr().out
    first = (
        "data",
        "generator-steps",
        "generator-entropy",
        "energy",
        "generator",
        "rounds",
        "seed",
        "out",
    )
    more = (
        "domain-half-width",
        "energy.width",
        "generator.depth",
        "energy-optimizer.lr",
        "max-rows",
    )
    for option in first:
        assert f"--{option} " in out, option
    assert not any(f"--{option} " in out for option in more)
    assert main(["train", "vgan", "--help-all"]) == 0
    out = capsys.readouterr().out
    for option in first + more:
        assert f"--{option} " in out, option


@pytest.mark.parametrize("columns", ["80", "100"])
@pytest.mark.parametrize(("method", "lines", "most"), [("cd", 40, 30), ("bidirectional", 45, 50)])
def test_help_fits_a_screen(capsys, monkeypatch, columns, method, lines, most):
    """40 lines for what a person sets; all that is listed is counted, --help with it."""
    monkeypatch.setenv("COLUMNS", columns)
    assert main(["train", method, "--data", "moons", "--help"]) == 0
    assert len(capsys.readouterr().out.splitlines()) <= lines
    assert main(["train", method, "--data", "moons", "--help-all"]) == 0
    listed = re.findall(r"^[\s│|]*(?:-h, )?--[a-z]", capsys.readouterr().out, re.MULTILINE)
    assert 20 < len(listed) <= most


@pytest.mark.parametrize("command", ["compare", "sweep"])
def test_help_of_studies_lists_at_most_thirty_options(capsys, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "100")
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    listed = re.findall(r"^[\s│|]*(?:-h, )?--[a-z]", shown, re.MULTILINE)
    assert 10 < len(listed) <= 30 and "--storage" in shown


def test_overview_names_every_command(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)
    assert main([]) == 2
    capsys.readouterr()
    assert main(["--version"]) == 0
    assert re.fullmatch(r"gibbsian \d+\.\d+\.\d+(\.dev\d+)?\n", capsys.readouterr().out)
