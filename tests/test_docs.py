"""What a reader sees is true: pages run, commands parse, names exist, examples and doctests pass.

Every fenced ``python`` and ``bash`` block of the README and of docs/ is executed, in the order of its
page and in one folder. A block behind ``<!-- slow -->`` takes longer than a test may: its commands are
parsed, those that train down to the resolved configuration. A block behind ``<!-- file: NAME -->`` is
written to that file, for the blocks that follow.
"""

import dataclasses
import doctest
import importlib
import itertools
import pkgutil
import re
import runpy
import shlex
import shutil
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import jaxtyping
import numpy as np
import pytest
from PIL import Image

import gibbsian
from gibbsian import cli
from gibbsian.cli import (
    comparing as compare,
    detecting,
    model_commands as use,
    other_commands as other,
    partition_function,
    reporting,
    sweeping as search,
    training_commands as train_commands,
    upscale as picture,
    watching,
)
from gibbsian.cli.console import parse
from gibbsian.config.config import networks_of, to_json
from gibbsian.config.recipes import default_config
from gibbsian.core.signatures import options_of as signature
from gibbsian.methods import TRAINING_METHODS

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted(p for p in (ROOT / "docs").rglob("*.md") if "results" not in p.parts),
]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
RECORDS = {
    "sample": use.Sample,
    "score": use.Score,
    "detect": detecting.Detect,
    "evaluate": use.Evaluate,
    "report": reporting.Report,
    "watch": watching.Watch,
    "classifier": other.TrainClassifier,
    "demo": other.Demo,
    "sweep": search.Sweep,
    "compare": compare.Compare,
    "upscale": picture.Upscale,
    "log-z": partition_function.LogZ,
}
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    language: str
    text: str
    line: int
    slow: bool
    file: str | None


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    assert not re.search(r"^ +```", text, re.MULTILINE), "the site shows no block inside a list"
    found = []
    for match in FENCE.finditer(text):
        before = text[: match.start()].rstrip()
        slow = before.endswith("<!-- slow -->")
        file = re.search(r"<!-- file: ([\w.]+) -->$", before)
        line = text[: match.start()].count("\n") + 1
        found.append(Block(match[1], match[2], line, slow, file and file[1]))
    fences = len(re.findall(r"^```", text, re.MULTILINE))
    assert fences == 2 * len(found), f"{page.name}: a block does not say its language"
    return found


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module", autouse=True)
def _as_users_run_it():
    """Without run-time type checks, which the other tests have and which take half of the time."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run folder as pages take one for granted."""
    folder = tmp_path_factory.mktemp("docs") / "moons"
    options = {"rounds": 20, "batch": 64, "log_every": 10}
    source = {"max_rows": 2_000}
    gibbsian.train("cd", "moons", out=folder, training=options, source=source, chains=64)
    return folder


@pytest.fixture
def desk(tmp_path, monkeypatch, trained):
    """A folder with the files that pages speak of, to work in."""
    rng = np.random.default_rng(0)
    rows = [[*rng.normal(size=2), rng.integers(30)] for _ in range(60)]
    lines = ["height,weight,count", *(",".join(map(str, row)) for row in rows)]
    (tmp_path / "measurements.csv").write_text("\n".join(lines))
    (tmp_path / "new.csv").write_text("\n".join(lines[:10]))
    (tmp_path / "photos").mkdir()
    for number in range(4):
        picture = Image.fromarray(rng.integers(0, 256, (96, 96), dtype=np.uint8))
        picture.save(tmp_path / "photos" / f"{number}.png")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copytree(trained, tmp_path / "runs" / "moons")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # what a page saves, it imports
    registered, modules = dict(TRAINING_METHODS), set(sys.modules)
    yield tmp_path
    TRAINING_METHODS.clear()
    TRAINING_METHODS.update(registered)
    for name in set(sys.modules) - modules:
        if (tmp_path / f"{name}.py").is_file():
            del sys.modules[name]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages_run(page, desk, monkeypatch, capsys):
    if page in (ROOT / "README.md", ROOT / "docs" / "index.md"):
        shutil.rmtree(desk / "runs")  # these make their own
    names = {"__name__": "page"}
    for block in blocks(page):
        where = f"{name_of(page)}, line {block.line}"
        if block.file is not None:
            (desk / block.file).write_text(block.text)
        elif block.language == "python":
            assert not block.slow, where
            exec(compile(block.text, where, "exec"), names)
        elif block.language == "bash":
            for line in block.text.splitlines():
                follow(shlex.split(line, comments=True), block.slow, where, monkeypatch, capsys)


