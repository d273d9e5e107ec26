"""Super-resolution: the method, its networks and the roles that declare them.

Imports gibbsian.networks, as no other method does: these networks are its own.
"""

from gibbsian.methods.super_resolution.method import (
    Inference as Inference,
    SuperResolution as SuperResolution,
)
from gibbsian.methods.super_resolution.scattering import ScatteringStatistics
from gibbsian.methods.super_resolution.upsamplers import (
    SRCNN,
    Identity,
    StatisticsPredictor,
    SubPixelUpsampler,
)

__all__ = [
    "SRCNN",
    "Identity",
    "ScatteringStatistics",
    "StatisticsPredictor",
    "SubPixelUpsampler",
]
