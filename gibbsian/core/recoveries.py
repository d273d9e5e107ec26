"""The file in a run's folder that tells how often training went back, read by all who speak of it."""

from __future__ import annotations

import os
from pathlib import Path

from gibbsian.core.files import CorruptFileError
from gibbsian.core.records import read_record

RECOVERIES = "recoveries.json"
REMEDY = "take it away: nothing but its sentences is lost"


def read_recoveries(path: Path, run: str) -> tuple[str, ...]:
    """How the run with the identity ``run`` went back, a sentence for each time; none without a file.

    CorruptFileError for anything but what `gibbsian.training.health.write_recoveries` writes of it.
    """
    if not os.path.lexists(path):
        return ()
    if not path.is_file():  # reading a pipe would wait for a writer
        raise CorruptFileError(f"{path} is no file; {REMEDY}")
    found = read_record(path, REMEDY)
    if found.get("run") != run:
        raise CorruptFileError(f"{path} is of another run; {REMEDY}")
    entries = found.get("recoveries")
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise CorruptFileError(f"{path} is damaged: it holds no list of recoveries; {REMEDY}")
    said = [one.get("said") for one in entries]
    if not all(isinstance(one, str) for one in said):
        raise CorruptFileError(f"{path} is damaged: a recovery has no sentence; {REMEDY}")
    return tuple(said)
