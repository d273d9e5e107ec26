"""Data: densities with known truth, tables, images, streams of batches.

Imports core only.
"""

from gibbsian.data.corruptions import corrupted_copies
from gibbsian.data.dataset import Dataset, from_array, load_dataset
from gibbsian.data.densities import toy_density
from gibbsian.data.named import dataset_names
from gibbsian.data.streams import BatchStream

__all__ = [
    "BatchStream",
    "Dataset",
    "corrupted_copies",
    "dataset_names",
    "from_array",
    "load_dataset",
    "toy_density",
]
