"""What a run was told and where it ran."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gibbsian.report.blocks import Fold, Section, Table, TextBlock
from gibbsian.report.record import Record


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings of nested groups as (``group.name``, text)."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value)


def settings(record: Record) -> Section:
    """The settings that were chosen in the open, all of them folded away."""
    everything = dict(flat(record.config))
    table = Table("All settings, resolved", ("setting", "value"), tuple(everything.items()))
    fold = Fold(f"All {len(everything)} settings", (table,))
    if record.defaults is None:
        return Section("Configuration", (TextBlock("Every setting of the run, resolved."), fold))
    usual = dict(flat(record.defaults))
    chosen = tuple(
        (name, value, usual.get(name, "no default"))
        for name, value in everything.items()
        if value != usual.get(name)
    )
    if not chosen:
        return Section("Configuration", (TextBlock("Every setting is the method's default."), fold))
    caption = "Settings that are not the defaults of this method on these data"
    return Section(
        "Configuration", (Table(caption, ("setting", "this run", "default"), chosen), fold)
    )


def environment(record: Record) -> Section:
    """Versions, machine and time."""
    rows = [(f"version of {k}", v) for k, v in flat(record.facts.get("versions", {}))]
    rows += list(flat(record.facts.get("machine", {})))
    if "started" in record.facts:
        rows.append(("started", str(record.facts["started"])))
    if record.metrics and record.metrics[-1].get("rounds_per_second"):
        last = record.metrics[-1]
        rate = last["rounds_per_second"]
        rows.append(("speed when last logged", f"{rate:.3g} rounds per second"))
        rows.append(("training at that speed", f"{last['round'] / rate:.3g} seconds"))
    if record.evaluation is not None:
        drawn, seed = (record.evaluation.get(name, "unknown") for name in ("samples", "seed"))
        rows.append(("evaluated on", f"{drawn} samples, seed {seed}"))
    return Section("Environment", (Table("Where and when", ("what", "value"), tuple(rows)),))
