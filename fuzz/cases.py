"""What is done to the program: one function for each kind of case, drawn by a seed."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fuzz.corpus import DEEDS, KEPT, RUNS, SMALL, Corpus, deed_words, possible
from fuzz.execute import NO_LIMITS, Limits
from fuzz.mutations import hostile, mutated

PATIENT = Limits(signals=((20.0, signal.SIGTERM),))
"""Where a mutation may ask for a lot of work, it is asked to end after a while."""
READERS = ("score", "score", "sample", "resume", "resume", "again", "report", "refine", "evaluate")
METHODS = (
    "gan",
    "vgan",
    "cd",
    "gebm",
    "ebgan",
    "vae",
    "nce",
    "score-matching",
    "energy-matching",
    "noise-levels",
    "lbt",
    "flow",
    "tilted-flow",
)
CODE_BY_NAME = re.compile(r"evilmod|this:Zen|os:system|builtins")


@dataclass(frozen=True)
class Step:
    """One command of a case, under which limits it runs, and what of the system's is run before."""

    words: tuple[str, ...]
    limits: Limits = NO_LIMITS
    before: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """``what`` was done in words; then ``steps``; the last must leave ``expected`` if all say nothing.

    ``deed`` says where its result is found. ``faulty`` steps may fail for want of space, memory or
    life, but not with a traceback; the last one is sound where ``must_end`` is set. ``also``: other
    results that are right, those of an older checkpoint.
    """

    kind: str
    what: str
    steps: tuple[Step, ...]
    deed: str = ""
    expected: str | None = None
    must_end: bool = False
    also: tuple[str, ...] = ()


def damaged_run(rng: random.Random, corpus: Corpus, folder: Path) -> Case:
    """A file of a run folder is damaged."""
    name, deed = _run_and_deed(rng, corpus, folder)
    path = _some_file(rng, folder / "run", deed)
    content, what = mutated(rng, path.read_bytes(), path.suffix)
    path.write_bytes(content)
    return _of_run(corpus, name, deed, f"{path.relative_to(folder)}: {what}")


def strange_part(rng: random.Random, corpus: Corpus, folder: Path) -> Case:
    """A file of a run folder is another run's, another's name, gone, or no file."""
    name, deed = _run_and_deed(rng, corpus, folder)
    path = _some_file(rng, folder / "run", deed)
    other = corpus.folder / f"{name}-other" / path.relative_to(folder)
    how = rng.choice(
        ("other", "other", "gone", "renamed", "older", "folder", "loop", "junk", "pipe")
    )
    if how == "other":
        shutil.copyfile(other, path)
        if rng.random() < 0.3 and path.parent.name == "model":
            shutil.rmtree(path.parent)
            shutil.copytree(other.parent, path.parent)
            how = "the whole folder of another run"
    elif how == "renamed":
        new = re.sub(r"round-\d+", f"round-{rng.choice((0, 3, 5, 99)):08d}", path.name)
        path.rename(path.with_name(new))
        how = f"renamed to {new}"
    elif how == "older":
        states = sorted((folder / "run" / "state").iterdir())
        shutil.copyfile(states[0], states[-1])
        how = "the newest checkpoint is a copy of the one before"
    elif how == "junk":
        for junk in ("round-00000099.rank0.safetensors", ".round-1.part", "round-x.safetensors"):
            (folder / "run" / "state" / junk).write_bytes(b"")
    else:
        path.unlink()
        if how == "folder":
            path.mkdir()
        elif how == "loop":
            path.symlink_to(path.name)
        elif how == "pipe":
            os.mkfifo(path)
        elif how == "gone" and path.parent.name == "samples" and deed == "report":
            # That is a run nobody refined samples of.
            case = _of_run(corpus, name, deed, f"{path.relative_to(folder)}: {how}")
            return dataclasses.replace(case, expected=None)
    return _of_run(corpus, name, deed, f"{path.relative_to(folder)}: {how}")


