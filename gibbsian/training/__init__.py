"""How one move is made; the loop; checkpoints; processes; loggers.

Knows only Method: imports core alone.
"""

from gibbsian.training.checkpoints import restore, save
from gibbsian.training.loop import Interrupted, Training, Watch, fit, start
from gibbsian.training.optimizers import Optimizer

__all__ = [
    "Interrupted",
    "Optimizer",
    "Training",
    "Watch",
    "fit",
    "restore",
    "save",
    "start",
]
