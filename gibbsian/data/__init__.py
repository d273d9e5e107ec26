"""Data: densities with known truth, tables, images, streams of batches.

Imports core only.
"""

from gibbsian.data.corruptions import corruptions
from gibbsian.data.dataset import Dataset, from_array, load
from gibbsian.data.densities import density
from gibbsian.data.named import names
from gibbsian.data.streams import Stream

__all__ = [
    "Dataset",
    "Stream",
    "corruptions",
    "density",
    "from_array",
    "load",
    "names",
]
