"""How one move is made; the loop; checkpoints; processes; loggers.

Knows only Method: imports core alone.
"""

from gibbsian.training.checkpoints import Progress, restore, save
from gibbsian.training.loop import Interrupted, Training, Watch, fit, start
from gibbsian.training.optimizers import Optimizer
from gibbsian.training.stepper import Stepper, player_parameters

__all__ = [
    "Interrupted",
    "Optimizer",
    "Progress",
    "Stepper",
    "Training",
    "Watch",
    "fit",
    "player_parameters",
    "restore",
    "save",
    "start",
]
