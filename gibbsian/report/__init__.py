"""Run folders in, one self-contained page out, and files of points and tables. Never reads a model.

Imports core only.
"""

from gibbsian.report.blocks import ImageStrip, Page, PageImage, Section, Table, TextBlock
from gibbsian.report.drawn_curves import figure_image, interval_chart
from gibbsian.report.figures import sample_grid_image
from gibbsian.report.pages import run_report_page
from gibbsian.report.render import page_as_html, page_as_markdown

__all__ = [
    "ImageStrip",
    "Page",
    "PageImage",
    "Section",
    "Table",
    "TextBlock",
    "figure_image",
    "interval_chart",
    "page_as_html",
    "page_as_markdown",
    "run_report_page",
    "sample_grid_image",
]
