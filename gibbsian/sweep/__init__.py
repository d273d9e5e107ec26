"""Searches over settings: many training runs from a file that says what varies."""

from gibbsian.sweep.journal import Claim, Journal, Trial
from gibbsian.sweep.locks import FileLock
from gibbsian.sweep.objectives import OBJECTIVES, Objective, Setting
from gibbsian.sweep.runs import Settings, sweep, work
from gibbsian.sweep.space import Choices, Range, applied, grid, parse_space, read_space
from gibbsian.sweep.summary import summarise
from gibbsian.sweep.workers import check_workers, in_processes

__all__ = [
    "OBJECTIVES",
    "Choices",
    "Claim",
    "FileLock",
    "Journal",
    "Objective",
    "Range",
    "Setting",
    "Settings",
    "Trial",
    "applied",
    "check_workers",
    "grid",
    "in_processes",
    "parse_space",
    "read_space",
    "summarise",
    "sweep",
    "work",
]
