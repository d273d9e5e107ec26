"""Run by torchrun: trains every method in two processes and writes what each process holds."""

import sys
from pathlib import Path

import torch

from gibbsian.config.config import replace
from gibbsian.config.recipes import default_config
from gibbsian.core.tensor_files import write_tensors
from gibbsian.methods import TRAINING_METHODS
from gibbsian.models import train as facade
from gibbsian.training import processes
from gibbsian.training.optimizers import export_state
from gibbsian.training.processes import process_group
from tests.nets import sized

FEW = {
    "cd": {"chains": 32, "sampler": {"steps": 2, "steps_per_sample": 2}},
    "gebm": {"energy_burst_steps": 5},
}
FEW["super-resolution"] = {"statistics_fine_tuning_start_round": 5, "negative_steps": 2}
FEW |= {
    name: {"sampler": {"steps_per_sample": 2, "steps": 2}}
    for name in ("score-matching", "nce", "energy-discrepancy", "noise-levels")
}
FEW["energy-matching"] = FEW["nce"] | {"warmup_rounds": 5}
DATA = {"bihm": "digits-4-binary", "super-resolution": "digits"}


def small(name):
    """Ten rounds of ``name`` on ring8 (or on images, or bits) with small networks."""
    config = default_config(name, DATA.get(name, "ring8"))
    sizes = {"width": 16, "num_experts": 8, "layer_sizes": "8,4", "channels": 4, "orientations": 2}
    changes = sized(config, sizes)
    changes |= FEW.get(name, {})
    training = {"rounds": 10, "batch": 32, "device": "cpu"}
    return replace(config, source={"max_rows": 500}, training=training, **changes)


def held(progress):
    """Everything of a run that could differ between processes."""
    tensors = dict(progress.method.state_dict())
    tensors |= {f"average/{name}": value for name, value in progress.average.items()}
    for player, optimizer in progress.stepper.optimizers.items():
        tensors |= export_state(optimizer, f"optimizer/{player}")
    return tensors


def work(folder: Path) -> None:
    finished, run_training_loop = [], facade.run_training_loop

    def remembered(*arguments):
        finished.append(run_training_loop(*arguments))
        return finished[-1]

    facade.run_training_loop = remembered
    with process_group(torch.device("cpu")):
        for name in TRAINING_METHODS:
            facade.train_config(small(name), None)
            file = folder / f"{name}.rank{processes.rank()}.safetensors"
            write_tensors(file, held(finished[-1]), {"round": finished[-1].index})


if __name__ == "__main__":
    work(Path(sys.argv[1]))
