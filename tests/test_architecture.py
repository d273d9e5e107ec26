"""The shape of the code: which way imports point, what is public, what is refused everywhere."""

from __future__ import annotations

import ast
import importlib
import itertools
import json
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import gibbsian
from gibbsian.methods import TRAINING_METHODS
from tests.report.folders import write_run

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gibbsian"
SOURCES = sorted(PACKAGE.rglob("*.py"))
LONGEST = 450
PUBLIC = ROOT / "tests" / "public_names.txt"

# Package -> packages it stands on; what those stand on is allowed too. A package is listed after the
# ones below it, so that every arrow points up this list.
ARROWS: dict[str, tuple[str, ...]] = {
    "core": (),
    "networks": ("core",),
    "samplers": ("core",),
    "data": ("core",),
    "report": ("core",),
    "bounds": ("core",),
    "methods": (
        "bounds",
        "samplers",
    ),  # and super_resolution, whose networks are its own: see below
    "evaluation": ("bounds", "samplers", "data", "networks"),
    "training": ("core",),
    "config": ("methods", "networks", "training", "data"),
    "models": ("config", "evaluation"),
    "experiments": ("models", "report"),
    "integrations": ("models",),
    "cli": ("experiments", "integrations", "report"),
    "__main__": ("cli",),
    "__init__": ("models",),
}

OWN_NETWORKS = {"super_resolution"}
"""Methods in a folder of their own that declare what builds their networks."""

# Optional extras and development tools: no module of the package may need them to be imported.
EXTRAS = {
    "zuko",
    "ot",
    "optuna",
    "psycopg",
    "sqlalchemy",
    "pyarrow",
    "fsspec",
    "aiohttp",
    "arviz",
    "tensorboard",
    "huggingface_hub",
    "pandas",
    "jaxtyping",
    "beartype",
    "pytest",
    "hypothesis",
}
# Dependencies that cost a second or draw windows: `import gibbsian` alone leaves them alone.
HEAVY = EXTRAS | {"matplotlib", "sklearn", "scipy", "tyro", "PIL", "polars", "torchvision"}


def package_of(path: Path) -> str:
    """The first part of a module's path inside the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def allowed(name: str) -> set[str]:
    """The packages that ``name`` may import: itself and all that its arrows reach."""
    return {name}.union(*(allowed(below) for below in ARROWS[name]))


def imported_modules(tree: ast.AST) -> Iterator[str]:
    """Dotted names of everything imported anywhere in a file; ``from a import b`` gives a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_packages(path: Path) -> set[str]:
    names = [name.split(".") for name in imported_modules(ast.parse(path.read_text()))]
    return {parts[1] for parts in names if parts[0] == "gibbsian" and len(parts) > 1} & set(ARROWS)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows_point_one_way(path: Path) -> None:
    assert package_of(path) in ARROWS, (
        f"say in ARROWS what the new package {package_of(path)!r} stands on"
    )
    below = allowed(package_of(path)) | (
        {"networks"} if path.parent.name in OWN_NETWORKS else set()
    )
    backwards = imported_packages(path) - below
    assert not backwards, f"{package_of(path)} must not import {sorted(backwards)}"


def test_the_table_has_no_cycle_and_no_empty_packages() -> None:
    names = list(ARROWS)
    for name, below in ARROWS.items():
        assert all(names.index(b) < names.index(name) for b in below), name
    assert {package_of(path) for path in SOURCES} == set(ARROWS)


def test_what_the_table_must_never_be_made_to_say() -> None:
    assert allowed("core") == {"core"}
    assert not allowed("methods") & {"networks", "training", "data", "evaluation"}
    assert not allowed("evaluation") & {"methods", "training"}
    assert allowed("training") == {"training", "core"}, "it knows only Method"
    assert allowed("report") == {"report", "core"}, "it reads run folders only"


def test_estimators_and_metrics_are_given_functions_and_arrays() -> None:
    """Only feature extractors, which are networks trained on data, import these two packages."""
    for path in (PACKAGE / "evaluation").rglob("*.py"):
        if path.parent.name != "features":
            assert not imported_packages(path) & {"networks", "data"}, path.name


def test_fourteen_packages_and_no_loose_modules() -> None:
    assert len(set(ARROWS) - {"__main__", "__init__"}) <= 14
    loose = {path.stem for path in PACKAGE.glob("*.py")}
    assert loose == {"__init__", "__main__"}
    for name in set(ARROWS) - {"__main__", "__init__"}:
        text = ast.get_docstring(ast.parse((PACKAGE / name / "__init__.py").read_text())) or ""
        assert "import" in text.lower(), (
            f"{name}/__init__.py says what lives there and what it imports"
        )


# Names that two modules share, and why.
TWICE = {
    "config": "the package of configurations and its main module",
}


def test_no_module_or_package_has_another_s_name() -> None:
    names = [path.stem for path in SOURCES if path.stem not in ("__init__", "__main__")]
    names += [
        path.parent.name for path in SOURCES if path.stem == "__init__" and path.parent != PACKAGE
    ]
    assert {name for name in names if names.count(name) > 1} == set(TWICE)


