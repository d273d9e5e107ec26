"""Run by torchrun: plays rounds of a game in several processes and writes what each process holds."""

import sys
from pathlib import Path

import torch

from gibbsian.core.tensor_files import write_tensors
from gibbsian.training import (
    OptimizerOptions,
    TrainingOptions,
    prepare_training,
    processes,
    run_training_loop,
)
from gibbsian.training.optimizers import export_state
from gibbsian.training.processes import process_group
from tests.training.toys import CountingStream, Quadratic, Seesaw


def main(folder: Path) -> None:
    with process_group(torch.device("cpu")):
        torch.manual_seed(0)
        options = TrainingOptions(rounds=30, save_every=10, log_every=10)
        optimizers = {
            "left": OptimizerOptions("adam", 0.05),
            "right": OptimizerOptions("sgd", 0.05, momentum=0.9),
        }
        stream = CountingStream(shift=float(processes.rank()))
        progress = prepare_training(Seesaw(), optimizers, options, stream)
        run_training_loop(progress, options, folder / "state")
        held = dict(progress.method.state_dict()) | {"rng": progress.rng.get_state()}
        for player, optimizer in progress.stepper.optimizers.items():
            held |= export_state(optimizer, player)
        held["averaged step"] = _one_step(stream=CountingStream(shift=float(processes.rank())))
        write_tensors(folder / f"rank{processes.rank()}.safetensors", held, {})


def _one_step(stream: CountingStream) -> torch.Tensor:
    """theta after one SGD step of rate 1 on |theta - mean x|^2 / 2: the mean over all processes."""
    method, options = Quadratic(), TrainingOptions(rounds=1)
    run_training_loop(
        prepare_training(method, {"only": OptimizerOptions("sgd", 1.0)}, options, stream), options
    )
    return method.theta.detach()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
