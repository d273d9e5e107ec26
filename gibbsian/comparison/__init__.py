"""Methods side by side on one protocol: the same rows, time and figures, with errors over seeds."""

from gibbsian.comparison.runs import compare, work
from gibbsian.comparison.settings import Contestant, Settings, contestants_of
from gibbsian.comparison.summary import summarise
from gibbsian.comparison.table import Difference, Entry, Row, difference, ranked, ranks

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
