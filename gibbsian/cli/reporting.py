"""``report``: reads run folders and needs no PyTorch, so that it starts at once."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from gibbsian.cli.console import parse, say
from gibbsian.report import run_report_page
from gibbsian.report.page_files import check_output, write_page
from gibbsian.report.record import read_record

ENDINGS = (".html", ".md")


def report(arguments: list[str]) -> int:
    """Write one page about runs: `report RUN... --output report.html` or `report.md`."""
    args = parse(Report, arguments, "report")
    if args.output is not None:
        check_output(args.output, ENDINGS)
    page = run_report_page([read_record(run) for run in args.runs])
    output = args.output
    if output is None:
        output = args.runs[0] / "report.html" if len(args.runs) == 1 else Path("report.html")
        check_output(output, ENDINGS)
    write_page(output, page)
    say(f"report in {output}")
    return 0


@dataclasses.dataclass(frozen=True)
class Report:
    """Write one page about a run, or about several side by side.

    Args:
        runs: folders of one or more runs; what `gibbsian evaluate` found is shown where there.
        output: the page: a .html file that holds everything, or a .md file with images in a folder
            beside it. Without it: report.html in the run's folder; of several runs, where you stand.
    """

    runs: Annotated[Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN...")]
    output: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
