"""The methods by name, a file each; networks are handed in, never built here.

Imports bounds, samplers and core.
"""

from __future__ import annotations

from collections.abc import Mapping

from gibbsian.core import TrainingMethod
from gibbsian.methods._langevin import SamplerOptions
from gibbsian.methods.bidirectional import BidirectionalBounds
from gibbsian.methods.bihm import BiHM
from gibbsian.methods.cd import ContrastiveDivergence
from gibbsian.methods.ebgan import EBGAN
from gibbsian.methods.energy_discrepancy import EnergyDiscrepancy
from gibbsian.methods.energy_matching import EnergyMatching
from gibbsian.methods.flow import NormalisingFlow
from gibbsian.methods.gan import GAN
from gibbsian.methods.gebm import GEBM
from gibbsian.methods.lbt import LearningByTeaching
from gibbsian.methods.nce import NoiseContrastiveEstimation
from gibbsian.methods.noise_levels import NoiseLevels
from gibbsian.methods.score_matching import ScoreMatching
from gibbsian.methods.super_resolution import SuperResolution
from gibbsian.methods.tilted_flow import TiltedFlow
from gibbsian.methods.transition_vgan import TransitionVGAN
from gibbsian.methods.vae import VAE
from gibbsian.methods.vgan import VGAN

TRAINING_METHODS: Mapping[str, type[TrainingMethod]] = {
    "gan": GAN,
    "vgan": VGAN,
    "cd": ContrastiveDivergence,
    "bidirectional": BidirectionalBounds,
    "lbt": LearningByTeaching,
    "gebm": GEBM,
    "ebgan": EBGAN,
    "transition-vgan": TransitionVGAN,
    "flow": NormalisingFlow,
    "tilted-flow": TiltedFlow,
    "vae": VAE,
    "bihm": BiHM,
    "score-matching": ScoreMatching,
    "nce": NoiseContrastiveEstimation,
    "energy-discrepancy": EnergyDiscrepancy,
    "energy-matching": EnergyMatching,
    "noise-levels": NoiseLevels,
    "super-resolution": SuperResolution,
}

__all__ = [
    "EBGAN",
    "GAN",
    "GEBM",
    "TRAINING_METHODS",
    "VAE",
    "VGAN",
    "BiHM",
    "BidirectionalBounds",
    "ContrastiveDivergence",
    "EnergyDiscrepancy",
    "EnergyMatching",
    "LearningByTeaching",
    "NoiseContrastiveEstimation",
    "NoiseLevels",
    "NormalisingFlow",
    "SamplerOptions",
    "ScoreMatching",
    "SuperResolution",
    "TiltedFlow",
    "TransitionVGAN",
]
