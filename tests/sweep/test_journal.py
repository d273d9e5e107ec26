"""Trials are claimed once, finished once, and survive deaths of their workers at any moment."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from gibbsian.core.locks import FileLock
from gibbsian.core.records import line, write_record
from gibbsian.experiments.sweep.plan import SearchPlan
from gibbsian.experiments.sweep.space import grid, parse_search_space
from gibbsian.experiments.trials.journal import Journal
from gibbsian.experiments.trials.journal_lock import JournalLock

SPACE = parse_search_space({"a": [1, 2, 3], "b": ["x", "y"], "c": [[0.5, 0.9], None]})


@pytest.fixture(autouse=True)
def _unsynchronised(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written survives the death of its process without being forced onto the disk."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def journal(out: Path, search="grid", trials: int = 0, space=SPACE) -> Journal:
    return Journal(out, SearchPlan(out, space, search, False, trials))


def run_all(book: Journal, started: Path, pause: float = 0.0) -> None:
    """A worker: each trial leaves a line when it starts."""
    while True:
        with book.next() as claim:
            if claim is None:
                return
            assert set(claim.values) == book.plan.names
            with started.open("a") as file:
                file.write(f"{claim.number}\n")
            time.sleep(pause)
            book.finish(claim, {"value": float(claim.number)})


def in_child(work: Callable[[], None]) -> int:
    """Run ``work`` in a fork, which ends without any cleaning up; its process id."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def points_of(book: Journal) -> Counter:
    return Counter(str(sorted(row.values.items(), key=str)) for row in book.rows())


