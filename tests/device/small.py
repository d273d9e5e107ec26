"""Every method with networks small enough to train in a second or two on the pretended device."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from gibbsian.config import recipes
from gibbsian.config.config import Config, replace
from gibbsian.data import Dataset
from gibbsian.methods import TRAINING_METHODS
from gibbsian.models.train import load_data
from tests.device.pretend import TYPE
from tests.nets import sized

FEW: dict[str, dict[str, Any]] = {
    "bihm": {
        "latent_samples": 3,
        "gibbs_sweeps": 2,
        "gibbs_proposals_per_step": 2,
        "importance_samples_per_marginal": 2,
    },
    "cd": {"chains": 32, "sampler": {"steps_per_sample": 10}},
    "energy-matching": {"flow_steps": 4, "sampler": {"steps_per_sample": 10}},
    "gebm": {"energy_burst_steps": 2, "energy_steps": 2, "log_z_init_batches": 2},
    "lbt": {"unrolled_student_steps": 2, "student_steps_per_unroll_step": 1},
    "energy-discrepancy": {"sampler": {"steps_per_sample": 10}},
    "noise-levels": {"flow_steps": 4, "sampler": {"steps_per_sample": 10}},
    "nce": {"sampler": {"steps_per_sample": 10}},
    "score-matching": {"sampler": {"steps_per_sample": 10}},
    "super-resolution": {"upscaling_steps": 3, "negative_steps": 2},
    "transition-vgan": {"transitions_per_sample": 3},
    "vae": {"inpainting_sweeps": 2},
}
"""Of what a method does often by default, little."""
DATA = {"bihm": "digits-4-binary", "super-resolution": "digits"}
NETWORK = {"width": 16, "num_experts": 8, "layer_sizes": "8,4", "channels": 4, "orientations": 2}
NAMES = sorted(TRAINING_METHODS)
NOT_ENLARGING = [name for name in NAMES if name != "super-resolution"]


def small(name: str, rounds: int = 2, device: str = TYPE, **options: Any) -> Config:
    """The method's defaults on its data, with few rounds and small networks."""
    config = recipes.default_config(name, DATA.get(name, "ring8"))
    networks = sized(config, NETWORK)
    training = {"rounds": rounds, "batch": 32, "save_every": 0, "seed": 5, "device": device}
    changes = FEW.get(name, {}) | networks | options
    return replace(config, source={"max_rows": 400}, training=training, **changes)


@lru_cache(maxsize=8)
def data_of(name: str) -> Dataset:
    """The data that ``small`` trains on."""
    return load_data(small(name))
