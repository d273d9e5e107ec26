"""The runs of a comparison, a row and a seed each, and who works on which."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from gibbsian.core.locks import FileLock
from gibbsian.core.records import read_record, write_record
from gibbsian.experiments.compare.settings import (
    REFERENCES,
    ComparisonSettings,
    MethodVariant,
    joined,
    standing,
    write_settings,
)
from gibbsian.experiments.trials.database import InDatabase, Shared
from gibbsian.experiments.trials.journal import Claim, Journal, import_optuna
from gibbsian.experiments.trials.storage_url import StorageError, StorageURL
from gibbsian.experiments.trials.workers import Log, silent

if TYPE_CHECKING:
    import optuna

T = TypeVar("T")
Result = dict[str, Any]
MOST = 2**31 - 1
"""What a row's number and a seed may be in a database, where more of both may come later."""


@dataclass(frozen=True)
class Cell:
    """One run: a variant and a seed. Without a variant it is a reference."""

    label: str
    seed: int
    variant: MethodVariant | None

    def folder(self, out: Path) -> Path:
        """Where the run and its figures lie."""
        return out / self.label / f"seed-{self.seed}"

    def figures(self, out: Path) -> Path:
        """The file of what was found; it is there once the run is done."""
        return self.folder(out) / "figures.json"


def cells(settings: ComparisonSettings) -> list[Cell]:
    """Every run, references first and seed by seed, so that an early look compares all rows."""
    found = [Cell(label, seed, None) for label in REFERENCES for seed in settings.each_seed]
    return found + [
        Cell(variant.label, seed, variant)
        for seed in settings.each_seed
        for variant in settings.variants
    ]


@runtime_checkable
class Turns(Protocol):
    """Who works on which cell, and what all who work on a comparison agree on."""

    def next(self) -> Any:
        """Around the work on a cell that nobody works on; None when there are no more."""

    def finish(self, cell: Cell, result: Result) -> bool:
        """Keep a result; False if another machine has taken the cell over meanwhile."""

    def agreed(self, name: str, find: Callable[[], T]) -> T:
        """What ``name`` is for all: what the first found."""

    def left(self) -> int:
        """How many cells have no result."""


class InFolder:
    """Claims by locks of the folder ``out``, which die with their process."""

    def __init__(self, out: Path, settings: ComparisonSettings):
        self.out, self.cells = out, cells(settings)

    @contextmanager
    def next(self) -> Iterator[Cell | None]:
        """A cell without a result, locked while the block lasts."""
        for cell in self.cells:
            lock = FileLock(cell.folder(self.out) / "claim.lock")
            if cell.figures(self.out).exists() or not lock.acquire(wait=False):
                continue
            try:
                if not cell.figures(self.out).exists():  # finished before it could be locked
                    yield cell
                    return
            finally:
                lock.release()
        yield None

    def finish(self, cell: Cell, result: Result) -> bool:
        """Write the figures."""
        write_record(cell.figures(self.out), result)
        return True

    def agreed(self, name: str, find: Callable[[], T]) -> T:
        """What is found: the folder keeps it."""
        return find()

    def left(self) -> int:
        """How many cells have no figures."""
        return sum(not cell.figures(self.out).exists() for cell in self.cells)


class InStorage:
    """Claims through the database with the URL ``storage``, a trial for each cell, as sweeps have them."""

    def __init__(self, out: Path, settings: ComparisonSettings, storage: str, log: Log = silent):
        self.kept = database(out, settings, storage, log)
        self.journal = Journal(out, CellPlan(out, settings), self.kept)
        self.claims: dict[tuple[str, int], Claim] = {}

    @contextmanager
    def next(self) -> Iterator[Cell | None]:
        """A cell that nobody works on, first of those that a killed process left."""
        with self.journal.next() as claim:
            if claim is None:
                yield None
                return
            cell: Cell = claim.values["cell"]
            self.claims[cell.label, cell.seed] = claim
            yield cell

    def finish(self, cell: Cell, result: Result) -> bool:
        """Write the figures, and record them in the database."""
        return self.journal.finish(self.claims.pop((cell.label, cell.seed)), result)

    def agreed(self, name: str, find: Callable[[], T]) -> T:
        """What the database says, or what is found and then stands there."""
        return self.kept.agreed(name, find)

    def left(self) -> int:
        """How many cells have no result in the database, of those that this process knows."""
        rows = [row for row in self.journal.rows() if row.values["cell"] is not None]
        return self.journal.plan.trials - sum(row.state != "running" for row in rows)


