"""One-token faults, made by Cosmic Ray: ``python -m faults.tokens gibbsian/bounds/upper.py tests/bounds``.

Works on a copy of the tracked files, so that a fault never reaches the working tree. Prints the
changes that the tests did not notice; exit status 1 if there are any.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONFIG = """[cosmic-ray]
module-path = "{module}"
timeout = 300.0
excluded-modules = []
test-command = "{python} -m pytest -x -q -p no:cacheprovider {tests}"

[cosmic-ray.distributor]
name = "local"
"""


def copied(folder: Path) -> None:
    """Every tracked file, in ``folder``."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, names.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def main(arguments: list[str]) -> int:
    if len(arguments) < 2 or not (ROOT / arguments[0]).is_file():
        print(__doc__, file=sys.stderr)
        return 2
    module, *tests = arguments
    ray = [sys.executable, "-m", "cosmic_ray.cli"]
    environment = os.environ | {"GIBBSIAN_TYPECHECK": "0", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copied(folder)
        text = CONFIG.format(module=module, python=sys.executable, tests=" ".join(tests))
        (folder / "ray.toml").write_text(text)
        for command in ("init", "exec"):
            call = [*ray, command, "ray.toml", "ray.sqlite"]
            subprocess.run(call, cwd=folder, env=environment, check=True)
        report = ["cr-report", "--surviving-only", "--show-diff", "ray.sqlite"]
        report[0] = str(Path(sys.executable).with_name(report[0]))
        found = subprocess.run(report, cwd=folder, capture_output=True, text=True, check=True)
    print(found.stdout)
    return int("surviving mutants: 0" not in found.stdout)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
