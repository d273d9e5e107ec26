"""Run folders in, one self-contained page out, and files of points and tables. Never reads a model.

Imports core only.
"""

from gibbsian.report.blocks import Fold, Page, Picture, Pictures, Prose, Section, Table
from gibbsian.report.drawn_curves import intervals, picture
from gibbsian.report.figures import as_pictures, sample_sheet, samples
from gibbsian.report.pages import run_page
from gibbsian.report.record import Record, read_record
from gibbsian.report.render import render_html, render_markdown

__all__ = [
    "Fold",
    "Page",
    "Picture",
    "Pictures",
    "Prose",
    "Record",
    "Section",
    "Table",
    "as_pictures",
    "intervals",
    "picture",
    "read_record",
    "render_html",
    "render_markdown",
    "run_page",
    "sample_sheet",
    "samples",
]
