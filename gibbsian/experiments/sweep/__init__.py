"""Searches over settings: many training runs from a file that says what varies."""

from gibbsian.experiments.sweep.objectives import SWEEP_OBJECTIVES
from gibbsian.experiments.sweep.results import summarise_sweep
from gibbsian.experiments.sweep.search import SweepSettings, run_sweep
from gibbsian.experiments.sweep.space import read_search_space

__all__ = [
    "SWEEP_OBJECTIVES",
    "SweepSettings",
    "read_search_space",
    "run_sweep",
    "summarise_sweep",
]
