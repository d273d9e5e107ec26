"""Sweeps in a database: claims across machines, deaths at any moment, outages, passwords."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from gibbsian import cli
from gibbsian.core.records import write_record
from gibbsian.experiments.sweep import search as sweep_runs
from gibbsian.experiments.sweep.plan import SearchPlan
from gibbsian.experiments.sweep.search import same_sweep
from gibbsian.experiments.sweep.space import parse_search_space
from gibbsian.experiments.trials import database
from gibbsian.experiments.trials.database import InDatabase, Shared
from gibbsian.experiments.trials.journal import Journal
from gibbsian.experiments.trials.storage_url import StorageError, StorageURL
from tests.sweep.postgres import Server, programs, server
from tests.sweep.test_journal import SPACE, in_child, points_of, run_all, starts
from tests.sweep.test_sweep import SMALL, command

SECRET = "hunter2-secret"
needs_server = pytest.mark.skipif(programs() is None, reason="no PostgreSQL here")


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with server() as made:
        yield made


def fresh(kind: str, request, tmp_path: Path) -> str:
    if kind == "sqlite":
        return f"sqlite:///{tmp_path / 'sweep.db'}"
    made = request.getfixturevalue("running")
    made.empty()
    return made.url(password=SECRET)


@pytest.fixture
def url(request, tmp_path: Path) -> str:
    """PostgreSQL where it is installed, else SQLite."""
    return fresh("postgresql" if programs() else "sqlite", request, tmp_path)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_server)])
def each_url(request, tmp_path: Path) -> str:
    return fresh(request.param, request, tmp_path)


def opened(out: Path, url: str, search="grid", trials=0, space=SPACE, log=print) -> Journal:
    shared = Shared("sweep", "journal.log", {"space": str(space)}, same_sweep)
    kept = InDatabase(out, StorageURL(url), shared, log)
    return Journal(out, SearchPlan(out, space, search, False, trials), kept)


def test_machines_share_one_grid(each_url: str, tmp_path: Path) -> None:
    """Two folders, as on two machines: no point twice, and both list all results."""
    url = each_url
    one, two = opened(tmp_path / "one", url), opened(tmp_path / "two", url)
    with one.next() as mine, two.next() as yours:
        assert (mine.number, yours.number) == (0, 1) and mine.values != yours.values
        one.finish(mine, {"value": 1.0})
        two.finish(yours, {"failed": "not finite"})
    assert not (tmp_path / "one/trials/00001").exists()
    run_all(two, tmp_path / "started")
    assert starts(tmp_path / "started") == list(range(2, 12))
    assert one.rows() == two.rows() and set(points_of(one).values()) == {1}
    assert [row.state for row in one.rows()] == ["done", "failed"] + ["done"] * 10
    assert one.rows()[1].result == {"failed": "not finite"}


def test_a_silent_machine_is_taken_over_and_its_result_left_out(
    url: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(database, "HEARTBEAT", 100)
    monkeypatch.setattr(database, "GRACE", 1)
    one, two = opened(tmp_path / "one", url), opened(tmp_path / "two", url)
    with one.next() as mine:
        with two.next() as other:
            assert other.number != mine.number
            two.finish(other, {"value": 2.0})
        time.sleep(2.1)
        with two.next() as again:
            assert (again.number, again.values) == (mine.number, mine.values)
            assert not one.finish(mine, {"value": 1.0})
            assert two.finish(again, {"value": 3.0})
    assert [row.result for row in one.rows()] == [{"value": 3.0}, {"value": 2.0}]


def test_signs_of_life_keep_a_trial(url: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(database, "HEARTBEAT", 0.3)
    monkeypatch.setattr(database, "GRACE", 1)
    storage = InDatabase._storage

    def whole(self, optuna):  # the library wants whole seconds for its own thread
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(database, "HEARTBEAT", 1)
            return storage(self, optuna)

    monkeypatch.setattr(InDatabase, "_storage", whole)
    one, two = opened(tmp_path / "one", url), opened(tmp_path / "two", url)
    with one.next() as mine:
        time.sleep(2.5)
        with two.next() as other:
            assert other.number != mine.number


@pytest.mark.parametrize("where", ["claim", "take", "file", "record", "tell"])
def test_a_death_at_any_step_loses_and_repeats_nothing(
    url: str, where: str, tmp_path: Path
) -> None:
    """The worker dies after a step; the same machine goes on at once."""
    out, log = tmp_path / "out", tmp_path / "started"

    def die(*arguments) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    small = parse_search_space({"a": [1, 2, 3, 4]})

    def dying() -> None:
        book = opened(out, url, space=small)
        if where == "claim":
            book.kept.take = die
        elif where == "take":
            book._claimed = die
        elif where == "file":
            book._finished = die
        elif where == "record":
            book.study.tell = die
        else:
            tell = book.study.tell
            book.study.tell = lambda *a, **k: (tell(*a, **k), die())
        run_all(book, log)

    _, status = os.waitpid(in_child(dying), 0)
    assert status == signal.SIGKILL
    before = len(starts(log))
    assert before == (0 if where in ("claim", "take") else 1)
    book = opened(out, url, space=small)
    run_all(book, log)
    assert starts(log) == list(range(4)), "each once"
    assert [row.state for row in book.rows()] == ["done"] * 4


def test_a_result_that_was_recorded_is_told_by_any_machine(url: str, tmp_path: Path) -> None:
    one, two = opened(tmp_path / "one", url), opened(tmp_path / "two", url)
    with one.next() as mine:
        one.kept.record(mine.number, {"value": 7.0})
    run_all(two, tmp_path / "started")
    assert starts(tmp_path / "started") == list(range(1, 12))
    assert two.rows()[0].state == "done" and two.rows()[0].result == {"value": 7.0}


def kills(
    url: str, folder: Path, trials: int, deaths: int, workers: int, seed: int, pause: float
) -> dict:
    """A random search by processes of two folders, killed at random moments; what was seen.

    A killed worker begins again, as the same command does.
    """
    space = parse_search_space({"x": {"low": 0.0, "high": 1.0}})
    clock, log = random.Random(seed), folder / "started"
    outs = [folder / f"machine{i % 2}" for i in range(workers)]

    def spawn(out: Path) -> int:
        return in_child(
            lambda: run_all(opened(out, url, "random", trials, space), log, pause=pause)
        )

    opened(outs[0], url, "random", trials, space)
    children = {spawn(out): out for out in outs}
    finished_when_killed: list[tuple[int, set[int]]] = []
    for _ in range(deaths):
        seen, patience = len(starts(log)), time.monotonic() + 60
        while len(starts(log)) < seen + 2 and time.monotonic() < patience:
            time.sleep(0.01)
        time.sleep(clock.uniform(0, 0.2))
        child = clock.choice(sorted(children))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert status == signal.SIGKILL, "a worker had ended before it was killed"
        done = {int(path.parent.name) for path in folder.glob("machine*/trials/*/result.json")}
        finished_when_killed.append((len(starts(log)), done))
        out = children.pop(child)
        children[spawn(out)] = out
    for child in children:
        os.waitpid(child, 0)
    book = opened(outs[0], url, "random", trials, space)
    run_all(book, log)
    run_all(opened(outs[1], url, "random", trials, space), log)
    lines = starts(log)
    return {
        "rows": len(book.rows()),
        "done": sum(row.state == "done" for row in book.rows()),
        "distinct": len({row.values["x"] for row in book.rows()}),
        "starts": len(lines),
        "most": max(Counter(lines).values()),
        "again": sum(bool(done & set(lines[at:])) for at, done in finished_when_killed),
    }


def check(found: dict, trials: int, deaths: int) -> None:
    assert found["rows"] == found["done"] == found["distinct"] == trials
    assert found["again"] == 0, "a finished trial was run again"
    assert trials <= found["starts"] <= trials + deaths, "a kill interrupts one trial"


def test_random_kills(url: str, tmp_path: Path) -> None:
    check(kills(url, tmp_path, trials=12, deaths=3, workers=2, seed=1, pause=0.15), 12, 3)


@needs_server
def test_more_trials_later_by_another_machine(running: Server, tmp_path: Path) -> None:
    running.empty()
    space, url = parse_search_space({"x": {"low": 0.0, "high": 1.0}}), running.url()
    for name, trials in (("one", 2), ("two", 4), ("one", 2)):
        run_all(opened(tmp_path / name, url, "random", trials, space), tmp_path / "started")
    assert starts(tmp_path / "started") == [0, 1, 2, 3]


@needs_server
def test_an_outage_is_waited_for(running: Server, tmp_path: Path, monkeypatch) -> None:
    running.empty()
    said: list[str] = []
    book = opened(tmp_path / "out", running.url(password=SECRET), log=said.append)
    with book.next() as claim:
        running.stop()
        back = threading.Timer(0.3, running.start)
        back.start()
        assert book.finish(claim, {"value": 1.0})
        back.join()
    assert "does not answer" in said[0] and "again in 1 s" in said[0]
    monkeypatch.setattr(database, "WAITS", (0.01,))
    with book.next() as claim:
        running.stop()
        try:
            with pytest.raises(StorageError, match="is saved, and the same command goes on") as why:
                book.finish(claim, {"value": 1.0})
        finally:
            running.start()
    assert (claim.folder / "result.json").is_file()
    assert SECRET not in str(said) + str(why.value)
    with opened(tmp_path / "out", running.url()).next() as other:
        assert other.number == claim.number + 1


def refused(tmp_path: Path, url: str, capsys, *more: str) -> str:
    path = tmp_path / "space.json"
    path.write_text(json.dumps(SMALL))
    assert cli.main(command(path, tmp_path / "sweep", "--storage", url, *more)) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and SECRET not in said
    return said


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"postgresql+psycopg://me:{SECRET}@127.0.0.1:1/x", "cannot be used: .*refused"),
        (f"postgresql+psycopg://127.0.0.1:1/x?password={SECRET}", "cannot be used: .*refused"),
        (f"oracle://me:{SECRET}@host/x", "of the kind 'oracle'; use sqlite"),
        (f"postgresql+{SECRET[:3]}://me:{SECRET}@host/x", "unknown driver"),
        (f"nonsense {SECRET}", "is not a URL such as sqlite"),
        (f"postgresql+psycopg://me:x@{SECRET}@host/x", "one in a password is written %40"),
        (f"postgresql+psycopg://me:x@host:{SECRET}/x", "is not a URL such as sqlite"),
        ("sqlite://", "names no SQLite file"),
        ("sqlite:////gone/sweep.db", "there is no folder /gone"),
        (f"postgresql+pg8000://me:{SECRET}@host/x", "needs the driver pg8000"),
    ],
)
def test_unusable_storage(url: str, words: str, tmp_path: Path, capsys) -> None:
    if "psycopg" in url:
        pytest.importorskip("psycopg")
    said = refused(tmp_path, url, capsys)
    assert re.search(words, said), said
    assert not (tmp_path / "sweep").exists()


def test_a_file_that_is_no_database(tmp_path: Path, capsys) -> None:
    (tmp_path / "x.db").write_text("text " * 500)
    assert "is not a database" in refused(tmp_path, f"sqlite:///{tmp_path / 'x.db'}", capsys)


@needs_server
def test_no_rights(running: Server, tmp_path: Path, capsys) -> None:
    running.empty()
    running.run("CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA public TO PUBLIC")
    said = refused(tmp_path, running.url("reader", SECRET), capsys)
    assert "permission denied for schema public" in said
    assert not (tmp_path / "sweep").exists()


def test_the_command(url: str, tmp_path: Path, capsys, monkeypatch) -> None:
    """Two folders share a grid; other settings and other folders are refused; no password anywhere."""
    path = tmp_path / "space.json"
    path.write_text(json.dumps(SMALL | {"margin": [0.5, 2.0]}))
    one = command(path, tmp_path / "one", "--storage", url)
    assert cli.main(one) == 0
    first = capsys.readouterr()
    assert "2 trials done, 0 failed, 0 running" in first.out

    def never(*arguments) -> None:
        raise AssertionError("a finished trial was run again")

    monkeypatch.setattr(sweep_runs, "run_trial", never)
    assert cli.main(command(path, tmp_path / "two", "--storage", url)) == 0
    assert capsys.readouterr().out == first.out, "a machine without trials lists them all"
    assert cli.main(command(path, tmp_path / "three", "--storage", url, "--seed", "3")) == 2
    assert "holds a sweep with another seed" in capsys.readouterr().err
    assert cli.main(command(path, tmp_path / "one")) == 2
    assert "give its --storage" in capsys.readouterr().err
    other = f"sqlite:///{tmp_path / 'other.db'}"
    assert cli.main(command(path, tmp_path / "one", "--storage", other)) == 2
    assert "a sweep in another database" in capsys.readouterr().err
    written = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert not any(SECRET.encode() in content for content in written)
    assert SECRET not in first.out + first.err


def test_a_folder_without_storage_keeps_its_journal(url: str, tmp_path: Path) -> None:
    write_record(tmp_path / "journal.log", {})
    with pytest.raises(ValueError, match="holds a sweep without --storage"):
        opened(tmp_path, url)


def test_a_slurm_script(tmp_path: Path, capsys) -> None:
    pytest.importorskip("psycopg")
    path = tmp_path / "space.json"
    path.write_text(json.dumps(SMALL))
    place = "postgresql+psycopg://me{}@host/x"
    for given, wanted in (
        (place.format(""), f"--storage {place.format('')}"),
        (place.format(f":{SECRET}"), '--storage "$GIBBSIAN_STORAGE"'),
    ):
        words = command(path, tmp_path / "a b", "--slurm", "--workers", "4", "--storage", given)
        assert cli.main(words) == 0
        said = capsys.readouterr().out
        assert "#SBATCH --array=0-3\n" in said and "#SBATCH --signal=TERM@120\n" in said
        run = said.splitlines()[-1]
        assert run.startswith("srun gibbsian sweep ebgan --data ring8 ") and "a b'" in run
        assert wanted in run and "--slurm" not in run and "--workers" not in run
        assert SECRET not in said
    assert not (tmp_path / "a b").exists()


if __name__ == "__main__":  # the proof at full size: 60 trials, 4 workers, 10 kills
    import tempfile

    with server() as made, tempfile.TemporaryDirectory() as name:
        seen = kills(made.url(), Path(name), trials=60, deaths=10, workers=4, seed=0, pause=1.0)
        print(seen)
        check(seen, 60, 10)
