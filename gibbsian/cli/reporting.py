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


def report(arguments: list[str]) -> int:
    """Write one page about runs: `report RUN... --output report.html` or `report.md`."""
    args = parse(Report, arguments, "report")
    check_output(args.output, (".html", ".md"))
    write_page(args.output, run_report_page([read_record(run) for run in args.runs]))
    say(f"report in {args.output}")
    return 0


@dataclasses.dataclass(frozen=True)
class Report:
    """Write one page about a run, or about several side by side. Run folders are only read.

    Args:
        runs: folders of one or more runs; what `gibbsian evaluate` found is shown where there.
        output: the page: a .html file that holds everything, or a .md file with images in a folder
            beside it.
    """

    runs: Annotated[Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN...")]
    output: Path = Path("report.html")
