"""Comparisons in a database: runs shared by machines, killed workers, what is refused."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from gibbsian.cli import main
from gibbsian.config.config import Source
from gibbsian.core.tensor_files import read_tensors
from gibbsian.experiments.compare import entries as runs
from gibbsian.experiments.compare.entries import compare
from gibbsian.experiments.compare.settings import ComparisonSettings, variants_of
from gibbsian.experiments.compare.shared_runs import InStorage, cells
from gibbsian.experiments.trials import database
from gibbsian.experiments.trials.workers import silent
from tests.sweep.postgres import Server, programs, server
from tests.sweep.test_journal import in_child
from tests.test_comparison import COMMAND

needs_server = pytest.mark.skipif(programs() is None, reason="no PostgreSQL here")
FIGURES = {"mmd": {"value": 0.5, "stderr": 0.1}}


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with server() as made:
        yield made


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_server)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'runs.db'}"
    made = request.getfixturevalue("running")
    made.empty()
    return made.url()


def settings(seeds: int = 3, methods: str = "gan,cd", **others: Any) -> ComparisonSettings:
    return ComparisonSettings("ring8", variants_of(methods), seeds, 0.2, 60, **others)


def begun(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def noted(log: Path, pause: float = 0.0):
    """A run that leaves a line and does nothing."""

    def run_cell(cell, *arguments: Any) -> dict[str, Any]:
        with log.open("a") as file:
            file.write(f"{cell.label} {cell.seed}\n")
        time.sleep(pause)
        return {"figures": FIGURES, "rounds": 1, "parameters": 1}

    return run_cell


def test_machines_share_one_comparison(url: str, tmp_path: Path, monkeypatch) -> None:
    """No cell twice; what a later machine adds is known to both, and both end with every result."""
    one, two = tmp_path / "one", tmp_path / "two"
    monkeypatch.setattr(runs, "run_cell", noted(tmp_path / "log"))
    compare(one, settings(1, "gan"), 1, silent, url)
    assert len(begun(tmp_path / "log")) == 3
    compare(two, settings(2, "cd"), 1, silent, url)
    lines = begun(tmp_path / "log")
    assert Counter(lines) == Counter(f"{c.label} {c.seed}" for c in cells(settings(2)))
    compare(one, settings(1, "gan"), 1, silent, url)
    assert begun(tmp_path / "log") == lines
    for out in (one, two):
        assert all(cell.figures(out).is_file() for cell in cells(settings(2)))
    assert (one / "comparison.json").read_text() == (two / "comparison.json").read_text()
    text = "".join(str(path.read_bytes()) for path in one.rglob("*.json"))
    assert "postgresql" not in text and "sqlite" not in text, "a URL is written nowhere"


def test_a_machine_leaves_alone_what_another_added(url: str, tmp_path: Path, monkeypatch) -> None:
    """A process that began before a row was added claims what it knows, and takes up nothing else."""
    monkeypatch.setattr(runs, "run_cell", noted(tmp_path / "log"))
    (tmp_path / "one").mkdir()
    early = InStorage(tmp_path / "one", settings(1, "gan"), url)
    late = InStorage(tmp_path / "one", settings(1), url)
    seen = []
    with late.next() as a, late.next() as b, late.next() as c, late.next() as d:
        seen += [a, b, c, d]
    assert seen[-1].label == "cd"
    while True:
        with early.next() as cell:
            if cell is None:
                break
            assert cell in seen[:3]
            early.finish(cell, {"figures": FIGURES, "seconds": 1.0})
    assert early.left() == 0 and late.left() == 1
    with late.next() as cell:
        assert cell == seen[-1], "left by a death, taken up by who knows it"


def test_a_silent_machine_is_taken_over(url: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(database, "HEARTBEAT", 100)
    monkeypatch.setattr(database, "GRACE", 1)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one = InStorage(tmp_path / "one", settings(1, "gan"), url)
    two = InStorage(tmp_path / "two", settings(1, "gan"), url)
    found = {"figures": FIGURES, "seconds": 1.0}
    with one.next() as mine:
        with two.next() as other:
            assert other != mine
            two.finish(other, found)
        time.sleep(2.1)
        with two.next() as again:
            assert again == mine
            assert not one.finish(mine, found | {"seconds": 9.0})
            assert two.finish(again, found)
    assert [row.result["seconds"] for row in one.journal.rows()] == [1.0, 1.0]


def test_what_all_agree_on_is_what_the_first_found(url: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one = InStorage(tmp_path / "one", settings(1, "gan"), url)
    two = InStorage(tmp_path / "two", settings(1, "gan"), url)

    def slow() -> int:
        assert two.agreed("rounds of gan", lambda: 70) == 70
        return 50

    assert one.agreed("rounds of gan", slow) == 70
    assert two.agreed("rounds of gan", lambda: 90) == 70


def test_random_kills_lose_and_repeat_nothing(url: str, tmp_path: Path, monkeypatch) -> None:
    """Workers of two folders, killed at random moments and begun again as the same command does."""
    log, clock, wanted = tmp_path / "log", random.Random(3), settings(4)
    monkeypatch.setattr(runs, "run_cell", noted(log, 0.15))
    outs = [tmp_path / "one", tmp_path / "two"]

    def spawn(out: Path) -> int:
        return in_child(lambda: compare(out, wanted, 1, silent, url))

    children = {spawn(out): out for out in outs}
    for _ in range(3):
        seen, patience = len(begun(log)), time.monotonic() + 60
        while len(begun(log)) < seen + 2 and time.monotonic() < patience:
            time.sleep(0.01)
        time.sleep(clock.uniform(0, 0.2))
        child = clock.choice(sorted(children))
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL, "a worker had ended before it was killed"
        out = children.pop(child)
        children[spawn(out)] = out
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    compare(outs[0], wanted, 1, silent, url)
    counts = Counter(begun(log))
    assert set(counts) == {f"{c.label} {c.seed}" for c in cells(wanted)}, "none is lost"
    assert sum(counts.values()) <= len(counts) + 3, "a kill interrupts one run"
    assert all(cell.figures(outs[0]).is_file() for cell in cells(wanted))


def test_the_command(url: str, tmp_path: Path, monkeypatch, capsys) -> None:
    """A worker killed inside a run; the run goes on to the same bits, and another folder has the page."""
    command = [*COMMAND.split(), "--storage", url]
    one, two = tmp_path / "one", tmp_path / "two"
    measured = runs.measured
    calls = [0]

    def dying(*arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return measured(*arguments)

    def worker() -> None:
        runs.measured = dying
        main([*command, "--out", str(one)])

    assert os.waitpid(in_child(worker), 0)[1] == signal.SIGKILL
    model = one / "gan" / "seed-1" / "run" / "model" / "model.safetensors"
    trained = read_tensors(model)[0]
    kept = (one / "gan" / "seed-0" / "figures.json").read_bytes()
    assert not (one / "gan" / "seed-1" / "figures.json").exists()
    assert main([*command, "--out", str(one)]) == 0
    assert (one / "gan" / "seed-0" / "figures.json").read_bytes() == kept
    assert all(torch.equal(trained[name], now) for name, now in read_tensors(model)[0].items())
    assert "6 of 6 runs are done" in (one / "comparison.md").read_text()

    def never(*arguments: Any) -> None:
        raise AssertionError("a finished run was run again")

    monkeypatch.setattr(runs, "run_cell", never)
    assert main([*command, "--report-only", "--out", str(two)]) == 0
    assert main([*command, "--out", str(two)]) == 0
    assert (one / "table.json").read_bytes() == (two / "table.json").read_bytes()
    capsys.readouterr()
    assert main([*COMMAND.split(), "--out", str(one)]) == 2
    assert "give its --storage" in capsys.readouterr().err
    other = COMMAND.replace("0.2s", "0.3s").split()
    assert main([*other, "--storage", url, "--out", str(tmp_path / "three")]) == 2
    assert re.search(
        "storage .* holds a comparison with another budget, 0.2 instead of 0.3",
        capsys.readouterr().err,
    )
    assert not (tmp_path / "three").exists()


@pytest.mark.parametrize("more", [[], ["--report-only"]])
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql+psycopg://me:hunter2@127.0.0.1:1/x", "cannot be used: .*refused"),
        ("sqlite:////gone/runs.db", "there is no folder /gone"),
        ("nonsense", "is not a URL such as sqlite"),
    ],
)
def test_unusable_storage(url: str, words: str, more, tmp_path: Path, capsys) -> None:
    if "psycopg" in url:
        pytest.importorskip("psycopg")
    out = tmp_path / "c"
    assert main([*COMMAND.split(), "--storage", url, "--out", str(out), *more]) == 2
    said = capsys.readouterr().err
    assert re.search(words, said) and said.count("\n") == 1 and "hunter2" not in said
    assert not out.exists()


def test_an_empty_database_has_nothing_to_show(tmp_path: Path, capsys) -> None:
    command = [*COMMAND.split(), "--storage", f"sqlite:///{tmp_path / 'x.db'}", "--report-only"]
    assert main([*command, "--out", str(tmp_path / "c")]) == 2
    assert "holds no comparison to show" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_a_folder_without_storage_is_refused(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(runs, "run_cell", noted(tmp_path / "log"))
    out = tmp_path / "c"
    compare(out, settings(1, "gan"), 1, silent)
    before = (out / "comparison.json").read_text()
    with pytest.raises(ValueError, match="holds a comparison without --storage"):
        compare(out, settings(1, "gan"), 1, silent, f"sqlite:///{tmp_path / 'x.db'}")
    assert json.loads(before) and (out / "comparison.json").read_text() == before


def test_another_classifier_is_refused(tmp_path: Path, monkeypatch) -> None:
    """Two machines must judge images alike; a classifier that differs in a bit is another one."""
    monkeypatch.setattr(runs, "run_cell", noted(tmp_path / "log"))
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    digits = ComparisonSettings("digits", variants_of("gan"), 1, 0.2, 60)
    compare(tmp_path / "one", digits, 1, silent, url)

    def other(*arguments: Any) -> Any:
        from gibbsian.evaluation.features.classifier import train_classifier

        found = train_classifier(*arguments)
        with torch.no_grad():
            next(found.parameters()).add_(1e-3)
        return found

    monkeypatch.setattr("gibbsian.experiments.compare.measuring.train_classifier", other)
    with pytest.raises(ValueError, match="another classifier than the one"):
        compare(tmp_path / "two", digits, 1, silent, url)


def test_the_command_tells_what_others_are_still_at(
    url: str, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(runs, "run_cell", noted(tmp_path / "log"))
    (tmp_path / "two").mkdir()
    wanted = settings(2, "gan", source=Source(max_rows=900))
    other = InStorage(tmp_path / "two", wanted, url)
    command = [*COMMAND.split(), "--storage", url, "--out", str(tmp_path / "one")]
    with other.next() as held:
        assert main(command) == 0
        assert "note: 1 run of this comparison others are still at" in capsys.readouterr().err
        other.finish(held, {"figures": FIGURES, "seconds": 1.0, "rounds": 1, "parameters": 1})
    assert main(command) == 0 and "others are" not in capsys.readouterr().err
