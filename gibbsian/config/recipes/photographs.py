"""Named runs of super-resolution on the photographs of a data root (after Bruna, Sprechmann, LeCun 2016)."""

from __future__ import annotations

from gibbsian.config.config import Config, replace
from gibbsian.config.recipes.defaults import Scale, default_config


def enlarged_photographs(factor: int, scale: Scale) -> Config:
    """Statistics of SqueezeNet's second stage, the better ones of the study; its weights must be at hand.

    At scale cpu brightness only and the study's sizes, two minutes of training; at scale paper colours,
    larger patches, a wider upsampler and fine-tuning with descent negatives. None of the sizes is
    the paper's, which were not at hand.
    """
    small = scale == "cpu"
    rounds = 2_000 if small else 100_000
    return replace(
        default_config("super-resolution", "photos"),
        source={
            "patch_size": 48 if small else 96,
            "greyscale": small,
            "max_rows": 4_000 if small else 20_000,
        },
        training={"rounds": rounds, "batch": 16 if small else 64},
        upscaling_factor=factor,
        upscaling_steps=30,
        sufficient_statistics={"name": "squeezenet", "depth": 2},
        upsampler={"channels": 64 if small else 256},
        sufficient_statistics_predictor={
            "depth": 1 if small else 2,
            "channels": 64 if small else 256,
        },
        statistics_fine_tuning_start_round=0 if small else 90_000,
    )
