"""The pages are complete: a reference of every public name, a true row per method, a link to every page."""

import importlib
import re
from pathlib import Path

import pytest

from gibbsian import data
from gibbsian.config import recipes
from gibbsian.core.measures import Undefined
from gibbsian.core.protocols import (
    HasClasses,
    HasEncoder,
    HasEnergy,
    HasLatentTarget,
    HasLogProb,
    HasLogWeights,
)
from gibbsian.methods import TRAINING_METHODS
from gibbsian.models.train import untrained

DOCS = Path(__file__).parents[1] / "docs"
PUBLIC = Path(__file__).parent / "public_names.txt"
TRIED_ON = {"bihm": "digits-4-binary", "super-resolution": "digits"}
"""What a method is made for where that is not ring8."""


def public_names():
    """``module.name`` of every public name."""
    for line in PUBLIC.read_text().splitlines():
        module, _, names = line.partition(":")
        yield from (f"{module}.{name}" for name in names.split() if not name.startswith("_"))


def package_of(path):
    """The innermost package of ``tests/public_names.txt`` that the dotted ``path`` lies in."""
    packages = {line.partition(":")[0] for line in PUBLIC.read_text().splitlines()}
    parts = path.split(".")[:-1]
    heads = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next(head for head in heads if head in packages)


def found(path):
    """The object that ``a.b.c`` names: an attribute of the longest part that is a module."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def test_every_public_name_is_in_the_reference_once():
    """A name that a module of the package bears too, hmc say, is listed where it is defined."""
    entries = []
    for page in sorted((DOCS / "reference").glob("*.md")):
        entries += re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE)
    assert len(entries) == len(set(entries))
    listed = {(package_of(e), e.split(".")[-1]): found(e) for e in entries}
    for name in public_names():
        module, _, last = name.rpartition(".")
        package = module
        assert (package, last) in listed, f"{name} needs a line `::: {name}` in docs/reference"
        assert listed[package, last] is found(name), name


def test_reference_pages_hold_names_and_no_second_copy_of_docstrings():
    for page in (DOCS / "reference").glob("*.md"):
        if page.stem != "index":
            prose = [
                line for line in page.read_text().splitlines() if line[:1] not in ("", "#", ":")
            ]
            assert len(prose) <= 1, page.name


@pytest.mark.parametrize("name", sorted(TRAINING_METHODS))
def test_what_each_method_can_do_is_told_truly(name):
    set_name = TRIED_ON.get(name, "ring8")
    rows = data.load_dataset(set_name, max_rows=None if name in TRIED_ON else 200)
    _, method = untrained(recipes.default_config(name, set_name), rows)
    if isinstance(method, HasLogWeights):
        density = "from below"
    elif isinstance(method, HasLogProb):
        density = "exact"
    else:
        normalised = isinstance(method, HasEnergy) and not isinstance(method.measure, Undefined)
        density = "both sides" if normalised else "-"
    can = {True: "yes", False: "-"}
    protocols = (HasEncoder, HasLatentTarget, HasClasses)
    cells = [can[isinstance(method, HasEnergy)], density]
    cells += [can[isinstance(method, protocol)] for protocol in protocols]
    text = (DOCS / "which-method.md").read_text()
    rows_told = dict(re.findall(r"^\| `([\w-]+)` \| (.*) \|$", text, re.MULTILINE))
    assert rows_told[name].split(" | ") == cells


def test_the_start_page_leads_to_every_page():
    text = (DOCS / "index.md").read_text()
    targets = set(re.findall(r"\]\(([\w/.-]+\.md)\)", text))
    pages = {p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md")}
    apart = {p for p in pages if p.startswith(("results/", "reference/")) or p == "index.md"}
    assert pages - apart <= targets, "link them from docs/index.md"
    assert "reference/index.md" in targets and targets <= pages