def follow(words, slow, where, monkeypatch, capsys):
    """Run one command of a page, or check it as far as can be without running it."""
    if not words:
        return
    if words[:1] == ["cd"] and words[2] == "&&":
        with monkeypatch.context() as there:
            there.chdir(words[1])
            follow(words[3:], slow, where, there, capsys)
        return
    program, *rest = words
    if program == "gibbsian":
        status = check(rest) if slow else cli.main(rest)
        told = capsys.readouterr()
        assert status == 0, f"{where}: {' '.join(words)}\n{told.err}"
    elif program == "python":
        assert (ROOT / rest[0]).resolve() in EXAMPLES, f"{where}: no example {rest[0]}"
    elif program == "make":
        targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert rest[0] in targets[1].split(), f"{where}: no target {rest[0]}"
        for word in rest[1:]:
            study = word.removeprefix("NAME=").replace("-", "_")
            assert (ROOT / "studies" / f"{study}.py").is_file(), f"{where}: no study {word}"
    elif program == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        named = re.findall(r"\[(.*)\]", " ".join(rest))
        for extra in itertools.chain.from_iterable(n.split(",") for n in named):
            assert extra in extras["optional-dependencies"], f"{where}: no extra {extra}"
    else:
        pytest.fail(f"{where}: the test does not know the command {program!r}")


def check(words):
    """Parse a command without doing what it says; the exit status."""
    command, *rest = words
    if command == "train":
        return cli.main([*words, *([] if "--print-config" in rest else ["--print-config"])])
    if command in RECORDS:
        parse(RECORDS[command], rest, command)
        return 0
    return cli.main(words)


def entries(settings, prefix=""):
    """Every entry of a configuration as JSON, as it is written on the command line."""
    for name, value in settings.items():
        yield prefix + name.replace("_", "-")
        if isinstance(value, dict):
            inner = "" if name in ("source", "training") else f"{name.replace('_', '-')}."
            yield from entries(value, inner)


def options_of(record, prefix=""):
    """Every option of a command's record, as it is written on the command line."""
    for field in dataclasses.fields(record):
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        name = prefix + field.name.replace("_", "-")
        yield name
        if dataclasses.is_dataclass(default):
            inner = "" if field.name in ("source", "training") else f"{name}."
            yield from options_of(type(default), inner)


def test_options_that_pages_name_exist():
    records = [train_commands.Continue, *RECORDS.values()]
    known = {"config", "out", "print-config", "help", "help-all", "version"}
    known |= set(itertools.chain.from_iterable(options_of(record) for record in records))
    for name in TRAINING_METHODS:
        known |= set(entries(to_json(default_config(name, "moons"))))
    declared = {
        role: networks_of(r) for c in TRAINING_METHODS.values() for role, r in c.roles.items()
    }
    for role, networks in declared.items():
        for builder in networks.values():
            known |= {f"{role}.{option}".replace("_", "-") for option in signature(builder)}
    known |= {"denoiser.width", "energy.count"}  # of what the tutorials write
    known |= {"stepped"}  # of examples/method_figures.py
    for page in PAGES:
        text = re.sub(r"torchrun[^`]*`", "", page.read_text())  # a command of another project
        for option in re.findall(r"(?<![\w-])--([a-z][\w.-]*)", text):
            stem = option.rstrip(".").removeprefix("no-")
            groups = {name.partition(".")[0] for name in known}
            assert stem in known | groups, f"{name_of(page)}: there is no option --{option}"


