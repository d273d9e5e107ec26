"""What a run folder holds, read once and checked. Nothing is written there."""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gibbsian.core.formats import check_folder, check_format
from gibbsian.core.records import unsealed
from gibbsian.core.recoveries import RECOVERIES, read_recoveries
from gibbsian.report.metrics_log import read_metrics
from gibbsian.report.shapes import ANOMALY, CHAINS, DRAWN, EVALUATION, SIDES, STRANGEST, fits

Arrays = Mapping[str, NDArray]


@dataclass(frozen=True)
class Record:
    """The files of one run.

    ``config``: the resolved settings; ``facts``: what else ``config.json`` says (versions, machine,
    start); ``metrics``: one mapping per logged round, thinned
    where there are very many; ``evaluation`` and ``arrays``: what `gibbsian
    evaluate` left, None and empty before; ``chains``: what `gibbsian sample --refine` left, by kernel;
    ``defaults``: the settings the method starts from, where the run says so; ``recoveries``: how training
    went back, a sentence for each time.
    """

    path: Path
    config: Mapping[str, Any]
    facts: Mapping[str, Any]
    metrics: tuple[Mapping[str, float], ...]
    evaluation: Mapping[str, Any] | None
    arrays: Arrays
    chains: tuple[Mapping[str, Any], ...]
    defaults: Mapping[str, Any] | None = None
    recoveries: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the numbers of an evaluated row, () where they have none."""
        return tuple((self.evaluation or {}).get("columns", ()))

    @property
    def model_name(self) -> str:
        """The method and the data, as a title."""
        return f"{self.config['method']} on {self.config['data']}"


def read_record(path: Path) -> Record:
    """Read the run folder ``path``.

    Raises ValueError in a sentence that names the file when it is no run folder or a file is damaged.
    """
    check_folder(path)
    restore = "restore it from a copy"
    entries = _json(path / "config.json", restore)
    check_format(entries, path)
    entries = unsealed(entries, path / "config.json", restore)
    config = entries.get("config")
    if (
        not isinstance(config, dict)
        or not fits(config, {"method": str, "data": str})
        or not fits(config.get("training", {}), dict)
    ):
        raise ValueError(f"{path} was not written by gibbsian; give the folder of a run")
    facts = {name: value for name, value in entries.items() if name not in ("config", "defaults")}
    for name in ("versions", "machine"):
        if not fits(facts.get(name, {}), {str: str}):
            raise ValueError(
                f"{path / 'config.json'} is damaged: its {name} are not texts; restore it from a copy"
            )
    if not fits(entries.get("defaults"), (NoneType, dict)):
        raise ValueError(
            f"{path / 'config.json'} is damaged: its defaults are no settings; {restore}"
        )
    identity = str(facts.get("id", ""))
    again = f"`gibbsian evaluate {path}` writes it again"
    evaluation = path / "evaluation.json"
    arrays = path / "evaluation.npz"
    whole = _is_there(arrays, again)
    found = None
    if _is_there(evaluation, again):
        found = unsealed(_json(evaluation, again), evaluation, again)
        _check_evaluation(found, evaluation, again)
        _check_same_run(found, identity, evaluation, again)
        if found["arrays"] and not whole:
            raise ValueError(f"{arrays} is missing; {again}")
    elif whole:  # as an evaluation leaves it that is killed between the two
        warnings.warn(f"{evaluation} is missing beside {arrays.name}; {again}", stacklevel=2)
    return Record(
        path,
        config,
        facts,
        _metrics(path, identity),
        found,
        _arrays(arrays, found["arrays"], again) if found and whole else {},
        tuple(_chains(file, identity) for file in sorted((path / "samples").glob("chains-*.json"))),
        entries.get("defaults"),
        read_recoveries(path / RECOVERIES, identity),
    )


def _json(path: Path, remedy: str) -> dict[str, Any]:
    """The JSON object in ``path``."""
    try:
        value = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}); {remedy}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path} is damaged: it holds no JSON object; {remedy}")
    return value


def _is_there(path: Path, remedy: str) -> bool:
    """Whether there is a file; ValueError where something else has its name."""
    if path.is_file():
        return True
    if os.path.lexists(path):
        raise ValueError(f"{path} is no file; take it away: {remedy}")
    return False


def _metrics(run: Path, identity: str) -> tuple[Mapping[str, float], ...]:
    path = run / "metrics.jsonl"
    if _is_there(path, "the curves are lost without it, and nothing else"):
        if (run / "model").is_dir() and not _ends_with_a_line(path):
            warnings.warn(
                f"the last line of {path} is cut off, being written or damaged, and was left out",
                stacklevel=3,
            )
        rows = read_metrics(path, identity)
        if not rows:
            _warn_of_lost_curves(run, f"{path} holds no logged round")
        return rows
    _warn_of_lost_curves(run, f"{path} is missing")
    return ()


def _warn_of_lost_curves(run: Path, what: str) -> None:
    saved = {file.name.partition(".")[0] for file in (run / "state").glob("round-*")}
    # Where there is a model there were rounds, and the last one is always logged; a run that went
    # back to its start and stopped there has none.
    if (run / "model").is_dir() and saved != {"round-00000000"}:
        warnings.warn(f"{what}: the curves are lost, and nothing else", stacklevel=4)


def _ends_with_a_line(path: Path) -> bool:
    """Whether the last byte of a file is the end of a line, or there is none."""
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _check_evaluation(found: Mapping[str, Any], path: Path, remedy: str) -> None:
    """ValueError unless ``evaluation.json`` has the entries that a report shows."""
    whole = fits(found, EVALUATION)
    whole = whole and all(
        fits(found["values"][name], SIDES) for name in DRAWN & found["values"].keys()
    )
    anomaly = found.get("anomaly")
    whole = whole and fits(anomaly, ANOMALY) and fits(found.get("strangest"), STRANGEST)
    whole = whole and fits(found.get("columns", []), [str])
    if not whole or (
        anomaly
        and "undefined" not in anomaly
        and any(len(row) != len(anomaly["columns"]) for row in anomaly["rows"].values())
    ):
        raise ValueError(f"{path} is damaged: it lacks figures that every evaluation has; {remedy}")


def _check_same_run(found: Mapping[str, Any], identity: str, path: Path, remedy: str) -> None:
    """ValueError unless ``found`` was written of this run."""
    if found.get("run") != identity:
        raise ValueError(f"{path} is of another run; {remedy}")


def _arrays(path: Path, digest: str, remedy: str) -> Arrays:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise ValueError(f"{path} is damaged, or of another evaluation; {remedy}")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}); {remedy}") from error


def _chains(path: Path, identity: str) -> Mapping[str, Any]:
    remedy = "take it away, or refine again with `gibbsian sample --refine`"
    _is_there(path, remedy)
    entry = unsealed(_json(path, remedy), path, remedy)
    _check_same_run(entry, identity, path, remedy)
    if not fits(entry, CHAINS) or any(
        len(values) != len(entry["trace"]["steps"]) for values in entry["trace"]["values"]
    ):
        raise ValueError(f"{path} is damaged: it lacks what every record of chains has; {remedy}")
    return entry
