"""Bounds on log Z and on divergences, for training and for evaluation: entropies below, penalties above.

Imports core only.
"""

from gibbsian.bounds.diffusion import Diffusion
from gibbsian.bounds.entropy import Draws, Entropy, LogDet, SingularValue
from gibbsian.bounds.information import EncoderInformation, InfoNCE
from gibbsian.bounds.singular import smallest_singular_value
from gibbsian.bounds.upper import Denoising, GradientPenalty, ZeroCentred

__all__ = [
    "Denoising",
    "Diffusion",
    "Draws",
    "EncoderInformation",
    "Entropy",
    "GradientPenalty",
    "InfoNCE",
    "LogDet",
    "SingularValue",
    "ZeroCentred",
    "smallest_singular_value",
]
