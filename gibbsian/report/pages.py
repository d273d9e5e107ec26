"""The page about one run, or about several side by side."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gibbsian.report import drawn_curves, figures, logged_curves
from gibbsian.report.blocks import (
    Block,
    ImageStrip,
    Page,
    PageImage,
    Section,
    Table,
    TextBlock,
    strangest_table,
)
from gibbsian.report.record import Record
from gibbsian.report.settings_section import environment, settings
from gibbsian.report.verdict import verdict

LOG_Z = {"log-z": "log Z", "generator": "log Z from below, by the generator"}
DRAWN = 12
"""Runs that are drawn one by one on a page; of more, each is told how to get its own page."""
LIKELIHOOD = {"log-likelihood": "the model", "between": "p*", "entropy": "the true density"}
"""Keys of an evaluation's values that are drawn together, and what they are called there."""


Drawn = dict[str, tuple[object, tuple[Section, ...]]]
"""Sections whose images take long, with what they were drawn of."""


def run_report_page(records: Sequence[Record], drawn: Drawn | None = None) -> Page:
    """The page about these runs; a comparison comes first where there are several.

    ``drawn``: what an earlier page of the same run has left, which is kept up to date. Raises
    ValueError without runs, or if one is given twice.
    """
    if not records:
        raise ValueError("a report needs at least one run folder")
    folders = [record.path.resolve() for record in records]
    for folder, record in zip(folders, records, strict=True):
        if folders.count(folder) > 1:
            raise ValueError(f"{record.path} is given more than once; name each run once")
    if len(records) == 1:
        sections_of_run = tuple(run_sections(records[0], {} if drawn is None else drawn))
        title = _title(records[0], folders[0].name)
        return Page(title, _lead(records[0]), sections_of_run, tuple(verdict(records[0])))
    labels = short_names(folders)
    sections = [comparison(records, labels)]
    few = len(records) <= DRAWN
    for label, record in zip(labels, records, strict=True):
        inner = tuple(run_sections(record, {}) if few else _plain_sections(record))
        title = f"{label}: {record.model_name}"
        sections.append(Section(title, (*verdict(record), TextBlock(_lead(record))), inner))
    lead = f"{', '.join(labels[:-1])} and {labels[-1]}: side by side first, then one by one."
    return Page(f"{len(records)} runs", lead, tuple(sections))


def _title(record: Record, folder: str) -> str:
    """Method, data, and the name of the folder where it says more."""
    said = [str(record.config[name]) for name in ("method", "data")]
    known = {*said, "-".join(said), record.model_name}
    return record.model_name if folder in known else f"{record.model_name}: {folder}"


def short_names(folders: Sequence[Path]) -> list[str]:
    """As many trailing parts of different paths as tell them apart."""
    for depth in range(1, max(len(folder.parts) for folder in folders)):
        names = ["/".join(folder.parts[-depth:]) for folder in folders]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]


def _lead(record: Record) -> str:
    training = record.config.get("training", {})
    done = f"{_rounds(record)} of {training.get('rounds', 'an unknown number of')} rounds"
    state = "evaluated" if record.evaluation is not None else "not evaluated yet"
    return f"{record.model_name}, {done}, seed {training.get('seed', 'unknown')}; {state}."


def _rounds(record: Record) -> str:
    return f"{record.metrics[-1]['round']:.0f}" if record.metrics else "none logged"


def comparison(records: Sequence[Record], labels: Sequence[str]) -> Section:
    """Runs as columns, quantities as rows, and their log-likelihoods drawn on one scale."""
    rows: list[tuple[str, ...]] = [
        ("method", *(str(record.config["method"]) for record in records)),
        ("data", *(str(record.config["data"]) for record in records)),
        ("rounds", *(_rounds(record) for record in records)),
    ]
    found = [_quantities(record) for record in records]
    for name in dict.fromkeys(itertools.chain.from_iterable(f or () for f in found)):
        cells = ("not evaluated" if f is None else f.get(name, "not applicable") for f in found)
        rows.append((name, *cells))
    blocks: list[Block] = [
        Table("What was measured, with errors and standing", ("quantity", *labels), tuple(rows))
    ]
    if any(record.evaluation is None for record in records):
        waiting = [record.path for record in records if record.evaluation is None]
        command = "\n".join(f"gibbsian evaluate {shlex.quote(str(path))}" for path in waiting)
        blocks.append(TextBlock("Figures of the runs that are not evaluated come from:", command))
    first, *others = [(r.config["data"], r.config.get("source")) for r in records]
    if any(other != first for other in others):
        blocks.append(
            TextBlock(
                "These runs saw different data or splits: their likelihoods and errors do not compare.",
                warning=True,
            )
        )
    else:
        values = [
            (label, _value(record, "log-likelihood"))
            for label, record in zip(labels, records, strict=True)
        ]
        drawn = drawn_curves.interval_chart(
            "compared", "held-out log-likelihood, nats a row", values
        )
        if drawn is not None:
            blocks.append(ImageStrip((drawn,), "Lower to upper estimate, with 95 % intervals."))
    lines = logged_curves.compared(records, labels) if len(records) <= DRAWN else []
    if lines:
        blocks.append(ImageStrip((*lines,), "What training logged, a line per run."))
    blocks.append(
        TextBlock(
            "log Z is in each model's own scaled units and is no measure of how good a model is."
        )
    )
    return Section("Side by side", tuple(blocks))


