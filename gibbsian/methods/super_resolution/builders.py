"""What builds the networks of super-resolution, what they see and what they return."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from gibbsian.core import DataSpace
from gibbsian.core.roles import Role, Setting, an_observation, what_it_sees
from gibbsian.methods.super_resolution.completion import check_picture
from gibbsian.methods.super_resolution.scattering import ScatteringStatistics
from gibbsian.methods.super_resolution.upsamplers import (
    SRCNN,
    Identity,
    StatisticsPredictor,
    SubPixelUpsampler,
    statistics_space,
)
from gibbsian.networks.pretrained import SqueezeNet


def small_picture(setting: Setting) -> DataSpace:
    """An image ``upscaling_factor`` times smaller than the data's."""
    factor: int = setting.options["upscaling_factor"]
    check_picture(setting.space.shape, factor)
    channels, height, width = setting.space.shape
    return dataclasses.replace(setting.space, shape=(channels, height // factor, width // factor))


def maps_of_statistics(setting: Setting) -> DataSpace:
    """What the statistics make of an image."""
    return statistics_space(setting.networks["sufficient_statistics"], setting.space)


def same_factor(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The upsampler enlarges by the method's ``upscaling_factor``."""
    return {"upscaling_factor": options["upscaling_factor"]}


UPSAMPLER = Role(
    "subpixel",
    {"subpixel": SubPixelUpsampler, "srcnn": SRCNN},
    sees=small_picture,
    returns=an_observation,
    demands=same_factor,
)
"""From small images to large ones."""
SUFFICIENT_STATISTICS = Role(
    "scattering",
    {"scattering": ScatteringStatistics, "squeezenet": SqueezeNet, "identity": Identity},
    returns=None,
)
"""From images to maps of any number and size, which ``maps_of_statistics`` looks at."""
PREDICTOR = Role(
    "residual", {"residual": StatisticsPredictor}, sees=maps_of_statistics, returns=what_it_sees
)
"""From maps of statistics to such maps."""
