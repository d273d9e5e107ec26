"""Bounds on log Z and on divergences, for training and for evaluation: entropies below, penalties above.

Imports core only.
"""

from gibbsian.bounds.diffusion import DiffusionScoreMatching
from gibbsian.bounds.entropy import Entropy, LogDetEntropy, SamplesWithEntropy, SingularValueEntropy
from gibbsian.bounds.information import BarberAgakov, InfoNCE
from gibbsian.bounds.singular import smallest_singular_value
from gibbsian.bounds.upper import DenoisingPenalty, GradientPenalty, ZeroCentredPenalty

__all__ = [
    "BarberAgakov",
    "DenoisingPenalty",
    "DiffusionScoreMatching",
    "Entropy",
    "GradientPenalty",
    "InfoNCE",
    "LogDetEntropy",
    "SamplesWithEntropy",
    "SingularValueEntropy",
    "ZeroCentredPenalty",
    "smallest_singular_value",
]
