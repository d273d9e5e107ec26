"""Equal time for unequal methods: how many rounds fit into a number of CPU seconds."""

from __future__ import annotations

import time

import torch

from gibbsian.config import Config, replace
from gibbsian.data import Dataset
from gibbsian.facade import train_config

SHORT, LONG = 4, 24
SURE = 2.0
"""CPU seconds the measured rounds must take together: setting a run up varies by some tenths of one."""


def rounds_within(config: Config, data: Dataset, seconds: float) -> int:
    """Rounds of ``config`` that take ``seconds`` of CPU time on one thread, by a trial of 20 or more.

    Warm-up rounds count as full ones. The trial's first rounds are left out: they compile, allocate
    and play opening bursts; and so is a first trial, in which the process loads what it needs.
    """
    torch.set_num_threads(1)
    changes = {"warmup": 0} if hasattr(config, "warmup") else {}

    def taken(rounds: int) -> float:
        training = {"rounds": rounds, "save_every": 0, "device": "cpu"}
        trial = replace(config, training=training, **changes)
        begun = time.process_time()
        train_config(trial, None, data)
        return time.process_time() - begun

    taken(SHORT)
    opening, rounds = taken(SHORT), LONG
    while (measured := taken(rounds) - opening) < min(SURE, 0.2 * seconds):
        rounds *= 2
    return max(LONG, int(seconds * (rounds - SHORT) / measured))
