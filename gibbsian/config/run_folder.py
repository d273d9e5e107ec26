"""A run folder: where each thing lies, and the checks on opening one."""

from __future__ import annotations

import os
import platform
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from gibbsian import __version__
from gibbsian.config import recipes, run_lock as locks
from gibbsian.config.config import Config, from_json, to_json
from gibbsian.core import DataSpace
from gibbsian.core.files import CorruptFileError, read_json, write_atomic
from gibbsian.core.formats import FORMAT, check_folder, check_format
from gibbsian.core.records import unsealed, write_record
from gibbsian.core.recoveries import RECOVERIES
from gibbsian.core.text import one_line
from gibbsian.training import processes

IDENTITY = re.compile("[0-9a-f]{16}")
RESTORE = "restore it from a copy, or start a new run from it with `gibbsian train --config`"


@dataclass(frozen=True)
class Run:
    """Where a run keeps its files.

    ``config.json``, ``unreadable.txt``, ``metrics.jsonl``, ``recoveries.json``, ``model/``, ``state/``,
    ``samples/``, ``evaluation.json``.
    """

    path: Path

    @property
    def metrics(self) -> Path:
        """One JSON line per logged round."""
        return self.path / "metrics.jsonl"

    @property
    def recoveries(self) -> Path:
        """How often training went back, and why; not there where it never did."""
        return self.path / RECOVERIES

    @property
    def model(self) -> Path:
        """The saved model (``save_pretrained`` layout)."""
        return self.path / "model"

    @property
    def state(self) -> Path:
        """Checkpoints: what resuming needs."""
        return self.path / "state"

    @property
    def samples(self) -> Path:
        """Images and arrays drawn from the model."""
        return self.path / "samples"

    @property
    def evaluation(self) -> Path:
        """Figures of merit with their errors, as JSON."""
        return self.path / "evaluation.json"

    def config(self, trust_code: bool = False, given: Iterable[str] = ()) -> Config:
        """The resolved configuration the run was started with; the rest as for ``from_json``."""
        path = self.path / "config.json"
        return from_json(self._entries()["config"], str(path), trust_code, given)

    def identity(self) -> str:
        """The random id that every file of the run carries."""
        identity = self._entries().get("id")
        if not isinstance(identity, str) or not IDENTITY.fullmatch(identity):
            raise CorruptFileError(f"{self.path / 'config.json'} is damaged: it has no id")
        return identity

    def fingerprint(self) -> str | None:
        """That of the rows the run was trained on (``data.dataset.fingerprint``), if they were no file's."""
        found = self._entries().get("data")
        return found if isinstance(found, str) else None

    def defaults(self) -> dict[str, Any] | None:
        """What ``defaults_of`` said when the run began; None of a run that does not say."""
        found = self._entries().get("defaults")
        return found if isinstance(found, dict) else None

    def _entries(self) -> dict[str, Any]:
        entries = read_json(self.path / "config.json")
        check_format(entries, self.path)
        return unsealed(entries, self.path / "config.json", RESTORE)


def versions() -> dict[str, str]:
    """What the numbers of a run may depend on."""
    return {
        "gibbsian": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def machine() -> dict[str, str]:
    """What the speed of a run may depend on."""
    facts = {"system": platform.system(), "processor": platform.machine()}
    facts["processors"] = str(os.cpu_count())
    if torch.cuda.is_available():
        facts["accelerator"] = torch.cuda.get_device_name()
    return facts


def open_run(path: str | Path) -> Run:
    """The run at ``path``; ValueError naming what is missing if it is none."""
    check_folder(Path(path))
    return Run(Path(path))


def new_run(path: Path) -> Run:
    """A run yet to be written at ``path``; ValueError when something is there already.

    Of several processes that train one model the first one looks, and it alone makes the folder.
    """
    if processes.rank() == 0:
        check_free(path)
    return Run(path)


def check_free(path: Path) -> None:
    """ValueError unless a run can be begun at ``path``: nothing is there, or an empty folder."""
    check_unbegun(path)
    if path.exists() and (not path.is_dir() or any(map(_is_content, path.iterdir()))):
        raise ValueError(f"{path} exists and is not an empty folder; choose another --out")
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(
            f"{path} cannot be made: {there} is {'not writable' if there.is_dir() else 'a file'}; "
            "choose another --out"
        )


def check_unbegun(path: Path) -> None:
    """ValueError where a run stands at ``path``."""
    if (path / "config.json").exists():
        raise ValueError(
            f"{path} already holds a run; continue it with `gibbsian train --resume {path}` or "
            "choose another --out"
        )


def _is_content(path: Path) -> bool:
    """Whether ``path`` is more than what a process leaves that was killed before its run began."""
    return path.name not in locks.FILES and not (path.name[0] == "." and path.suffix == ".part")


def default_path(config: Config) -> Path:
    """``runs/METHOD-DATA-seedS``, with a number behind it when that is taken."""
    stem = Path(config.data).stem if "/" in config.data else config.data
    base = Path("runs") / f"{config.method.replace(':', '-')}-{stem}-seed{config.training.seed}"
    path, number = base, 1
    while path.exists():
        number += 1
        path = base.with_name(f"{base.name}-{number}")
    return path


def new_identity() -> str:
    """A random id, drawn from the system: no generator of the run is touched."""
    return secrets.token_hex(8)


@contextmanager
def claimed(run: Run | None) -> Iterator[None]:
    """Hold a new run's folder for writing; ValueError where another process has it or had it first."""
    if run is None or processes.rank() > 0:
        yield
        return
    with locks.writing(run.path):
        check_unbegun(run.path)  # what a tracker has put there since `new_run` is no run
        yield


def defaults_of(asked: Config, resolved: Config, space: DataSpace) -> dict[str, Any]:
    """The settings the method starts from on data of ``space``, those left alone as the data filled them in.

    ``asked``: the configuration before that; what differs from the result in ``resolved`` was chosen.
    """
    usual = to_json(recipes.default_config(asked.method, asked.data, space))
    return _filled_in(usual, to_json(asked), to_json(resolved))


def _filled_in(
    usual: Mapping[str, Any], asked: Mapping[str, Any], resolved: Mapping[str, Any]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in usual.items():
        if isinstance(value, dict) and isinstance(resolved.get(name), dict):
            inner = asked.get(name)
            found[name] = _filled_in(
                value, inner if isinstance(inner, dict) else {}, resolved[name]
            )
        else:
            found[name] = resolved.get(name) if asked.get(name) == value else value
    return found


def write_config(
    run: Run,
    config: Config,
    identity: str,
    fingerprint: str | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """Create the folder and write the resolved configuration.

    ``fingerprint``: of rows that are in no file. ``defaults``: what ``defaults_of`` says, if known.
    """
    entries = {
        "format": FORMAT,
        "id": identity,
        "versions": versions(),
        "machine": machine(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": to_json(config),
    }
    if defaults is not None:
        entries["defaults"] = defaults
    if fingerprint is not None:
        entries["data"] = fingerprint
    write_record(run.path / "config.json", entries)


def write_unreadable(run: Run, files: Mapping[str, str]) -> None:
    """Write ``unreadable.txt``, names of image files that were left out and why, if there are any."""
    lines = "".join(f"{one_line(f'{name} {why}')}\n" for name, why in files.items())
    if lines:
        write_atomic(run.path / "unreadable.txt", lines.encode("utf-8", "backslashreplace"))


def forget(run: Run, keep_folder: bool) -> None:
    """Remove what a run has written that failed before its first round was done."""
    shutil.rmtree(run.path, ignore_errors=True)
    if keep_folder:
        run.path.mkdir(exist_ok=True)
