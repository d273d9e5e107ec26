"""Methods side by side on one protocol: the same rows, time and figures, with errors over seeds."""

from gibbsian.experiments.compare.comparison_page import summarise
from gibbsian.experiments.compare.entries import compare
from gibbsian.experiments.compare.settings import Settings

__all__ = [
    "Settings",
    "compare",
    "summarise",
]
