"""Methods side by side on one protocol: the same rows, time and figures, with errors over seeds."""

from gibbsian.experiments.compare.comparison_page import summarise
from gibbsian.experiments.compare.entries import compare, work
from gibbsian.experiments.compare.ranking import Difference, Entry, Row, difference, ranked, ranks
from gibbsian.experiments.compare.settings import Contestant, Settings, contestants_of

__all__ = [
    "Contestant",
    "Difference",
    "Entry",
    "Row",
    "Settings",
    "compare",
    "contestants_of",
    "difference",
    "ranked",
    "ranks",
    "summarise",
    "work",
]
