"""Bounds on log Z and on divergences, for training and for evaluation: entropies below, penalties above.

Imports core only.
"""

from gibbsian.bounds.diffusion import Diffusion, gaussian_terminal_kl
from gibbsian.bounds.entropy import Draws, Entropy, LogDet, SingularValue, evaluating
from gibbsian.bounds.guarantees import Guarantee
from gibbsian.bounds.information import EncoderInformation, InfoNCE
from gibbsian.bounds.singular import lobpcg, smallest_singular_value
from gibbsian.bounds.upper import Denoising, GradientPenalty, Points, Upper, ZeroCentred

__all__ = [
    "Denoising",
    "Diffusion",
    "Draws",
    "EncoderInformation",
    "Entropy",
    "GradientPenalty",
    "Guarantee",
    "InfoNCE",
    "LogDet",
    "Points",
    "SingularValue",
    "Upper",
    "ZeroCentred",
    "evaluating",
    "gaussian_terminal_kl",
    "lobpcg",
    "smallest_singular_value",
]
