"""Methods side by side on one protocol: the same rows, time and figures, with errors over seeds."""

from gibbsian.experiments.compare.comparison_page import summarise_comparison
from gibbsian.experiments.compare.entries import compare
from gibbsian.experiments.compare.settings import ComparisonSettings

__all__ = [
    "ComparisonSettings",
    "compare",
    "summarise_comparison",
]