class CellPlan:
    """The ``Plan`` of a comparison: each cell is a trial, told by its row's number and its seed.

    Rows are only ever added behind those that are there, so that their numbers stay.
    """

    names = frozenset({"row", "seed"})
    maximise = False

    def __init__(self, out: Path, settings: ComparisonSettings):
        self.out = out
        rows = [*REFERENCES, *(variant.label for variant in settings.variants)]
        self.points = [
            ({"row": rows.index(cell.label), "seed": cell.seed}, cell) for cell in cells(settings)
        ]
        self.trials = len(self.points)

    def next(self, begun: Sequence[dict[str, Any]], trials: int) -> dict[str, Any] | None:
        """The first cell that nobody began."""
        return next((point for point, _ in self.points if point not in begun), None)

    def has(self, values: dict[str, Any]) -> bool:
        """Whether the cell is one of those that this process knows; others may have added more."""
        return self._cell(values) is not None

    def check(self, values: dict[str, Any], origin: str, number: int) -> None:
        """ValueError for a trial that is no cell."""
        if not self.names >= values.keys():
            raise ValueError(f"{origin} is damaged: trial {number} is no run of a comparison")

    def decoded(self, values: dict[str, Any]) -> dict[str, Any]:
        """The cell, None for one that others have added."""
        return {"cell": self._cell(values)}

    def value(self, result: Result) -> float:
        """The seconds that the run took, which say least wrongly what one number cannot."""
        return float(result["seconds"])

    def file(self, number: int, values: dict[str, Any]) -> Path:
        """The cell's figures."""
        cell = self._cell(values)
        return self.out / "unknown" / f"{number}.json" if cell is None else cell.figures(self.out)

    def sampler(self, optuna: Any, begun: int) -> optuna.samplers.BaseSampler:
        """Never asked for anything: cells are fixed."""
        return optuna.samplers.RandomSampler(seed=begun)

    def distributions(self, optuna: Any) -> dict[str, optuna.distributions.BaseDistribution]:
        """Whole numbers."""
        return {name: optuna.distributions.IntDistribution(0, MOST) for name in self.names}

    def _cell(self, values: dict[str, Any]) -> Cell | None:
        return next((cell for point, cell in self.points if point == values), None)


def database(
    out: Path, settings: ComparisonSettings, storage: str, log: Log = silent
) -> InDatabase:
    """The database with the URL ``storage``, not yet connected to."""

    def merged(
        there: dict[str, Any], here: dict[str, Any], holder: str, other: str
    ) -> dict[str, Any]:
        stood = ComparisonSettings.from_json(there)
        return joined(stood, ComparisonSettings.from_json(here), holder, other).to_json()

    shared = Shared("comparison", "comparison.json", settings.to_json(), merged)
    return InDatabase(out, StorageURL(storage), shared, log)


def join(
    out: Path, settings: ComparisonSettings, storage: str, log: Log = silent
) -> ComparisonSettings:
    """Add ``settings`` to what is in the database, and write what then stands there into ``out``.

    Raises StorageError for a database that cannot be used or holds a comparison that would not be
    comparable, before anything is written.
    """
    kept, optuna = database(out, settings, storage, log), import_optuna()
    kept.reach(optuna)
    for variant in _read(kept, settings.trust_code).variants:
        settings.config(variant)  # a row that stood there may name code
    with kept.explained(), kept.lock.held():
        kept.open(optuna, "minimize", len(cells(settings)))
    return write_settings(out, _read(kept, settings.trust_code))


def collect(out: Path, storage: str, log: Log = silent) -> None:
    """Write the settings and every result of the database ``storage`` into ``out``, for its page."""
    optuna = import_optuna()

    def known(there: dict[str, Any], here: dict[str, Any], holder: str, other: str) -> Any:
        return there

    kept = InDatabase(
        out, StorageURL(storage), Shared("comparison", "comparison.json", {}, known), log
    )
    kept.reach(optuna)
    if not kept.settings:
        raise StorageError(
            f"storage {kept.name} holds no comparison to show; leave out --report-only to begin one"
        )
    settings = _read(kept)
    rows = InStorage(out, settings, storage, log).journal.rows()
    write_settings(out, settings)
    for row in rows:
        cell = row.values["cell"]
        if cell is not None and row.result is not None:
            path = cell.figures(out)
            if not path.is_file() or read_record(path) != row.result:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_record(path, row.result)


def unfinished(out: Path) -> int:
    """How many runs of the comparison in ``out`` have no result there."""
    return sum(not cell.figures(out).exists() for cell in cells(standing(out)))


def turns(
    out: Path, trust_code: bool, storage: str | None, log: Log
) -> tuple[ComparisonSettings, Turns]:
    """The settings of the comparison in ``out`` and who works on what of it."""
    settings = standing(out, trust_code)
    if storage is None:
        return settings, InFolder(out, settings)
    return settings, InStorage(out, settings, storage, log)


def _read(kept: InDatabase, trust_code: bool = False) -> ComparisonSettings:
    return ComparisonSettings.from_json(kept.settings, trust_code)
