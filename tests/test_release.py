"""A release is of one piece: one version, one list of requirements, commands that exist."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
import yaml

import gibbsian

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CONDA = {"torch": "pytorch", "matplotlib": "matplotlib-base", "msgspec": "msgspec-python"}
"""What conda-forge calls otherwise."""


def test_the_version_is_one():
    tool = PROJECT["tool"]["setuptools"]["dynamic"]
    assert tool["version"] == {"attr": "gibbsian.__version__"}
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    recipe = re.search(r'set version = "(.+?)"', (ROOT / "recipe" / "meta.yaml").read_text())
    assert gibbsian.__version__ == str(citation["version"]) == recipe[1]
    newest = re.search(r"^## \[(.+?)\](.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    made = newest[2].strip() == "- Unreleased"
    assert gibbsian.__version__ == newest[1] + (".dev0" if made else "")


def test_the_recipe_requires_what_the_package_requires():
    text = (ROOT / "recipe" / "meta.yaml").read_text()
    plain = re.sub(r"^{%.*%}$", "", text, flags=re.MULTILINE).replace("{{", "").replace("}}", "")
    recipe = yaml.safe_load(plain)
    wanted = {f"python {PROJECT['project']['requires-python']}"}
    for requirement in PROJECT["project"]["dependencies"]:
        name, bound = re.fullmatch(r"([\w-]+)(>=[\d.]+)", requirement).groups()
        wanted.add(f"{CONDA.get(name, name).lower()} {bound}")
    assert set(recipe["requirements"]["run"]) == wanted
    assert recipe["build"]["entry_points"] == [
        f"{name} = {target}" for name, target in PROJECT["project"]["scripts"].items()
    ]
    assert recipe["about"]["summary"] == PROJECT["project"]["description"]
    assert recipe["about"]["license"] == PROJECT["project"]["license"]


def test_the_long_description_leads_nowhere_into_the_tree():
    spec = importlib.util.spec_from_file_location("setup_file", ROOT / "setup.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    readme = (ROOT / "README.md").read_text()
    text = module.long_description(readme)
    assert not re.search(r"\]\((?!https?://)", text) and "<!--" not in text
    for heading in re.findall(r"^## .*$", readme, re.MULTILINE):
        assert heading in text.splitlines()
    assert text.count("```") == readme.count("```")
    assert text.count("|") == readme.count("|")


def commands(text):
    """The target of every ``make TARGET`` of a text, those of a matrix of jobs included."""
    jobs = re.search(r"^ +job: \[(.*)\]$", text, re.MULTILINE)
    words = re.findall(r"\"([a-z-]+)", jobs[1]) if jobs else []
    return words + re.findall(r"(?:^|`|run: )make ([a-z-]+)", text, re.MULTILINE)


@pytest.mark.parametrize("path", [*WORKFLOWS, ROOT / "CONTRIBUTING.md"], ids=lambda p: p.name)
def test_make_targets_that_are_named_exist(path):
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    named = commands(path.read_text())
    assert named and set(named) <= set(targets.split())


def test_the_workflows_run_what_a_change_must_pass():
    named = set(commands((ROOT / ".github" / "workflows" / "ci.yml").read_text()))
    parts = re.search(r"^for part in (.*); do$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert named >= {*parts[1].split(), "wheel", "test-oldest"}
    versions = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["project"]["classifiers"]))
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    assert jobs["test"]["strategy"]["matrix"]["python"] == versions


def test_hooks_and_forms_are_well_formed():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    programs = {hook["entry"].split()[0] for repo in hooks for hook in repo["hooks"]}
    assert programs == {".venv/bin/ruff", ".venv/bin/mypy"}
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text())
        if path.stem != "config":
            assert {"name", "description", "body"} <= set(form)
            assert all({"type", "attributes"} <= set(part) for part in form["body"])


def test_links_of_the_contribution_guide_lead_somewhere():
    targets = re.findall(r"\]\(([^)\s]+)\)", (ROOT / "CONTRIBUTING.md").read_text())
    assert targets and all((ROOT / target).is_file() for target in targets)


def test_what_the_source_distribution_is_told_to_hold_is_there():
    for line in (ROOT / "MANIFEST.in").read_text().splitlines():
        word, *names = line.split()
        if word in ("include", "graft"):
            assert all((ROOT / name).exists() for name in names), line
