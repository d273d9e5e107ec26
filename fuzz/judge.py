"""What counts as a fault: one case is made, run and judged in a process of its own."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path

from fuzz.cases import Case, Step, draw
from fuzz.corpus import Corpus, result
from fuzz.execute import Outcome, execute

SENTENCE = re.compile(r"gibbsian: error: .{15,}", re.S)
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f\u202a-\u202e\u2066-\u2069]")
NOT_NUMBERS = re.compile(r"(^|,)nan\b", re.M)


@dataclass(frozen=True)
class Verdict:
    """A case by its number, and the fault that it found: ``fault`` is empty where there is none.

    ``seconds``: of processor time that its commands took.
    """

    number: int
    kind: str
    what: str
    commands: tuple[str, ...]
    statuses: tuple[int, ...]
    seconds: float
    fault: str = ""
    details: str = ""


def try_case(seed: int, number: int, corpus: Corpus, folder: Path) -> Verdict:
    """Draw case ``number`` of the campaign ``seed``, run it in ``folder`` and judge it."""
    rng = random.Random(f"{seed} {number}")
    folder.mkdir(parents=True)
    case = draw(rng, corpus, folder)
    outcomes: list[Outcome] = []
    fault, details = "", ""
    for step in case.steps:
        if step.before:
            subprocess.run(step.before, check=True)
        outcomes.append(execute(step.words, folder, step.limits))
        fault, details = fault_of(case, step, outcomes[-1], folder)
        if fault:
            break
    if not fault:
        fault, details = change_of(case, outcomes, folder)
    commands = tuple(f"gibbsian {' '.join(step.words)}"[:300] for step in case.steps)
    statuses = tuple(outcome.status for outcome in outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes)
    return Verdict(number, case.kind, case.what, commands, statuses, seconds, fault, details)


def fault_of(case: Case, step: Step, outcome: Outcome, folder: Path) -> tuple[str, str]:
    """What is wrong with how one command ended, and the words that show it."""
    said = outcome.err[-3000:]
    if (folder / "EXECUTED").exists():
        return "code ran", said
    if outcome.hung:
        return "hang", said
    if "Traceback" in outcome.err:
        return "traceback", said
    sent = {number for _, number in step.limits.signals}
    if outcome.status < 0 and -outcome.status not in sent:
        return "died", f"signal {signal.Signals(-outcome.status).name}; {said}"
    asked = {128 + number for number in sent} | {130}
    usual = {0, 1, 2, 141} | ({-number for number in sent} | asked if sent else set())
    if outcome.status not in usual:
        return "status", f"{outcome.status}; {said}"
    if outcome.status == 2 and step.limits.output == "kept" and not SENTENCE.search(outcome.err):
        if not step.words or "--help" in step.words:
            return "", ""
        return "no sentence", said
    if found := CONTROL.search(outcome.out + outcome.err.replace("\r", "")):
        return "control character", f"{found[0]!r} in {said!r}"
    if case.must_end and step is case.steps[-1] and outcome.status:
        return "lost", said
    return "", ""


def change_of(case: Case, outcomes: list[Outcome], folder: Path) -> tuple[str, str]:
    """Whether a result is another without a word, or is no number."""
    last = outcomes[-1]
    if last.status:
        return "", ""
    if "score" in case.steps[-1].words and NOT_NUMBERS.search(last.out):
        return "scores that are no numbers", last.out[:300]
    if case.expected is None or ("warning" in last.err and not case.must_end):
        return "", ""
    found = result(case.deed, folder)
    if found not in (case.expected, *case.also):
        kind = "changed report" if case.deed == "report" else "silent change"
        return kind, f"{_difference(found, case.expected)}; {last.err[-300:]}"
    return "", ""


def _difference(found: str, expected: str) -> str:
    at = next(
        (i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b),
        min(len(found), len(expected)),
    )
    start = max(0, at - 60)
    return f"...{found[start : at + 60]!r} instead of ...{expected[start : at + 60]!r}"


def in_a_fork(seed: int, number: int, corpus: Corpus, folder: Path) -> int:
    """Start ``try_case`` in a process of its own; its id. The verdict is left beside ``folder``."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            verdict = try_case(seed, number, corpus, folder)
            verdict_path(folder).write_text(json.dumps(asdict(verdict)))
            code = 0
        except BaseException:  # noqa: BLE001 - a fault of the campaign itself, which is shown
            verdict_path(folder).with_suffix(".txt").write_text(traceback.format_exc())
        finally:
            os._exit(code)
    return child


def verdict_path(folder: Path) -> Path:
    """Where the verdict on the case in ``folder`` is left."""
    return folder.with_name(f"{folder.name}.json")


def read_verdict(folder: Path) -> Verdict:
    """The verdict that a process of ``in_a_fork`` has left; a case that failed by itself is a fault too."""
    path = verdict_path(folder)
    if not path.exists():
        text = path.with_suffix(".txt")
        why = text.read_text() if text.exists() else "its process was killed"
        number = int(folder.name.rpartition("-")[2])
        return Verdict(number, "campaign", "the case itself", (), (), 0.0, "not judged", why)
    entries = json.loads(path.read_text())
    entries |= {name: tuple(entries[name]) for name in ("commands", "statuses")}
    return Verdict(**entries)


def clear(folder: Path) -> None:
    """Remove a case."""
    if os.path.ismount(folder):
        subprocess.run(("umount", "-l", str(folder)), check=False)
    shutil.rmtree(folder, ignore_errors=True)
    for path in (verdict_path(folder), verdict_path(folder).with_suffix(".txt")):
        path.unlink(missing_ok=True)