def floors(name: str) -> int:
    """Packages in the longest chain of imports that starts at ``name``."""
    return 1 + max((floors(below) for below in ARROWS[name]), default=0)


def test_the_longest_chain_of_imports_is_short() -> None:
    """The command line imports everything that `gibbsian train cd` runs."""
    assert floors("__main__") <= 9


def test_no_chain_of_conditions_over_names_of_roles_or_methods() -> None:
    """A role says itself what builds it and what it sees; nothing compares a name with a known one."""
    names = {*TRAINING_METHODS, *(role for cls in TRAINING_METHODS.values() for role in cls.roles)}
    compared = re.compile(r"\b(?:role|method|player) (?:==|!=|in) [(\[{]?\"([\w-]+)\"")
    for path in SOURCES:
        found = {name for name in compared.findall(path.read_text()) if name in names}
        assert not found, f"{path.relative_to(PACKAGE)} asks for {sorted(found)}"


def public_names() -> dict[str, list[str]]:
    """``__all__`` (where there is one) of the package and of every package in it."""
    inner = pkgutil.walk_packages([str(PACKAGE)], "gibbsian.")
    modules = ["gibbsian", *sorted(m.name for m in inner if m.ispkg)]
    return {name: sorted(getattr(importlib.import_module(name), "__all__", [])) for name in modules}


def test_public_names_are_the_listed_ones() -> None:
    """To change them on purpose: ``python -m tests.test_architecture`` rewrites the list."""
    listed = dict(line.split(":") for line in PUBLIC.read_text().splitlines())
    assert public_names() == {name: names.split() for name, names in listed.items()}
    for name, names in public_names().items():
        module = importlib.import_module(name)
        assert all(hasattr(module, public) for public in names)