def _quantities(record: Record) -> Mapping[str, str] | None:
    """What an evaluation found, as text; the energy's AUROCs among it."""
    if record.evaluation is None:
        return None
    found = {str(name): str(text) for name, text in record.evaluation["rows"].items()}
    anomaly = _anomaly(record)
    if anomaly and "energy" in anomaly["rows"]:
        names = [f"AUROC of the energy, {column}" for column in anomaly["columns"]]
        found |= dict(zip(names, map(str, anomaly["rows"]["energy"]), strict=False))
    return found


def _value(record: Record, name: str) -> Mapping[str, Any] | None:
    """A quantity's numbers; None where it is not defined."""
    found = None if record.evaluation is None else record.evaluation["values"].get(name)
    return None if found is None or "undefined" in found else found


def _anomaly(record: Record) -> Mapping[str, Any] | None:
    """The table of anomaly scores; None where the method has no energy."""
    found = None if record.evaluation is None else record.evaluation.get("anomaly")
    return None if found is None or "undefined" in found else found


def run_sections(record: Record, drawn: Drawn) -> Iterator[Section]:
    """What is known about one run, the results first; of ``drawn`` what has not changed."""
    yield from _once(drawn, _evaluated, record, record.evaluation)
    yield Section("Training", tuple(_training(record)))
    yield from _once(drawn, _chains_section, record, record.chains)
    yield settings(record)
    yield environment(record)


def _once(
    drawn: Drawn, draw: Callable[[Record], Iterator[Section]], record: Record, of: object
) -> tuple[Section, ...]:
    """The sections that ``draw`` makes of a record whose part ``of`` they show."""
    before = drawn.get(draw.__name__)
    if before is None or before[0] != of:
        drawn[draw.__name__] = (of, tuple(draw(record)))
    return drawn[draw.__name__][1]


def _evaluated(record: Record) -> Iterator[Section]:
    yield Section("Results", tuple(_results(record)))
    yield from _strangest(record)
    yield from _looks(record)


def _strangest(record: Record) -> Iterator[Section]:
    """The strangest held-out rows of a table, where the evaluation kept some."""
    found = (record.evaluation or {}).get("strangest")
    if found:
        head = ("row", "energy", "percentile")
        rows = [
            (
                (str(row.get("row") or "-"), _cell(row["energy"]), f"{row['percentile']:.1f}"),
                row["reasons"],
            )
            for row in found
        ]
        table = strangest_table("Held-out rows by energy, the strangest first", head, rows)
        how = (
            "A row has its number in the file, below the header from 1. "
            "The percentile is the share of held-out rows with no higher energy. A reason says how many "
            "nats the energy would fall by if that column alone had the value that fits the rest of the "
            "row best."
        )
        yield Section("Strangest rows", (table, TextBlock(how)))


def _chains_section(record: Record) -> Iterator[Section]:
    yield Section("Chains", tuple(_chains(record)))


def _plain_sections(record: Record) -> Iterator[Section]:
    """The same without images, of which hundreds take minutes."""
    blocks = list(_results(record, drawn=False))
    command = f"gibbsian report {shlex.quote(str(record.path))}"
    blocks.append(TextBlock("Curves, samples and energies of this run alone:", command))
    yield Section("Results", tuple(blocks))
    yield settings(record)
    yield environment(record)


