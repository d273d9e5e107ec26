"""How one move is made; the loop; checkpoints; processes; loggers.

Knows only TrainingMethod: imports core alone.
"""

from gibbsian.training.checkpoints import restore_checkpoint, save_checkpoint
from gibbsian.training.loop import (
    TrainingCallback,
    TrainingInterrupted,
    TrainingOptions,
    prepare_training,
    run_training_loop,
)
from gibbsian.training.optimizers import OptimizerOptions

__all__ = [
    "OptimizerOptions",
    "TrainingCallback",
    "TrainingInterrupted",
    "TrainingOptions",
    "prepare_training",
    "restore_checkpoint",
    "run_training_loop",
    "save_checkpoint",
]
