"""How one move is made; the loop; checkpoints."""

from gibbsian.training.checkpoints import Progress, restore, save
from gibbsian.training.loop import Interrupted, Training, Watch, fit, start
from gibbsian.training.moves import Mover, player_parameters
from gibbsian.training.optimisers import Optimiser

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