def fresh_python(code: str) -> dict[str, object]:
    """What ``code`` prints as JSON in an interpreter that has imported nothing."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return json.loads(done.stdout)


def test_import_is_light_and_has_no_side_effects() -> None:
    seen = fresh_python(
        "import json, os, sys, random, torch, numpy\n"
        "state = lambda: [torch.get_rng_state().tolist(), torch.get_num_threads(),"
        " str(torch.get_default_dtype()), numpy.random.get_state()[1].tolist(), dict(os.environ)]\n"
        "before, modules = state(), set(sys.modules)\n"
        "import gibbsian\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - modules}\n"
        "print(json.dumps({'modules': sorted(new), 'same': before == state()}))"
    )
    assert not HEAVY & set(seen["modules"])
    assert "torch._dynamo" not in seen["modules"]
    assert seen["same"]


def test_the_overview_needs_neither_torch_nor_matplotlib() -> None:
    code = (
        "import contextlib, io, json, sys\n"
        "from gibbsian.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()): status = main(['--help'])\n"
        "print(json.dumps({'modules': sorted(sys.modules), 'status': status}))"
    )
    seen = fresh_python(code)
    assert seen["status"] == 0
    assert not {"torch", "numpy", *HEAVY} & set(seen["modules"])


def test_the_collector_is_off_while_pytorch_is_imported_and_on_after_it() -> None:
    code = (
        "import contextlib, gc, io, json, sys\n"
        "from gibbsian.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()): status = main(['list', 'networks'])\n"
        "print(json.dumps({'on': gc.isenabled(), 'kept': gc.get_freeze_count(),\n"
        "    'torch': 'torch' in sys.modules, 'status': status}))"
    )
    seen = fresh_python(code)
    assert seen["status"] == 0 and seen["torch"] and seen["on"]
    assert seen["kept"] > 50_000  # PyTorch's objects: no full collection looks through them again


def test_reports_need_no_torch(tmp_path: Path) -> None:
    """It would be most of their time and memory."""
    run = write_run(tmp_path / "run")
    code = (
        "import json, sys\n"
        "from gibbsian.cli import main\n"
        f"status = main(['report', {str(run)!r}, '--output', {str(tmp_path / 'page.html')!r}])\n"
        "print(json.dumps({'modules': sorted(sys.modules), 'status': status}))"
    )
    seen = fresh_python(code)
    assert seen["status"] == 0 and (tmp_path / "page.html").is_file()
    assert not {"torch", "scipy", "sklearn"} & set(seen["modules"])


def test_no_module_needs_an_extra() -> None:
    names = [m.name for m in pkgutil.walk_packages(gibbsian.__path__, "gibbsian.")]
    names = [name for name in names if not name.endswith("__main__")]
    seen = fresh_python(
        "import sys, json, importlib\n"
        f"for name in {sorted(EXTRAS)!r}: sys.modules[name] = None  # importing it fails\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "print(json.dumps({}))"
    )
    assert seen == {}


PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
DRAWS = {"rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial", "poisson"}
DRAWS |= {"rand_like", "randn_like", "randint_like", "gumbel_softmax", "dropout"}
DRAWS_IN_PLACE = {"normal_", "uniform_", "bernoulli_", "exponential_", "random_", "cauchy_"}
DRAWS_IN_PLACE |= {"log_normal_", "geometric_"}
SEEDED = {"default_rng", "SeedSequence"}


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of an attribute chain; an empty head where it does not start at a name."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def swallows(node: ast.ExceptHandler) -> bool:
    """Whether it catches everything; cleaning up and raising again is not that."""
    caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    broad = {dotted(c) if c else "" for c in caught} & {"", "Exception", "BaseException"}
    last = node.body[-1]
    return bool(broad) and not (isinstance(last, ast.Raise) and last.exc is None)


def call_fault(node: ast.Call) -> str | None:
    name = dotted(node.func)
    last, head = name.rpartition(".")[2], name.partition(".")[0]
    keywords = {k.arg: k.value for k in node.keywords}
    pickles = keywords.get("allow_pickle")
    if name in ("torch.load", "torch.save"):
        return f"{name} is a pickle"
    if isinstance(pickles, ast.Constant) and pickles.value:
        return "allow_pickle=True"
    if name == "print":
        return "print"
    if name.startswith(("np.random.", "numpy.random.", "random.")) and last not in SEEDED:
        return f"{name} draws from a global generator"
    if head in ("torch", "F") and last in DRAWS and "generator" not in keywords:
        return f"{name} without generator="
    if last in DRAWS_IN_PLACE and ".init." not in f".{name}" and "generator" not in keywords:
        return f"{name} without generator="
    return None


def faults(source: str) -> Iterator[str]:
    """What is refused in library code, each with its line."""
    tree = ast.parse(source)
    for name in imported_modules(tree):
        if name.split(".")[0] in PICKLES:
            yield f"import of {name}, a pickle"
        # The type of a user's proposal is no draw.
        if name == "torch.distributions.Distribution":
            continue
        if name.split(".")[0] == "random" or name.startswith("torch.distributions."):
            yield f"import of {name}, which draws from the global generator"
    for node in ast.walk(tree):
        what = None
        if isinstance(node, ast.Lambda):
            what = "lambda"
        elif isinstance(node, ast.ExceptHandler) and swallows(node):
            what = "a broad except"
        elif isinstance(node, ast.Call):
            what = call_fault(node)
        if what:
            yield f"line {node.lineno}: {what}"


# Where what is refused elsewhere has its place: results on stdout; weights, which are drawn from the
# seeded global generator as everywhere in torch; functions that are never compiled.
TOLERATED = {
    "cli": ("print", "lambda"),
    "data": ("lambda",),
    "networks": ("without generator=",),
}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_library_code_refuses(path: Path) -> None:
    tolerated = TOLERATED.get(package_of(path), ())
    assert not [fault for fault in faults(path.read_text()) if not fault.endswith(tolerated)]


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import dump",
        "import torch\ntorch.load('x')",
        "np.load('x', allow_pickle=True)",
        "try:\n    f()\nexcept:\n    g()",
        "try:\n    f()\nexcept (ValueError, Exception):\n    g()",
        "print('x')",
        "f = lambda x: x",
        "torch.randn(3)",
        "x.normal_()",
        "np.random.rand(3)",
        "from torch.distributions import Normal",
        "import random",
    ],
)
def test_the_refusals_are_found(source: str) -> None:
    assert list(faults(source))


@pytest.mark.parametrize(
    "source",
    [
        "torch.randn(3, generator=rng)",
        "nn.init.normal_(weight)",
        "np.random.default_rng(seed)",
        "try:\n    f()\nexcept (ValueError, OSError):\n    g()",
        "np.load('x', allow_pickle=False)",
        "try:\n    f()\nexcept BaseException:\n    g()\n    raise",
    ],
)
def test_nothing_else_is(source: str) -> None:
    assert not list(faults(source))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_are_readable_in_one_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST


def test_no_addresses_of_package_indexes_and_no_machine_paths() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split("\0")
    # Spelled in halves, so that this file does not find itself.
    refused = ["pypi" + ".org", "pythonhosted" + ".org", "download.pytorch" + ".org"]
    refused += ["--index" + "-url", "--find" + "-links", "npmjs" + ".org", "/work" + "/"]
    for name in filter(None, tracked):
        path = ROOT / name
        if path.is_file() and path.suffix not in {".png", ".npz", ".npy", ".safetensors", ".gz"}:
            text = path.read_text(errors="ignore")
            assert not [word for word in refused if word in text], name


def test_every_dependency_is_pinned_and_says_why() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *itertools.chain.from_iterable(extras)]
    pins = (ROOT / "constraints.txt").read_text()
    reasons = (ROOT / "docs" / "dependencies.md").read_text()
    for name in (re.split("[<>=]", one)[0] for one in wanted):
        assert f"\n{name}==" in pins and f"| {name} |" in reasons, name
    assert "://" not in pins


if __name__ == "__main__":
    lines = (f"{module}: {' '.join(names)}".strip() for module, names in public_names().items())
    PUBLIC.write_text("\n".join(lines) + "\n")
