"""A variational auto-encoder's epoch here and in pythae: CPU time, and the bound it leads to.

Binarised MNIST, 10 000 training rows, one hidden layer of 500 tanh units on both
sides, 20 latent coordinates, Adam at 1e-3, batches of 100, one sample, the closed-form divergence:
the same starting weights for both, and the same number of epochs. One thread, contestants alternating
epoch by epoch, 5 repeats after a warm-up, three seeds; the ratio is formed within a repeat. Timed is the
training epoch alone (pythae's `train_step` with its data loader; the loop with its batches here), without
checkpoints or held-out data. The bound is estimator A's on 1000 test rows, by the same code for both; the
difference comes with its standard error over seeds. The aim: at most half of the time, the same bound
within errors.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import mean, median, stdev
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import torch
from torch import Tensor

from benchmarks.command import Record, run_benchmark
from gibbsian import data as datasets
from gibbsian.config.config import Config, plain, replace
from gibbsian.core import DataSpace
from gibbsian.evaluation.log_z.directed import mean_weights
from gibbsian.methods import VAE
from gibbsian.models.build import assemble
from gibbsian.training import prepare_training, run_training_loop

REPEATS, SEEDS = 5, 3
ROWS, HELD_OUT, BATCH, RATE = 10_000, 1_000, 100, 1e-3
Epoch = Callable[[], object]


def configured(data: str, seed: int) -> Config:
    """The networks and the optimizer of both."""
    tanh = {"name": "mlp", "width": 500, "depth": 1, "activation": "tanh"}
    return replace(
        plain("vae", data),
        training={"batch": BATCH, "seed": seed, "device": "cpu", "save_every": 0},
        latent_dim=20,
        decoder=tanh,
        encoder=tanh,
        model_optimizer={"name": "adam", "lr": RATE},
    )


def ours(method: VAE, config: Config, data: Any, rows: int) -> Epoch:
    """One epoch of the loop."""
    stream = datasets.BatchStream(data.train[:rows], data.transform, BATCH, config.training.seed)
    optimizer = {"model": config.model_optimizer}  # type: ignore[attr-defined]
    progress = prepare_training(method, optimizer, config.training, stream)

    def epoch() -> object:
        rounds = progress.index + rows // BATCH
        return run_training_loop(progress, dataclasses.replace(config.training, rounds=rounds))

    return epoch


def theirs(method: VAE, config: Config, x: Tensor, space: DataSpace, folder: str) -> Epoch:
    """One epoch of pythae's trainer on the networks of ``method``."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE as PythaeVAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = method.encoder

        def forward(self, x: Tensor) -> Any:
            m, log_variance = self.net(x).chunk(2, dim=1)
            return ModelOutput(embedding=m, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = method.decoder

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=torch.sigmoid(self.net(z)))

    settings = VAEConfig(input_dim=space.shape, latent_dim=20, reconstruction_loss="bce")
    trainer = BaseTrainer(
        PythaeVAE(settings, Encoder(), Decoder()),
        BaseDataset(x, torch.zeros(len(x))),
        training_config=BaseTrainerConfig(
            output_dir=folder,
            learning_rate=RATE,
            per_device_train_batch_size=BATCH,
            optimizer_cls="Adam",
            seed=config.training.seed,
            no_cuda=True,
        ),
    )
    trainer.prepare_training()
    number = 0

    def epoch() -> object:
        nonlocal number
        number += 1
        return trainer.train_step(number)

    return epoch


def measure(seed: int, repeats: int, rows: int) -> dict[str, Any]:
    """CPU seconds of every epoch, and both bounds, of one seed."""
    data = datasets.load_dataset("binarized-mnist")
    config = configured(data.name, seed)
    method = assemble(config, data.space)
    assert isinstance(method, VAE)
    rival = copy.deepcopy(method)
    x = data.transform.encode(data.train[:rows], None)
    with tempfile.TemporaryDirectory() as folder:
        epochs = {
            "gibbsian": ours(method, config, data, rows),
            "pythae": theirs(rival, config, x, data.space, folder),
        }
        seconds: dict[str, list[float]] = {name: [] for name in epochs}
        for _ in range(1 + repeats):
            for name, epoch in epochs.items():
                begun = time.process_time()
                epoch()
                seconds[name].append(time.process_time() - begun)
    rng, bounds = torch.Generator().manual_seed(seed), {}
    for name, trained in (("gibbsian", method), ("pythae", rival)):
        held_out = data.test[:HELD_OUT]
        found = mean_weights(trained.eval().log_weights, held_out, 1, rng)
        bounds[name] = float(found.log_mean.mean())
    return {"seconds": {name: times[1:] for name, times in seconds.items()}, "bounds": bounds}


def table(found: Sequence[dict[str, Any]]) -> str:
    """Both contestants, the ratio and the difference."""
    lines = ["| | CPU seconds an epoch, median | bound on test rows, nats |", "|---|---|---|"]
    for name in ("gibbsian", "pythae"):
        seconds = [s for one in found for s in one["seconds"][name]]
        bound = mean(one["bounds"][name] for one in found)
        lines.append(f"| {name} | {median(seconds):.2f} | {bound:.2f} |")
    pairs = [
        a / b
        for one in found
        for a, b in zip(one["seconds"]["gibbsian"], one["seconds"]["pythae"], strict=True)
    ]
    apart = [one["bounds"]["gibbsian"] - one["bounds"]["pythae"] for one in found]
    error = stdev(apart) / math.sqrt(len(apart)) if len(apart) > 1 else math.nan
    lines += [
        "",
        f"Time of an epoch over pythae's: {median(pairs):.2f} ({min(pairs):.2f} to {max(pairs):.2f}).",
        f"Bound here minus pythae's: {mean(apart):.2f} ± {error:.2f} nats over {len(apart)} seeds.",
    ]
    return "\n".join(lines)


def measured(quick: bool) -> Record:
    seeds, repeats, rows = (1, 1, 1_000) if quick else (SEEDS, REPEATS, ROWS)
    return {"seeds": [measure(seed, repeats, rows) for seed in range(seeds)]}


def shown(record: Mapping[str, Any]) -> str:
    return table(record["seeds"])


if __name__ == "__main__":
    title = "A variational auto-encoder against pythae"
    sys.exit(run_benchmark("vae", title, __doc__ or "", measured, shown))
