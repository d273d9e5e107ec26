"""What an evaluation found: quantities with errors and standing, or why there are none; saved, rendered."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from gibbsian.config.run_folder import Run
from gibbsian.core import Estimate, Interval, NotDefined
from gibbsian.core.files import write_atomic
from gibbsian.core.html_tables import html_table
from gibbsian.core.records import write_record
from gibbsian.evaluation.metrics.coverage import Coverage
from gibbsian.evaluation.metrics.out_of_distribution import AurocTable

Quantity = Interval | Estimate | Coverage | NotDefined

LABELS: Mapping[str, str] = {
    "log-z": "log Z (scaled units, nats)",
    "generator": "the same from below, by the generator",
    "learned": "the same as training learned it",
    "log-likelihood": "held-out log-likelihood (nats per row, data's units)",
    "between": "the same of p*, between p and q",
    "entropy": "the same of the true density",
    "kl": "KL(data || model) (nats)",
    "coverage": "mode coverage of samples",
    "error": "share of test rows whose class the energy gets wrong",
}
"""Name of a quantity -> what it is called in a table."""
AUROC = "AUROC between held-out and corrupted rows (0.5 guesses, 1 separates)"


@dataclass(frozen=True)
class StrangeRow:
    """A held-out row: its energy, the share (0-100) of held-out rows with no higher one, and reasons.

    ``row``: its number in the file, below the header from 1, where known.
    """

    energy: float
    percentile: float
    reasons: tuple[str, ...]
    row: int | None = None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What is known of a model.

    ``values``: the quantities that its method and data can have, by the names of ``LABELS``. ``anomaly``:
    AUROC of its energy and of plain baselines on corrupted rows. ``arrays``: points and energies that a
    report draws. ``samples`` and ``seed``: of what was drawn. ``recoveries``: how training left what is
    healthy and went back, a sentence for each time. ``strangest``: held-out rows of a table with reasons.
    ``columns``: names of the numbers of a row, () where they have none.
    """

    values: Mapping[str, Quantity]
    anomaly: AurocTable | NotDefined
    arrays: Mapping[str, Tensor]
    samples: int
    seed: int
    recoveries: tuple[str, ...] = ()
    strangest: tuple[StrangeRow, ...] = ()
    columns: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the intervals warn of, once each: that of log p is log Z's."""
        intervals = [value for value in self.values.values() if isinstance(value, Interval)]
        return tuple(dict.fromkeys(said for interval in intervals for said in interval.warnings))

    def require(self, names: Sequence[str]) -> None:
        """ValueError unless every quantity in ``names`` has a value."""
        for name in names:
            value = self.values.get(name, NotDefined("not for these data"))
            if isinstance(value, NotDefined):
                raise ValueError(f"{name} is {value}")

    def to_json(self) -> dict[str, Any]:
        """Entries that JSON can hold; ``rows`` and the cells of ``anomaly`` are for people to read."""
        return {
            "warnings": list(self.warnings),
            "recoveries": list(self.recoveries),
            "rows": {LABELS[name]: _in_a_line(value) for name, value in self.values.items()},
            "values": {name: as_json(value) for name, value in self.values.items()},
            "anomaly": as_json(self.anomaly),
            "strangest": [dataclasses.asdict(row) for row in self.strangest],
            "columns": list(self.columns),
            "samples": self.samples,
            "seed": self.seed,
        }

    def __str__(self) -> str:
        return render(self.to_json())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        found = self.to_json()
        warnings = [f"Warning: {said}" for said in told(found)]
        html = html_table("", ("quantity", "value"), found["rows"].items(), warnings)
        anomaly = found["anomaly"]
        if "undefined" in anomaly:
            return html
        rows = [(name, *cells) for name, cells in anomaly["rows"].items()]
        return html + html_table(AUROC, ("score", *anomaly["columns"]), rows)


def save(evaluation: Evaluation, run: Run, identity: str) -> None:
    """Write the arrays, then the figures with the arrays' digest: neither is taken for another's.

    ``identity``: of the run whose model was measured. Where ``run`` cannot be written, a warning says so.
    """
    buffer = io.BytesIO()
    columns: dict[str, Any] = {name: a.cpu().numpy() for name, a in evaluation.arrays.items()}
    np.savez_compressed(buffer, **columns)
    content = buffer.getvalue()
    arrays_are = hashlib.sha256(content).hexdigest()
    figures = {"run": identity, **evaluation.to_json(), "arrays": arrays_are}
    try:
        write_atomic(run.path / "evaluation.npz", content)
        write_record(run.evaluation, figures)
    except OSError as error:
        where = error.filename or run.path
        why = f"the figures could not be saved in {where}: {error.strerror or error}"
        warnings.warn(why, stacklevel=2)


def _in_a_line(value: Quantity) -> str:
    """Warnings stand below all lines."""
    return f"{value.name} {value.sides}" if isinstance(value, Interval) else str(value)


def as_json(value: Quantity | AurocTable) -> dict[str, Any]:
    """The numbers of a result; null stands for NaN and infinity, ``undefined`` for what does not exist."""
    if isinstance(value, NotDefined):
        return {"undefined": value.why}
    if isinstance(value, Interval):
        return {"lower": as_json(value.lower), "upper": as_json(value.upper)}
    if isinstance(value, Estimate):
        number, error = _finite(value.value), _finite(value.stderr)
        return {"value": number, "stderr": error, "standing": value.standing}
    if isinstance(value, AurocTable):
        return {
            "columns": list(next(iter(value.cells.values()))),
            "rows": {name: [str(a) for a in row.values()] for name, row in value.cells.items()},
            "values": {
                score: {name: [a.value, a.stderr] for name, a in row.items()}
                for score, row in value.cells.items()
            },
        }
    return {k: _finite(v) for k, v in vars(value).items() if isinstance(v, (int, float))}


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def render(figures: Mapping[str, Any]) -> str:
    """What ``to_json`` returned, as a table for a terminal."""
    width = max(len(name) for name in figures["rows"])
    lines = [f"{name:{width}s}  {text}" for name, text in figures["rows"].items()]
    anomaly = figures["anomaly"]
    if "undefined" not in anomaly:
        lines += ["", f"{AUROC}:"]
        cells = [["", *anomaly["columns"]]]
        cells += [[name, *row] for name, row in anomaly["rows"].items()]
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        lines += [
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
            for row in cells
        ]
    lines += [f"warning: {warning}" for warning in told(figures)]
    return "\n".join(lines)


def told(figures: Mapping[str, Any]) -> list[str]:
    """How training went back, and what the figures warn of."""
    return [*figures["recoveries"], *figures["warnings"]]
