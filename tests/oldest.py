"""Print the oldest versions that pyproject.toml admits, as requirements: ``python tests/oldest.py``.

The core's and the extras' that a user installs; what only tests, docs and benchmarks need is as usual.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

EXTRAS = ("flows", "parquet", "sweep", "track", "arviz", "hub", "transport", "remote")


def oldest(requirement: str) -> str:
    """``name==1.2`` of ``name>=1.2,<2``."""
    name, bound = requirement.split(",")[0].split(">=")
    return f"{name}=={bound}"


def main() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for requirement in [*project["dependencies"], *(r for e in EXTRAS for r in extras[e])]:
        print(oldest(requirement))


if __name__ == "__main__":
    main()