def _run_and_deed(rng: random.Random, corpus: Corpus, folder: Path) -> tuple[str, str]:
    name = rng.choice(("table", "table", "game", "pictures"))
    deed = rng.choice([deed for deed in READERS if possible(deed, name)])
    shutil.copytree(corpus.folder / name, folder, dirs_exist_ok=True)
    return name, deed


def _some_file(rng: random.Random, run: Path, deed: str) -> Path:
    """A file of the run; mostly one that the deed reads."""
    files = sorted(path for path in run.rglob("*") if path.is_file())
    read = {"resume": "state", "again": "state", "report": ""}.get(deed, "model")
    near = [path for path in files if read in path.parts or path.name == "config.json"]
    return rng.choice(near if rng.random() < 0.7 else files)


def _of_run(corpus: Corpus, name: str, deed: str, what: str) -> Case:
    steps, expected = (Step(deed_words(deed, name)),), corpus.expected[f"{name} {deed}"]
    also = () if deed != "resume" else tuple(corpus.expected[f"{name} {kept}"] for kept in KEPT)
    return Case("run", f"{name}: {what}", steps, deed, expected, also=also)


def rows(rng: random.Random, corpus: Corpus, folder: Path) -> Case:
    """A table, an array or pictures are damaged, then scored or trained on."""
    name = rng.choice(("table", "table", "pictures"))
    shutil.copytree(corpus.folder / name, folder, dirs_exist_ok=True)
    endings = ("csv", "csv", "tsv", "npy", "npz", "parquet") if name == "table" else ("npz", "zip")
    path = folder / f"{name}.{rng.choice(endings)}"
    content, what = mutated(rng, path.read_bytes(), path.suffix)
    path.write_bytes(content)
    if rng.random() < 0.6:
        words = ("score", "run", path.name, "--device", "cpu")
    else:
        method = "vae" if name == "pictures" else rng.choice(METHODS)
        words = ("train", method, "--data", path.name, *SMALL, "--rounds", "1", "--out", "new")
    return Case("rows", f"{path.name}: {what}", (Step(words, PATIENT),))


def given(rng: random.Random, corpus: Corpus, folder: Path) -> Case:
    """A picture that is given, or a mask, is damaged."""
    shutil.copytree(corpus.folder / "pictures", folder, dirs_exist_ok=True)
    path = folder / "picture.png"
    content, what = mutated(rng, path.read_bytes(), path.suffix)
    path.write_bytes(content)
    more = rng.choice(
        (("--mask", "left"), ("--mask", "picture.png"), ("--latent-traversal", "3"), ())
    )
    words = (
        "sample",
        "run",
        "-n",
        "2",
        "--output",
        "out.png",
        "--condition-on",
        "picture.png",
        *more,
    )
    return Case("given", what, (Step((*words, "--device", "cpu")),))


def configuration(rng: random.Random, corpus: Corpus, folder: Path) -> Case:
    """A configuration file is damaged, then trained or printed."""
    name = rng.choice(list(RUNS))
    shutil.copytree(corpus.folder / name, folder, dirs_exist_ok=True)
    content, what = mutated(rng, (folder / "run/config.json").read_bytes(), ".json")
    (folder / "config.json").write_bytes(content)
    end = ("--print-config",) if rng.random() < 0.5 else ("--out", "new")
    return Case("configuration", what, (Step(("train", "--config", "config.json", *end), PATIENT),))


