"""Apply one fault at a time to a copy of the package and run the tests that should notice it.

    python -m faults [--only WORD] [--jobs 2] [--list]

Exit status 0 if every fault was noticed; 1 if one survived, could not be judged, or its text was
not found exactly once; 2 for unusable arguments.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import pkgutil
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["GIBBSIAN_TYPECHECK"] = "0"  # the tests must notice, not the type checker
os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # they take longer to import than a test to run

import pytest

import faults as package
from faults.fault import Fault

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("gibbsian", "tests", "studies", "pyproject.toml")
PRELOADED = (
    "numpy",
    "scipy.stats",
    "torch",
    "torch.func",
    "torch._inductor",
    "tqdm",
)  # the tests run in forks
PATIENCE = 120  # seconds after which a test run counts as hung
VERDICTS = {pytest.ExitCode.OK: "SURVIVED", pytest.ExitCode.TESTS_FAILED: "noticed"}


def all_faults() -> list[Fault]:
    """The ``FAULTS`` of every module of this package, in alphabetical order of the modules."""
    faults: list[Fault] = []
    for module in pkgutil.iter_modules(package.__path__):
        if module.name not in ("__main__", "fault", "tokens"):
            faults.extend(importlib.import_module(f"faults.{module.name}").FAULTS)
    return faults


def run_tests(folder: Path, tests: Sequence[str], log: Path) -> int:
    """pytest's exit code for ``tests`` in ``folder``, its output going to ``log``."""
    os.chdir(folder)
    sys.path[:] = [str(folder)] + [p for p in sys.path if p not in ("", str(ROOT))]
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    signal.alarm(PATIENCE)
    return int(pytest.main(["-x", "-q", "--no-header", "-p", "no:cacheprovider", *tests]))


def judge(folder: Path, tests: Sequence[str]) -> str:
    """Run ``tests`` in ``folder``, in a fork of this process: the verdict in words."""
    log = folder / "log"
    child = os.fork()
    if child == 0:
        code = 70
        try:
            code = run_tests(folder, tests, log)
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return f"NOT JUDGED: ended by signal {os.WTERMSIG(status)} (hung or crashed)"
    code = os.WEXITSTATUS(status)
    tail = "\n".join(log.read_text().splitlines()[-15:])
    return VERDICTS.get(code, f"NOT JUDGED: pytest ended with {code}\n{tail}")


def judge_fault(fault: Fault, healthy: Path) -> str:
    """Apply ``fault`` to a copy of the folder ``healthy`` and judge it there."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = Path(name) / "copy"
        shutil.copytree(healthy, folder)
        path = folder / fault.file
        text = path.read_text() if path.is_file() else ""
        found = text.count(fault.old)
        if found != 1:
            return f"NOT APPLIED: the text occurs {found} times"
        path.write_text(text.replace(fault.old, fault.new))
        return judge(folder, fault.tests)


def copy_sources(folder: Path) -> None:
    """What the tests need; where nothing is changed, compiled files stay good."""
    for part in COPIED:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part)
        elif (ROOT / part).exists():
            shutil.copy2(ROOT / part, folder / part)


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge every fault; print what was not noticed and a last line of counts."""
    for name in PRELOADED:
        importlib.import_module(name)
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="faults whose file or text contains this word")
    parser.add_argument("--jobs", type=int, default=2, help="test runs at a time")
    parser.add_argument("--list", action="store_true", help="print the faults and stop")
    options = parser.parse_args(arguments)
    faults = [fault for fault in all_faults() if options.only in str(fault)]
    if not faults:
        parser.error(f"no fault contains {options.only!r}")
    if options.list:
        print(*faults, sep="\n")
        return 0
    start = time.monotonic()
    tests = sorted({test for fault in faults for test in fault.tests})
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        healthy = Path(name)
        copy_sources(healthy)
        verdict = judge(healthy, tests)
        if verdict != "SURVIVED":
            print(f"the tests fail without any fault: {verdict}")
            return 1
        print(f"{len(tests)} tests or files pass without a fault", flush=True)
        unnoticed = 0
        with multiprocessing.get_context("fork").Pool(options.jobs) as pool:
            verdicts = [pool.apply_async(judge_fault, (fault, healthy)) for fault in faults]
            for fault, result in zip(faults, verdicts, strict=True):
                if result.get() != "noticed":
                    unnoticed += 1
                    print(f"{result.get()}\n  {fault}\n  {' '.join(fault.tests)}", flush=True)
                elif sys.stdout.isatty():
                    print(f"noticed  {fault}", flush=True)
    seconds = time.monotonic() - start
    print(f"{len(faults) - unnoticed} of {len(faults)} faults noticed in {seconds:.0f} s")
    return int(unnoticed > 0)


if __name__ == "__main__":
    sys.exit(main())
