"""What was detected in the data is told before the first round, and only of data that are used."""

import numpy as np
import pytest

from gibbsian.config import recipes
from gibbsian.config.config import replace
from gibbsian.models.train import train_config

TRAINING = {"rounds": 2, "batch": 8, "device": "cpu", "log_every": 1}


def config(path, **training):
    x = np.random.default_rng(0).normal(size=(40, 2))
    np.savetxt(path, x, delimiter=",", header="a,b", comments="")
    base = recipes.default_config("cd", str(path))
    small = {"energy": {"width": 4}, "chains": 8, "sampler": {"steps": 1, "steps_per_sample": 1}}
    return replace(base, training=TRAINING | training, **small)


def test_notes_come_before_the_first_row_of_metrics(tmp_path):
    told = []
    settings = config(tmp_path / "x.csv")
    train_config(settings, None, log=told.append, watch=lambda row: told.append("row"))
    assert "header row: a, b" in told and "columns: a: number; b: number" in told
    assert told.index("row") == len(told) - told.count("row") == 4


def test_of_data_that_do_not_fit_nothing_is_told(tmp_path):
    told = []
    with pytest.raises(ValueError, match="batch of 500 is larger"):
        train_config(config(tmp_path / "x.csv", batch=500), None, log=told.append)
    assert told == []
