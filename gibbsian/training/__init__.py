"""How one move is made; the loop; checkpoints; processes; loggers.

Knows only Method: imports core alone.
"""

from gibbsian.training.checkpoints import Progress, restore, save
from gibbsian.training.loop import Interrupted, Training, Watch, fit, start
from gibbsian.training.optimizers import Optimiser
from gibbsian.training.stepper import Mover, player_parameters

__all__ = [
    "Interrupted",
    "Mover",
    "Optimiser",
    "Progress",
    "Training",
    "Watch",
    "fit",
    "player_parameters",
    "restore",
    "save",
    "start",
]
