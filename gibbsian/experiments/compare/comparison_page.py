"""A comparison as a page: protocol, ranked table with errors, differences, samples, what failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gibbsian.core import records
from gibbsian.core.files import write_json
from gibbsian.core.html_tables import html_table
from gibbsian.data.rows import counted
from gibbsian.experiments.compare.columns import COLUMNS
from gibbsian.experiments.compare.ranking import (
    Entry,
    Row,
    difference,
    half_width,
    ranked,
    ranks,
    row_of,
)
from gibbsian.experiments.compare.settings import FLOOR, REFERENCES, TRIVIAL, ComparisonSettings
from gibbsian.experiments.compare.shared_runs import cells
from gibbsian.report import ImageStrip, Page, PageImage, Section, Table, TextBlock, page_as_markdown
from gibbsian.report.blocks import Fold
from gibbsian.report.canvas import Figure
from gibbsian.report.drawn_curves import figure_image
from gibbsian.report.figures import samples
from gibbsian.report.page_files import write_page
from gibbsian.report.record import read_record

NO_NUMBER = "not defined"


@dataclass(frozen=True)
class ComparisonTable:
    """The ranking of a comparison: Markdown by ``str``, a table in a notebook."""

    page: Page

    def __str__(self) -> str:
        return page_as_markdown(self.page, "")[0]

    __repr__ = __str__

    def _repr_html_(self) -> str:
        blocks = self.page.sections[0].blocks
        table = next(block for block in blocks if isinstance(block, Table))
        texts = [block.text for block in blocks if isinstance(block, TextBlock)]
        return html_table(table.caption, table.columns, table.rows, [self.page.lead, *texts])


def summarise_comparison(out: Path, settings: ComparisonSettings) -> ComparisonTable:
    """Write ``comparison.html``, the same as ``.md``, and ``table.json``; return the ranking."""
    rows = rows_of(out, settings)
    page = page_of(rows, out, settings)
    for ending in ("html", "md"):
        write_page(out / f"comparison.{ending}", page)
    write_json(out / "table.json", {"settings": settings.to_json(), "rows": as_json(rows)})
    return ComparisonTable(replace(page, sections=page.sections[:1]))


def rows_of(out: Path, settings: ComparisonSettings) -> list[Row]:
    """References, then variants in order; of those that have a run, whatever is done so far."""
    runs: dict[str, list[dict[str, object]]] = {}
    for cell in cells(settings):
        if cell.figures(out).exists():
            runs.setdefault(cell.label, []).append(records.read_record(cell.figures(out)))
    return ranked([row_of(label, found, label in REFERENCES) for label, found in runs.items()])


def as_json(rows: Sequence[Row]) -> list[dict[str, object]]:
    """Every entry with its error and rank, or why there is none."""
    places = {name: ranks(rows, name) for name in COLUMNS}
    found = []
    for row in rows:
        entries = {
            name: {"value": e.value, "stderr": finite(e.stderr), "seeds": e.seeds}
            | ({"rank": places[name][row.label]} if row.label in places[name] else {})
            if e.defined
            else {"undefined": e.why}
            for name, e in row.entries.items()
        }
        plain = {"label": row.label, "rounds": row.rounds, "parameters": row.parameters}
        plain["cpu_seconds"] = finite(row.cpu_seconds)
        found.append({**plain, "failed": list(row.failed), "entries": entries})
    return found


def finite(number: float) -> float | None:
    """``number``, or None where JSON has no word for it."""
    return number if number == number and abs(number) != float("inf") else None


def page_of(rows: Sequence[Row], out: Path, settings: ComparisonSettings) -> Page:
    """The page about what is done so far."""
    shown = [name for name in COLUMNS if any(name in row.entries for row in rows)]
    done = sum(cell.figures(out).exists() for cell in cells(settings))
    lead = (
        f"{len(settings.variants)} methods, {counted(settings.seeds, 'seed')}, "
        f"{settings.budget:g} CPU seconds of one thread for each run; {done} of "
        f"{len(cells(settings))} runs are done."
    )
    sections = [
        Section("Ranking", (ranking(rows, shown, settings), *notes(rows, settings))),
        Section("Figures with errors", tuple(panels(rows, shown))),
        Section("Differences", tuple(differences(rows, shown))),
        Section("Samples", tuple(sheets(rows, out, settings))),
    ]
    failed = [row for row in rows if row.failed]
    if failed:
        cells_failed = tuple((row.label, why) for row in failed for why in row.failed)
        table = Table("Why runs have no figures", ("row", "why"), cells_failed)
        sections.append(Section("Runs that failed", (table,)))
    return Page(f"Methods compared on {settings.data}", lead, tuple(sections))


def ranking(rows: Sequence[Row], shown: Sequence[str], settings: ComparisonSettings) -> Table:
    """Every figure with its error and rank, rounds and sizes."""
    places = {name: ranks(rows, name) for name in shown}
    heads = [
        f"{COLUMNS[n].label}{f', {COLUMNS[n].unit}' if COLUMNS[n].unit else ''} "
        f"({'larger' if COLUMNS[n].better == 'high' else 'smaller'} is better)"
        for n in shown
    ]
    lines = []
    for row in rows:
        failed = f" ({len(row.failed)} of {settings.seeds} runs failed)" if row.failed else ""
        line = [row.label + failed]
        for name in shown:
            rank = places[name].get(row.label)
            line.append(
                format_value(row.entries.get(name, Entry())) + (f" [{rank}]" if rank else "")
            )
        costs = (str(row.rounds), f"{row.cpu_seconds:.0f}", str(row.parameters))
        lines.append((*line, *(("", "", "") if row.reference else costs)))
    caption = "Mean ± standard error over seeds; in brackets the rank"
    if settings.seeds == 1:
        caption = "Figures of one run each ± the standard error of its samples and test rows"
    return Table(
        caption, ("row", *heads, "rounds", "CPU s of training", "parameters"), tuple(lines)
    )


def format_value(entry: Entry) -> str:
    """A number with its error, or that there is none."""
    if not entry.defined:
        return NO_NUMBER
    error = f" ± {entry.stderr:.2g}" if finite(entry.stderr) else ""
    return f"{entry.value:.4g}{error}"


def notes(rows: Sequence[Row], settings: ComparisonSettings) -> Iterator[TextBlock | Fold]:
    """How to read the table."""
    yield TextBlock(
        "With one seed there are no ranks, and the errors know nothing of what another training would give: "
        "--num-seeds 3 adds two more runs of each row, and this one is kept. Rows are in order of the mean "
        "place in the figures of samples, which all methods have."
        if settings.seeds == 1
        else "A rank is one more than the number of methods that are clearly better: whose 95 % interval of "
        "the difference (Welch) leaves out 0. Methods with the same rank are not told apart; a column in "
        "which no two are has no ranks, and neither has a method with a failed run. Rows are in order of "
        "the mean place of their means in the figures of samples, which all methods have. No "
        "correction for many comparisons is made."
    )
    yield TextBlock(
        f"{FLOOR}: other real rows against the same test rows, which no distance can honestly fall below by "
        "more than its error (recall can exceed it: a distribution that is too wide has much of it); "
        f"{TRIVIAL}: a Gaussian, of bits and categories independent ones, fitted in closed form. Figures of "
        f"samples are of {settings.samples} draws. Likelihoods are ranked by their lower side, among "
        "models of one measure; where upper and lower side differ much, the rank says little."
    )
    lines = tuple(
        (row.label, COLUMNS[name].label, e.why)
        for row in rows
        for name, e in row.entries.items()
        if e.why
    )
    if lines:
        table = Table("Figures that a row has not", ("row", "figure", "why"), lines)
        yield Fold("Why some figures are not defined", (table,))


def panels(rows: Sequence[Row], shown: Sequence[str]) -> Iterator[ImageStrip]:
    """An image per figure: a dot with its 95 % interval for each row."""
    drawn = [one for name in shown if (one := dots(rows, name)) is not None]
    if drawn:
        yield ImageStrip(
            tuple(drawn),
            "Dots are means over seeds, whiskers 95 % intervals (of one seed its own error's).",
        )


def dots(rows: Sequence[Row], name: str) -> PageImage | None:
    """One column drawn; None where fewer than two rows have it."""
    found = [(row, row.entries[name]) for row in rows if row.entries.get(name, Entry()).defined]
    if len(found) < 2:
        return None
    column = COLUMNS[name]
    figure = Figure((6.4, 0.9 + 0.3 * len(found)), layout="constrained")
    axes = figure.subplots()
    for k, (row, entry) in enumerate(found):
        error = half_width(entry) if finite(entry.stderr) else 0.0
        colour = "#6b7280" if row.reference else "#1d4ed8"
        axes.errorbar(entry.value, k, xerr=error, fmt="o", color=colour, capsize=3)
    axes.set(yticks=range(len(found)), yticklabels=[row.label for row, _ in found])
    axes.set(
        xlabel=column.unit or column.label, title=f"{column.label} ({column.better} is better)"
    )
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.25)
    alt = f"{column.label}: " + "; ".join(
        f"{row.label} {format_value(entry)}" for row, entry in found
    )
    return figure_image(figure, f"column-{name}", f"{alt}.")


def differences(rows: Sequence[Row], shown: Sequence[str]) -> Iterator[Fold]:
    """Every pair of variants, column by column, with the interval of their difference."""
    variants = [row for row in rows if not row.reference]
    for name in shown:
        lines = []
        for k, a in enumerate(variants):
            for b in variants[k + 1 :]:
                gap = difference(a, b, name)
                if gap is not None:
                    interval = f"[{gap.low:.4g}, {gap.high:.4g}]"
                    verdict = "clear" if gap.clear else "not clear"
                    lines.append((f"{a.label} - {b.label}", f"{gap.value:.4g}", interval, verdict))
        if lines:
            caption = f"{COLUMNS[name].label}, first minus second"
            heads = ("pair", "difference", "95 % interval", "leaves out 0")
            yield Fold(
                f"{COLUMNS[name].label}: {len(lines)} pairs", (Table(caption, heads, tuple(lines)),)
            )


def sheets(rows: Sequence[Row], out: Path, settings: ComparisonSettings) -> Iterator[ImageStrip]:
    """Test rows, then samples of each variant's first sound run."""
    first = True
    for row in rows:
        paths = [out / row.label / f"seed-{seed}" / "run" for seed in settings.each_seed]
        there = next((path for path in paths if (path / "evaluation.npz").is_file()), None)
        if row.reference or there is None:
            continue
        drawn = samples(read_record(there).arrays)
        named = [
            replace(one, name=f"{row.label}-{k}", alt=f"{row.label}. {one.alt}")
            for k, one in enumerate(drawn)
        ]
        yield ImageStrip(tuple(named if first else named[1:]), f"{row.label}, {there.parent.name}")
        first = False
