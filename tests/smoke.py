"""What an installed package must do, and README's blocks: ``python smoke.py`` by its own Python.

Run from a folder that holds ``README.md`` and nothing of the package.
"""

from __future__ import annotations

import random
import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import gibbsian

QUICK = ["--rounds", "50"]
"""In place of README's minutes of training."""
SMALL = ["--max-rows", "200", "--batch", "32", "--chains", "16", "--device", "cpu"]


def gibbs(*words: str) -> str:
    """Standard output of the installed command."""
    command = [str(Path(sys.executable).with_name("gibbsian")), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def readme() -> None:
    """Run README's Python block, and the two commands on a table of one's own."""
    rng = random.Random(0)
    lines = [f"{rng.gauss(170, 9)},{rng.gauss(70, 12)},{rng.randrange(9)}" for _ in range(120)]
    Path("measurements.csv").write_text("\n".join(["height,weight,count", *lines]))
    text = Path("README.md").read_text(encoding="utf-8")
    for line in re.findall(r"^gibbsian .*measurements\.csv.*$", text, re.MULTILINE):
        _, *words = shlex.split(line, comments=True)
        gibbs(*words, *(QUICK if words[0] == "train" else []))
    for name in ("measurements-detected/rows.csv", "runs/table/model/model.safetensors"):
        assert Path(name).is_file(), name
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    exec(compile(blocks[0], "README.md", "exec"), {"__name__": "readme"})
    assert Path("moons-model/model.safetensors").is_file()


def main() -> None:
    assert Path(sys.prefix) in Path(gibbsian.__file__).parents, gibbsian.__file__
    assert gibbs("--version").split()[1] == gibbsian.__version__ == version("gibbsian")
    gibbs("train", "cd", "--data", "ring8", *SMALL, "--rounds", "20", "--out", "run")
    gibbs("train", "--resume", "run", "--rounds", "30")
    gibbs("sample", "run", "-n", "5", "--output", "samples.csv")
    assert len(Path("samples.csv").read_text().split()) in (5, 6)  # with a line of names
    gibbs("evaluate", "run")
    gibbs("report", "run", "--output", "report.html")
    assert Path("report.html").stat().st_size > 10_000
    assert gibbsian.load_model("run").sample(3).shape == (3, 2)
    assert (Path(gibbsian.__file__).parent / "py.typed").exists()
    readme()
    print("the installed package trains, resumes, samples, evaluates and reports, as README says")


if __name__ == "__main__":
    main()
