"""How the networks of Kingma and Welling (2014) are trained: what figures 2 and 3 share."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import torch

from gibbsian.config.config import Config, plain, replace
from gibbsian.core import TrainingMethod
from gibbsian.data import BatchStream, Dataset
from gibbsian.training import prepare_training
from gibbsian.training.checkpoints import Progress

BATCH, STD = 100, 0.1
RATES, PILOT = (0.01, 0.02, 0.1), 20_000
CONTESTANTS = {"AEVB": "b", "wake-sleep": "wake-sleep"}


def configured(
    data: str,
    estimator: str,
    latent: int,
    units: int,
    rows: int,
    rate: float,
    schedule: Literal["constant", "linear"] = "constant",
) -> Config:
    """The paper's networks and optimizer."""
    tanh = {"name": "mlp", "width": units, "depth": 1, "activation": "tanh"}
    adagrad = {"name": "adagrad", "lr": rate, "weight_decay": 1.0 / rows, "lr_schedule": schedule}
    return replace(
        plain("vae", data),
        domain_half_width="none",
        training={"batch": BATCH, "device": "cpu", "save_every": 0},
        latent_dim=latent,
        elbo_gradient_estimator=estimator,
        decoder=tanh,
        encoder=tanh,
        model_optimizer=adagrad,
    )


def begun(method: TrainingMethod, config: Config, data: Dataset, seed: int) -> Progress:
    """A run before its first round, all weights from N(0, STD^2)."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.copy_(STD * torch.randn(parameter.shape, generator=rng))
    stream = BatchStream(data.train, data.transform, BATCH, seed)
    training = dataclasses.replace(config.training, seed=seed)
    return prepare_training(method, {"model": getattr(config, "model_optimizer")}, training, stream)  # noqa: B009


def units_of(name: str, quick: bool) -> int:
    """Hidden units of figure 2."""
    return 20 if quick else 200 if name.startswith("frey") else 500


def in_nats(data: Dataset) -> float:
    """What turns a log-density in the networks' units into one on pixels of [0, 1]."""
    if data.space.kind == "binary":
        return 0.0
    return data.transform.log_jacobian + math.prod(data.space.shape) * math.log(256)