def test_names_and_files_that_pages_mention_exist():
    for page in PAGES:
        prose = FENCE.sub("", page.read_text())
        for quoted in re.findall(r"`([^`\n]+)`", prose):
            if re.fullmatch(r"gibbsian(\.\w+)+", quoted):
                assert resolves(quoted), f"{name_of(page)}: there is no {quoted}"
            elif re.fullmatch(r"(gibbsian|docs|examples|tests|studies)/[\w/.-]+", quoted):
                generated = quoted.startswith("docs/results/")
                assert generated or (ROOT / quoted).exists(), f"{name_of(page)}: no file {quoted}"


def resolves(dotted):
    """Whether ``a.b.c`` is a module or an attribute of one."""
    parts = dotted.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ImportError:
            continue
        for part in parts[cut:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_the_readme_is_read_in_a_few_minutes():
    assert len((ROOT / "README.md").read_text().split()) < 700


def test_links_of_the_readme_lead_somewhere():
    targets = re.findall(r"\]\(([^)\s]+)\)", (ROOT / "README.md").read_text())
    local = [target.partition("#")[0] for target in targets if "://" not in target]
    assert local and all((ROOT / target).is_file() for target in local), local


@pytest.mark.parametrize("method", sorted(TRAINING_METHODS))
def test_a_page_per_method_with_its_options_and_defaults(method):
    """The table of a method's page holds exactly the options of its class, and their defaults."""
    text = (ROOT / "docs" / "methods" / f"{method}.md").read_text()
    rows = dict(re.findall(r"^\| `([\w.]+)` \| `([^`]+)` \|", text, re.MULTILINE))
    defaults = {}
    for option, entry in signature(TRAINING_METHODS[method]).items():
        if dataclasses.is_dataclass(entry.default):
            inner = dataclasses.asdict(entry.default)
            defaults |= {f"{option}.{name}": str(value) for name, value in inner.items()}
        else:
            defaults[option] = str(entry.default)
    assert rows == defaults
    module = sys.modules[TRAINING_METHODS[method].__module__]
    for quoted in re.findall(rf"`({TRAINING_METHODS[method].__name__}\.\w+)`", text):
        assert hasattr(TRAINING_METHODS[method], quoted.partition(".")[2]), quoted
    assert f"`{module.__name__.replace('.', '/')}.py`" in text
    assert "**A round**" in text


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(example, tmp_path, monkeypatch, capsys):
    arguments = ["--quick"]
    if example.stem in ("landscape", "overview"):
        arguments += ["--output", str(tmp_path / "picture.png")]
    if example.stem == "release_models":
        arguments += ["wine-nce"]
    monkeypatch.setattr(sys, "argv", [str(example), *arguments])
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(example), run_name="__main__")
    assert capsys.readouterr().out
    if example.stem == "release_models":
        folder = tmp_path / "models" / "wine-nce"
        files = {path.name for path in folder.iterdir()}
        assert files == {"README.md", "config.json", "model.safetensors"}
        card = (folder / "README.md").read_text()
        assert "gibbsian train nce --data wine" in card and "| log Z" in card
    elif len(arguments) > 1:
        assert Image.open(tmp_path / "picture.png").width > 600


def test_a_game_is_drawn_in_steps(tmp_path, monkeypatch, capsys):
    example = ROOT / "examples" / "method_figures.py"
    arguments = ["gebm", "--stepped", "--quick", "--folder", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [str(example), *arguments])
    runpy.run_path(str(example), run_name="__main__")
    assert "gebm-steps.png" in capsys.readouterr().out
    width, height = Image.open(tmp_path / "gebm-steps.png").size
    assert width > 4 * height, "five panels in a row"


def test_doctests():
    attempted = 0
    for module in pkgutil.walk_packages(gibbsian.__path__, "gibbsian."):
        if module.name.endswith("__main__"):
            continue
        outcome = doctest.testmod(
            importlib.import_module(module.name), optionflags=doctest.ELLIPSIS
        )
        assert outcome.failed == 0, f"{module.name}: see the captured output"
        attempted += outcome.attempted
    assert attempted > 0
