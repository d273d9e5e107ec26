"""``gibbsian detect``: the strange rows of a table with reasons, and no method to choose."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from gibbsian.cli.console import parse, say
from gibbsian.core.files import write_atomic
from gibbsian.core.text import printable
from gibbsian.data.addresses import fetched
from gibbsian.data.dialects import mark_of
from gibbsian.data.readers import is_table
from gibbsian.data.table_schema import Missing
from gibbsian.models.numeric_table import read_table
from gibbsian.models.reasons import NO_REASON
from gibbsian.models.saved_detectors import load_detectors, save_detectors
from gibbsian.models.strange_rows import Detected, fit_folds, judged, to_csv
from gibbsian.models.train import device_of
from gibbsian.report.blocks import Page, Section, TextBlock, strangest_table
from gibbsian.report.page_files import write_page

SHOWN, PRINTED = 30, 5


@dataclasses.dataclass(frozen=True)
class Detect:
    """Find the strange rows of a table, and why: `gibbsian detect measurements.csv` is all there is to say.

    A model of FILE's rows is trained three times, each time on two thirds of them, and each third is
    scored by the model that has not seen it. The folder of results holds rows.csv, the strangest row
    first (row: its number below the header, from 1; energy: high is strange; percentile: share of
    the rows that the models were trained on that are no stranger; reason_1 to reason_3; all columns of the
    file as they stood in it; contributions of the columns looked at), report.html, and the models, for
    --model.
    Dates, texts that differ from row to row and numbers of rows are left out of the search by
    themselves, which is printed. A text that a category of FILE never had makes a row of another table
    strange.
    A reason such as "magnesium 162 is unusual given the rest (-4.1 nats; 98 would fit)" says that the
    energy would fall by 4.1 nats if that one value were 98. Where no such change makes the row ordinary,
    values "would fit better". Columns that determine each other, as an amount and its tax, are also tried
    together.

    Args:
        file: the table: .csv, .parquet, .npy; columns of numbers or of categories, and others.
        score: another table with the same columns, whose rows are scored by the models of FILE, and no rows
            of FILE.
        model: the folder of results of another table, whose models score FILE's rows; nothing is trained.
        out: folder for the results; by default NAME-detected in this folder, where NAME.csv is scored.
        columns: the columns to look at, as "age,income"; by default all that can be.
        drop_columns: more columns to leave out of the search.
        missing_values: impute fills gaps by what the rest of the row says, and those of a category, for
            training, by a value of its own; refuse stops at the first.
        seed: of folds and training; the same seed gives the same results.
        device: where to compute.
    """

    file: Annotated[Positional[str], tyro.conf.arg(metavar="FILE")]
    score: Annotated[str | None, tyro.conf.arg(metavar="OTHER")] = None
    model: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    columns: str = ""
    drop_columns: str = ""
    missing_values: Literal["impute", "refuse"] = "impute"
    seed: int = 0
    device: str = "cpu"


def detect(arguments: list[str]) -> int:
    """Find the strange rows of a table: `detect measurements.csv`."""
    args = parse(Detect, arguments, "detect")
    with fetched(args.file) as file, fetched(args.score or args.file) as other:
        return _detect(args, file, other)


def _detect(args: Detect, file: Path, scored: Path) -> int:
    """``scored``: the file whose rows are scored, another one with ``--score``."""
    out = args.out if args.out is not None else Path(f"{_stem(scored)}-detected")
    if not out.parent.is_dir():
        raise ValueError(f"--out {out} cannot be written: {out.parent} is no folder")
    device_of(args.device)
    if args.model is None:
        missing: Missing = args.missing_values if is_table(file) else "refuse"
        table = read_table(file, args.columns, args.drop_columns, missing)
        other = None if args.score is None else table.like(scored)
        for note in table.notes:
            say(note)
        source = file
        _check_new(out)
        fitted = fit_folds(table, args.seed, args.device)
        for note in fitted.notes:
            say(note)
    else:
        _check_alone(args)
        fitted, name = load_detectors(args.model, args.device)
        source = Path(name)
        other = fitted.table.like(file)
        _check_new(out)
    for note in other.notes if other is not None else ():
        say(note)
    found = judged(fitted, other)
    notes = (*fitted.table.notes, *fitted.notes)
    out.mkdir()
    mark = mark_of(scored, found.cells.encoding)
    write_atomic(out / "rows.csv", mark + to_csv(found).encode())
    write_page(out / "report.html", page(found, source, scored, notes, other is None))
    if args.model is None:
        save_detectors(out, fitted, source.name)
    for place in range(min(PRINTED, len(found.rows))):
        reasons = "; ".join(found.reasons[place]) or NO_REASON
        figures = f"energy {found.energy[place]:.1f}, percentile {found.percentile[place]:.1f}"
        print(printable(f"row {found.rows[place]}, {figures}: {reasons}"))
    which = "" if other is None else f" of {scored.name}"
    say(
        f"{len(found.rows)} rows{which}, counted from 1 below a header, the strangest first in "
        f"{out / 'rows.csv'}; page: {out / 'report.html'}"
    )
    return 0


def _check_new(out: Path) -> None:
    """ValueError where results stand already; asked when all that was given could be read."""
    if out.exists():
        raise ValueError(f"{out} exists already; name another folder by --out, or remove it")


def _check_alone(args: Detect) -> None:
    """ValueError where options were given that the models of ``--model`` have settled."""
    default = Detect(args.file)
    for name in ("score", "columns", "drop_columns", "missing_values", "seed"):
        if getattr(args, name) != getattr(default, name):
            also = "; columns that they do not know are left out anyway" * (name == "drop_columns")
            raise ValueError(
                f"--{name.replace('_', '-')} was settled when the models of {args.model} were trained; leave "
                f"it out beside --model{also}"
            )


def page(found: Detected, file: Path, scored: Path, notes: tuple[str, ...], own: bool) -> Page:
    """The report: the strangest rows with their reasons, and how they were found."""
    shown = range(min(SHOWN, len(found.rows)))
    rows = (
        (
            (str(found.rows[i]), f"{found.energy[i]:.2f}", f"{found.percentile[i]:.1f}"),
            found.reasons[i],
        )
        for i in shown
    )
    head = ("row", "energy", "percentile")
    strangest = strangest_table("Rows by energy, the strangest first", head, rows)
    how = (
        f"Three detectors were trained, each on two thirds of the rows of {file.name}; "
        + (
            "each row is scored by the one that has not seen it."
            if own
            else f"the rows of {scored.name} are scored by the mean of the three."
        )
        + f" The percentile is the share of rows of {file.name}, each scored by a detector that has not seen "
        "it, with no higher energy. A reason says how many nats the energy would fall by if that column "
        "alone had the value that fits the rest of the row best (docs/detect.md says which are tried); "
        "columns that determine each other, as an amount and its tax, are also changed together. Where no "
        "change leaves the row less strange than 5 % of all, values only fit better. Where such falls "
        "explain less than half of the energy, columns in which the row is far out come first. A gap is "
        "scored as what fits the rest of its row, and is no reason."
    )
    blocks = (TextBlock(how), *(TextBlock(note) for note in notes))
    lead = (
        f"{len(found.rows)} rows of {scored.name}, counted from 1 below a header; the {len(shown)} "
        "strangest with reasons."
    )
    sections = (Section("Strangest rows", (strangest,)), Section("How they were found", blocks))
    return Page(f"Strange rows of {scored.name}", lead, sections)


def _stem(path: Path) -> str:
    name = path.name.partition(".")[0]
    return name if name not in ("", "-") else "table"
