"""How one move is made; the loop; checkpoints; processes; loggers.

Knows only TrainingMethod: imports core alone.
"""

from gibbsian.training.checkpoints import restore_checkpoint, save_checkpoint
from gibbsian.training.loop import (
    TrainingCallback,
    TrainingInterrupted,
    TrainingOptions,
    fit,
    prepare_training,
)
from gibbsian.training.optimizers import OptimizerOptions

__all__ = [
    "OptimizerOptions",
    "TrainingCallback",
    "TrainingInterrupted",
    "TrainingOptions",
    "fit",
    "prepare_training",
    "restore_checkpoint",
    "save_checkpoint",
]