def options(rng: random.Random, corpus: Corpus, folder: Path) -> Case:
    """An option of a command has a hostile value, or is of no command."""
    shutil.copytree(corpus.folder / "table", folder, dirs_exist_ok=True)
    draw = rng.random()
    if draw < 0.6:
        method = rng.choice(METHODS)
        words = ["train", method, "--data", "table.csv", *SMALL, "--out", "new"]
        if rng.random() < 0.5:
            words.append("--print-config")
        config = json.loads((corpus.folder / "table" / "run" / "config.json").read_text())["config"]
        names = [*_option_names(config), "data", "seed", "rounds", "device", "out", "save-every"]
    else:
        deed = rng.choice(("score", "sample", "refine", "evaluate", "report", "again"))
        words = list(deed_words(deed, "table"))
        names = ["n", "seed", "device", "output", "steps", "step-size", "inverse-temperature"]
        names += [
            "samples",
            "require",
            "manifold",
            "traverse",
            "given",
            "rounds",
            "refine",
            "decay",
        ]
    name = rng.choice(names)
    value = hostile(rng)
    text = value if isinstance(value, str) else json.dumps(value)
    text = text.replace("\x00", "\\0")  # no argument of a process holds one
    if CODE_BY_NAME.search(text):
        text = "1e30"  # what a user names, a user may run
    text = text[:20_000]
    place = rng.randrange(1, len(words) + 1)
    if rng.random() < 0.8:
        words += [f"--{name}", text]
    elif place < len(words):
        words[place] = text
    return Case("options", f"--{name} {text[:60]!r}", (Step(tuple(words), PATIENT),))


def _option_names(config: dict, prefix: str = "") -> list[str]:
    names: list[str] = []
    for key, value in config.items():
        name = f"{prefix}{key.replace('_', '-')}"
        if isinstance(value, dict):
            inner = "" if key in ("training", "source") else f"{name}."
            names += _option_names(value, inner)
        else:
            names.append(name)
    return names


def space(rng: random.Random, corpus: Corpus, folder: Path) -> Case:
    """The space of a sweep is damaged."""
    shutil.copytree(corpus.folder / "files", folder, dirs_exist_ok=True)
    content, what = mutated(rng, (folder / "space.json").read_bytes(), ".json")
    (folder / "space.json").write_bytes(content)
    return Case("space", what, (Step(DEEDS["sweep"], PATIENT),))


def journal(rng: random.Random, corpus: Corpus, folder: Path) -> Case:
    """A file of a sweep's folder is damaged, and the sweep goes on."""
    shutil.copytree(corpus.folder / "sweep", folder, dirs_exist_ok=True)
    files = sorted(path for path in (folder / "sweep").rglob("*") if path.is_file())
    files += [folder / "sweep" / "journal.log"] * len(files)
    path = rng.choice(files)
    content, what = mutated(rng, path.read_bytes(), path.suffix)
    path.write_bytes(content)
    what = f"{path.relative_to(folder)}: {what}"
    return Case(
        "journal", what, (Step(DEEDS["sweep"], PATIENT),), "sweep", corpus.expected["sweep sweep"]
    )


def killed(rng: random.Random, corpus: Corpus, folder: Path) -> Case:
    """A resumed run is stopped, continued, asked to end or killed, then resumed again."""
    name = rng.choice(list(RUNS))
    shutil.copytree(corpus.folder / name, folder, dirs_exist_ok=True)
    words = deed_words("resume", name)
    steps, told = [], []
    for _ in range(rng.choice((1, 1, 2, 3))):
        when = rng.uniform(0.02, 0.9)
        how = rng.choice(("KILL", "KILL", "TERM", "INT", "STOP"))
        signals: tuple[tuple[float, int], ...] = ((when, getattr(signal, f"SIG{how}")),)
        if how == "STOP":
            signals += ((when + rng.uniform(0, 0.3), signal.SIGCONT),)
        steps.append(Step(words, Limits(signals=signals)))
        told.append(f"{how} after {when:.2f} s")
    expected = corpus.expected[f"{name} resume"]
    what = f"{name}: {', '.join(told)}"
    return Case("killed", what, (*steps, Step(words)), "resume", expected, must_end=True)


