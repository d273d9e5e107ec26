"""What an installed package must do, run by its own Python from an empty folder: ``python smoke.py``."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import gibbsian

SMALL = ["--max-rows", "200", "--batch", "32", "--chains", "16", "--device", "cpu"]


def gibbs(*words: str) -> str:
    """Standard output of the installed command."""
    command = [str(Path(sys.executable).with_name("gibbsian")), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


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
    print("the installed package trains, resumes, samples, evaluates and reports")


if __name__ == "__main__":
    main()