def _results(record: Record, drawn: bool = True) -> Iterator[Block]:
    evaluation = record.evaluation
    if evaluation is None:
        path = shlex.quote(str(record.path))
        yield TextBlock(
            "This run was not evaluated. log Z, likelihoods, samples beside data and energies come from:",
            f"gibbsian evaluate {path}",
        )
        if record.config["method"] != "super-resolution":  # which enlarges what it is given
            sample = f"gibbsian sample {path} -n 64 --output samples.png"
            yield TextBlock("Samples alone, as an image, take seconds:", sample)
        return
    for warning in evaluation["warnings"]:
        yield TextBlock(f"Warning: {warning}", warning=True)
    rows = tuple((str(name), str(text)) for name, text in evaluation["rows"].items())
    yield Table("What was measured, with errors and standing", ("quantity", "value"), rows)
    if drawn and (pictures := tuple(_intervals(record))):
        caption = "Each bar goes from the lower to the upper estimate; whiskers are 95 % intervals."
        yield ImageStrip(pictures, caption)
    anomaly = _anomaly(record)
    if anomaly:
        columns = ("score", *(str(name) for name in anomaly["columns"]))
        cells = tuple((str(n), *map(str, row)) for n, row in anomaly["rows"].items())
        caption = "AUROC between held-out and corrupted rows: 0.5 guesses, 1 separates"
        yield Table(caption, columns, cells)


def _intervals(record: Record) -> Iterator[PageImage]:
    """log Z, and log-likelihoods, from both sides where they exist."""
    for name, title, keys in (
        ("log-z", "log Z, scaled units", LOG_Z),
        ("log-likelihood", "held-out log-likelihood, nats a row", LIKELIHOOD),
    ):
        rows = [(text, _value(record, key)) for key, text in keys.items()]
        picture = drawn_curves.interval_chart(name, title, rows)
        if picture is not None:
            yield picture


def _looks(record: Record) -> Iterator[Section]:
    """Samples, energies, landscape and latent plane, where the evaluation kept them."""
    for title, drawn, caption in (
        (
            "Samples beside data",
            figures.samples(record.arrays, record.columns),
            "Held-out data first, samples of the model second, on the same scale.",
        ),
        (
            "Energies",
            figures.energies(record.arrays),
            "How the energy tells held-out from corrupted data: further right is stranger. The outermost "
            "bars hold what lies beyond.",
        ),
        (
            "Energy landscape",
            figures.landscape(record.arrays, record.columns),
            "The model's density over the plane; before it the true one, where it is known.",
        ),
        (
            "Latent plane",
            figures.manifold(record.arrays, record.columns),
            "What the model makes of the latent plane at equal steps of probability.",
        ),
    ):
        if drawn:
            yield Section(title, (ImageStrip(tuple(drawn), caption),))


def _training(record: Record) -> Iterator[Block]:
    for recovery in record.recoveries:
        yield TextBlock(f"{recovery[0].upper()}{recovery[1:]}.", warning=True)
    told, bounds = logged_curves.losses(record), logged_curves.bounds(record)
    if not (told or bounds):
        resume = f"gibbsian train --resume {shlex.quote(str(record.path))}"
        yield TextBlock("No round was logged yet. This goes on with the run:", resume)
        return
    if len(record.metrics) == 1:
        yield logged_once(record.metrics[0])
        return
    caption = "What each player descended and logged; values of one kind share an axis."
    if told:
        yield ImageStrip((*told,), caption)
    if bounds:
        caption = "On batches and training weights: the way there, not the result."
        yield ImageStrip((*bounds,), f"Bounds and estimates over the rounds. {caption}")


def logged_once(metrics: Mapping[str, float]) -> Table:
    """What the only round that was logged says, of which curves would be points."""
    rows = tuple(
        (name.replace("/", ": "), drawn_curves.number(value))
        for name, value in metrics.items()
        if "/" in name
    )
    return Table(f"Logged once, in round {metrics['round']:g}", ("value", "number"), rows)


def _chains(record: Record) -> Iterator[Block]:
    if not record.chains:
        refine = "sample {} --refine hmc -n 64 --output refined.npz"
        yield TextBlock(
            "No chains were run on this model. Where its method declares a target, this keeps their "
            "diagnostics here:",
            f"gibbsian {refine.format(shlex.quote(str(record.path)))}",
        )
    for chains in record.chains:
        yield TextBlock(f"{chains['kernel']}: {chains['head']}.")
        yield TextBlock(f"{chains['verdict']}.", warning=chains["verdict"] != "converged")
        if chains["rows"]:
            names = ("coordinate", "mean", "std", "mcse", "ess_bulk", "ess_tail", "r_hat")
            rows = tuple(
                (str(row["name"]), *(_cell(row[n]) for n in names[1:])) for row in chains["rows"]
            )
            caption = f"Diagnostics of the least settled coordinates, {chains['kernel']}"
            yield Table(caption, names, rows)
        drawn = drawn_curves.traces(chains)
        if drawn is not None:
            yield ImageStrip((drawn,), "The least settled coordinate along the first chains.")


def _cell(value: float | None) -> str:
    return "not finite" if value is None else drawn_curves.number(value)
