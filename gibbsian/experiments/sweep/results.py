"""What a sweep found: every trial as JSON, the best and the failed ones as a page, histograms."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gibbsian.core.files import write_atomic, write_json
from gibbsian.experiments.sweep.objectives import SWEEP_OBJECTIVES
from gibbsian.experiments.sweep.search import SweepSettings
from gibbsian.experiments.trials.journal import Trial

BEST, FEW = 10, 6


def summarise_sweep(out: Path, settings: SweepSettings, storage: str | None = None) -> str:
    """Write ``summary.json``, ``summary.md`` and ``histograms.png`` into ``out``; the page's text.

    ``storage``: the URL of the database that has the trials, of all machines.
    """
    rows = settings.journal(out, storage).rows()
    entries = [
        {"number": r.number, "state": r.state, "values": r.values, **(r.result or {})} for r in rows
    ]
    write_json(out / "summary.json", {"settings": settings.to_json(), "trials": entries})
    text = page(rows, settings)
    write_atomic(out / "summary.md", text.encode())
    panels = groups(rows)
    if panels:
        from gibbsian.report.histograms import histograms  # matplotlib takes a second to import

        write_atomic(out / "histograms.png", histograms(settings.objective, panels))
    return text


def page(rows: Sequence[Trial], settings: SweepSettings) -> str:
    """Counts, the best trials with what varies between them, and why trials failed."""
    goal = "largest" if SWEEP_OBJECTIVES[settings.objective].maximise else "smallest"
    varied = [name for name, entry in settings.entries.items() if not fixed(entry)]
    done = sorted(
        finished(rows), key=value_of, reverse=SWEEP_OBJECTIVES[settings.objective].maximise
    )
    failed = [row for row in rows if row.state == "failed"]
    running = len(rows) - len(done) - len(failed)
    method, data = settings.config.method, settings.config.data
    lines = [
        f"# {method} on {data}: {settings.search} search",
        "",
        f"{len(done)} trials done, {len(failed)} failed, {running} running; {goal} "
        f"{settings.objective} first.",
        "",
        f"| trial | {' | '.join([settings.objective, *varied])} |",
        "|---" * (len(varied) + 2) + "|",
    ]
    for row in done[:BEST]:
        cells = [f"{value_of(row):.5g}", *(json.dumps(row.values[name]) for name in varied)]
        lines.append(f"| {row.number} | {' | '.join(cells)} |")
    if failed:
        lines += ["", "| failed trial | why |", "|---|---|"]
        lines += [f"| {row.number} | {(row.result or {}).get('failed', '')} |" for row in failed]
    return "\n".join(lines) + "\n"


def groups(rows: Sequence[Trial]) -> dict[str, dict[str, list[float]]]:
    """All values, then per option with two to six settings the values of each; empty before the first."""
    done = finished(rows)
    if not done:
        return {}
    panels = {"all trials": {"all": [value_of(row) for row in done]}}
    for name in done[0].values:
        found: dict[str, list[float]] = {}
        for row in done:
            found.setdefault(json.dumps(row.values[name]), []).append(value_of(row))
        if 1 < len(found) <= FEW:
            panels[name] = dict(sorted(found.items()))
    return panels


def finished(rows: Sequence[Trial]) -> list[Trial]:
    """The trials that have a value."""
    return [row for row in rows if row.state == "done" and row.result is not None]


def value_of(row: Trial) -> float:
    """The objective's value of a finished trial."""
    assert row.result is not None
    return float(row.result["value"])


def fixed(entry: Any) -> bool:
    """Whether an entry of a space leaves nothing to choose."""
    return isinstance(entry, list) and len(entry) == 1
