"""Equal time for unequal methods: how many rounds fit into a number of CPU seconds."""

from __future__ import annotations

import time

import torch

from gibbsian.config.config import Config, replace
from gibbsian.data import Dataset
from gibbsian.models.train import train_config

SHORT, LONG = 4, 24
SURE = 2.0
"""CPU seconds the measured rounds must take together: setting a run up varies by some tenths of one."""


def rounds_within(config: Config, data: Dataset, seconds: float, device: str = "cpu") -> int:
    """Rounds of ``config`` that take ``seconds`` of CPU time on one thread, by a trial of 20 or more.

    On another ``device``, for which the CPU only waits, of the clock's time.
    Rounds of a warm-up (the option that ends in ``warmup_rounds``) are measured by a trial of their own;
    one that does not fit is cut short. A trial's first rounds are left out: they compile, allocate and play
    opening bursts; and so is a first trial, in which the process loads what it needs.
    """
    torch.set_num_threads(1)
    least = min(SURE, 0.2 * seconds)
    name = next((option for option in config.options if option.endswith("warmup_rounds")), "")
    warmup: int = config.options.get(name, 0)
    if warmup == 0:
        return max(LONG, int(seconds / seconds_per_round(config, data, least, device)))
    opening = seconds_per_round(replace(config, **{name: 10**9}), data, least, device)
    left = seconds - warmup * opening
    if left <= 0:
        return max(LONG, int(seconds / opening))
    rounds = int(left / seconds_per_round(replace(config, **{name: 0}), data, least, device))
    return warmup + max(LONG, rounds)


def seconds_per_round(config: Config, data: Dataset, least: float, device: str = "cpu") -> float:
    """CPU seconds, or on another device those of the clock, from rounds that take ``least`` together."""
    clock = time.process_time if device == "cpu" else time.perf_counter

    def taken(rounds: int) -> float:
        training = {"rounds": rounds, "save_every": 0, "device": device}
        begun = clock()
        train_config(replace(config, training=training), None, data)
        return clock() - begun  # training ends with a look at its losses, so that all is done

    taken(SHORT)
    opening, rounds = taken(SHORT), LONG
    while (measured := taken(rounds) - opening) < least:
        rounds *= 2
    return measured / (rounds - SHORT)
