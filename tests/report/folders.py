"""Run folders written by hand: every number on the page is known, and nothing is trained."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from gibbsian.config import recipes
from gibbsian.config.config import replace, to_json
from gibbsian.core.formats import FORMAT
from gibbsian.core.records import line, write_record

EXACT = {"value": -1.5, "stderr": 0.0, "standing": "exact"}
EVALUATION: dict[str, Any] = {
    "warnings": ["few <effective> samples"],
    "rows": {
        "log Z (scaled units, nats)": "log Z in [1.25 ± 0.02 (bound in expectation), 1.5 (estimate)]",
        "KL(data || model) (nats)": "0.3352 (exact)",
    },
    "values": {
        "log-z": {
            "lower": {"value": 1.25, "stderr": 0.02, "standing": "bound in expectation"},
            "upper": {"value": 1.5, "stderr": None, "standing": "estimate"},
        },
        "log-likelihood": {"lower": EXACT, "upper": EXACT},
        "entropy": {"value": None, "stderr": 0.1, "standing": "exact"},
    },
    "anomaly": {
        "columns": ["noise 0.1", "noise 1"],
        "rows": {
            "energy": ["0.541 ± 0.009", "0.844 ± 0.006"],
            "PCA": ["0.5 ± 0.009", "0.6 ± 0.009"],
        },
    },
    "samples": 500,
    "seed": 3,
}
CHAINS = {
    "kernel": "mala",
    "head": "50 chains, 100 steps, 4 draws kept of each, acceptance 0.55, 0 divergences",
    "verdict": "not converged: R-hat 2.489 of x[1] is above 1.01",
    "rows": [
        {"name": "x[1]", "mean": 0.5, "std": 1.25, "mcse": 0.1}
        | {"ess_bulk": 65.25, "ess_tail": None, "r_hat": 2.489}
    ],
    "trace": {
        "name": "x[1]",
        "steps": [25, 50, 75, 100],
        "values": [[0.0, -0.5, None, 0.75], [1.0, 1.0, 0.5, 0.25]],
    },
}

RUN = "0123456789abcdef"
"""The identity of every run here."""


def write_run(path: Path, data: str = "moons", evaluated: bool = True, arrays: bool = True) -> Path:
    """A run folder of contrastive divergence as training, evaluation and refinement leave it."""
    config = replace(recipes.default_config("cd", data), training={"rounds": 30, "seed": 7})
    (path / "samples").mkdir(parents=True)
    entries = {
        "format": FORMAT,
        "id": RUN,
        "versions": {"gibbsian": "0.1.0", "torch": "2.13.0"},
        "machine": {"system": "Linux", "processors": "2"},
        "started": "2026-01-02T03:04:05+00:00",
        "config": to_json(config),
    }
    write_record(path / "config.json", entries)
    rounds = [(10, 2.0, 0.5, 1.75), (20, 0.5, 0.75, 1.625), (30, math.nan, 1.0, 1.5)]
    rows = [
        {"round": r, "rounds_per_second": 20.0, "energy/loss": loss}
        | {"energy/log_z_lower": low, "energy/log_z_upper": high}
        for r, loss, low, high in rounds
    ]
    text = b"".join(line(row, RUN) for row in rows)
    (path / "metrics.jsonl").write_bytes(text + b'{"round": 40, "ener')  # still being written
    digest = ""
    if evaluated and arrays:
        np.savez(path / "evaluation.npz", **(_digits() if data == "digits" else _plane()))
        digest = hashlib.sha256((path / "evaluation.npz").read_bytes()).hexdigest()
    if evaluated:
        write_record(path / "evaluation.json", EVALUATION | {"run": RUN, "arrays": digest})
        write_record(path / "samples" / "chains-mala.json", CHAINS | {"run": RUN})
    return path


def seal_again(path: Path) -> None:
    """Give a changed record the checksum of what it now says."""
    entries = json.loads(path.read_text())
    entries.pop("checksum", None)
    write_record(path, entries)


def _plane() -> dict[str, np.ndarray]:
    """Two points of data, three of the model; a density with its top, 0.5, in a corner."""
    hill = np.full((3, 3), 0.01)
    hill[2, 0] = 0.5
    return {
        "test": np.array([[1.0, 0.0], [3.0, 4.0]]),
        "samples": np.array([[0.0, 0.0], [3.0, 3.0], [6.0, 0.0]]),
        "energy/held-out data": np.array([1.0, 2.0, 4.0]),
        "energy/noise 1": np.array([5.0, 8.0, 9.0]),
        "landscape/model": np.log(hill),
        "landscape/truth": np.log(hill.T),
        "landscape/extent": np.array([-1.0, 1.0, -2.0, 2.0]),
        "manifold": np.arange(18.0).reshape(9, 2),
    }


def _digits() -> dict[str, np.ndarray]:
    """A white image of 4 x 4 among black ones."""
    test = np.zeros((4, 1, 4, 4))
    test[0] = 1.0
    return {"test": test, "samples": np.flip(test, 0), "manifold": np.zeros((4, 1, 4, 4))}
