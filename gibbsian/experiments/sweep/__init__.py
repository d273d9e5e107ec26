"""Searches over settings: many training runs from a file that says what varies."""

from gibbsian.experiments.sweep.objectives import OBJECTIVES
from gibbsian.experiments.sweep.results import summarise
from gibbsian.experiments.sweep.search import Settings, sweep
from gibbsian.experiments.sweep.space import read_space

__all__ = [
    "OBJECTIVES",
    "Settings",
    "read_space",
    "summarise",
    "sweep",
]
