"""Where the files of data sets and pretrained networks are looked for."""

from __future__ import annotations

import os
from pathlib import Path


def roots(root: Path | None = None) -> list[Path]:
    """Folders in order: ``root``, $GIBBSIAN_DATA, the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gibbsian"
    named = os.environ.get("GIBBSIAN_DATA")
    return [
        *([] if root is None else [Path(root)]),
        *([Path(named)] if named else []),
        cache,
    ]


def find(file: str, what: str, root: Path | None = None) -> Path:
    """The first ``file`` under the roots; ValueError saying where ``what`` was looked for if none."""
    places = roots(root)
    for place in places:
        if (place / file).is_file():
            return place / file
    raise ValueError(
        f"{what} needs the file {file}, which is not under "
        f"{' or '.join(str(place) for place in places)}; put it there, or name its folder by "
        "--data-root or $GIBBSIAN_DATA"
    )
