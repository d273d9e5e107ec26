"""Run folders in, pictures and one self-contained page out. Reads files only, never a model."""

from gibbsian.report.figures import as_pictures, draw, sample_sheet
from gibbsian.report.page import write_page

__all__ = ["as_pictures", "draw", "sample_sheet", "write_page"]
