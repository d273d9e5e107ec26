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
from gibbsian.training import rounds_shown
from gibbsian.training.rounds_shown import Forecast, watched_numbers
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


def test_a_file_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every 30 s by the clock, whichever loop runs; nothing outside ``shown``, nothing but whole lines."""
    stream, now = io.StringIO(), [0.0]
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])

    def rounds(bar: Bar, number: int) -> None:
        for _ in range(number):
            now[0] += 1.0
            bar.update()

    with progress.shown():
        with progress.open_bar("training", total=200, unit="round") as bar:
            bar.numbers = NUMBERS
            rounds(bar, 29)
            assert stream.getvalue() == ""
            rounds(bar, 32)
        with progress.phase("log Z"):
            for _ in progress.steps(range(9), "chains"):
                now[0] += 10.0
    lines = stream.getvalue().splitlines()
    numbers = "energy gap -0.123 chains_moved 0.999"
    assert lines[0].startswith("gibbsian: training 30/200 15% ") and lines[0].endswith(numbers)
    assert " left " in lines[0] and " rounds/s " in lines[0] and "[" not in lines[0]
    assert lines[1].startswith("gibbsian: training 60/200 30% ")
    with progress.open_bar("training", total=200) as bar:
        rounds(bar, 99)
    assert stream.getvalue().splitlines() == lines and "\r" not in stream.getvalue()


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_a_long_training_is_foretold(kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """From rounds after the first, in a file and on a terminal; of a short one nothing is said."""
    for seconds, said in ((0.054, "about 18 min for 20 000 rounds; --rounds N"), (0.0029, "")):
        stream, now = kind(), [0.0]
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(rounds_shown.time, "perf_counter", lambda now=now: now[0])
        with progress.shown(), rounds_shown.rounds_bar(20_000, 0, False) as bar:
            forecast = Forecast(bar, 20_000)
            now[0] = 100.0  # the first round compiles
            for done in range(1, 3_001):
                bar.update()
                forecast.look(done)
                now[0] += seconds
        assert stream.getvalue().count("gibbsian: about") == (1 if said else 0)
        assert said in stream.getvalue()


def test_a_warm_up_is_foretold_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rounds are cheaper than those after them, of which a second line tells; also in a resumed run."""
    for begin, expected in (
        (
            0,
            [
                "1.7 min for 5 000 rounds of warm-up, and longer for each of the 15 000 after",
                "25 min for",
            ],
        ),
        (6_000, ["23 min for 14 000 rounds;"]),
    ):
        stream, now = io.StringIO(), [0.0]
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(rounds_shown.time, "perf_counter", lambda now=now: now[0])
        with progress.shown(), rounds_shown.rounds_bar(20_000, begin, False) as bar:
            forecast = Forecast(bar, 20_000, begin, warmup=5_000)
            for done in range(begin + 1, 8_001):
                forecast.look(done)
                now[0] += 0.02 if done < 5_000 else 0.1
        told = [
            line for line in stream.getvalue().splitlines() if line.startswith("gibbsian: about ")
        ]
        assert len(told) == len(expected) and all(map(str.__contains__, told, expected)), told


def test_a_training_into_a_file_tells_its_rounds(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for where, name in ((progress, "LINE_EVERY"), (rounds_shown, "FIRST_ROUNDS")):
        monkeypatch.setattr(where, name, 0.0)
    monkeypatch.setattr(rounds_shown, "LONG", 0.0)
    words = ["train", "cd", "--data", "moons", *SMALL, "--log-every", "1", "--out", "run"]
    assert main(words) == 0
    lines = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("gibbsian: about 0 s for 4 rounds; --rounds") for line in lines) == 1
    told = [line for line in lines if line.startswith("gibbsian: training ")]
    assert told and "/4 " in told[0] and any("energy gap" in line for line in told)
    gibbsian.train("cd", "moons", training={"rounds": 3, "batch": 16}, source={"max_rows": 100})
    assert capsys.readouterr().err == "", "in Python nobody has asked"


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
