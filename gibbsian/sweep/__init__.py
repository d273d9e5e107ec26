"""Searches over settings: many training runs from a file that says what varies."""

from gibbsian.sweep.journal import Claim, Journal, Trial
from gibbsian.sweep.objectives import OBJECTIVES, Objective, Setting
from gibbsian.sweep.runs import Settings, sweep, work
from gibbsian.sweep.space import Choices, Range, applied, grid, parse_space, read_space
from gibbsian.sweep.summary import summarise

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