def starts(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def finished(out: Path) -> set[int]:
    return {int(path.parent.name) for path in (out / "trials").glob("*/result.json")}


def test_a_grid_is_run_once_each(tmp_path: Path) -> None:
    book = journal(tmp_path)
    run_all(book, tmp_path / "started")
    assert book.trials == 12
    assert starts(tmp_path / "started") == list(range(12))
    assert set(points_of(book).values()) == {1} and len(book.rows()) == 12
    assert [row.values for row in book.rows()] == [
        {"a": a, "b": b, "c": c} for a in (1, 2, 3) for b in "xy" for c in ([0.5, 0.9], None)
    ]
    assert all(
        row.state == "done" and row.result == {"value": float(row.number)} for row in book.rows()
    )
    run_all(journal(tmp_path), tmp_path / "started")
    assert len(starts(tmp_path / "started")) == 12


def test_two_workers_share_without_repeating(tmp_path: Path) -> None:
    one, two = journal(tmp_path), journal(tmp_path)
    with one.next() as mine, two.next() as yours:
        assert mine is not None and yours is not None
        assert mine.number != yours.number and mine.values != yours.values
        assert {row.state for row in one.rows()} == {"running"}


def test_a_trial_left_running_is_adopted_before_new_ones(tmp_path: Path) -> None:
    book = journal(tmp_path)
    with book.next() as left:
        pass  # let go without a result, as a death does
    with book.next() as again:
        assert again == left
        book.finish(again, {"failed": "not finite"})
    (row,) = book.rows()
    assert (row.state, row.result) == ("failed", {"failed": "not finite"})


def test_a_result_that_was_not_told_is_not_computed_again(tmp_path: Path) -> None:
    book = journal(tmp_path)
    with book.next() as claim:
        claim.folder.mkdir(exist_ok=True)
        write_record(claim.folder / "result.json", {"value": 3.0})
    with book.next() as other:
        assert other.number != claim.number
    assert book.rows()[0].state == "done"


@pytest.mark.parametrize("how", ["before", "half", "after"])
def test_a_death_at_any_record_of_the_journal_loses_and_repeats_nothing(
    tmp_path: Path, how: str
) -> None:
    """A worker dies at its n-th record, n = 1 ... 9: before it, in its middle, after it.

    A trial of three options has six records, the opening of the journal one.
    """
    out, log = tmp_path / "sweep", tmp_path / "started"
    for n in range(1, 10):
        done = finished(out)
        seen = len(starts(log))
        os.waitpid(in_child(lambda n=n: dies_at_record(out, log, n, how)), 0)
        assert done.isdisjoint(starts(log)[seen:]), f"run again after death {n}"
    book = journal(out)
    run_all(book, log)
    assert set(points_of(book).values()) == {1} and len(book.rows()) == 12
    assert all(row.state == "done" and row.result for row in book.rows())


def dies_at_record(out: Path, log: Path, n: int, how: str) -> None:
    append, count = optuna.storages.journal.JournalFileBackend.append_logs, [0]

    def dying(self, logs) -> None:
        count[0] += 1
        if count[0] < n:
            append(self, logs)
            return
        if how == "after":
            append(self, logs)
        elif how == "half":
            with open(self._file_path, "ab") as file:
                file.write(b'{"op_code":4,"worker')
        os.kill(os.getpid(), signal.SIGKILL)

    optuna.storages.journal.JournalFileBackend.append_logs = dying
    run_all(journal(out), log)


def test_kills_at_ten_random_moments(tmp_path: Path) -> None:
    """Two workers at a time, killed together; at the end every trial was finished exactly once."""
    out, log, clock = tmp_path / "sweep", tmp_path / "started", random.Random(5)
    space = parse_search_space({"a": list(range(40)), "b": [1, 2]})

    def work() -> None:
        run_all(journal(out, space=space), log, pause=0.01)

    for _ in range(10):
        done, seen = finished(out), len(starts(log))
        children = [in_child(work) for _ in range(2)]
        enough, patience = seen + clock.randint(1, 4), time.monotonic() + 20
        while len(starts(log)) < enough and time.monotonic() < patience:
            time.sleep(0.001)
        time.sleep(clock.uniform(0, 0.02))
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        assert done.isdisjoint(starts(log)[seen:])
    killed_at = len(finished(out))
    book = journal(out, space=space)
    run_all(book, log)
    assert killed_at < book.trials, "the kills came too late to say anything"
    assert len(book.rows()) == book.trials == 80 and all(row.state == "done" for row in book.rows())
    again = sum(count - 1 for count in Counter(starts(log)).values())
    assert again <= 20, "a kill interrupts one trial of each worker"
    assert set(points_of(book).values()) == {1} and len(grid(space)) == book.trials


def test_random_draws_do_not_begin_anew(tmp_path: Path) -> None:
    space = parse_search_space({"x": {"low": 0.0, "high": 1.0}, "n": {"low": 1, "high": 9}})
    draws = []
    for trials in (3, 6):
        book = journal(tmp_path, "random", trials, space)
        run_all(book, tmp_path / "started")
        draws = [row.values for row in book.rows()]
    assert len(draws) == 6 and len({d["x"] for d in draws}) == 6
    assert all(0 <= d["x"] <= 1 and isinstance(d["n"], int) for d in draws)


def test_bayes_finds_what_random_search_does_not(tmp_path: Path) -> None:
    """|x - 0.3|: the last 20 of 40 trials are nearer than uniform ones, whose mean is 0.29 ± 0.04."""
    space = parse_search_space({"x": {"low": 0.0, "high": 1.0}})
    book, found = journal(tmp_path, "bayes", 40, space), []
    for _ in range(40):
        with book.next() as claim:
            found.append(abs(claim.values["x"] - 0.3))
            book.finish(claim, {"value": found[-1]})
    assert sum(found[-20:]) / 20 < 0.17


def test_the_torn_end_of_a_journal_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    path.write_bytes(b'{"a":1}\n{"b"')
    lock = JournalLock(path)
    lock.acquire()
    assert path.read_bytes() == b'{"a":1}\n'
    assert not FileLock(path.with_suffix(".lock")).acquire(wait=False)
    lock.release()
    assert FileLock(path.with_suffix(".lock")).acquire(wait=False)
    with pytest.raises(ValueError, match="not locked"):
        lock.release()


def test_unusable_searches(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give --num-trials"):
        journal(tmp_path, "random")
    with pytest.raises(ValueError, match="a grid needs lists"):
        journal(tmp_path, "grid", space=parse_search_space({"x": {"low": 0.0, "high": 1.0}}))


@pytest.mark.parametrize("how", ["changed", "lost", "doubled", "moved", "text"])
def test_a_damaged_journal_is_refused_by_its_line(how: str, tmp_path: Path) -> None:
    book = journal(tmp_path, "grid")
    for _ in range(4):
        with book.next() as claim:
            book.finish(claim, {"value": 1.0})
    path = tmp_path / "journal.log"
    lines = path.read_bytes().splitlines(keepends=True)
    if how == "changed":
        lines[4] = lines[4].replace(b"1", b"2", 1)
    elif how == "lost":
        del lines[4]
    elif how == "doubled":
        lines.insert(4, lines[3])
    elif how == "moved":
        lines[4], lines[5] = lines[5], lines[4]
    else:
        lines[4] = b"text\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(
        ValueError, match=r"journal\.log is damaged: line 5 is not what was written"
    ):
        journal(tmp_path, "grid")


def test_whole_lines_that_no_sweep_wrote_are_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.log").write_bytes(line({"op_code": 0, "study_name": 3}, "journal"))
    with pytest.raises(ValueError, match="is no journal of a sweep"):
        journal(tmp_path, "grid")
