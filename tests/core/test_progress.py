"""What a terminal shows of a long computation: whole, whatever its width, and first what matters."""

import io
import re
import sys

import pytest
import torch

import gibbsian
from gibbsian.cli import main
from gibbsian.core import progress
from gibbsian.core.progress import NARROWEST, Bar, status_line
from gibbsian.methods import TRAINING_METHODS
from gibbsian.training.loop import watched_numbers
from tests.cli.conftest import SMALL

NUMBERS = (("energy gap", -0.123456), ("chains_moved", 0.9987))
WIDTHS = (40, 80, 120, 200)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def whole(line: str, known: set[str]) -> bool:
    """Whether each word of ``line`` is one of ``known``, or a bar that is long enough to be read."""
    bars = re.findall(r"\[#*\.*\]", line)
    words = re.sub(r"\[#*\.*\]", "", line).split()
    return set(words) <= known and all(len(bar) >= NARROWEST + 2 for bar in bars)


@pytest.mark.parametrize("width", WIDTHS)
def test_rate_time_left_and_two_numbers_at_any_width(width: int) -> None:
    line = status_line(width - 1, "training", 1200, 4000, 45.1234, "round", NUMBERS)
    assert len(line) < width
    known = {"training", "1200/4000", "30%", "45.1", "45.1/s", "rounds/s", "1:02", "left"}
    assert whole(line, known | {"energy", "gap", "-0.123", "chains_moved", "moved", "0.999"})
    for part in ("30%", "45.1", "1:02", "gap -0.123", "moved 0.999"):
        assert part in line
    assert ("training" in line) == (width >= 80) and ("[" in line) == (width >= 80)
    assert ("1200/4000" in line) == (width >= 120)


def test_every_width_and_every_length_of_name() -> None:
    """Nothing is longer than its place and nothing cut, in hundreds of cases."""
    values = ((-1234.5, "-1234"), (1e-7, "1e-07"), (-123456789.0, "-1.23e+08"))
    known = {"log", "Z:", "annealing", "forward", "12/20000", "0%", "12", "s", "left", "steps/s"}
    known |= {"2.25", "2.25/s", "2:28:03", "a_very_long_name", "name", "b"}
    for value, text in values:
        numbers = (("a_very_long_name", value), ("b", value))
        for width in range(1, 240):
            line = status_line(width, "log Z: annealing forward", 12, 20_000, 2.25, numbers=numbers)
            assert len(line) <= width and whole(line, known | {text}), line
            assert line or width < 2
            without = status_line(width, "log Z: annealing forward", 12, None, 2.25)
            assert len(without) <= width and whole(without, known)


def test_bars_of_one_name_keep_their_names_apart() -> None:
    numbers = (("validation loss", 1.0), ("loss", 2.0))
    line = status_line(60, "training", 1, 2, 1.0, numbers=numbers)
    assert "validation loss 1" in line and " loss 2" in line


@pytest.mark.parametrize("width", WIDTHS)
def test_what_the_bar_draws(width: int) -> None:
    stream = Terminal()
    with Bar(desc="training", total=4, unit="round", file=stream, ncols=width) as bar:
        bar.numbers = NUMBERS
        for _ in range(3):
            bar.update()
        bar.refresh()
        told = stream.getvalue().split("\r")[-1].strip()
    assert "75%" in told and "gap -0.123" in told and "moved 0.999" in told and len(told) < width
    assert "100%" not in told


def test_phases_are_named_and_bars_take_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.shown(), progress.phase("log Z"):
        assert stream.getvalue().strip() == "log Z"
        for _ in progress.steps(range(2), "chains"):
            assert stream.getvalue().split("\r")[-1].startswith("log Z: chains")
    assert "\n" not in stream.getvalue() and not stream.getvalue().split("\r")[-1].strip()
    with progress.phase("samples"):
        pass
    assert "samples" not in stream.getvalue()


def test_training_says_what_it_does(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Loading and training by name, then what the method watches; nothing of it where nobody looks."""
    monkeypatch.chdir(tmp_path)
    words = ["train", "cd", "--data", "moons", *SMALL]
    assert main([*words, "--out", "quiet"]) == 0
    assert "energy gap" not in capsys.readouterr().err
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    assert main([*words, "--out", "seen"]) == 0
    lines = [line.strip() for line in stream.getvalue().split("\r")]
    assert any(line == "loading data" for line in lines)
    assert any(line.startswith("training ") and "energy gap" in line for line in lines)
    assert any("moved" in line for line in lines)
    assert (tmp_path / "quiet/metrics.jsonl").stat().st_size > 0


def test_the_first_round_has_a_name_of_its_own(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    monkeypatch.setattr(sys, "stderr", stream)
    assert main(["train", "cd", "--data", "moons", *SMALL, "--compile", "--out", "run"]) == 0
    lines = [line.strip() for line in stream.getvalue().split("\r")]
    named = [line.partition(" ")[0] for line in lines if line.startswith(("compiling", "training"))]
    assert named[0] == "compiling" and named[-1] == "training"
    assert named == sorted(named), "not again after the first round"


def test_the_numbers_of_a_method() -> None:
    method = TRAINING_METHODS["cd"].__new__(TRAINING_METHODS["cd"])
    logs = {"energy/loss": 1.0, "energy/energy_data": 2.0, "energy/energy_model": 5.0}
    assert watched_numbers(method, logs) == (("energy gap", -3.0), ("loss", 1.0))
    logs["energy/chains_moved"] = 0.5
    assert watched_numbers(method, logs) == (("energy gap", -3.0), ("chains_moved", 0.5))
    logs["validation/log_likelihood"] = 7.0
    assert watched_numbers(method, logs)[0] == ("validation log_likelihood", 7.0)
    other = TRAINING_METHODS["vae"].__new__(TRAINING_METHODS["vae"])
    assert watched_numbers(other, {"model/loss": 1.0}) == (("loss", 1.0),)


def test_evaluating_names_its_phases(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"rounds": 2, "batch": 16, "log_every": 1}
    gibbsian.train("cd", "moons", out=tmp_path / "run", training=options, source={"max_rows": 200})
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    assert main(["evaluate", str(tmp_path / "run"), "--num-samples", "50"]) == 0
    for phase in ("loading data", "log Z", "log-likelihood", "samples", "corrupted rows"):
        assert phase in stream.getvalue()
