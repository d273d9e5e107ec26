"""Data: densities with known truth, tables, images, streams of batches.

Imports core only.
"""

from gibbsian.data.corruptions import corruptions
from gibbsian.data.dataset import Dataset, from_array, load
from gibbsian.data.densities import Density, Modes, density
from gibbsian.data.masks import read_mask, read_observation
from gibbsian.data.named import Known, names
from gibbsian.data.queries import read_points, read_points_in_parts
from gibbsian.data.streams import Stream
from gibbsian.data.transforms import Transform

__all__ = [
    "Dataset",
    "Density",
    "Known",
    "Modes",
    "Stream",
    "Transform",
    "corruptions",
    "density",
    "from_array",
    "load",
    "names",
    "read_mask",
    "read_observation",
    "read_points",
    "read_points_in_parts",
]
