"""Matplotlib as every picture here uses it: figures on Agg's canvas, without windows and without pyplot.

Matplotlib cannot be imported where the environment variable MPLBACKEND names a backend that it does not know.
Pictures here need none, so such a name is left to whoever opens a window.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

if "matplotlib" not in sys.modules and (chosen := os.environ.pop("MPLBACKEND", None)) is not None:
    try:
        import matplotlib as mpl

        with suppress(ValueError):
            mpl.rcParams["backend"] = chosen  # as matplotlib itself does
    finally:
        os.environ["MPLBACKEND"] = chosen

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

__all__ = ["Axes", "Figure", "FigureCanvasAgg", "mpl"]