def disk(rng: random.Random, corpus: Corpus, folder: Path) -> Case:
    """No file can grow beyond some bytes, as on a full disk; then there is space again."""
    name = rng.choice(list(RUNS))
    shutil.copytree(corpus.folder / name, folder, dirs_exist_ok=True)
    deed = rng.choice(("resume", "resume", "score", "sample", "report", "evaluate"))
    words, expected = deed_words(deed, name), corpus.expected[f"{name} {deed}"]
    size, small = rng.choice((0, 1, 100, 1000, 5000, 20_000, 100_000)), rng.random() < 0.6
    if small and _mounted_small(folder, size):
        more = ("mount", "-o", "remount,size=64m", str(folder))
        steps = (Step(words), Step(words, before=more))
        what = f"{name}: {deed} with {size} bytes left"
        return Case("disk", what, steps, deed, expected, must_end=True)
    steps = (Step(words, Limits(file_size=size)), Step(words))
    return Case("disk", f"{name}: {deed} within {size} bytes", steps, deed, expected, must_end=True)


def _mounted_small(folder: Path, left: int) -> bool:
    """Move what is in ``folder`` to a file system of its own with so many bytes left; False if forbidden."""
    if os.geteuid() != 0:
        return False
    files = [path for path in folder.rglob("*") if path.is_file()]
    pages = sum(-(-path.stat().st_size // 4096) + 1 for path in files) + 40
    kept = folder.with_name(f"{folder.name}-kept")
    folder.rename(kept)
    folder.mkdir()
    size = f"size={4096 * pages + left}"
    mount = ("mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder))
    done = subprocess.run(mount, capture_output=True).returncode == 0
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    shutil.rmtree(kept)
    filler = os.statvfs(folder)
    spare = filler.f_bavail * filler.f_frsize - left
    if done and spare > 0:
        (folder / ".filler").write_bytes(bytes(spare))
    return done


def memory(rng: random.Random, corpus: Corpus, folder: Path) -> Case:
    """Little memory is left; then there is enough again."""
    name = rng.choice(list(RUNS))
    shutil.copytree(corpus.folder / name, folder, dirs_exist_ok=True)
    deed = rng.choice([deed for deed in READERS if possible(deed, name)])
    words, size = deed_words(deed, name), rng.choice((2, 8, 16, 32, 64, 128)) << 20
    steps = (Step(words, Limits(memory=size)), Step(words))
    expected = corpus.expected[f"{name} {deed}"]
    what = f"{name}: {deed} in {size >> 20} MiB"
    return Case("memory", what, steps, deed, expected, must_end=deed != "report")


def output(rng: random.Random, corpus: Corpus, folder: Path) -> Case:
    """Standard output is closed or full."""
    shutil.copytree(corpus.folder / "table", folder, dirs_exist_ok=True)
    words = rng.choice(
        (
            *(("list", what) for what in ("methods", "data", "recipes", "networks")),
            *(("--help",), ("--version",), ("train", "cd", "--help"), ("score", "--help"), ()),
            *(
                ("score", "run", "table.csv"),
                ("evaluate", "run", "--num-samples", "50"),
                ("train", "-h"),
            ),
            ("train", "cd", "--data", "table.csv", "--print-config"),
        )
    )
    how = rng.choice(("closed", "full"))
    return Case("output", f"{how}: {' '.join(words)}", (Step(words, Limits(output=how)),))


Draw = Callable[[random.Random, Corpus, Path], Case]
KINDS: dict[Draw, int] = {
    damaged_run: 30,
    strange_part: 14,
    rows: 22,
    given: 4,
    configuration: 14,
    options: 14,
    space: 6,
    journal: 6,
    killed: 4,
    disk: 4,
    memory: 3,
    output: 2,
}
"""Kinds of cases and how often each is drawn, relative to the others."""


def draw(rng: random.Random, corpus: Corpus, folder: Path) -> Case:
    """A random case, its files written into ``folder``."""
    (kind,) = rng.choices(list(KINDS), list(KINDS.values()))
    return kind(rng, corpus, folder)
