"""Searches over settings: many training runs from a file that says what varies."""

from gibbsian.experiments.sweep.journal import Claim, Journal, Trial
from gibbsian.experiments.sweep.objectives import OBJECTIVES, Objective, Setting
from gibbsian.experiments.sweep.results import summarise
from gibbsian.experiments.sweep.search import Settings, sweep, work
from gibbsian.experiments.sweep.space import Choices, Range, applied, grid, parse_space, read_space

__all__ = [
    "OBJECTIVES",
    "Choices",
    "Claim",
    "Journal",
    "Objective",
    "Range",
    "Setting",
    "Settings",
    "Trial",
    "applied",
    "grid",
    "parse_space",
    "read_space",
    "summarise",
    "sweep",
    "work",
]
